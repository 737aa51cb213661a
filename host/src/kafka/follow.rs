//! Going on with a topic whatever happens to Kafka.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ClientState;
use super::reader::FOLLOW_WAIT;
use crate::backoff::Backoff;
use crate::causes::with_causes;
use crate::config::KafkaConfig;
use crate::telemetry::{Metrics, Readiness};

/// The longest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Calls `read` again and again until it is stopped; why it failed is told in the log and, under the
/// name `part`, on `/readyz`. Blocks.
pub fn keep<E: std::error::Error>(
    part: &'static str,
    kafka: &KafkaConfig,
    (metrics, readiness): (Metrics, Readiness),
    stop: &CancellationToken,
    mut read: impl FnMut(&Arc<ClientState>) -> Result<(), E>,
) {
    let client = Arc::new(ClientState::new("kafka", kafka, metrics, readiness.clone()));
    let mut backoff = Backoff::new(FOLLOW_WAIT, RETRY_MAX, 11);
    while !stop.is_cancelled() {
        let mut wait = FOLLOW_WAIT;
        match read(&client) {
            Ok(()) => backoff.succeeded(),
            Err(error) => {
                wait = backoff.failed();
                let text = with_causes(&error);
                tracing::warn!(?wait, "{part}: {text}");
                readiness.set_not_ready(part, text);
            }
        }
        if !stop.is_cancelled() {
            #[allow(clippy::disallowed_methods, reason = "a thread of its own")]
            std::thread::sleep(wait);
        }
    }
}
