//! What delivery does, on its way to the history. Nobody waits for it: what does not fit into the queue, or
//! Kafka does not take, is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::common::{Common, now_ms};
use super::ports::Ports;
use crate::canary::is_its;
use crate::history::{Event, What};
use crate::ledger::Entry as Known;
use crate::outbox::Entry;
use crate::telemetry::Metrics;

/// Events that wait for Kafka: some megabytes.
const QUEUE_MAX: usize = 10_000;
/// Events that Kafka is given at once.
const BATCH_MAX: usize = 500;
/// How long the last ones may take at the end.
const END: Duration = Duration::from_secs(2);

/// The giving end.
#[derive(Debug, Clone)]
pub struct Journal {
    queue: mpsc::Sender<Event>,
    number: Arc<AtomicU64>,
    metrics: Metrics,
}

/// The taking end.
pub type Events = mpsc::Receiver<Event>;

impl Journal {
    /// A journal, and what [`write_out`] takes from it.
    pub fn new(metrics: Metrics) -> (Self, Events) {
        let (queue, events) = mpsc::channel(QUEUE_MAX);
        (Self { queue, number: Arc::default(), metrics }, events)
    }

    /// Notes something about an alert of which the entry is gone, if there is room.
    pub fn note_known(&self, known: &Known, rule: &str, what: What) {
        self.put(Event {
            at_ms: now_ms(),
            number: self.number.fetch_add(1, Ordering::Relaxed),
            alert: known.alert,
            channel: known.channel.clone(),
            intent: known.last_intent.clone(),
            rule: rule.to_owned(),
            what,
        });
    }

    /// Notes something about an entry, if there is room. Nobody asks what became of each canary.
    pub fn note(&self, entry: &Entry, what: What) {
        if is_its(entry) {
            return;
        }
        self.put(Event {
            at_ms: now_ms(),
            number: self.number.fetch_add(1, Ordering::Relaxed),
            alert: entry.alert,
            channel: entry.channel.clone(),
            intent: entry.intent.to_string(),
            rule: entry.intent.rule.clone(),
            what,
        });
    }

    fn put(&self, event: Event) {
        if self.queue.try_send(event).is_err() {
            self.metrics.history_dropped(1);
        }
    }
}

/// Writes what is noted until `stop`, then what is left, for a moment.
pub async fn write_out<P: Ports>(
    common: Arc<Common<P>>,
    mut events: Events,
    stop: CancellationToken,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        tokio::select! {
            biased;
            _ = events.recv_many(&mut batch, BATCH_MAX) => write(&common, &mut batch).await,
            () = stop.cancelled() => break,
        }
    }
    let rest = async {
        while let Ok(event) = events.try_recv() {
            batch.push(event);
            if batch.len() >= BATCH_MAX {
                write(&common, &mut batch).await;
            }
        }
        write(&common, &mut batch).await;
    };
    let _in_time = tokio::time::timeout(END, rest).await.is_ok();
}

/// Writes a batch, side by side: a reader puts the events in order.
async fn write<P: Ports>(common: &Arc<Common<P>>, batch: &mut Vec<Event>) {
    let mut writes = JoinSet::new();
    for event in batch.drain(..) {
        let common = Arc::clone(common);
        writes.spawn(async move {
            common.ports.write(event.record(&common.topics.history)).await.is_ok()
        });
    }
    let mut dropped = 0;
    while let Some(written) = writes.join_next().await {
        dropped += u64::from(!matches!(written, Ok(true)));
    }
    if dropped > 0 {
        common.metrics.history_dropped(dropped);
        tracing::warn!(
            dropped,
            "kafka did not take events of the history; alerts are told all the same"
        );
    }
}
