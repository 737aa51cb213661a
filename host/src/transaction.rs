//! One Kafka transaction: the effects of evaluated records and the offsets of these records, both
//! or neither.
//!
//! In: records to write and offsets to commit. Out: whether they are committed. Never: deciding
//! what is written.

use crate::record::{OutgoingRecord, TopicPartition};
use crate::source::kafka::GroupMetadata;

pub mod kafka;

/// What one transaction carries.
pub struct Transaction {
    /// Records to write, in order.
    pub records: Vec<OutgoingRecord>,
    /// For each partition the offset of the next record to read.
    pub offsets: Vec<(TopicPartition, i64)>,
    /// Fences the offsets when the group has moved on.
    pub group: GroupMetadata,
}

/// How a transaction ended.
#[derive(Debug)]
pub enum Outcome {
    /// All of it is in Kafka; these offsets are committed.
    Committed(Vec<(TopicPartition, i64)>),
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
