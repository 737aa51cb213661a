//! State in evaluation: rules that look at more than one record, what is routed to them, and time.

use std::sync::Arc;

use firebell_state::RuleState;

use super::collect::Source;
use super::input::Input;
use super::route;
use super::slot::Outcome;
use super::{BatchReport, Evaluation, RuleReport, WorkerSet};
use crate::engine::StateCall;
use crate::matching::RuleBatch;
use crate::record::{Record, RecordId, TopicPartition};
use crate::rules::Rule;
use crate::state::Lent;

/// What the wall clock says of a partition in which no record came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Milliseconds since the Unix epoch.
    pub wall_ms: i64,
    /// Since the last record came, or the partition was taken over.
    pub quiet_ms: i64,
    /// Since the last tick, or the last record where that is later.
    pub since_ms: i64,
    /// No record waits anywhere on its way to this partition, and Kafka has just said so. Only then is
    /// silence a silence of the sources.
    pub caught_up: bool,
    /// Just now all of them had come as far as they were: none holds time for the others.
    pub lifts: bool,
}

impl Tick {
    /// Tells a rule that other partitions feed which those are, and lets none of them hold its time where
    /// nothing of them can be missing; where that comes to.
    fn lift(&self, state: &mut RuleState, rule: &Rule, feed: &[TopicPartition]) -> Option<i64> {
        if feed.is_empty() || rule.routes_by().is_none() {
            return None;
        }
        tell_sources(state, rule, feed);
        let sources = state.sources();
        let to_ms = if self.lifts { sources.furthest_ms() } else { sources.together_ms() };
        let to_ms = to_ms.filter(|to_ms| state.stream_ms().is_none_or(|now_ms| now_ms < *to_ms))?;
        go_on(state, to_ms);
        Some(to_ms)
    }

    /// Where stream time of a rule comes to; `None` = it stands still, or nothing waits for it.
    fn stream_ms(&self, state: &RuleState, rule: &Rule, partition_ms: Option<i64>) -> Option<i64> {
        let idle_ms = i64::try_from(rule.plan.idle_ms?).unwrap_or(i64::MAX);
        if !self.caught_up || self.quiet_ms < idle_ms {
            return None;
        }
        state.next_notice_ms()?;
        let stood = if rule.has_own_time() {
            state.stream_ms()
        } else {
            partition_ms.max(state.stream_ms())
        };
        // The first time, all of the silence counts.
        let is_first = self.quiet_ms - self.since_ms < idle_ms;
        let moved = if is_first { self.quiet_ms } else { self.since_ms };
        Some(stood?.saturating_add(moved))
    }
}

impl WorkerSet {
    /// Takes the state over from the set that evaluated until now.
    pub fn take_states(&mut self, old: &mut Self) {
        self.states = std::mem::take(&mut old.states);
        self.feed = std::mem::take(&mut old.feed);
    }

    /// Which partitions feed the repartition topic. Until that is said, the time of rules whose records go
    /// there stands still.
    pub fn set_feed(&mut self, feed: Vec<TopicPartition>) {
        self.feed = feed;
    }

    /// Whether some rule looks at more than one record.
    pub fn keeps_state(&self) -> bool {
        self.keeps_state
    }

    /// Whether time by itself may mean something in a partition that was quiet for so long.
    pub fn waits_for_time(
        &mut self,
        partition: &TopicPartition,
        wall_ms: i64,
        quiet_ms: i64,
    ) -> bool {
        self.slots.iter().any(|slot| {
            let Some(state) = self.states.get(partition, &slot.rule.name) else { return false };
            let holds = slot.rule.routes_by().is_some() && state.sources().hold(state.stream_ms());
            let idle =
                slot.rule.plan.idle_ms.is_some_and(|idle| quiet_ms >= 0 && quiet_ms as u64 >= idle);
            holds
                || idle && state.next_notice_ms().is_some()
                || state.next_wall_ms().is_some_and(|due| due <= wall_ms)
        })
    }

    /// Evaluates survivors of a rule that keeps state; `input` is the partition that its state belongs
    /// to, which is not the records' own where they were routed.
    pub(super) fn evaluate_stateful(
        &mut self,
        (index, at): (usize, usize),
        source: &Source<'_>,
        (input, matched): (&TopicPartition, &RuleBatch),
        out: &mut Evaluation,
    ) {
        let slot = &mut self.slots[at];
        let rule = Arc::clone(&slot.rule);
        // Migrated and taken back, or refused when it was restored.
        if let Some(Err(reason)) = slot.take_over(&mut self.states, input) {
            let mut report = RuleReport::new(&rule.name, &source.partition.topic, matched);
            let mut outcome = slot.refuse_all(&matched.batch, &reason);
            report.take(&mut outcome, &rule);
            let (rule, rows) = ((index as u32, rule.as_ref()), (&matched.rows[..], &[][..]));
            self.collected.add(source, rule, rows, outcome, &mut report);
            out.rules.push(report);
            return;
        }
        let Lent { mut state, adopted } = self.states.lend(input, &rule);
        state.begin_call();
        if state.stored_version().is_none() {
            state.set_version(rule.plan.version);
        }
        let own_time = source.origins.is_some() || rule.has_own_time();
        let end_ms = if own_time {
            let column = rule.event_time_column();
            if source.origins.is_some() && !self.feed.is_empty() && !state.sources().is_known() {
                tell_sources(&mut state, &rule, &self.feed);
            }
            let of = (source.partition, source.origins);
            let batch = (&matched.batch, column);
            self.moments.own(of, source.records, &matched.rows, batch, &mut state);
            state.stream_ms()
        } else {
            let floor = state.stream_ms();
            let of = (source.partition.partition, &self.streams[..], floor);
            self.moments.follow(of, source.records, &matched.rows);
            self.streams.last().copied().flatten().max(floor)
        };
        // Where no record had a time, rows say what it is for them.
        let end_ms = end_ms.or(self.moments.moments.last().map(|moment| moment.stream_ms));
        let batch = Input {
            partition: source.partition,
            batch: &matched.batch,
            rows: &matched.rows,
            moments: &self.moments.moments,
            records: &self.moments.records,
            end_ms,
            all: source.records,
            streams: if own_time { &[] } else { &self.streams[..] },
        };
        let mut call = Some(StateCall::new(state, &source.partition.topic, &rule.tables));
        let mut outcome = slot.evaluate_stateful(&batch, &mut call, self.clock.as_ref());
        self.states.give_back(input, &rule, returned(call));
        self.states.forget_way_back(input, &rule);
        if own_time {
            outcome.found_out(&self.moments.moments, |moment| Some(moment.stream_ms));
        } else {
            outcome.found_out(&self.streams, |stream_ms| *stream_ms);
        }
        if matched.rows.is_empty() && outcome.is_empty() && adopted.is_none() {
            return;
        }
        let mut report = RuleReport::new(&rule.name, &source.partition.topic, matched);
        if source.origins.is_some() {
            // They were counted on their way here.
            (report.matched, report.mismatched) = (0, 0);
        }
        report.take(&mut outcome, &rule);
        report.adopted = adopted;
        // A declared event time says how old an alert is; else its record's timestamp does.
        let declared = rule.event_time_column().map_or(&[][..], |_| &self.moments.moments);
        let (rule, rows) = ((index as u32, rule.as_ref()), (&matched.rows[..], declared));
        self.collected.add(source, rule, rows, outcome, &mut report);
        out.rules.push(report);
    }

    /// Evaluates records of the repartition topic, each for the rule that it was routed for.
    pub(super) fn evaluate_routed(
        &mut self,
        partition: &TopicPartition,
        records: &[Record<'_>],
        out: &mut Evaluation,
    ) {
        let set = Arc::clone(&self.set);
        let mut batch = BatchReport {
            topic: Arc::clone(&partition.topic),
            records: records.len() as u64,
            undecodable: 0,
            strays: 0,
        };
        let (routed, strays) = route::by_rule(records);
        batch.strays = strays;
        for routed in routed {
            // The rule may be gone, or no longer read this topic: as if it had not been there when
            // the record came.
            let Some(matcher) = set.routed.get(&*routed.rule) else { continue };
            let Some(&at) = self.by_name.get(&*routed.rule) else { continue };
            let from = TopicPartition::new(Arc::clone(&routed.topic), partition.partition);
            let inner = routed.records();
            let mut survivors = std::mem::take(&mut self.survivors);
            let number = partition.partition;
            matcher.scan(&from.topic, number, &inner, &mut self.scratch, &mut survivors);
            let source = Source {
                partition: &from,
                records: &inner,
                origins: Some(&routed.partitions),
                generation: set.generation,
                ticked_ms: None,
            };
            batch.undecodable += survivors.undecodable.len() as u64;
            for undecodable in &survivors.undecodable {
                let message = undecodable.error.to_string();
                self.collected.undecodable(&source, undecodable.record, message);
            }
            if !survivors.matched.is_empty() {
                let matched = (partition, &survivors.batches[0]);
                self.evaluate_stateful((0, at), &source, matched, out);
            }
            self.survivors = survivors;
            self.collected.drain_into(out);
        }
        out.batches.push(batch);
    }

    /// Lets time go on where no record comes. `offset` is the partition's next one.
    pub fn tick(
        &mut self,
        partition: &TopicPartition,
        tick: Tick,
        offset: i64,
        out: &mut Evaluation,
    ) {
        let set = Arc::clone(&self.set);
        let partition_ms = self.states.stream_ms(partition);
        let TopicPartition { topic, partition: number } = partition;
        let next = RecordId { topic: Arc::clone(topic), partition: *number, offset };
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let rule = Arc::clone(&slot.rule);
            let kept = self.states.get(partition, &rule.name);
            let is_current = |kept: &RuleState| {
                kept.stored_version().is_none_or(|stored| stored == rule.plan.version)
            };
            if !rule.keeps_state() || rule.health.is_quarantined() || !kept.is_some_and(is_current)
            {
                continue;
            }
            let Lent { mut state, adopted } = self.states.lend(partition, &rule);
            state.begin_call();
            let lifted_ms = tick.lift(&mut state, &rule, &self.feed);
            let until_ms = tick.stream_ms(&state, &rule, partition_ms).or(lifted_ms);
            let is_due = state.next_wall_ms().is_some_and(|due| due <= tick.wall_ms);
            // What was dropped when it took its state up is told, whatever time does.
            if until_ms.is_none() && !is_due && adopted.is_none() {
                self.states.give_back(partition, &rule, state);
                continue;
            }
            if let Some(until_ms) = until_ms {
                go_on(&mut state, until_ms);
            }
            let until_ms = until_ms.or(state.stream_ms()).unwrap_or(i64::MIN);
            let wall_ms = tick.wall_ms;
            let mut call = Some(StateCall::new(state, topic, &rule.tables));
            let (mut outcome, clock) = (Outcome::default(), self.clock.as_ref());
            let place = |_| (0, next.clone());
            if let Some(lifted_ms) = lifted_ms {
                // It is records that say so, not the wall clock.
                let times = (i64::MIN, lifted_ms, None);
                slot.elapse(times, &place, &mut call, clock, &mut outcome);
                outcome.found_out(&[lifted_ms], |ms| Some(*ms));
            }
            let times = (lifted_ms.unwrap_or(i64::MIN), until_ms, Some(wall_ms));
            slot.elapse(times, &place, &mut call, clock, &mut outcome);
            self.states.give_back(partition, &rule, returned(call));
            self.states.forget_way_back(partition, &rule);
            let none = RuleBatch::default();
            let source = Source {
                partition,
                records: &[],
                origins: None,
                generation: set.generation,
                ticked_ms: Some(wall_ms),
            };
            let mut report = RuleReport::new(&rule.name, &partition.topic, &none);
            report.take(&mut outcome, &rule);
            report.adopted = adopted;
            let rule = (index as u32, rule.as_ref());
            self.collected.add(&source, rule, (&[], &[]), outcome, &mut report);
            out.rules.push(report);
        }
        self.collected.drain_into(out);
    }
}

/// Moves a rule's time on, from where it does not go back.
fn go_on(state: &mut RuleState, to_ms: i64) {
    if !state.sources().has_begun() && state.sources().is_known() {
        let mut sources = (*state.sources()).clone();
        sources.begin();
        state.set_sources(sources);
    }
    state.advance(to_ms);
}

/// Tells a rule's state which partitions of the rule's topics there are.
fn tell_sources(state: &mut RuleState, rule: &Rule, feed: &[TopicPartition]) {
    let mut sources = (*state.sources()).clone();
    let topics = &rule.subscription.topics;
    let own = feed.iter().filter(|one| topics.iter().any(|of| **of == *one.topic));
    sources.tell(own.map(|one| (&one.topic, one.partition)));
    state.set_sources(sources);
}

/// The state that a call was lent. It is always given back; an empty one would be restored wrongly.
fn returned(call: Option<Box<StateCall>>) -> RuleState {
    debug_assert!(call.is_some(), "an instance keeps the state that it was lent");
    call.map_or_else(|| RuleState::new(usize::MAX), |call| call.state)
}
