//! Following the whole ledger for the alerts that are open, while the policy has rules of inhibition.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::OpenAlerts;
use crate::backoff::Backoff;
use crate::causes::with_causes;
use crate::config::KafkaConfig;
use crate::kafka::{ClientState, reader};
use crate::ledger::Entry;
use crate::policy::live::LivePolicy;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::InternalTopics;

/// The wait for an answer of the broker.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The wait for a record; also the longest time until a shutdown or a new policy is noticed.
const WAIT: Duration = Duration::from_millis(200);
/// The name under which `/readyz` knows the follower.
const PART: &str = "inhibition";

/// Keeps `open` as the ledger says while the policy has rules of inhibition, until it is stopped.
/// Blocks.
pub fn follow(
    kafka: &KafkaConfig,
    (policy, open): (&LivePolicy, &OpenAlerts),
    (metrics, readiness): (Metrics, Readiness),
    stop: &CancellationToken,
) {
    let client = Arc::new(ClientState::new("kafka", kafka, metrics, readiness.clone()));
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5), 13);
    while !stop.is_cancelled() {
        let mut wait = WAIT;
        if asks(policy) {
            if !open.is_read() {
                readiness.set_not_ready(PART, "the ledger is not read yet");
            }
            let goes_on = || !stop.is_cancelled() && asks(policy);
            if let Err(error) = read(kafka, &client, open, &readiness, &goes_on) {
                let text = with_causes(&error);
                wait = backoff.failed().min(WAIT.saturating_mul(5));
                tracing::warn!(?wait, "open alerts: {text}");
                readiness.set_not_ready(PART, text);
            }
        } else {
            if open.is_read() {
                open.set_read(false);
            }
            readiness.forget(PART);
        }
        #[allow(clippy::disallowed_methods, reason = "a thread of its own")]
        std::thread::sleep(wait);
    }
}

/// Whether somebody asks for open alerts.
fn asks(policy: &LivePolicy) -> bool {
    policy.current().is_some_and(|policy| !policy.inhibit_rules().is_empty())
}

/// Reads all partitions from the beginning, tells when their ends are reached, and goes on while it is
/// to.
fn read(
    kafka: &KafkaConfig,
    client: &Arc<ClientState>,
    open: &OpenAlerts,
    readiness: &Readiness,
    goes_on: &dyn Fn() -> bool,
) -> Result<(), KafkaError> {
    let topic = InternalTopics::of(&kafka.group_id).ledger;
    // The end is found by a fetch that has to wait.
    let consumer = reader(kafka, "open-alerts", client, &[("fetch.wait.max.ms", "100")])?;
    let metadata = consumer.fetch_metadata(Some(&topic), TIMEOUT)?;
    let found = metadata.topics().iter().find(|found| found.name() == &*topic);
    let partitions: BTreeSet<i32> =
        found.into_iter().flat_map(|found| found.partitions()).map(|one| one.id()).collect();
    if partitions.is_empty() {
        // It was just created, and this broker has not heard of it.
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
    }
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition_offset(&topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let mut known: HashSet<(i32, Vec<u8>)> = open.names().into_iter().collect();
    let mut unread = partitions;
    while goes_on() {
        match consumer.poll(WAIT) {
            Some(Ok(message)) => {
                let (partition, key) = (message.partition(), message.key().unwrap_or_default());
                known.remove(&(partition, key.to_vec()));
                take(open, (partition, message.offset()), key, message.payload());
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
                if unread.is_empty() {
                    // What an earlier reading knew and this one does not is gone.
                    known.drain().for_each(|(partition, key)| open.read(partition, &key, None));
                    open.set_read(true);
                    readiness.set_ready(PART);
                }
            }
            Some(Err(error)) => client.error(&error, "while reading open alerts"),
            None => {}
        }
    }
    Ok(())
}

fn take(open: &OpenAlerts, (partition, offset): (i32, i64), key: &[u8], value: Option<&[u8]>) {
    match value.map(Entry::from_bytes).transpose() {
        Ok(entry) => open.read(partition, key, entry.as_ref()),
        // It then inhibits nothing on this host: too much is told, not too little.
        Err(error) => {
            open.read(partition, key, None);
            let text = with_causes(&error);
            tracing::error!(partition, offset, "an entry of the ledger is left out: {text}");
        }
    }
}
