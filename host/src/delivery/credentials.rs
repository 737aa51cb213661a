//! Finds out when Slack takes us again: reads the secret's file anew and asks `auth.test`.

use std::path::PathBuf;
use std::sync::Arc;

use super::gate::Gate;
use super::patience::Patience;
use super::slack::Slack;
use super::verdict::Verdict;
use crate::backoff::Backoff;
use crate::config::slack::is_http_url;
use crate::secret::Secret;

/// Whenever the gate closes, tries until Slack answers yes, then opens it. Never returns.
pub async fn recover(
    gate: Arc<Gate>,
    slack: Arc<Slack>,
    file: Option<PathBuf>,
    patience: Patience,
) {
    let new = || Backoff::new(patience.probe_least, patience.probe_most, patience.seed());
    let mut backoff = new();
    loop {
        gate.closed().await;
        tokio::time::sleep(backoff.failed()).await;
        if let Some(path) = &file {
            // Some hundred bytes, once a probe: not worth a thread.
            match std::fs::read_to_string(path) {
                Ok(text) if slack.is_webhook() && !is_http_url(text.trim()) => {
                    let path = path.display();
                    tracing::warn!(%path, "what slack.webhook_url_file holds is not an http(s) address");
                }
                Ok(text) => slack.set_secret(Secret::new(text.trim())),
                Err(error) => {
                    let key = if slack.is_webhook() { "webhook_url_file" } else { "token_file" };
                    tracing::warn!(path = %path.display(), "cannot read slack.{key}: {error}");
                }
            }
        }
        // A webhook can only be tried by the next message.
        let verdict =
            if slack.is_webhook() { Verdict::Sent } else { slack.identity().await.verdict() };
        if verdict == Verdict::Sent {
            gate.open();
            // The waits grow as long as every message after a yes is refused again, as with a
            // missing scope.
            tokio::time::sleep(patience.probe_least).await;
            if gate.is_well() {
                backoff = new();
            }
        }
    }
}
