//! Where partitions end, and how far the group is with them: what silence means.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;

use super::{Source, SourceError, Tail, of_group, offset_list};
use crate::kafka::asking::{offsets, partitions_of};
use crate::kafka::context::lock;
use crate::record::TopicPartition;

/// How long what librdkafka said of a partition's end is believed; it says so every second.
const TAIL_KNOWN_FOR: Duration = Duration::from_secs(3);
/// How long statistics must have said the same; a bit less than the second between two of them.
const TAIL_AGREED_FOR: Duration = Duration::from_millis(800);
/// The wait for an answer about other partitions of the group.
const TAIL_TIMEOUT: Duration = Duration::from_secs(1);

impl Source {
    /// Where a partition ends; `Unavailable` when librdkafka did not say so in the last seconds.
    ///
    /// Statistics are a moment's view: records may just be on their way into the queue, and statistics
    /// from before a rewind may be served after it, all at once. So an end is believed when two, a second
    /// apart, agree on it, both served after the last change.
    pub fn tail(&self, partition: &TopicPartition) -> Tail {
        let tails = lock(&self.consumer.context().tails);
        let Some(reading) = tails.get(partition) else { return Tail::Unavailable };
        if reading.last.elapsed() > TAIL_KNOWN_FOR {
            return Tail::Unavailable;
        }
        let agreed = reading.last.saturating_duration_since(reading.since) > TAIL_AGREED_FOR;
        match reading.tail {
            Tail::Reached(_) if !agreed => Tail::Behind,
            tail => tail,
        }
    }

    /// When librdkafka last said where a partition ends.
    pub fn tail_read_at(&self, partition: &TopicPartition) -> Option<Instant> {
        lock(&self.consumer.context().tails).get(partition).map(|reading| reading.last)
    }

    /// Where these topics end now; partitions without a record are left out.
    ///
    /// # Errors
    /// When Kafka does not answer in a second.
    pub fn ends_of<'t>(
        &self,
        topics: impl Iterator<Item = &'t str>,
    ) -> Result<Vec<(TopicPartition, i64)>, SourceError> {
        let mut ends = Vec::new();
        for topic in topics {
            let metadata =
                self.consumer.fetch_metadata(Some(topic), TAIL_TIMEOUT).map_err(of_group)?;
            // A topic that is not there yet has no end.
            let numbers = partitions_of(&metadata, topic).unwrap_or_default();
            let at = |at| offsets(&self.consumer, topic, &numbers, at, TAIL_TIMEOUT);
            let lows = at(Offset::Beginning).map_err(of_group)?;
            let highs = at(Offset::End).map_err(of_group)?;
            for (number, (low, high)) in numbers.iter().zip(lows.into_iter().zip(highs)) {
                if let Some(high) = high.filter(|high| low < Some(*high)) {
                    ends.push((TopicPartition::new(topic, *number), high));
                }
            }
        }
        Ok(ends)
    }

    /// Whether the group has committed all that came before these offsets: nothing of it is on its way.
    ///
    /// # Errors
    /// When Kafka does not answer in a second.
    pub fn is_group_done_with(&self, ends: &[(TopicPartition, i64)]) -> Result<bool, SourceError> {
        let committed = self.consumer.committed_offsets(offset_list(ends), TAIL_TIMEOUT);
        let committed = committed.map_err(of_group)?;
        Ok(ends.iter().all(|(partition, end)| {
            let found = committed.find_partition(&partition.topic, partition.partition);
            matches!(found.map(|one| one.offset()), Some(Offset::Offset(offset)) if offset >= *end)
        }))
    }
}
