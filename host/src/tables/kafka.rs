//! Reads the topics of lookup tables whole and follows them, on one thread for all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::{Table, Tables};
use crate::backoff::Backoff;
use crate::causes::with_causes;
use crate::config::KafkaConfig;
use crate::kafka::{ClientState, ReaderContext, reader};
use crate::telemetry::{Metrics, Readiness};

/// The wait for an answer of the broker.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The wait for a record; also the longest time until a shutdown is noticed.
const WAIT: Duration = Duration::from_millis(200);

/// Why tables cannot be read.
#[derive(Debug, thiserror::Error)]
enum TablesError {
    #[error("cannot make a client for the tables; check [kafka.properties]")]
    Client(#[source] KafkaError),
    #[error("cannot read topic `{topic}` of table `{table}`")]
    Topic { table: String, topic: String, source: Box<KafkaError> },
    #[error("topic `{topic}` of table `{table}` does not exist; create it, or mend [tables]")]
    Missing { table: String, topic: String },
}

/// Fills `tables` and follows their topics until it is stopped; `topics` names the topic of each.
pub fn follow(
    kafka: &KafkaConfig,
    topics: &BTreeMap<String, String>,
    tables: &Tables,
    (metrics, readiness): (Metrics, Readiness),
    stop: &CancellationToken,
) {
    if topics.is_empty() {
        return;
    }
    readiness.set_not_ready("tables", "not read yet");
    let client = Arc::new(ClientState::new("kafka", kafka, metrics, readiness.clone()));
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5), 7);
    while !stop.is_cancelled() {
        let Err(error) = read(kafka, topics, tables, &client, &readiness, stop) else { return };
        let text = with_causes(&error);
        let wait = backoff.failed();
        tracing::error!(?wait, "lookup tables: {text}");
        readiness.set_not_ready("tables", text);
        #[allow(clippy::disallowed_methods, reason = "a thread of its own")]
        std::thread::sleep(wait.min(WAIT.saturating_mul(5)));
    }
}

fn read(
    kafka: &KafkaConfig,
    topics: &BTreeMap<String, String>,
    tables: &Tables,
    client: &Arc<ClientState>,
    readiness: &Readiness,
    stop: &CancellationToken,
) -> Result<(), TablesError> {
    let consumer = reader(kafka, "tables", client, &[("fetch.wait.max.ms", "100")])
        .map_err(TablesError::Client)?;
    let mut by_topic: BTreeMap<&str, Vec<(&str, &Table)>> = BTreeMap::new();
    for (name, topic) in topics {
        if let Some(table) = tables.get(name) {
            by_topic.entry(topic).or_default().push((name, table));
        }
    }
    let mut list = TopicPartitionList::new();
    // Partitions of each topic that were not read to their end yet.
    let mut unread: BTreeMap<(String, i32), ()> = BTreeMap::new();
    for (topic, tables) in &by_topic {
        let table = tables.first().map_or(*topic, |(name, _)| *name);
        for partition in partitions(&consumer, table, topic)? {
            let added = list.add_partition_offset(topic, partition, Offset::Beginning);
            added.map_err(|source| failed(table, topic, source))?;
            unread.insert(((*topic).to_owned(), partition), ());
        }
    }
    consumer.assign(&list).map_err(TablesError::Client)?;
    while !stop.is_cancelled() {
        match consumer.poll(WAIT) {
            Some(Ok(message)) => {
                for (_, table) in by_topic.get(message.topic()).into_iter().flatten() {
                    if let Some(key) = message.key() {
                        table.set(key, message.payload());
                    }
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                // The event does not name its topic: those of this number are asked for.
                let ended: Vec<_> =
                    unread.keys().filter(|(_, number)| *number == partition).cloned().collect();
                for (topic, number) in ended {
                    if at_end(&consumer, &topic, number) {
                        unread.remove(&(topic, number));
                    }
                }
                told(&unread, &by_topic, readiness);
            }
            Some(Err(error)) => client.error(&error, "while reading tables"),
            None => {}
        }
    }
    Ok(())
}

/// Tables whose partitions are all read are ready.
fn told(
    unread: &BTreeMap<(String, i32), ()>,
    by_topic: &BTreeMap<&str, Vec<(&str, &Table)>>,
    readiness: &Readiness,
) {
    for (topic, tables) in by_topic {
        if unread.keys().any(|(waiting, _)| waiting == topic) {
            continue;
        }
        for (name, table) in tables.iter().filter(|(_, table)| !table.is_ready()) {
            table.set_ready();
            tracing::info!(table = name, topic, keys = table.len(), "lookup table is read");
        }
    }
    if unread.is_empty() {
        readiness.set_ready("tables");
    }
}

/// Whether all of a partition was handed out.
fn at_end(consumer: &BaseConsumer<ReaderContext>, topic: &str, partition: i32) -> bool {
    let Ok((low, high)) = consumer.fetch_watermarks(topic, partition, TIMEOUT) else {
        return false;
    };
    if low >= high {
        return true;
    }
    let position = consumer.position().ok();
    let position = position.as_ref().and_then(|list| list.find_partition(topic, partition));
    // Behind the last record there may be the marker of its transaction.
    matches!(position.map(|element| element.offset()), Some(Offset::Offset(next)) if next + 1 >= high)
}

fn partitions(
    consumer: &BaseConsumer<ReaderContext>,
    table: &str,
    topic: &str,
) -> Result<Vec<i32>, TablesError> {
    let metadata = consumer
        .fetch_metadata(Some(topic), TIMEOUT)
        .map_err(|source| failed(table, topic, source))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.filter(|found| found.error().is_none());
    let partitions: Vec<i32> = found
        .into_iter()
        .flat_map(|found| found.partitions())
        .map(|partition| partition.id())
        .collect();
    if partitions.is_empty() {
        return Err(TablesError::Missing { table: table.to_owned(), topic: topic.to_owned() });
    }
    Ok(partitions)
}

fn failed(table: &str, topic: &str, source: KafkaError) -> TablesError {
    TablesError::Topic {
        table: table.to_owned(),
        topic: topic.to_owned(),
        source: Box::new(source),
    }
}
