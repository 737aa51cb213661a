//! How far a worker has come in each of its partitions. A pure core.
//!
//! `next` runs ahead as records are evaluated; `committed` follows when a transaction with their
//! effects is known to be committed; an abort takes `next` back to `committed`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::record::TopicPartition;

/// How far a partition is: what is committed of it, or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset of the next record to read.
    pub offset: i64,
    /// Stream time before that record, milliseconds since the Unix epoch; `None` = none yet.
    pub stream_ms: Option<i64>,
    /// Which topic of this name it is: Kafka's id; `None` = Kafka has none, or it is not known.
    pub topic_id: Option<Arc<str>>,
}

/// An offset, and stream time before its record.
type Mark = (i64, Option<i64>);

/// The two positions of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    /// Behind the last evaluated record.
    next: Mark,
    /// Where reading starts again after an abort.
    committed: Mark,
    /// Whether Kafka knows `committed` as the group's offset.
    known: bool,
    topic_id: Option<Arc<str>>,
}

/// Positions of all partitions that a worker owns.
#[derive(Debug, Default)]
pub struct Progress {
    positions: BTreeMap<TopicPartition, Position>,
}

impl Progress {
    /// Takes over a partition. `known` is false when Kafka has no committed offset for it yet, so that
    /// this one is committed even if no record ever comes.
    pub fn assigned(&mut self, at: Reached, known: bool) {
        let mark = (at.offset, at.stream_ms);
        let position = Position { next: mark, committed: mark, known, topic_id: at.topic_id };
        self.positions.insert(at.partition, position);
    }

    /// Gives a partition up.
    pub fn revoked(&mut self, partition: &TopicPartition) {
        self.positions.remove(partition);
    }

    /// Whether a partition is owned.
    pub fn owns(&self, partition: &TopicPartition) -> bool {
        self.positions.contains_key(partition)
    }

    /// All owned partitions.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.positions.keys()
    }

    /// Which topic of its name a partition belongs to, as far as it is known.
    pub fn topic_id(&self, partition: &TopicPartition) -> Option<&Arc<str>> {
        self.positions.get(partition)?.topic_id.as_ref()
    }

    /// The offset of the next record of a partition.
    pub fn next(&self, partition: &TopicPartition) -> Option<i64> {
        self.positions.get(partition).map(|position| position.next.0)
    }

    /// Notes that all records before `next` were evaluated, and stream time then. A position never
    /// moves back here.
    pub fn evaluated(&mut self, partition: &TopicPartition, next: i64, stream_ms: Option<i64>) {
        if let Some(position) = self.positions.get_mut(partition)
            && next > position.next.0
        {
            position.next = (next, stream_ms);
        }
    }

    /// Positions that Kafka does not know yet: what the next commit carries.
    pub fn uncommitted(&self) -> Vec<Reached> {
        let ahead =
            |position: &Position| position.next.0 != position.committed.0 || !position.known;
        let ahead = self.positions.iter().filter(|(_, position)| ahead(position));
        ahead.map(|(partition, position)| position.at(partition, position.next)).collect()
    }

    /// Notes a commit. Partitions that were given up meanwhile are passed over.
    pub fn committed(&mut self, all: &[Reached]) {
        for Reached { partition, offset, stream_ms, .. } in all {
            if let Some(position) = self.positions.get_mut(partition) {
                position.committed = (*offset, *stream_ms);
                position.known = true;
            }
        }
    }

    /// Takes every position back to what is committed and returns those that moved, with where to
    /// read from.
    pub fn rewind(&mut self) -> Vec<Reached> {
        let mut moved = Vec::new();
        for (partition, position) in &mut self.positions {
            if position.next.0 != position.committed.0 {
                position.next = position.committed;
                moved.push(position.at(partition, position.committed));
            }
        }
        moved
    }
}

impl Position {
    fn at(&self, partition: &TopicPartition, (offset, stream_ms): Mark) -> Reached {
        let topic_id = self.topic_id.clone();
        Reached { partition: partition.clone(), offset, stream_ms, topic_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tp(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn at(partition: i32, offset: i64, stream_ms: Option<i64>) -> Reached {
        Reached { partition: tp(partition), offset, stream_ms, topic_id: Some("id".into()) }
    }

    #[test]
    fn a_fresh_position_is_committed_even_without_records() {
        let mut progress = Progress::default();
        progress.assigned(at(0, 7, None), false);
        progress.assigned(at(1, 7, None), true);
        assert_eq!(progress.uncommitted(), [at(0, 7, None)]);
        progress.committed(&[at(0, 7, None)]);
        assert!(progress.uncommitted().is_empty());
    }

    #[test]
    fn an_abort_before_the_first_commit_goes_back_to_where_the_partition_began() {
        let mut progress = Progress::default();
        progress.assigned(at(0, 7, Some(70)), false);
        progress.evaluated(&tp(0), 12, Some(120));
        assert_eq!(progress.rewind(), [at(0, 7, Some(70))]);
        assert_eq!(progress.next(&tp(0)), Some(7));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Evaluate(i32, i64),
        Commit,
        Abort,
    }

    proptest! {
        /// A watermark never passes a record whose effects are not committed.
        #[test]
        fn committed_never_passes_what_was_evaluated_and_an_abort_replays_the_rest(
            steps in proptest::collection::vec(
                prop_oneof![
                    (0..3i32, 1..50i64).prop_map(|(p, n)| Step::Evaluate(p, n)),
                    Just(Step::Commit),
                    Just(Step::Abort),
                ],
                0..60,
            )
        ) {
            let mut progress = Progress::default();
            let mut model: BTreeMap<_, (i64, i64)> = (0..3).map(|p| (tp(p), (100, 100))).collect();
            for p in 0..3 {
                progress.assigned(at(p, 100, None), false);
            }
            for step in steps {
                match step {
                    Step::Evaluate(p, n) => {
                        let next = progress.next(&tp(p)).unwrap() + n;
                        progress.evaluated(&tp(p), next, Some(next));
                        model.get_mut(&tp(p)).unwrap().0 = next;
                    }
                    Step::Commit => {
                        let offsets = progress.uncommitted();
                        progress.committed(&offsets);
                        model.values_mut().for_each(|(next, committed)| *committed = *next);
                    }
                    Step::Abort => {
                        progress.rewind();
                        model.values_mut().for_each(|(next, committed)| *next = *committed);
                    }
                }
                for (partition, (next, _)) in &model {
                    prop_assert_eq!(progress.next(partition), Some(*next));
                }
            }
        }
    }
}
