//! A rule that keeps state, and its batch: records and what time does come to it in their order.
//!
//! A call ends before the row at whose stream time the rule must be told something; a call that itself
//! sets such a time inside its rows is undone and made again up to there. So the cut of batches
//! changes nothing. A call that fails is undone in the state as well.

use std::ops::Range;
use std::sync::Arc;

use firebell_state::{Firing, Moment};

use crate::batch::Batch;
use crate::effect::{Effect, RowEffect};
use crate::engine::{CallFailure, Called, StateCall};
use crate::evaluation::evidence::{attach, attach_closed};
use crate::evaluation::health::LastFailure;
use crate::evaluation::input::{Input, Place};
use crate::evaluation::slice::slice;
use crate::evaluation::slot::{CallReport, Clock, Failed, Outcome, Slot};
use crate::record::RecordId;

/// Something that time did, and what the rule made of it.
#[derive(Debug)]
pub(super) struct Fired {
    /// The index of the record before which it happened.
    pub(super) before: u32,
    /// The record that made time go on, or that set a time that had passed.
    pub(super) record: RecordId,
    /// When it was due.
    pub(super) due_ms: i64,
    /// When it was found out; see [`Outcome::found_out`].
    pub(super) event_ms: i64,
    pub(super) firing: Firing,
    pub(super) effects: Vec<Effect>,
    /// The rule failed on it.
    pub(super) failure: Option<CallFailure>,
}

/// A record that came too late for a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateReport {
    /// The record.
    pub record: RecordId,
    /// The window's name.
    pub window: String,
    /// Whether it would have crossed with this record.
    pub would_cross: bool,
}

/// Times at which a rule is told something between two records; a timer that keeps setting itself for the
/// past would never end, and goes on behind the next record.
const FIRINGS_MAX: usize = 10_000;

impl Outcome {
    /// Notes when each firing was found out: at the first of these stream times that is not before
    /// it was due. With sparse records that may be long after.
    pub(super) fn found_out<T>(&mut self, times: &[T], stream_ms: impl Fn(&T) -> Option<i64>) {
        // Before the time of a rule has begun it may go back.
        let is_sorted = self.fired.is_empty() || times.is_sorted_by_key(&stream_ms);
        for fired in &mut self.fired {
            // Where there is no time yet, rows have zero: see `Moments::follow`.
            let before = |time: &T| stream_ms(time).unwrap_or(0) < fired.due_ms;
            let found = if is_sorted {
                times.get(times.partition_point(before))
            } else {
                times.iter().find(|time| !before(time))
            };
            let found = found.and_then(&stream_ms);
            fired.event_ms = found.unwrap_or(fired.due_ms);
        }
    }
}

impl Slot {
    /// Shows the rule the rows of `input` and tells it what time did meanwhile; `state` is there
    /// before and after.
    pub(super) fn evaluate_stateful(
        &mut self,
        input: &Input<'_>,
        state: &mut Option<Box<StateCall>>,
        clock: Option<&Clock>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let rows = input.batch.offsets.len();
        let (mut from, mut single_until, mut cut_at) = (0, 0, None);
        loop {
            if self.rule.health.is_quarantined() {
                outcome.failed.extend((from..rows).map(|row| (row as u32, Failed::Quarantined)));
                break;
            }
            if let Some(until) = input.stream_ms(from) {
                let reached = from.checked_sub(1).and_then(|row| input.moments.get(row));
                let reached = reached.map_or(i64::MIN, |moment| moment.stream_ms);
                // What the last row set for a time that had come is told, even where time went back.
                let times = (reached, until.max(reached), None);
                let place = |due_ms| input.place(from, due_ms);
                self.elapse(times, &place, state, clock, &mut outcome);
            }
            if from >= rows {
                break;
            }
            let limit = match cut_at.take() {
                Some(limit) => limit,
                None if from < single_until => from + 1,
                None => self.part_end(input.batch, from),
            };
            let end = input.cut(from, limit, state);
            let before = (outcome.effects.len(), outcome.late.len());
            begin(state);
            match self.call_stateful(input, from..end, state, clock, &mut outcome) {
                Ok(()) => {
                    let own = state.as_ref().and_then(|state| state.cut).unwrap_or(u32::MAX);
                    let cut = input.cut(from, end, state).min(from.saturating_add(own as usize));
                    if cut < end {
                        // It set a time that comes inside its own rows.
                        undo(state);
                        outcome.effects.truncate(before.0);
                        outcome.late.truncate(before.1);
                        cut_at = Some(cut);
                    } else {
                        from = end;
                    }
                }
                Err(failure) => {
                    undo(state);
                    outcome.late.truncate(before.1);
                    if end - from > 1 {
                        single_until = end;
                    } else {
                        self.lost(input, from, failure, &mut outcome);
                        from = end;
                    }
                }
            }
        }
        if let (Some(state), Some(end_ms)) = (state.as_deref_mut(), input.end_ms) {
            state.state.begin_call();
            state.state.expire(end_ms);
        }
        self.retire_when_fat();
        outcome
    }

    /// Gives all records up, since the rule cannot work with its state.
    pub(super) fn refuse_all(&mut self, batch: &Batch, reason: &str) -> Outcome {
        let mut outcome = Outcome::default();
        for (row, offset) in batch.offsets.iter().enumerate() {
            let failed = if self.rule.health.is_quarantined() {
                Failed::Quarantined
            } else {
                let failure = CallFailure::invalid_state(reason);
                let (topic, partition) = (Arc::clone(&batch.topic), batch.partition);
                let record = RecordId { topic, partition, offset: *offset };
                outcome.quarantined |= self.failed(record, &failure);
                Failed::Call(failure)
            };
            outcome.failed.push((row as u32, failed));
        }
        outcome
    }

    /// Tells the rule all that is due from one stream time until another, and by the wall clock where it
    /// is given; `place` says where something happens that is due at a time.
    pub(super) fn elapse(
        &mut self,
        (mut reached_ms, until_ms, wall_ms): (i64, i64, Option<i64>),
        place: &dyn Fn(i64) -> Place,
        state: &mut Option<Box<StateCall>>,
        clock: Option<&Clock>,
        outcome: &mut Outcome,
    ) {
        for _ in 0..FIRINGS_MAX {
            begin(state);
            let Some((due_ms, firings)) = fire(state, until_ms) else { break };
            // A timer that was set for the past fires now.
            reached_ms = reached_ms.max(due_ms);
            let times = (reached_ms, wall_ms);
            self.tell(&firings, times, &place(due_ms), state, clock, outcome);
        }
        let Some(wall_ms) = wall_ms else { return };
        begin(state);
        let firings = state.as_mut().map(|state| state.state.fire_wall(wall_ms));
        if let Some(firings) = firings.filter(|firings| !firings.is_empty()) {
            let times = (until_ms, Some(wall_ms));
            self.tell(&firings, times, &place(until_ms), state, clock, outcome);
        }
    }

    /// Tells firings that are out of the state already; one that fails alone is given up.
    fn tell(
        &mut self,
        firings: &[Firing],
        times: (i64, Option<i64>),
        place: &Place,
        state: &mut Option<Box<StateCall>>,
        clock: Option<&Clock>,
        outcome: &mut Outcome,
    ) {
        let fired = |firing: &Firing| Fired {
            before: place.0,
            record: place.1.clone(),
            due_ms: times.0,
            event_ms: match (firing, times.1) {
                // Where no record comes, a timer says how things are now.
                (Firing::Timer { .. }, Some(wall_ms)) => wall_ms,
                _ => times.0,
            },
            firing: firing.clone(),
            effects: Vec::new(),
            failure: None,
        };
        match self.call_elapsed(firings, times, state, clock, outcome) {
            Ok(effects) => {
                let first = outcome.fired.len();
                outcome.fired.extend(firings.iter().map(fired));
                for RowEffect { row, mut effect } in effects {
                    if let Some(fired) = outcome.fired.get_mut(first + row as usize) {
                        attach_closed(&mut effect, &fired.firing);
                        fired.effects.push(effect);
                    }
                }
            }
            Err(failure) if firings.len() == 1 => {
                outcome.quarantined |= self.failed(place.1.clone(), &failure);
                let failed = firings.iter().map(fired);
                outcome
                    .fired
                    .extend(failed.map(|one| Fired { failure: Some(failure.clone()), ..one }));
            }
            Err(_) => {
                for firing in firings {
                    self.tell(std::slice::from_ref(firing), times, place, state, clock, outcome);
                }
            }
        }
    }

    fn call_elapsed(
        &mut self,
        firings: &[Firing],
        (stream_ms, wall_ms): (i64, Option<i64>),
        state: &mut Option<Box<StateCall>>,
        clock: Option<&Clock>,
        outcome: &mut Outcome,
    ) -> Result<Vec<RowEffect>, CallFailure> {
        begin(state);
        if let Some(state) = state {
            state.moments.clear();
            state.moments.resize(firings.len(), Moment { event_ms: stream_ms, stream_ms });
            state.records.clear();
            state.shown.clear();
        }
        let start = clock.map(|now| now());
        let called = self
            .prepare()
            .and_then(|instance| instance.elapsed(firings, (stream_ms, wall_ms), state));
        let mut called = self.finished(called, firings.len(), (clock, start), outcome);
        if let (Ok(effects), Some(state)) = (&mut called, state.as_ref()) {
            attach(effects, &state.shown);
        }
        if called.is_err() {
            undo(state);
        }
        called
    }

    /// Calls with the rows `part`; their effects go to `outcome`, a failure gives none.
    fn call_stateful(
        &mut self,
        input: &Input<'_>,
        part: Range<usize>,
        state: &mut Option<Box<StateCall>>,
        clock: Option<&Clock>,
        outcome: &mut Outcome,
    ) -> Result<(), CallFailure> {
        if let Some(state) = state {
            state.moments.clear();
            state.moments.extend_from_slice(&input.moments[part.clone()]);
            state.records.clear();
            state.records.extend_from_slice(&input.records[part.clone()]);
            state.late.clear();
            state.shown.clear();
            state.cut = None;
        }
        let start = clock.map(|now| now());
        let called = if part.len() == input.batch.offsets.len() {
            self.prepare().and_then(|instance| instance.evaluate_with(input.batch, state))
        } else {
            let mut rows = std::mem::take(&mut self.part);
            slice(input.batch, part.clone(), &mut rows);
            let called = self.prepare().and_then(|instance| instance.evaluate_with(&rows, state));
            self.part = rows;
            called
        };
        let mut effects = self.finished(called, part.len(), (clock, start), outcome)?;
        if let Some(state) = state {
            attach(&mut effects, &state.shown);
        }
        let first = part.start as u32;
        outcome.effects.extend(
            effects
                .into_iter()
                .map(|RowEffect { row, effect }| RowEffect { row: row + first, effect }),
        );
        for late in state.iter_mut().flat_map(|state| state.late.drain(..)) {
            let window = self.rule.plan.windows.get(late.window as usize);
            outcome.late.push(LateReport {
                record: input.id(part.start + late.row as usize),
                window: window.map(|window| window.name.clone()).unwrap_or_default(),
                would_cross: late.would_cross,
            });
        }
        Ok(())
    }

    /// Takes note of an ended call.
    fn finished(
        &mut self,
        called: Result<Called, CallFailure>,
        rows: usize,
        (clock, start): (Option<&Clock>, Option<std::time::Duration>),
        outcome: &mut Outcome,
    ) -> Result<Vec<RowEffect>, CallFailure> {
        let duration = clock.zip(start).map(|(now, start)| now().saturating_sub(start));
        let report = |fuel, failure| CallReport { rows, fuel, failure, duration };
        match called {
            Ok(Called { effects, fuel, logs }) => {
                outcome.calls.push(report(fuel, None));
                self.keep_logs(logs, outcome);
                self.rule.health.succeeded();
                Ok(effects)
            }
            Err(mut failure) => {
                self.instance = None;
                outcome.calls.push(report(failure.fuel, Some(failure.reason)));
                self.keep_logs(std::mem::take(&mut failure.logs), outcome);
                Err(failure)
            }
        }
    }

    /// A record is given up for this rule.
    fn lost(&mut self, input: &Input<'_>, row: usize, failure: CallFailure, outcome: &mut Outcome) {
        outcome.quarantined |= self.failed(input.id(row), &failure);
        outcome.failed.push((row as u32, Failed::Call(failure)));
    }

    /// Counts a failure; true when it put the rule into quarantine.
    fn failed(&self, record: RecordId, failure: &CallFailure) -> bool {
        let last = LastFailure { record, reason: failure.reason, message: failure.message.clone() };
        self.rule.health.failed_record(last, self.rule.limits.quarantine_after)
    }
}

fn begin(state: &mut Option<Box<StateCall>>) {
    if let Some(state) = state {
        state.state.begin_call();
    }
}

fn undo(state: &mut Option<Box<StateCall>>) {
    if let Some(state) = state {
        state.state.undo_call();
    }
}

fn fire(state: &mut Option<Box<StateCall>>, until_ms: i64) -> Option<(i64, Vec<Firing>)> {
    state.as_mut()?.state.fire(until_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(due_ms: i64) -> Fired {
        let due = firebell_state::Due::EventTime(due_ms);
        Fired {
            before: 0,
            record: RecordId { topic: "".into(), partition: -1, offset: 0 },
            due_ms,
            event_ms: due_ms,
            firing: Firing::Timer { key: vec![], due },
            effects: vec![],
            failure: None,
        }
    }

    #[test]
    fn what_time_does_is_found_out_when_stream_time_comes_there() {
        let fired = [5, 10, 11, 500].map(fired).into();
        let mut outcome = Outcome { fired, ..Outcome::default() };
        let times = [None, Some(3), Some(10), Some(10), Some(90)];
        outcome.found_out(&times, |ms| *ms);
        let found: Vec<i64> = outcome.fired.iter().map(|fired| fired.event_ms).collect();
        assert_eq!(found, [10, 10, 90, 500]);
    }
}
