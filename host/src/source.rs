//! Where records come from: a worker's consumer in the group.
//!
//! In: topics to read. Out: records grouped by partition, and changes of the assignment, which the
//! worker takes up between two batches. Never: evaluating, or committing what was not evaluated.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::record::{Record, TopicPartition};

pub mod kafka;
mod topic_ids;

/// A change of the partitions that a worker owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignment {
    /// These partitions are this worker's from now on.
    Added(Vec<TopicPartition>),
    /// These partitions go to somebody else.
    Removed {
        /// The partitions.
        partitions: Vec<TopicPartition>,
        /// Whether somebody else may own them already, so that nothing may be committed any more.
        lost: bool,
    },
    /// A position lies outside of what the partition holds: records were deleted by retention, or
    /// the topic was made anew.
    OutOfRange,
    /// These topics were deleted and made anew while they were read.
    MadeAnew(Vec<Arc<str>>),
}

/// Records of one partition, in offset order.
pub struct PartitionRecords<'a> {
    /// The partition.
    pub partition: TopicPartition,
    /// Its records.
    pub records: Vec<Record<'a>>,
}

/// Sorts records as they were polled into their partitions.
#[derive(Default)]
pub struct Grouping<'a> {
    groups: Vec<PartitionRecords<'a>>,
    last: usize,
    names: BTreeMap<String, Arc<str>>,
}

impl<'a> Grouping<'a> {
    /// Takes the next polled record.
    pub fn push(&mut self, topic: &str, partition: i32, record: Record<'a>) {
        let is = |group: &PartitionRecords<'_>| {
            group.partition.partition == partition && *group.partition.topic == *topic
        };
        // Records come in runs of one partition.
        if !self.groups.get(self.last).is_some_and(is) {
            self.last = self.groups.iter().position(is).unwrap_or_else(|| {
                let name = self.names.entry(topic.to_owned()).or_insert_with(|| topic.into());
                let partition = TopicPartition { topic: Arc::clone(name), partition };
                self.groups.push(PartitionRecords { partition, records: Vec::new() });
                self.groups.len() - 1
            });
        }
        if let Some(group) = self.groups.get_mut(self.last) {
            group.records.push(record);
        }
    }

    /// Takes the next polled record of the same partition as the last one.
    pub fn push_again(&mut self, record: Record<'a>) {
        if let Some(group) = self.groups.get_mut(self.last) {
            group.records.push(record);
        }
    }

    /// The records by partition.
    pub fn finish(self) -> Vec<PartitionRecords<'a>> {
        self.groups
    }
}
