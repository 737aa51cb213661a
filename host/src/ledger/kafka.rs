//! The ledger's topic: restoring a partition of it, and writing to it (and to the dead letters).

use std::sync::{Arc, PoisonError, RwLock};

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use super::{Ledger, LedgerError};
use crate::config::KafkaConfig;
use crate::kafka::context::{Context, Plain};
use crate::kafka::reader::{AT_ONCE, NO_HOST, ReadError, Reader};
use crate::kafka::{ClientState, client_config};
use crate::record::OutgoingRecord;

/// Why the ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerIoError {
    /// A client could not be made.
    #[error("cannot make a client for the ledger; check [kafka.properties]")]
    Client(#[source] KafkaError),
    /// The topic could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record in it cannot be read.
    #[error("{at} is no ledger entry")]
    Entry {
        /// Topic, partition and offset.
        at: String,
        /// Why.
        source: LedgerError,
    },
    /// A record was not written.
    #[error("cannot write to topic `{topic}`")]
    Write {
        /// The topic.
        topic: Arc<str>,
        /// What Kafka says.
        source: KafkaError,
    },
    /// The writer was ended before the record was acknowledged.
    #[error("the writer ended before a record for topic `{0}` was acknowledged")]
    Ended(Arc<str>),
}

impl LedgerIoError {
    /// Whether Kafka will never take the record. A topic that is missing or may not be written to can be
    /// mended.
    pub fn is_final(&self) -> bool {
        let Self::Write { source, .. } = self else { return false };
        matches!(
            source.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::InvalidMessage
                    | RDKafkaErrorCode::InvalidRecord
            )
        )
    }
}

/// Who waits for a record's acknowledgement.
type Waiter = oneshot::Sender<Result<(), KafkaError>>;

impl ProducerContext for Context<Plain> {
    type DeliveryOpaque = Box<Waiter>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiter: Box<Waiter>) {
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        // Nobody waits when the partition was dropped meanwhile.
        let _awaited = waiter.send(result).is_ok();
    }
}

/// Reads a partition of the ledger, or all, from its beginning to the end that it has now. Blocks.
///
/// # Errors
/// When it cannot be read to its end, or has an entry of another version.
pub fn restore(
    kafka: &KafkaConfig,
    topic: &Arc<str>,
    partition: Option<i32>,
    client: &Arc<ClientState>,
) -> Result<Ledger, LedgerIoError> {
    let reader = Reader::open(kafka, ("ledger", NO_HOST), client, &AT_ONCE)?;
    let places = match partition {
        Some(partition) => reader.places(topic, &[partition])?,
        None => reader.whole(topic)?,
    };
    let mut ledger = Ledger::default();
    reader.read_to_end(&places, &mut |_| true, |found| {
        let entered = ledger.restore(found.key.unwrap_or_default(), found.value);
        entered.map_err(|source| LedgerIoError::Entry { at: found.place(), source })
    })?;
    Ok(ledger)
}

/// Writes records and waits for all in-sync replicas: an idempotent producer.
pub struct Writer {
    config: ClientConfig,
    state: Arc<ClientState>,
    /// Replaced when librdkafka declares it broken.
    producer: RwLock<Arc<ThreadedProducer<Context<Plain>>>>,
}

impl Writer {
    /// Makes the producer; it connects by itself.
    ///
    /// # Errors
    /// When librdkafka refuses the properties.
    pub fn new(kafka: &KafkaConfig, state: Arc<ClientState>) -> Result<Self, LedgerIoError> {
        let defaults = [
            ("linger.ms", "0"),
            ("message.timeout.ms", "30000"),
            // As Java's producer does it.
            ("partitioner", "murmur2_random"),
        ];
        let mut config = client_config(kafka, "delivery-writer", &defaults);
        config.set("enable.idempotence", "true").set("acks", "all");
        let producer = make(&config, &state)?;
        Ok(Self { config, state, producer: RwLock::new(producer) })
    }

    /// Writes a record; returns when it is acknowledged.
    ///
    /// # Errors
    /// When Kafka did not take it in thirty seconds, or never will.
    pub async fn write(&self, record: &OutgoingRecord) -> Result<(), LedgerIoError> {
        let failed = |source| LedgerIoError::Write { topic: Arc::clone(&record.topic), source };
        let (waiter, acknowledged) = oneshot::channel();
        let producer = {
            let producer = self.producer.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&producer)
        };
        let result = match send(&producer, record, waiter) {
            Ok(()) => acknowledged
                .await
                .unwrap_or(Err(KafkaError::MessageProduction(RDKafkaErrorCode::PurgeInflight))),
            Err(error) => Err(error),
        };
        if result.is_err() && producer.client().fatal_error().is_some() {
            self.renew(&producer)?;
        }
        result.map_err(failed)
    }

    /// Makes another producer in the place of a broken one.
    fn renew(&self, broken: &Arc<ThreadedProducer<Context<Plain>>>) -> Result<(), LedgerIoError> {
        let mut producer = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&producer, broken) {
            tracing::warn!("the ledger's producer is broken; another one is made");
            *producer = make(&self.config, &self.state)?;
        }
        Ok(())
    }
}

fn make(
    config: &ClientConfig,
    state: &Arc<ClientState>,
) -> Result<Arc<ThreadedProducer<Context<Plain>>>, LedgerIoError> {
    let context = Context::new(state, Plain);
    let producer = config.create_with_context(context).map_err(LedgerIoError::Client)?;
    Ok(Arc::new(producer))
}

fn send(
    producer: &ThreadedProducer<Context<Plain>>,
    record: &OutgoingRecord,
    waiter: Waiter,
) -> Result<(), KafkaError> {
    let mut out: BaseRecord<'_, [u8], [u8], Box<Waiter>> =
        BaseRecord::with_opaque_to(&record.topic, Box::new(waiter));
    if let Some(partition) = record.partition {
        out = out.partition(partition);
    }
    if let Some(key) = &record.key {
        out = out.key(key);
    }
    if let Some(value) = &record.value {
        out = out.payload(value);
    }
    if let Some(timestamp) = record.timestamp_ms {
        out = out.timestamp(timestamp);
    }
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        out = out.headers(record.headers.iter().fold(headers, |headers, (key, value)| {
            headers.insert(Header { key, value: value.as_ref() })
        }));
    }
    producer.send(out).map_err(|(error, _)| error)
}
