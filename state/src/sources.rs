//! Event time of a rule that several partitions feed: the slowest of them says it.

use std::sync::Arc;

/// How far the partitions are that feed a rule. They are read at different speeds, so the time that they
/// have together is that of the one that is furthest behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Whether it was ever told which there are.
    pub(crate) known: bool,
    /// Whether time ever went on. Before, it stands at the earliest that came, and may go back to what is
    /// earlier still.
    pub(crate) begun: bool,
    /// Ordered by topic and partition.
    pub(crate) list: Vec<Source>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// Its furthest event time, milliseconds since the Unix epoch; none: nothing has come yet.
    pub(crate) furthest_ms: Option<i64>,
}

impl Sources {
    fn find(&self, topic: &str, partition: i32) -> Result<usize, usize> {
        self.list.binary_search_by(|one| (&*one.topic, one.partition).cmp(&(topic, partition)))
    }

    /// A record of this event time came from a partition. Where that partition had come before; none:
    /// it is not moved on by this record.
    pub fn saw(&mut self, topic: &Arc<str>, partition: i32, event_ms: i64) -> Option<Option<i64>> {
        match self.find(topic, partition) {
            Ok(at) => {
                let furthest_ms = &mut self.list[at].furthest_ms;
                let moves = *furthest_ms < Some(event_ms);
                moves.then(|| furthest_ms.replace(event_ms))
            }
            Err(at) => {
                let furthest_ms = Some(event_ms);
                self.list.insert(at, Source { topic: Arc::clone(topic), partition, furthest_ms });
                Some(None)
            }
        }
    }

    /// Which partitions there are. Of those that are gone nothing is kept.
    pub fn tell<'a>(&mut self, all: impl Iterator<Item = (&'a Arc<str>, i32)>) {
        let mut list: Vec<Source> = all
            .map(|(topic, partition)| Source {
                topic: Arc::clone(topic),
                partition,
                furthest_ms: self
                    .find(topic, partition)
                    .ok()
                    .and_then(|at| self.list[at].furthest_ms),
            })
            .collect();
        list.sort_unstable_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        list.dedup_by(|a, b| a.topic == b.topic && a.partition == b.partition);
        *self = Self { known: true, begun: self.begun, list };
    }

    /// The time until which all of them have come; none: something of one of them may be missing still.
    pub fn together_ms(&self) -> Option<i64> {
        let times = self.list.iter().map(|one| one.furthest_ms);
        // A missing time is less than any.
        times.min().flatten().filter(|_| self.known)
    }

    /// The time of the one that is furthest ahead.
    pub fn furthest_ms(&self) -> Option<i64> {
        self.list.iter().filter_map(|one| one.furthest_ms).max()
    }

    /// Notes that time goes on, and back no more.
    pub fn begin(&mut self) {
        self.begun = true;
    }

    /// Whether time ever went on.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether it was ever told which partitions there are.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Whether time waits for some of them, or for word of which there are.
    pub fn hold(&self, stream_ms: Option<i64>) -> bool {
        !self.list.is_empty() && (!self.known || stream_ms < self.furthest_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_that_of_the_slowest_once_all_are_known_and_came() {
        let topic: Arc<str> = "t".into();
        let mut sources = Sources::default();
        assert!(!sources.hold(None), "nothing came");
        sources.saw(&topic, 1, 50);
        assert_eq!(sources.together_ms(), None, "nobody said which there are");
        assert!(sources.hold(Some(50)));
        sources.tell([(&topic, 1), (&topic, 0)].into_iter());
        assert_eq!(sources.together_ms(), None, "nothing came of the other");
        sources.saw(&topic, 0, 20);
        sources.saw(&topic, 0, 10);
        assert_eq!((sources.together_ms(), sources.furthest_ms()), (Some(20), Some(50)));
        assert!(sources.hold(Some(20)) && !sources.hold(Some(50)));
        // One is added: it holds time; one is gone: it does not.
        sources.tell([(&topic, 0), (&topic, 1), (&topic, 2)].into_iter());
        assert_eq!(sources.together_ms(), None);
        sources.tell([(&topic, 1)].into_iter());
        assert_eq!(sources.together_ms(), Some(50));
    }
}
