//! librdkafka's statistics, as far as they are read: which brokers answer, how far we are behind.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::record::TopicPartition;

/// The end of a partition as librdkafka sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Everything that is there was handed to the worker; the next record will have at least this
    /// offset.
    Reached(i64),
    /// Records wait.
    Behind,
    /// Its leader is not to be reached.
    Unavailable,
}

/// What is read of librdkafka's statistics (its STATISTICS.md).
#[derive(Deserialize)]
pub(crate) struct Statistics {
    #[serde(default)]
    brokers: BTreeMap<String, BrokerStatistics>,
    #[serde(default)]
    topics: BTreeMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct BrokerStatistics {
    nodeid: i32,
    state: String,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: BTreeMap<i32, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    #[serde(default)]
    leader: i32,
    fetchq_cnt: i64,
    next_offset: i64,
    hi_offset: i64,
    ls_offset: i64,
}

impl Statistics {
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Whether a broker answers; a bootstrap server's own entry has no id.
    pub(crate) fn is_connected(&self) -> bool {
        self.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP")
    }

    /// How many records of a partition are still to come; `None` = it is not known here.
    pub(crate) fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        let topic = self.topics.get(&*partition.topic)?;
        Some(topic.partitions.get(&partition.partition)?.lag())
    }
}

impl Statistics {
    /// Where a partition ends.
    pub(crate) fn tail(&self, partition: &TopicPartition) -> Tail {
        let topic = self.topics.get(&*partition.topic);
        let found = topic.and_then(|topic| topic.partitions.get(&partition.partition));
        let Some(found) = found else { return Tail::Unavailable };
        let is_leader = |broker: &BrokerStatistics| broker.nodeid == found.leader;
        if !self.brokers.values().any(|broker| is_leader(broker) && broker.state == "UP") {
            Tail::Unavailable
        } else if found.next_offset >= 0
            && found.fetchq_cnt == 0
            && found.next_offset == found.hi_offset
        {
            Tail::Reached(found.next_offset)
        } else {
            Tail::Behind
        }
    }
}

impl PartitionStatistics {
    /// Records that are in the partition and not yet with the worker. The last stable offset
    /// counts, since records of open transactions cannot be read yet.
    fn lag(&self) -> i64 {
        let end = if self.ls_offset >= 0 { self.ls_offset } else { self.hi_offset };
        if end < 0 || self.next_offset < 0 {
            return 0;
        }
        (end - self.next_offset).max(0) + self.fetchq_cnt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(next: i64, high: i64, stable: i64, fetched: i64) -> Option<i64> {
        let json = serde_json::json!({"topics": {"SYSLOG": {"partitions": {"2": {
            "next_offset": next, "hi_offset": high, "ls_offset": stable, "fetchq_cnt": fetched,
        }}}}});
        let statistics = Statistics::read(json.to_string().as_bytes()).unwrap();
        assert_eq!(statistics.lag(&TopicPartition::new("SYSLOG", 3)), None);
        statistics.lag(&TopicPartition::new("SYSLOG", 2))
    }

    #[test]
    fn lag_is_what_can_be_read_and_has_not_come_to_the_worker() {
        assert_eq!(lag(10, 30, 30, 0), Some(20));
        assert_eq!(lag(10, 30, 30, 5), Some(25), "fetched ahead");
        assert_eq!(lag(10, 30, 12, 0), Some(2), "an open transaction");
        assert_eq!(lag(10, 30, -1, 0), Some(20), "no stable offset yet");
        assert_eq!(lag(-1, -1, -1, 0), Some(0), "nothing known yet");
        assert_eq!(lag(40, 30, 30, 0), Some(0), "the end is older than the position");
    }

    #[test]
    fn a_partition_ends_where_nothing_waits_and_its_leader_answers() {
        let tail = |next: i64, fetched: i64, state: &str| {
            let json = serde_json::json!({
                "brokers": {"k:9092/1": {"nodeid": 1, "state": state}},
                "topics": {"SYSLOG": {"partitions": {"2": {
                    "leader": 1, "next_offset": next, "hi_offset": 30, "ls_offset": 30,
                    "fetchq_cnt": fetched,
                }}}},
            });
            let statistics = Statistics::read(json.to_string().as_bytes()).unwrap();
            statistics.tail(&TopicPartition::new("SYSLOG", 2))
        };
        assert_eq!(tail(30, 0, "UP"), Tail::Reached(30));
        assert_eq!(tail(30, 4, "UP"), Tail::Behind);
        assert_eq!(tail(29, 0, "UP"), Tail::Behind);
        assert_eq!(tail(30, 0, "CONNECT"), Tail::Unavailable);
    }

    #[test]
    fn only_a_broker_with_an_id_counts_as_connected() {
        let connected = |id: i32, state: &str| {
            let json = serde_json::json!({"brokers": {"k:9092": {"nodeid": id, "state": state}}});
            Statistics::read(json.to_string().as_bytes()).unwrap().is_connected()
        };
        assert!(connected(1, "UP"));
        assert!(!connected(-1, "UP") && !connected(1, "CONNECT"));
    }
}
