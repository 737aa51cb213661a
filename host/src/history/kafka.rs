//! Reading the history and the ledger of a group to their ends, without joining it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::Event;
use crate::alerts::Found;
use crate::config::KafkaConfig;
use crate::kafka::{ClientState, ReaderContext, reader};
use crate::ledger::kafka::{LedgerIoError, restore};
use crate::topics::InternalTopics;

/// The wait for an answer of the broker.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The wait for a record.
const WAIT: Duration = Duration::from_millis(200);
/// Without a record for so long, reading to the end has failed.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Why alerts cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AlertsError {
    /// A client could not be made.
    #[error("cannot make a client for the history; check [kafka.properties]")]
    Client(#[source] KafkaError),
    /// Kafka did not answer.
    #[error("cannot read topic `{topic}`")]
    Read {
        /// The topic.
        topic: Arc<str>,
        /// What Kafka says.
        source: KafkaError,
    },
    /// There is no such topic.
    #[error("topic `{0}` does not exist: no host of this group ran yet; check kafka.group_id")]
    Missing(Arc<str>),
    /// The end did not come.
    #[error("topic `{0}` was not read to its end: nothing came for {secs} seconds", secs = SILENCE_MAX.as_secs())]
    Standstill(Arc<str>),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerIoError),
}

/// All that ledger and history say now; of the history only what was written since `since_ms`,
/// milliseconds since the Unix epoch. Blocks.
///
/// # Errors
/// Kafka does not answer, or a topic is not there.
pub fn read(
    kafka: &KafkaConfig,
    client: &Arc<ClientState>,
    since_ms: Option<i64>,
) -> Result<Found, AlertsError> {
    let topics = InternalTopics::of(&kafka.group_id);
    let defaults = [("fetch.wait.max.ms", "50")];
    let consumer = reader(kafka, "history", client, &defaults).map_err(AlertsError::Client)?;
    let mut found = Found::default();
    for partition in 0..partitions(&consumer, &topics.ledger)? {
        let ledger = restore(kafka, &topics.ledger, partition, Arc::clone(client))?;
        found.ledger.extend(ledger.entries().cloned());
    }
    let count = partitions(&consumer, &topics.history)?;
    let failed = |source| AlertsError::Read { topic: Arc::clone(&topics.history), source };
    let mut list = TopicPartitionList::new();
    for partition in 0..count {
        let from = since_ms.map_or(Offset::Beginning, Offset::Offset);
        list.add_partition_offset(&topics.history, partition, from).map_err(failed)?;
    }
    if since_ms.is_some() {
        // Asked with times in the place of offsets.
        list = consumer.offsets_for_times(list, TIMEOUT).map_err(failed)?;
    }
    consumer.assign(&list).map_err(failed)?;
    read_to_ends(&consumer, client, (&topics.history, count), &mut found)?;
    Ok(found)
}

fn partitions(
    consumer: &BaseConsumer<ReaderContext>,
    topic: &Arc<str>,
) -> Result<i32, AlertsError> {
    let failed = |source| AlertsError::Read { topic: Arc::clone(topic), source };
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).map_err(failed)?;
    let found = metadata.topics().iter().find(|found| found.name() == &**topic);
    let found = found.filter(|found| found.error().is_none() && !found.partitions().is_empty());
    let count = found.and_then(|found| i32::try_from(found.partitions().len()).ok());
    count.ok_or_else(|| AlertsError::Missing(Arc::clone(topic)))
}

fn read_to_ends(
    consumer: &BaseConsumer<ReaderContext>,
    client: &ClientState,
    (topic, count): (&Arc<str>, i32),
    found: &mut Found,
) -> Result<(), AlertsError> {
    let (mut ends, mut heard) = (0, Instant::now());
    while ends < count {
        match consumer.poll(WAIT) {
            Some(Ok(message)) => {
                heard = Instant::now();
                match Event::from_bytes(message.payload().unwrap_or_default()) {
                    Ok(event) => found.events.push(event),
                    // Of a newer host, or nobody's: the rest is worth reading.
                    Err(error) => {
                        tracing::debug!("{topic}: {error}");
                        found.unreadable += 1;
                    }
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
            Some(Err(error)) => client.error(&error, "while reading the history"),
            None => {}
        }
        if heard.elapsed() > SILENCE_MAX {
            return Err(AlertsError::Standstill(Arc::clone(topic)));
        }
    }
    Ok(())
}
