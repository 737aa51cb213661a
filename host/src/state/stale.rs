//! Alerts that are too old to be posted, counted until they are told in a digest.
//!
//! The counts are state of their input partition, under a name that no rule can have: what a transaction
//! does not commit is not counted, and whoever takes the partition over counts on.

use firebell_state::RuleState;

use super::{Kept, States};
use crate::digest::Digest;
use crate::record::TopicPartition;

/// In the place of a rule's name, which has no `$`.
const STALE: &str = "$stale";

impl States {
    /// Counts alerts of a rule for a channel.
    pub fn count_stale(
        &mut self,
        input: &TopicPartition,
        rule: &str,
        channel: &str,
        digest: Digest,
    ) {
        let partition = self.partitions.entry(input.clone()).or_default();
        let kept = partition
            .rules
            .entry(STALE.into())
            .or_insert_with(|| Kept { state: RuleState::new(usize::MAX), plan: None });
        let key = key(rule, channel);
        let sum = match value(&kept.state, &key) {
            Some(mut sum) => {
                sum.add(digest);
                sum
            }
            None => digest,
        };
        // Numbers and strings always have a JSON form.
        let bytes = serde_json::to_vec(&sum).unwrap_or_default();
        kept.state.begin_call();
        if let Err(error) = kept.state.put(0, &key, &bytes, None) {
            tracing::error!(rule, channel, "old alerts cannot be counted: {error}");
        }
    }

    /// The partitions whose counts wait to be told.
    pub fn stale_inputs(&self) -> Vec<TopicPartition> {
        let waits = |state: &RuleState| {
            let mut any = false;
            state.each_value(&mut |_, _, _| any = true);
            any
        };
        let partitions = self.partitions.iter();
        partitions
            .filter(|(_, one)| one.rules.get(STALE).is_some_and(|kept| waits(&kept.state)))
            .map(|(input, _)| input.clone())
            .collect()
    }

    /// Takes the counts of a partition out, by rule and channel; what is made of them must go into the
    /// same transaction.
    pub fn take_stale(&mut self, input: &TopicPartition) -> Vec<(String, String, Digest)> {
        let kept = self.partitions.get_mut(input).and_then(|one| one.rules.get_mut(STALE));
        let Some(Kept { state, .. }) = kept else { return vec![] };
        let mut keys = vec![];
        state.each_value(&mut |key, _, _| keys.push(key.to_vec()));
        state.begin_call();
        let mut taken = vec![];
        for bytes in keys {
            if let Some(((rule, channel), digest)) = parts(&bytes).zip(value(state, &bytes)) {
                taken.push((rule.to_owned(), channel.to_owned(), digest));
            }
            if let Err(error) = state.delete(&bytes) {
                tracing::error!("counts of old alerts cannot be taken out: {error}");
            }
        }
        taken
    }
}

/// A rule's name has no `/`.
fn key(rule: &str, channel: &str) -> Vec<u8> {
    format!("{rule}/{channel}").into_bytes()
}

fn parts(key: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(key).ok()?.split_once('/')
}

fn value(state: &RuleState, key: &[u8]) -> Option<Digest> {
    let bytes = state.get(0, key).ok().flatten()?;
    let read = serde_json::from_slice(bytes);
    read.inspect_err(|error| tracing::error!("a count of old alerts is unreadable: {error}")).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::OutgoingRecord;
    use crate::state::wire::EntryKey;

    fn input(partition: i32) -> TopicPartition {
        TopicPartition::new("SYSLOG", partition)
    }

    fn count(states: &mut States, partition: i32, times: std::ops::Range<i64>) {
        times.for_each(|ms| {
            states.count_stale(&input(partition), "burst", "general", Digest::of(ms, "t"));
        });
    }

    fn taken(states: &mut States, partition: i32) -> Vec<(String, u64, i64, i64)> {
        let taken = states.take_stale(&input(partition)).into_iter();
        taken
            .map(|(rule, to, d)| (format!("{rule}>{to}"), d.count, d.first_ms, d.last_ms))
            .collect()
    }

    fn seal(states: &mut States) -> Vec<OutgoingRecord> {
        states.seal(&Arc::from("changelog"), 4)
    }

    #[test]
    fn counts_are_summed_by_partition_rule_and_channel() {
        let mut states = States::default();
        count(&mut states, 0, 5..8);
        count(&mut states, 1, 1..2);
        states.count_stale(&input(0), "burst", "team/ops", Digest::of(9, "t"));
        assert_eq!(states.stale_inputs(), [input(0), input(1)]);
        assert_eq!(
            taken(&mut states, 0),
            [("burst>general".into(), 3, 5, 7), ("burst>team/ops".into(), 1, 9, 9)]
        );
        assert_eq!(states.stale_inputs(), [input(1)]);
        assert_eq!(taken(&mut states, 0), []);
    }

    #[test]
    fn what_is_not_committed_is_not_counted_and_what_is_not_told_is_told_again() {
        let mut states = States::default();
        count(&mut states, 0, 0..3);
        seal(&mut states);
        states.committed();
        count(&mut states, 0, 3..5);
        states.abort();
        assert_eq!(taken(&mut states, 0), [("burst>general".into(), 3, 0, 2)]);
        // The transaction that tells is aborted.
        seal(&mut states);
        states.abort();
        count(&mut states, 0, 3..5);
        assert_eq!(taken(&mut states, 0), [("burst>general".into(), 5, 0, 4)]);
        seal(&mut states);
        states.committed();
        assert_eq!(states.stale_inputs(), []);
    }

    #[test]
    fn whoever_takes_the_partition_over_counts_on() {
        let mut states = States::default();
        count(&mut states, 2, 0..3);
        let records = seal(&mut states);
        let mut next = States::default();
        for record in &records {
            let key = record.key.clone().unwrap();
            let (topic, partition, rule, key) = EntryKey::parse(&key).unwrap();
            let input = TopicPartition::new(topic, partition);
            next.restore(&input, rule, key, record.value.as_deref()).unwrap();
        }
        count(&mut next, 2, 3..5);
        assert_eq!(taken(&mut next, 2), [("burst>general".into(), 5, 0, 4)]);
        let gone = seal(&mut next);
        assert!(gone.iter().all(|record| record.value.is_none()), "{gone:?}");
    }
}
