//! Sends the canary.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::canary::{record, until_next};
use crate::causes::with_causes;
use crate::config::Config;
use crate::delivery::common::now_ms;
use crate::kafka::ClientState;
use crate::ledger::kafka::Writer;
use crate::telemetry::{Metrics, Readiness};

/// Between two looks whether the host is ready for the first one.
const LOOK: Duration = Duration::from_millis(250);

/// Sends until `stop`; does nothing where none is configured.
pub(super) async fn send(
    config: Arc<Config>,
    metrics: Metrics,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let Some(canary) = config.ops.as_ref().and_then(|ops| ops.canary.as_ref()) else { return };
    let kafka = &config.kafka;
    let client = Arc::new(ClientState::new("kafka", kafka, metrics, readiness.clone()));
    let writer = match Writer::new(kafka, client) {
        Ok(writer) => writer,
        Err(error) => {
            tracing::error!("the canary cannot be sent: {}", with_causes(&error));
            return;
        }
    };
    tracing::info!(topic = canary.topic, interval = ?canary.interval, "a canary is sent");
    // The first one as soon as it can come through.
    let ready = async {
        while !readiness.snapshot().is_ready() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => return,
        () = ready => {}
        () = tokio::time::sleep(until_next(canary.interval, now_ms())) => {}
    }
    for sequence in 0.. {
        let record = record(canary, (&kafka.group_id, &kafka.instance_id), sequence, now_ms());
        let written = tokio::select! {
            () = stop.cancelled() => return,
            written = writer.write(&record) => written,
        };
        if let Err(error) = written {
            tracing::warn!("the canary is not sent: {}", with_causes(&error));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(until_next(canary.interval, now_ms())) => {}
        }
    }
}
