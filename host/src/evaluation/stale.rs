//! Catch-up: what is too old to be news is counted, and told in one digest a day, rule and channel.
//!
//! The time is given from outside. It decides what is posted, never what a rule sees: a rule evaluates
//! old records as it evaluates all others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Evaluation, WorkerSet};
use crate::digest::{Digest, key_of_day};
use crate::notification::{AlertId, IntentId, Kind};
use crate::outbox::Entry;
use crate::record::{RecordId, TopicPartition};

/// The index of a digest's intent: no effect of a record or of time has it.
const DIGEST_INDEX: u32 = u32::MAX;

impl WorkerSet {
    /// Looks at the entries of `out` from number `from` on, which came of the input partition `input`, as
    /// of this time. A `fire` that is older than its rule allows is taken out and counted; an `update` or
    /// `resolve` is marked, since it may be about an alert that was posted.
    pub fn sort_out_stale(
        &mut self,
        input: &TopicPartition,
        now_ms: i64,
        from: usize,
        out: &mut Evaluation,
    ) {
        let rules = &self.set.rules;
        let is_stale = |entry: &Entry| {
            let rule = rules.get(entry.intent.rule.as_str());
            rule.is_some_and(|rule| rule.is_stale(entry.event_time_ms, now_ms))
        };
        if !out.entries.iter().skip(from).any(is_stale) {
            return;
        }
        let mut counted: BTreeMap<(String, String), Digest> = BTreeMap::new();
        for mut entry in out.entries.split_off(from) {
            let is_old = is_stale(&entry);
            if !is_old || entry.notification.kind != Kind::Fire {
                entry.is_stale = is_old;
                out.entries.push(entry);
                continue;
            }
            let one = Digest::of(entry.event_time_ms, &entry.notification.title);
            let key = (entry.intent.rule, entry.channel);
            match counted.get_mut(&key) {
                Some(sum) => sum.add(one),
                None => _ = counted.insert(key, one),
            }
        }
        for ((rule, channel), digest) in counted {
            out.stale.push((rule.as_str().into(), digest.count));
            self.states.count_stale(input, &rule, &channel, digest);
        }
    }

    /// Makes an entry of the counts of an input partition for each rule and channel; they are no longer
    /// counted then. `offset` is the partition's next one.
    pub fn take_digests(
        &mut self,
        input: &TopicPartition,
        offset: i64,
        now_ms: i64,
        out: &mut Evaluation,
    ) {
        for (rule, channel, digest) in self.states.take_stale(input) {
            let TopicPartition { topic, partition } = input;
            let record = RecordId { topic: Arc::clone(topic), partition: *partition, offset };
            let notification = digest.notification(&rule, key_of_day(now_ms));
            // The rule may be gone by now; what it had decided is told all the same.
            let version = self.set.rules.get(rule.as_str()).map(|rule| rule.version.clone());
            let intent = IntentId { record, rule, index: DIGEST_INDEX };
            out.entries.push(Entry {
                alert: AlertId::of(&intent, now_ms, &notification),
                intent,
                channel,
                event_time_ms: now_ms,
                rule_version: version.unwrap_or_default(),
                generation: self.set.generation,
                notification,
                is_stale: false,
                digest: Some(digest),
            });
        }
    }
}

#[cfg(test)]
mod tests;
