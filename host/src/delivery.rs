//! Delivery: from the outbox to Slack, once.
//!
//! In: entries of the outbox (read committed). Out: messages in Slack, and what became of every
//! alert in the ledger. It never evaluates a rule.
//!
//! The way of an entry: `dispatch` hands it to its `partition`, that to the `attempt` of its
//! channel, which decides (`decision`), waits for its `pace` and the `gate`, asks `slack`, and looks
//! up in `verdict` what the answer means. Slack's yes goes to the ledger, then the offset is
//! committed. Where nobody can say whether a message was posted, `readback` reads the channel.

pub mod attempt;
pub mod blocks;
pub mod book;
pub mod breaker;
pub mod budget;
pub mod common;
pub mod credentials;
pub mod decision;
pub mod directory;
pub mod dispatch;
mod edits;
pub mod gate;
pub mod kafka;
mod lanes;
pub mod pace;
pub mod partition;
pub mod patience;
pub mod ports;
pub mod readback;
mod round;
pub mod slack;
mod storm;
pub mod suppression;
#[cfg(test)]
pub(crate) mod tests;
mod text;
pub mod verdict;
pub mod watermark;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::config::{Config, SlackConfig, SlackMode};
use crate::dead_letter::Origin;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::InternalTopics;
use blocks::Manners;
use breaker::Breakers;
use budget::Budget;
use common::{Common, Ending, now_ms};
use directory::Directory;
use dispatch::{Dispatch, Ended};
use gate::{Gate, PART};
use kafka::{KafkaPorts, KafkaPortsError};
use pace::Paces;
use patience::Patience;
use readback::{History, read};
use slack::{ClientError, Slack};
use suppression::Suppression;
use verdict::Verdict;

/// Events of the outbox's reader that wait for the dispatcher, which takes them at once.
const EVENTS_MAX: usize = 1_024;

/// What the workspace takes at once, in seconds of its share.
const WORKSPACE_BURST_SECONDS: f64 = 4.0;

/// Slack takes some fifty changes a minute of all messages; alerts that have their own message need
/// some of them.
const TALLY_EDITS_PER_SECOND: f64 = 0.5;
/// Changes of tallies at once.
const TALLY_EDITS_BURST: u32 = 5;

/// Why delivery cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// There is nobody to deliver to.
    #[error("there is no [slack] section; add one, or run with --only evaluate")]
    NoSlack,
    /// The HTTP client.
    #[error("cannot speak to slack")]
    Slack(#[from] ClientError),
    /// The Kafka clients.
    #[error("cannot read the outbox")]
    Kafka(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<KafkaPortsError> for DeliveryError {
    fn from(error: KafkaPortsError) -> Self {
        Self::Kafka(Box::new(error))
    }
}

/// Delivers until `shutdown`, then drains for some seconds; what is not sent stays in the outbox.
///
/// A Kafka or a Slack that is away, and a token that is refused, are no errors: it says so, waits
/// and goes on by itself.
///
/// # Errors
/// When it cannot start.
pub async fn run(
    config: Arc<Config>,
    suppression: Suppression,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), DeliveryError> {
    let slack_config = config.slack.as_ref().ok_or(DeliveryError::NoSlack)?;
    readiness.set_not_ready(PART, "waiting for partitions of the outbox");
    let slack = Arc::new(client(slack_config)?);
    let gate = Arc::new(Gate::new(metrics.clone(), readiness.clone()));
    let patience = Patience::new(slack_config.request_timeout);
    let token_file = match &slack_config.mode {
        SlackMode::Bot { token_file, .. } => token_file.clone(),
        SlackMode::Webhook(_) => None,
    };
    let recovery =
        credentials::recover(Arc::clone(&gate), Arc::clone(&slack), token_file, patience.clone());
    // Both end with this function.
    let mut background = tokio::task::JoinSet::new();
    background.spawn(recovery);
    let kafka = Arc::new(config.kafka.clone());
    let retention_ms = i64::try_from(slack_config.ledger_retention.as_millis()).unwrap_or(i64::MAX);
    let mut backoff =
        Backoff::new(Duration::from_secs(1), Duration::from_secs(30), patience.seed());
    let mut introduced = false;
    loop {
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let ports = KafkaPorts::start(&kafka, events, metrics.clone(), readiness.clone())?;
        let common = Arc::new(Common {
            ports,
            slack: Arc::clone(&slack),
            gate: Arc::clone(&gate),
            directory: Directory::new(&slack_config.channels),
            manners: Manners {
                mentions: slack_config.mentions.clone(),
                link_hosts: slack_config.link_hosts.clone(),
                public_url: config.http.as_ref().and_then(|http| http.public_url.clone()),
            },
            on_ambiguous: slack_config.on_ambiguous,
            suppression: suppression.clone(),
            broadcast_worsening: slack_config.broadcast_worsening,
            paces: Paces::new(slack_config.messages_per_second, slack_config.burst),
            budget: workspace_budget(slack_config),
            tally_edits: Budget::new(TALLY_EDITS_PER_SECOND, TALLY_EDITS_BURST),
            digest_after: slack_config.digest_after,
            breakers: Breakers::new(patience.breaker_least, patience.breaker_most),
            fallback: slack_config.fallback_channel.clone(),
            patience: patience.clone(),
            topics: InternalTopics::of(&config.kafka.group_id),
            origin: Origin { group_id: config.kafka.group_id.as_str().into(), worker: 0 },
            metrics: metrics.clone(),
        });
        if !introduced {
            let channel = slack_config.default_channel.clone();
            background.spawn(introduce(Arc::clone(&common), channel));
            introduced = true;
        }
        let dispatch = Dispatch::new(Arc::clone(&common), readiness.clone(), retention_ms);
        let ended = dispatch.run(inbox, shutdown.clone()).await;
        common.ports.close().await;
        match ended {
            Ended::Stopped => return Ok(()),
            Ended::Failed(why) => {
                let wait = backoff.failed();
                tracing::error!(why, "reading the outbox failed; it is begun anew");
                tokio::select! {
                    () = shutdown.cancelled() => return Ok(()),
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
}

fn workspace_budget(config: &SlackConfig) -> Budget {
    let per_second = config.workspace_messages_per_second;
    // At least one; 40,000 at most.
    let burst = (per_second * WORKSPACE_BURST_SECONDS).ceil() as u32;
    Budget::new(per_second, burst.max(config.burst))
}

fn client(config: &SlackConfig) -> Result<Slack, ClientError> {
    match &config.mode {
        SlackMode::Bot { token, .. } => {
            Slack::bot(&config.api_url, token.clone(), config.request_timeout)
        }
        SlackMode::Webhook(url) => Slack::webhook(url.clone(), config.request_timeout),
    }
}

/// Says at the start what can be promised: who we are, and whether history can be read.
async fn introduce<P: ports::Ports>(common: Arc<Common<P>>, channel: String) {
    let policy = common.on_ambiguous.words();
    if common.slack.is_webhook() {
        tracing::warn!(
            policy,
            "slack: an incoming webhook: messages go to its one channel, cannot be changed and \
             cannot be read back; after an unclear answer or a crash the policy decides"
        );
        return;
    }
    let identity = common.slack.identity().await;
    match (common.heed(&identity), &identity.value) {
        (Verdict::Sent, Some(who)) => {
            tracing::info!(team = who.team, user = who.user, "slack takes the token");
        }
        (verdict, _) => {
            tracing::warn!(class = verdict.as_str(), "slack: auth.test: {}", identity.detail);
        }
    }
    // Only the newest messages: what counts is whether it may be read.
    match read(&common, &channel, now_ms(), &Ending::new()).await {
        Ok(History::Read(_)) => {
            tracing::info!(channel, "slack: history can be read; nothing is lost or sent twice");
        }
        Ok(History::Unreadable(why)) => tracing::warn!(
            channel,
            why,
            policy,
            "slack: the channel's history cannot be read; give the bot channels:history (and \
             groups:history) and make it a member. Until then, after an unclear answer or a \
             crash, the policy decides"
        ),
        Err(_) => {}
    }
}
