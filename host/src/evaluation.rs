//! Evaluation: from the records of a partition to effects, for live, tests, benchmarks, backtests.
//!
//! Knows neither Kafka nor Slack nor a clock. The same records under the same [`RuleSet`] give the
//! same bytes, in whatever batches they come, as long as a rule is a function of the record.

mod collect;
mod evidence;
pub mod health;
mod input;
mod keeping;
mod migration;
mod moments;
mod route;
mod slice;
mod slot;
mod stale;
mod stateful;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

pub use health::Health;
pub use keeping::Tick;
pub use route::Repartition;
pub use slot::{CallReport, Clock};
pub use stateful::LateReport;

use crate::dead_letter::DeadLetter;
use crate::engine::{CallFailure, Logs};
use crate::matching::{RuleBatch, Scratch, Survivors};
use crate::outbox::Entry;
use crate::record::{OutgoingRecord, Record, TopicPartition};
use crate::rules::agreement::Agreement;
use crate::rules::{Mode, Rule, RuleSet};
use crate::state::{Adopted, States};

use collect::{Collected, Source};
use moments::Moments;
use slot::{Outcome, Slot};

/// What came of records: effects, not yet written, and counts. Grows until it is cleared, so that
/// several batches can go into one transaction.
#[derive(Debug, Default)]
pub struct Evaluation {
    /// Notifications for the outbox.
    pub entries: Vec<Entry>,
    /// Records that rules emit.
    pub emitted: Vec<OutgoingRecord>,
    /// Records on their way to what their rules group by.
    pub routed: Vec<OutgoingRecord>,
    /// Records that were given up on.
    pub dead_letters: Vec<DeadLetter>,
    /// Alerts that were too old to be posted: rule and number.
    pub stale: Vec<(Arc<str>, u64)>,
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
        self.routed.clear();
        self.dead_letters.clear();
        self.stale.clear();
        self.batches.clear();
        self.rules.clear();
    }

    /// Whether there is something to write.
    pub fn has_effects(&self) -> bool {
        !(self.entries.is_empty()
            && self.emitted.is_empty()
            && self.routed.is_empty()
            && self.dead_letters.is_empty())
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
    /// Records of the repartition topic that somebody else wrote; they are passed over.
    pub strays: u64,
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
    /// Its records that came too late for a window.
    pub late: Vec<LateReport>,
    /// What was dropped when it took up its state under another plan.
    pub adopted: Option<Adopted>,
    /// This batch put it into quarantine.
    pub quarantined: bool,
    /// It never worked: its last version is to run again.
    pub roll_back: Option<RollBack>,
}

impl RuleReport {
    fn new(rule: &Arc<str>, topic: &Arc<str>, matched: &RuleBatch) -> Self {
        Self {
            rule: Arc::clone(rule),
            topic: Arc::clone(topic),
            matched: matched.rows.len() as u64,
            mismatched: matched.mismatched,
            calls: Vec::new(),
            notifications: [0; 4],
            emitted: Vec::new(),
            logs: Logs::default(),
            late: Vec::new(),
            adopted: None,
            quarantined: false,
            roll_back: None,
        }
    }

    /// Takes over what a batch left to be told.
    fn take(&mut self, outcome: &mut Outcome, rule: &Rule) {
        let failed =
            !outcome.failed.is_empty() || outcome.fired.iter().any(|fired| fired.failure.is_some());
        if failed && rule.health.fails_from_the_start() {
            let why = rule.health.last_failure().map_or_else(String::new, |last| last.message);
            let reason = format!("it failed on its first records: {why}");
            self.roll_back = Some(RollBack::of(rule, reason));
        }
        self.calls = std::mem::take(&mut outcome.calls);
        self.logs = std::mem::take(&mut outcome.logs);
        self.late = std::mem::take(&mut outcome.late);
        self.quarantined = outcome.quarantined;
    }

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
    positions: HashMap<Arc<str>, Arc<[usize]>>,
    /// Where every rule is in `slots`.
    by_name: HashMap<Arc<str>, usize>,
    /// Whether some rule looks at more than one record.
    keeps_state: bool,
    /// Whether some rule needs a lookup table.
    needs_tables: bool,
    failures: Vec<(Arc<str>, CallFailure)>,
    scratch: Scratch,
    survivors: Survivors,
    collected: Collected,
    clock: Option<Clock>,
    /// Where records go whose rules group by something; `None` = they are evaluated where they are.
    repartition: Option<Repartition>,
    states: States,
    /// `Some` = it is not to run before all workers have agreed.
    agreement: Option<Arc<Agreement>>,
    /// The partitions that feed the repartition topic; empty = not known.
    feed: Vec<TopicPartition>,
    /// Stream time at each record of the batch.
    streams: Vec<Option<i64>>,
    moments: Moments,
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
        let by_name: HashMap<Arc<str>, usize> =
            slots.iter().enumerate().map(|(at, slot)| (Arc::clone(&slot.rule.name), at)).collect();
        let positions = set
            .topics
            .iter()
            .map(|(topic, plan)| {
                let of_rules = plan.rules.iter().filter_map(|rule| by_name.get(&rule.name));
                (Arc::clone(topic), of_rules.copied().collect())
            })
            .collect();
        let keeps_state = slots.iter().any(|slot| slot.rule.keeps_state());
        let needs_tables = slots.iter().any(|slot| !slot.rule.tables.is_empty());
        Self {
            slots,
            positions,
            by_name,
            keeps_state,
            needs_tables,
            failures,
            scratch: Scratch::default(),
            survivors: Survivors::default(),
            collected: Collected::default(),
            clock: None,
            repartition: None,
            states: States::default(),
            agreement: None,
            feed: Vec::new(),
            streams: Vec::new(),
            moments: Moments::default(),
            set,
        }
    }

    /// Measures calls with `clock`, for telemetry.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sends records whose rules group by something through this topic.
    #[must_use]
    pub fn with_repartition(mut self, repartition: Repartition) -> Self {
        self.repartition = Some(repartition);
        self
    }

    /// Has the workers agree on it before the first of them runs it.
    #[must_use]
    pub fn with_agreement(mut self, agreement: Option<Arc<Agreement>>) -> Self {
        self.agreement = agreement;
        self
    }

    /// What the workers must agree on before they run it.
    pub fn agreement(&self) -> Option<&Agreement> {
        self.agreement.as_deref()
    }

    /// The rule set that it runs.
    pub fn set(&self) -> &Arc<RuleSet> {
        &self.set
    }

    /// Rules of which no instance could be made.
    pub fn failures(&self) -> &[(Arc<str>, CallFailure)] {
        &self.failures
    }

    /// The state of its rules.
    pub fn states(&mut self) -> &mut States {
        &mut self.states
    }

    /// Whether records of some rule go through the repartition topic.
    pub fn routes(&self) -> bool {
        self.repartition.is_some() && self.slots.iter().any(|slot| slot.rule.routes_by().is_some())
    }

    /// A lookup table that some rule needs and that was not read to its end yet.
    pub fn missing_table(&self) -> Option<(&str, &str)> {
        if !self.needs_tables {
            return None;
        }
        self.slots.iter().find_map(|slot| Some((&*slot.rule.name, slot.rule.tables.missing()?)))
    }

    /// Evaluates records of one partition, in offset order, and adds what came of them to `out`.
    pub fn evaluate(
        &mut self,
        partition: &TopicPartition,
        records: &[Record<'_>],
        out: &mut Evaluation,
    ) {
        if self.repartition.as_ref().is_some_and(|own| own.topic == partition.topic) {
            self.evaluate_routed(partition, records, out);
            return;
        }
        let topic = &partition.topic;
        let set = Arc::clone(&self.set);
        let Some(plan) = set.topics.get(topic) else { return };
        let scratch = &mut self.scratch;
        plan.matcher.scan(topic, partition.partition, records, scratch, &mut self.survivors);
        let generation = set.generation;
        let source = Source { partition, records, origins: None, generation, ticked_ms: None };
        for undecodable in &self.survivors.undecodable {
            let message = undecodable.error.to_string();
            self.collected.undecodable(&source, undecodable.record, message);
        }
        out.batches.push(BatchReport {
            topic: Arc::clone(topic),
            records: records.len() as u64,
            undecodable: self.survivors.undecodable.len() as u64,
            strays: 0,
        });
        if plan.keeps_state {
            let stream_ms = self.states.stream_ms(partition);
            moments::streams(stream_ms, records, &mut self.streams);
            self.states.set_stream_ms(partition, self.streams.last().copied().flatten());
        }
        let survivors = std::mem::take(&mut self.survivors);
        let positions = self.positions.get(topic).cloned().unwrap_or_default();
        // Time comes to rules that keep state even where no record does.
        let all = 0..if plan.keeps_state { positions.len() } else { 0 };
        let timed = all.filter(|index| {
            let rule = &plan.rules[*index];
            survivors.batches[*index].rows.is_empty()
                && rule.keeps_state()
                && !self.states.rests(partition, rule, self.streams.last().copied().flatten())
        });
        let timed: Vec<usize> = timed.collect();
        for index in survivors.matched.iter().copied().chain(timed) {
            let at = positions[index];
            let batch = &survivors.batches[index];
            let rule = &self.slots[at].rule;
            let keeps_state = rule.keeps_state();
            if let Some(column) = rule.routes_by().filter(|_| self.repartition.is_some()) {
                self.route(at, column, &source, batch, out);
            } else if keeps_state {
                self.evaluate_stateful((index, at), &source, (partition, batch), out);
            } else {
                self.evaluate_stateless((index, at), &source, batch, out);
            }
        }
        self.survivors = survivors;
        self.collected.drain_into(out);
    }

    fn evaluate_stateless(
        &mut self,
        (index, at): (usize, usize),
        source: &Source<'_>,
        matched: &RuleBatch,
        out: &mut Evaluation,
    ) {
        let slot = &mut self.slots[at];
        let mut outcome = slot.evaluate(&matched.batch, self.clock.as_ref());
        let mut report = RuleReport::new(&slot.rule.name, &source.partition.topic, matched);
        report.take(&mut outcome, &slot.rule);
        let rule = (index as u32, slot.rule.as_ref());
        self.collected.add(source, rule, (&matched.rows, &[]), outcome, &mut report);
        out.rules.push(report);
    }

    /// Sends survivors on their way to what their rule groups by.
    fn route(
        &self,
        at: usize,
        column: usize,
        source: &Source<'_>,
        matched: &RuleBatch,
        out: &mut Evaluation,
    ) {
        let (Some(to), false) = (&self.repartition, matched.rows.is_empty()) else { return };
        let rule = &self.slots[at].rule.name;
        let from = (source.partition, source.records);
        route::route(to, rule, from, (matched, column), &mut out.routed);
        out.rules.push(RuleReport::new(rule, &source.partition.topic, matched));
    }
}

/// A version of a rule that is to be given up for the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollBack {
    /// The rule.
    pub rule: Arc<str>,
    /// The version that does not work.
    pub version: String,
    /// Why, for people.
    pub reason: String,
}

impl RollBack {
    /// This version of a rule, for this reason.
    pub fn of(rule: &Rule, reason: String) -> Self {
        Self { rule: Arc::clone(&rule.name), version: rule.version.clone(), reason }
    }
}

#[cfg(test)]
mod tests;
