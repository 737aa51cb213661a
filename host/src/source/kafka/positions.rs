//! Where to begin, how far partitions go, and what the group has committed.

use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::{Source, SourceError, of_group};
use crate::config::OffsetReset;
use crate::progress::Reached;
use crate::record::TopicPartition;
use crate::state::wire::Beside;

/// The wait for an answer about offsets.
pub(super) const OFFSETS_TIMEOUT: Duration = Duration::from_secs(5);
/// What is said of a topic that is another one than the committed offset is of.
const MADE_ANEW: &str = "the topic was made anew; it is read from its beginning";

impl Source {
    /// Where to begin: the committed offset (true) or, where there is none, what
    /// `kafka.auto_offset_reset` says (false).
    ///
    /// # Errors
    /// When the broker does not answer in five seconds; the call may be repeated.
    pub fn start_positions(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(Reached, bool)>, SourceError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition);
        }
        let committed = self.consumer.committed_offsets(list, OFFSETS_TIMEOUT).map_err(of_group)?;
        let ids = self.learn_ids(partitions.iter().map(|partition| &*partition.topic))?;
        let mut positions = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let found = committed.find_partition(&partition.topic, partition.partition);
            if let Some(element) = &found {
                let of = |source| SourceError::Offsets { partition: partition.to_string(), source };
                element.error().map_err(of)?;
            }
            let topic_id = ids.get(&partition.topic).cloned();
            let reached = |offset, stream_ms| {
                let (partition, topic_id) = (partition.clone(), topic_id.clone());
                Reached { partition, offset, stream_ms, topic_id }
            };
            if let Some(element) = &found
                && let Offset::Offset(offset) = element.offset()
            {
                let Beside { stream_ms, topic_id: committed } =
                    Beside::from_metadata(element.metadata());
                if committed.is_some() && topic_id.is_some() && committed != topic_id {
                    tracing::warn!(%partition, offset, "{MADE_ANEW}");
                    let (low, _) = self.watermarks(partition)?;
                    positions.push((reached(low, stream_ms), false));
                } else {
                    positions.push((reached(offset, stream_ms), committed == topic_id));
                }
                continue;
            }
            let (low, high) = self.watermarks(partition)?;
            let offset = match self.reset {
                OffsetReset::Latest => high,
                OffsetReset::Earliest => low,
            };
            positions.push((reached(offset, None), false));
        }
        Ok(positions)
    }

    /// The first offset that a partition holds, and the one after its last.
    ///
    /// # Errors
    /// When the broker does not answer in five seconds.
    pub fn watermarks(&self, partition: &TopicPartition) -> Result<(i64, i64), SourceError> {
        self.consumer
            .fetch_watermarks(&partition.topic, partition.partition, OFFSETS_TIMEOUT)
            .map_err(|source| SourceError::Offsets { partition: partition.to_string(), source })
    }

    /// Commits offsets that have no effects beside them, and waits for the answer: a commit in
    /// flight could overtake a later transaction and take the offsets back. With the coordinator
    /// away it fails after the session timeout.
    ///
    /// # Errors
    /// What the group's coordinator says.
    pub fn commit(&self, offsets: &[Reached]) -> KafkaResult<()> {
        self.consumer.commit(&commit_list(offsets), CommitMode::Sync)
    }
}

/// Offsets to be committed as rdkafka takes them, with what rides in their metadata.
pub(crate) fn commit_list(all: &[Reached]) -> TopicPartitionList {
    let offsets: Vec<_> = all.iter().map(|one| (one.partition.clone(), one.offset)).collect();
    let list = offset_list(&offsets);
    for Reached { partition, stream_ms, topic_id, .. } in all {
        let beside = Beside { stream_ms: *stream_ms, topic_id: topic_id.clone() };
        if let Some(mut element) = list.find_partition(&partition.topic, partition.partition) {
            element.set_metadata(beside.to_metadata());
        }
    }
    list
}

/// Offsets as rdkafka takes them.
pub(super) fn offset_list(offsets: &[(TopicPartition, i64)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        let (topic, number) = (&*partition.topic, partition.partition);
        // Only an offset outside of Kafka's range is refused.
        if let Err(error) = list.add_partition_offset(topic, number, Offset::Offset(*offset)) {
            tracing::error!(%partition, offset, "offset is refused: {error}");
        }
    }
    list
}
