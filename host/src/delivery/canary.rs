//! The canary arrives: its age begins anew, and somebody outside is told.
//!
//! In: what became of its entries. Out: metrics, and a request to an address that misses it when it does not
//! come (a dead man's switch). The address is a secret.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::attempt::Outcome;
use super::common::now_ms;
use super::http::{ClientError, client, exchange};
use crate::canary::{is_late, took};
use crate::config::CanaryConfig;
use crate::outbox::Entry;
use crate::secret::Secret;
use crate::telemetry::Metrics;

/// How long one ping may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is done when it arrives; cloning shares it.
#[derive(Debug, Clone)]
pub struct Canary {
    interval: Duration,
    metrics: Metrics,
    /// One arrived in time.
    ping: Arc<Notify>,
}

impl Canary {
    /// Awaits what is sent as configured.
    pub fn new(config: &CanaryConfig, metrics: &Metrics) -> Self {
        metrics.canary_awaited();
        let (interval, metrics, ping) = (config.interval, metrics.clone(), Arc::default());
        Self { interval, metrics, ping }
    }

    /// Hears what became of one.
    pub(super) fn hear(&self, entry: &Entry, outcome: Outcome) {
        // What is told elsewhere, or is only found to have been told, is not what was to be shown.
        if !matches!(outcome, Outcome::Posted | Outcome::Updated) {
            return;
        }
        let took = took(entry, now_ms());
        self.metrics.canary_arrived(entry.event_time_ms, took);
        if !is_late(took, self.interval) {
            self.ping.notify_one();
        }
    }

    /// Pings an address whenever one arrived in time.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn pinging(
        self,
        url: &Secret,
    ) -> Result<impl Future<Output = ()> + Send + use<>, ClientError> {
        let (client, url) = (client(url.reveal(), TIMEOUT)?, url.clone());
        Ok(async move {
            loop {
                self.ping.notified().await;
                let outcome = match exchange(client.get(url.reveal())).await {
                    Ok((200..=299, ..)) => "ok",
                    Ok((status, ..)) => {
                        tracing::warn!("the canary's ping: HTTP {status}");
                        "failed"
                    }
                    Err((_, detail)) => {
                        tracing::warn!("the canary's ping: {detail}");
                        "failed"
                    }
                };
                self.metrics.canary_ping(outcome);
            }
        })
    }
}
