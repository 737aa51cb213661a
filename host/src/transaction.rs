//! One Kafka transaction: the effects of evaluated records and the offsets of these records, both
//! or neither.
//!
//! In: records to write and offsets to commit. Out: whether they are committed. Never: deciding
//! what is written.

use crate::progress::Reached;
use crate::record::OutgoingRecord;
use crate::source::kafka::GroupMetadata;

pub mod kafka;
mod known_topics;

/// What one transaction carries.
pub struct Transaction {
    /// Records to write, in order.
    pub records: Vec<OutgoingRecord>,
    /// How far each partition is with that.
    pub offsets: Vec<Reached>,
    /// Fences the offsets when the group has moved on.
    pub group: GroupMetadata,
}

/// How a transaction ended.
#[derive(Debug)]
pub enum Outcome {
    /// All of it is in Kafka; so far the partitions are.
    Committed(Vec<Reached>),
    /// None of it is; the records must be read again. The text says why.
    Aborted(String),
    /// None of it is, and the producer is of no more use. The text says why.
    Fatal(String),
}

/// A record that Kafka will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its place among the transaction's records.
    pub index: usize,
    /// Why, and what the operator can do.
    pub reason: String,
}

/// The dead letter of a record that Kafka will never take: the record as it was meant, its topic
/// and the reason in Kafka Connect's headers. What is half a MiB or more is left out, the value first,
/// since it would be refused again.
pub fn refused(
    record: &OutgoingRecord,
    dead_letters: &std::sync::Arc<str>,
    reason: &str,
) -> OutgoingRecord {
    let is_dead_letter = record.topic == *dead_letters;
    let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
    let mut headers = record.headers.clone();
    headers.retain(|(_, value)| bytes(value) < HEADER_BYTES_MAX);
    let rest = headers.iter().map(|(name, value)| name.len() + bytes(value)).sum::<usize>();
    let (key, value) = (bytes(&record.key), bytes(&record.value));
    let without_key = rest + key >= BYTES_MAX;
    let without_value = is_dead_letter || rest + key + value >= BYTES_MAX;
    let mut add = |name: &str, value: String| headers.push((name.into(), Some(value.into_bytes())));
    if without_value {
        add("x-firebell-value-left-out", format!("{value} bytes"));
    }
    if without_key {
        add("x-firebell-key-left-out", format!("{key} bytes"));
    }
    if let Some(timestamp_ms) = record.timestamp_ms {
        add("x-firebell-timestamp-ms", timestamp_ms.to_string());
    }
    if is_dead_letter {
        add("x-firebell-refused", reason.to_owned());
    } else {
        add("__connect.errors.topic", record.topic.to_string());
        add("__connect.errors.stage", "emit".into());
        add("__connect.errors.class.name", "firebell::transaction".into());
        add("__connect.errors.exception.class.name", "firebell::transaction::Rejected".into());
        add("__connect.errors.exception.message", reason.to_owned());
        add("x-firebell-reason", "refused".into());
    }
    OutgoingRecord {
        topic: std::sync::Arc::clone(dead_letters),
        partition: None,
        key: record.key.clone().filter(|_| !without_key),
        value: record.value.clone().filter(|_| !without_value),
        headers,
        timestamp_ms: None,
    }
}

/// Bytes that a dead letter has at most after a refusal; topics take 1,048,588 bytes a batch unless
/// they are told otherwise.
const BYTES_MAX: usize = 512 << 10;
/// Bytes of one of its headers. Ours are shorter.
const HEADER_BYTES_MAX: usize = 64 << 10;
