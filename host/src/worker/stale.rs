//! When the counts of old alerts are told: once a partition has caught up, and now and then before.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Session;
use crate::record::TopicPartition;
use crate::source::kafka::Tail;

/// How long counts wait at least, so that old records that trickle in do not change a message all the
/// time.
const WAIT_LEAST: Duration = Duration::from_secs(5);
/// How long at most, where a backlog does not end.
const WAIT_MOST: Duration = Duration::from_secs(60);

/// Since when counts of a partition wait to be told.
#[derive(Debug, Default)]
pub(super) struct Waiting(HashMap<TopicPartition, Instant>);

impl Waiting {
    /// Whether the counts of `input`, which has caught up or not, are due.
    fn is_due(&mut self, input: &TopicPartition, caught_up: bool) -> bool {
        let since = *self.0.entry(input.clone()).or_insert_with(Instant::now);
        since.elapsed() >= if caught_up { WAIT_LEAST } else { WAIT_MOST }
    }

    /// They were told, or are somebody else's.
    pub(super) fn forget(&mut self, input: &TopicPartition) {
        self.0.remove(input);
    }
}

impl Session<'_> {
    /// Tells the counts that are due.
    pub(super) fn tell_stale(&mut self) {
        for input in self.set.states().stale_inputs() {
            let caught_up = matches!(self.source.tail(&input), Tail::Reached(_));
            if self.waiting.is_due(&input, caught_up) {
                self.tell_stale_of(&input);
            }
        }
    }

    /// Tells the counts of a partition now, if there are any: in the next transaction, which also takes
    /// them out.
    pub(super) fn tell_stale_of(&mut self, input: &TopicPartition) {
        let now_ms = self.clock.now();
        let offset = self.progress.next(input).unwrap_or(-1);
        self.waiting.forget(input);
        self.evaluation.clear();
        self.set.take_digests(input, offset, now_ms, &mut self.evaluation);
        for entry in &self.evaluation.entries {
            let alerts = entry.digest.as_ref().map_or(0, |digest| digest.count);
            let (rule, channel) = (&*entry.intent.rule, &*entry.channel);
            tracing::info!(rule, channel, alerts, %input, "old alerts are told in a digest");
        }
        self.worker.effects.collect(&mut self.evaluation, &mut self.pending);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_wait_for_the_end_of_a_backlog_but_not_for_ever() {
        let input = TopicPartition::new("SYSLOG", 0);
        let mut waiting = Waiting::default();
        assert!(!waiting.is_due(&input, true), "others may follow at once");
        let waits_since = |waited| Waiting(HashMap::from([(input.clone(), ago(waited))]));
        assert!(waits_since(WAIT_LEAST).is_due(&input, true));
        assert!(!waits_since(WAIT_LEAST).is_due(&input, false));
        let mut waiting = waits_since(WAIT_MOST);
        assert!(waiting.is_due(&input, false));
        waiting.forget(&input);
        assert!(!waiting.is_due(&input, false));
    }

    fn ago(wait: Duration) -> Instant {
        Instant::now().checked_sub(wait).unwrap()
    }
}
