//! How far a worker has come in each of its partitions. A pure core.
//!
//! `next` runs ahead as records are evaluated; `committed` follows when a transaction with their
//! effects is known to be committed; an abort takes `next` back to `committed`.

use std::collections::BTreeMap;

use crate::record::TopicPartition;

/// The two positions of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    /// The offset after the last evaluated record.
    next: i64,
    /// Where reading starts again after an abort.
    committed: i64,
    /// Whether Kafka knows `committed` as the group's offset.
    known: bool,
}

/// Positions of all partitions that a worker owns.
#[derive(Debug, Default)]
pub struct Progress {
    positions: BTreeMap<TopicPartition, Position>,
}

impl Progress {
    /// Takes over a partition at `offset`. `known` is false when Kafka has no committed offset
    /// for it yet, so that this one is committed even if no record ever comes.
    pub fn assigned(&mut self, partition: TopicPartition, offset: i64, known: bool) {
        self.positions.insert(partition, Position { next: offset, committed: offset, known });
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

    /// The offset of the next record of a partition.
    pub fn next(&self, partition: &TopicPartition) -> Option<i64> {
        self.positions.get(partition).map(|position| position.next)
    }

    /// Notes that all records before `next` were evaluated. A position never moves back here.
    pub fn evaluated(&mut self, partition: &TopicPartition, next: i64) {
        if let Some(position) = self.positions.get_mut(partition) {
            position.next = position.next.max(next);
        }
    }

    /// Positions that Kafka does not know yet: what the next commit carries.
    pub fn uncommitted(&self) -> Vec<(TopicPartition, i64)> {
        let ahead = |position: &Position| position.next != position.committed || !position.known;
        let ahead = self.positions.iter().filter(|(_, position)| ahead(position));
        ahead.map(|(partition, position)| (partition.clone(), position.next)).collect()
    }

    /// Notes a commit. Partitions that were given up meanwhile are passed over.
    pub fn committed(&mut self, offsets: &[(TopicPartition, i64)]) {
        for (partition, offset) in offsets {
            if let Some(position) = self.positions.get_mut(partition) {
                position.committed = *offset;
                position.known = true;
            }
        }
    }

    /// Takes every position back to what is committed and returns those that moved, with the
    /// offset to read from.
    pub fn rewind(&mut self) -> Vec<(TopicPartition, i64)> {
        let mut moved = Vec::new();
        for (partition, position) in &mut self.positions {
            if position.next != position.committed {
                position.next = position.committed;
                moved.push((partition.clone(), position.committed));
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tp(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    #[test]
    fn a_fresh_position_is_committed_even_without_records() {
        let mut progress = Progress::default();
        progress.assigned(tp(0), 7, false);
        progress.assigned(tp(1), 7, true);
        assert_eq!(progress.uncommitted(), [(tp(0), 7)]);
        progress.committed(&[(tp(0), 7)]);
        assert!(progress.uncommitted().is_empty());
    }

    #[test]
    fn an_abort_before_the_first_commit_goes_back_to_where_the_partition_began() {
        let mut progress = Progress::default();
        progress.assigned(tp(0), 7, false);
        progress.evaluated(&tp(0), 12);
        assert_eq!(progress.rewind(), [(tp(0), 7)]);
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
                progress.assigned(tp(p), 100, false);
            }
            for step in steps {
                match step {
                    Step::Evaluate(p, n) => {
                        let next = progress.next(&tp(p)).unwrap() + n;
                        progress.evaluated(&tp(p), next);
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
