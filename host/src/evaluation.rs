//! Evaluation: from the records of a partition to effects, for live, tests, benchmarks, backtests.
//!
//! Knows neither Kafka nor Slack nor a clock. The same records under the same [`RuleSet`] give the
//! same bytes, in whatever batches they come, as long as a rule is a function of the record.

mod collect;
pub mod health;
mod slice;
mod slot;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

pub use health::Health;
pub use slot::{CallReport, Clock};

use crate::dead_letter::DeadLetter;
use crate::engine::{CallFailure, Logs};
use crate::matching::{Scratch, Survivors};
use crate::outbox::Entry;
use crate::record::{OutgoingRecord, Record, TopicPartition};
use crate::rules::{Mode, RuleSet};

use collect::{Collected, Source};
use slot::Slot;

/// What came of records: effects, not yet written, and counts. Grows until it is cleared, so that
/// several batches can go into one transaction.
#[derive(Debug, Default)]
pub struct Evaluation {
    /// Notifications for the outbox.
    pub entries: Vec<Entry>,
    /// Records that rules emit.
    pub emitted: Vec<OutgoingRecord>,
    /// Records that were given up on.
    pub dead_letters: Vec<DeadLetter>,
    /// One for every batch.
    pub batches: Vec<BatchReport>,
    /// One for every batch and rule that it was not empty for.
    pub rules: Vec<RuleReport>,
}

impl Evaluation {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.emitted.clear();
        self.dead_letters.clear();
        self.batches.clear();
        self.rules.clear();
    }

    /// Whether there is something to write.
    pub fn has_effects(&self) -> bool {
        !(self.entries.is_empty() && self.emitted.is_empty() && self.dead_letters.is_empty())
    }
}

/// Counts of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchReport {
    /// The topic.
    pub topic: Arc<str>,
    /// Records looked at.
    pub records: u64,
    /// Records that could not be decoded.
    pub undecodable: u64,
}

/// Counts of one batch and rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleReport {
    /// The rule.
    pub rule: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// Records for which its conditions held.
    pub matched: u64,
    /// Cells that had another type than declared.
    pub mismatched: u64,
    /// Its calls.
    pub calls: Vec<CallReport>,
    /// Notifications that it asked for, by [`Severity`](crate::notification::Severity), in shadow
    /// mode too.
    pub notifications: [u64; 4],
    /// Records that it asked to emit, by topic, in shadow mode too.
    pub emitted: Vec<(String, u64)>,
    /// What it logged.
    pub logs: Logs,
    /// This batch put it into quarantine.
    pub quarantined: bool,
}

impl RuleReport {
    fn emitted(&mut self, topic: &str) {
        match self.emitted.iter_mut().find(|(known, _)| known == topic) {
            Some((_, count)) => *count += 1,
            None => self.emitted.push((topic.to_owned(), 1)),
        }
    }
}

/// The instances of one rule set for one worker. Made and dropped off the worker's thread.
pub struct WorkerSet {
    set: Arc<RuleSet>,
    slots: Vec<Slot>,
    /// For every topic, its rules' positions in `slots`.
    positions: HashMap<Arc<str>, Vec<usize>>,
    failures: Vec<(Arc<str>, CallFailure)>,
    scratch: Scratch,
    survivors: Survivors,
    collected: Collected,
    clock: Option<Clock>,
}

impl fmt::Debug for WorkerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSet")
            .field("generation", &self.set.generation)
            .field("rules", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl WorkerSet {
    /// Makes an instance of every rule that is not paused, and asks each to describe itself again.
    ///
    /// A rule for which this fails is tried again with its next records; see
    /// [`failures`](Self::failures).
    pub fn new(set: Arc<RuleSet>) -> Self {
        let mut slots: Vec<Slot> = Vec::with_capacity(set.rules.len());
        let mut failures = Vec::new();
        for rule in set.rules.values().filter(|rule| rule.mode != Mode::Paused) {
            let mut slot = Slot::new(Arc::clone(rule));
            if let Err(failure) = slot.prepare() {
                failures.push((Arc::clone(&rule.name), failure));
            }
            slots.push(slot);
        }
        let position: HashMap<&Arc<str>, usize> =
            slots.iter().enumerate().map(|(at, slot)| (&slot.rule.name, at)).collect();
        let positions = set
            .topics
            .iter()
            .map(|(topic, plan)| {
                let of_rules = plan.rules.iter().filter_map(|rule| position.get(&rule.name));
                (Arc::clone(topic), of_rules.copied().collect())
            })
            .collect();
        Self {
            slots,
            positions,
            failures,
            scratch: Scratch::default(),
            survivors: Survivors::default(),
            collected: Collected::default(),
            clock: None,
            set,
        }
    }

    /// Measures calls with `clock`, for telemetry.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The rule set that it runs.
    pub fn set(&self) -> &Arc<RuleSet> {
        &self.set
    }

    /// Rules of which no instance could be made.
    pub fn failures(&self) -> &[(Arc<str>, CallFailure)] {
        &self.failures
    }

    /// Evaluates records of one partition, in offset order, and adds what came of them to `out`.
    pub fn evaluate(
        &mut self,
        partition: &TopicPartition,
        records: &[Record<'_>],
        out: &mut Evaluation,
    ) {
        let topic = &partition.topic;
        let (Some(plan), Some(positions)) = (self.set.topics.get(topic), self.positions.get(topic))
        else {
            return;
        };
        let scratch = &mut self.scratch;
        plan.matcher.scan(topic, partition.partition, records, scratch, &mut self.survivors);
        let source = Source { partition, records, generation: self.set.generation };
        for undecodable in &self.survivors.undecodable {
            let message = undecodable.error.to_string();
            self.collected.undecodable(&source, undecodable.record, message);
        }
        out.batches.push(BatchReport {
            topic: Arc::clone(topic),
            records: records.len() as u64,
            undecodable: self.survivors.undecodable.len() as u64,
        });
        for &index in &self.survivors.matched {
            let (matched, slot) =
                (&self.survivors.batches[index], &mut self.slots[positions[index]]);
            let mut outcome = slot.evaluate(&matched.batch, self.clock.as_ref());
            let mut report = RuleReport {
                rule: Arc::clone(&slot.rule.name),
                topic: Arc::clone(topic),
                matched: matched.rows.len() as u64,
                mismatched: matched.mismatched,
                calls: std::mem::take(&mut outcome.calls),
                notifications: [0; 4],
                emitted: Vec::new(),
                logs: std::mem::take(&mut outcome.logs),
                quarantined: outcome.quarantined,
            };
            let rule = (index as u32, slot.rule.as_ref());
            self.collected.add(&source, rule, &matched.rows, outcome, &mut report);
            out.rules.push(report);
        }
        self.collected.drain_into(out);
    }
}

#[cfg(test)]
mod tests;
