//! What the consumer's callbacks note for the worker, and what they tell telemetry.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::types::RDKafkaRespErr;

use super::Tail;
use crate::kafka::ClientState;
use crate::kafka::context::{Context, Role, lock};
use crate::kafka::statistics::Statistics;
use crate::record::TopicPartition;
use crate::source::Assignment;

/// The context of a worker's consumer.
pub(super) type SourceContext = Context<Notes>;

/// What the consumer's callbacks write and the worker reads.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) changes: Mutex<VecDeque<Assignment>>,
    pub(super) changed: AtomicBool,
    /// Set before the consumer is dropped: revocations are then carried out at once.
    pub(super) closing: AtomicBool,
    /// Owned partitions and the timestamp of their last evaluated record.
    pub(super) owned: Mutex<BTreeMap<TopicPartition, i64>>,
    /// Where owned partitions end, as librdkafka said last.
    pub(super) tails: Mutex<BTreeMap<TopicPartition, Reading>>,
}

/// What the statistics said of a partition's end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// The first of the statistics in a row that said this.
    pub(super) since: Instant,
    pub(super) last: Instant,
    pub(super) tail: Tail,
}

impl Notes {
    pub(super) fn note(&self, change: Assignment) {
        lock(&self.changes).push_back(change);
        self.changed.store(true, Ordering::Release);
    }
}

impl Role for Notes {
    fn statistics(&self, state: &ClientState, json: &[u8]) {
        let Some(statistics) = Statistics::read(json) else { return };
        if statistics.is_connected() {
            state.connected();
        }
        let mut tails = lock(&self.tails);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for (partition, last_ms) in lock(&self.owned).iter() {
            let Some(lag) = statistics.lag(partition) else { continue };
            let (last, tail) = (Instant::now(), statistics.tail(partition));
            let same = tails.get(partition).filter(|reading| reading.tail == tail);
            let since = same.map_or(last, |reading| reading.since);
            tails.insert(partition.clone(), Reading { since, last, tail });
            let behind = if lag == 0 || *last_ms < 0 {
                0.0
            } else {
                (now.as_secs_f64() - *last_ms as f64 / 1_000.0).max(0.0)
            };
            state.metrics().lag(&partition.topic, partition.partition, lag, behind);
        }
    }
}

impl ConsumerContext for SourceContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions = partitions(list);
        if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            if !self.closing.load(Ordering::Acquire) {
                self.note(Assignment::Added(partitions));
            }
        } else if self.closing.load(Ordering::Acquire) {
            if let Err(error) = consumer.incremental_unassign(list) {
                tracing::warn!("giving partitions up while closing: {error}");
            }
        } else {
            let lost = consumer.assignment_lost();
            self.note(Assignment::Removed { partitions, lost });
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let elements = list.elements();
    elements.iter().map(|one| TopicPartition::new(one.topic(), one.partition())).collect()
}
