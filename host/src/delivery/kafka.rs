//! Kafka as delivery sees it: the outbox's reader, the ledger and the dead letters as one.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::ports::{Event, PortError, Ports, Release, TakenOver};
use crate::causes::with_causes;
use crate::config::KafkaConfig;
use crate::kafka::ClientState;
use crate::ledger::kafka::{LedgerIoError, Writer, restore};
use crate::outbox::kafka::{Position, Reader, ReaderError};
use crate::record::OutgoingRecord;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::InternalTopics;

/// Why Kafka cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KafkaPortsError {
    /// The outbox.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerIoError),
}

/// A group member of `GROUP.delivery`.
pub struct KafkaPorts {
    kafka: Arc<KafkaConfig>,
    ledger: Arc<str>,
    state: Arc<ClientState>,
    reader: Arc<Reader>,
    writer: Writer,
}

impl KafkaPorts {
    /// Joins the group and starts to read.
    ///
    /// # Errors
    /// When librdkafka refuses the properties.
    pub fn start(
        kafka: &Arc<KafkaConfig>,
        events: mpsc::Sender<Event>,
        metrics: Metrics,
        readiness: Readiness,
    ) -> Result<Self, KafkaPortsError> {
        let topics = InternalTopics::of(&kafka.group_id);
        let state = Arc::new(ClientState::new("delivery-kafka", kafka, metrics, readiness));
        let writer = Writer::new(kafka, Arc::clone(&state))?;
        let reader = Reader::start(kafka, topics.outbox, Arc::clone(&state), events)?;
        Ok(Self {
            kafka: Arc::clone(kafka),
            ledger: topics.ledger,
            state,
            reader: Arc::new(reader),
            writer,
        })
    }

    /// Leaves the group.
    pub async fn close(&self) {
        let reader = Arc::clone(&self.reader);
        run_blocking(move || reader.close()).await.unwrap_or_default();
    }
}

/// Runs what blocks on a thread of its own, which no shutdown of the runtime waits for.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PortError> {
    let (done, result) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("delivery-kafka".into());
    thread
        .spawn(move || {
            // Nobody waits any more when the partition was given up.
            let _awaited = done.send(work()).is_ok();
        })
        .map_err(|error| PortError(format!("cannot start a thread: {error}")))?;
    result.await.map_err(|_| PortError("a thread of delivery panicked".into()))
}

impl Ports for KafkaPorts {
    async fn write(&self, record: OutgoingRecord) -> Result<(), PortError> {
        self.writer.write(&record).await.map_err(|error| PortError(with_causes(&error)))
    }

    async fn take_over(&self, partition: i32) -> Result<TakenOver, PortError> {
        let (kafka, topic) = (Arc::clone(&self.kafka), Arc::clone(&self.ledger));
        let (state, reader) = (Arc::clone(&self.state), Arc::clone(&self.reader));
        run_blocking(move || take_over(&kafka, &topic, state, &reader, partition)).await?
    }

    fn commit(&self, partition: i32, next: i64) {
        self.reader.commit(partition, next);
    }

    async fn release(&self, released: Vec<Release>) {
        let reader = Arc::clone(&self.reader);
        run_blocking(move || reader.release(&released)).await.unwrap_or_default();
    }

    fn hold(&self, held: bool) {
        self.reader.hold(held);
    }
}

fn take_over(
    kafka: &KafkaConfig,
    topic: &Arc<str>,
    state: Arc<ClientState>,
    reader: &Reader,
    partition: i32,
) -> Result<TakenOver, PortError> {
    let failed = |error: &dyn std::error::Error| PortError(with_causes(error));
    let position = reader.position(partition).map_err(|error| failed(&error))?;
    let mut ledger = restore(kafka, topic, partition, state).map_err(|error| failed(&error))?;
    if ledger.outbox_ends_at(position.end) {
        tracing::warn!(partition, "the outbox was made anew; the ledger keeps its alerts");
    }
    reader.open(partition, position.start).map_err(|error| failed(&error))?;
    let Position { start, end, known } = position;
    Ok(TakenOver::new(known, start, end, ledger))
}
