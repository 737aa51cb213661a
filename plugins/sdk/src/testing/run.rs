//! How a harness calls a rule: batches are cut where time has something to tell, as in a host.

use std::sync::Arc;

use firebell_state::{Evidence, Moment};

use super::host::{self, Place, World};
use super::outcome::{Outcome, take_logs};
use super::row::{self, Row};
use super::{Harness, plan};
use crate::Rule;
use crate::effects::RowEffect;

/// How often time may go on without getting further: a timer that sets itself for the past.
const ELAPSED_MAX: usize = 100_000;

impl<R: Rule> Harness<R> {
    pub(super) fn evaluate_rows(&self, rows: &[Row]) -> Result<Outcome, String> {
        let places = self.places(rows);
        let mut outcome = Outcome::default();
        let mut at = 0;
        while at < rows.len() {
            self.elapse(places[at].moment.stream_ms, at, &mut outcome)?;
            let due = self.next_notice_ms();
            let mut end = cut(&places, at, rows.len(), due);
            loop {
                let batch = row::batch(
                    &self.subscription,
                    &self.topic(),
                    places[at].evidence.offset,
                    &rows[at..end],
                );
                let called = self.call(&places[at..end], || self.instance.evaluate(batch))?;
                // The call may have made something that is due at one of its later rows, or was
                // due there before it was set for later.
                let shorter = cut(&places, at, end, self.next_notice_ms());
                let due_row = self.with_world(|world| world.due_row);
                let shorter = due_row.map_or(shorter, |row| shorter.min(at + row));
                if shorter == end {
                    outcome.add(called, |row| row + at as u32);
                    break;
                }
                self.with_world(|world| world.state.undo_call());
                end = shorter;
            }
            self.reached(places[end - 1].moment.stream_ms);
            at = end;
        }
        self.elapse(self.stream_ms.get(), rows.len().saturating_sub(1), &mut outcome)?;
        Ok(outcome)
    }

    /// Where the rows are, and when.
    fn places(&self, rows: &[Row]) -> Vec<Place> {
        let topic: Arc<str> = self.topic().into();
        let mut stream_ms = self.stream_ms.get();
        let first = self.next_offset.get();
        self.next_offset.set(first + rows.len() as i64);
        let place = |(offset, row): (i64, &Row)| {
            let of_field = self.plan.event_time.as_ref().and_then(|name| row.integer(name));
            let event_ms = of_field.or(row.timestamp_ms).unwrap_or(stream_ms.max(0));
            stream_ms = stream_ms.max(event_ms);
            let timestamp_ms = row.timestamp_ms.unwrap_or(-1);
            Place {
                moment: Moment { event_ms, stream_ms },
                evidence: Evidence { topic: topic.clone(), partition: 0, offset, timestamp_ms },
            }
        };
        (first..).zip(rows).map(place).collect()
    }

    /// Fires all that is due at a stream time, one time after the other.
    #[allow(clippy::panic, reason = "a wrong rule must fail its test")]
    pub(super) fn elapse(
        &self,
        stream_ms: i64,
        row: usize,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        for _ in 0..ELAPSED_MAX {
            let fired = self.with_world(|world| {
                world.state.begin_call();
                world.state.fire(stream_ms)
            });
            let Some((due_ms, firings)) = fired else { return Ok(()) };
            self.reached(due_ms);
            self.fire(firings, self.stream_ms.get(), None, row, outcome)?;
        }
        panic!("the rule sets timers for the past without end")
    }

    /// Tells the rule of what time did.
    pub(super) fn fire(
        &self,
        firings: Vec<firebell_state::Firing>,
        stream_ms: i64,
        wall_ms: Option<i64>,
        row: usize,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let place = Place {
            moment: Moment { event_ms: stream_ms, stream_ms },
            evidence: Evidence {
                topic: self.topic().into(),
                partition: 0,
                offset: -1,
                timestamp_ms: stream_ms,
            },
        };
        let places = vec![place; firings.len()];
        let firings: Vec<_> = firings.into_iter().map(plan::lower_firing).collect();
        let called =
            self.running(&places, || self.instance.elapsed(firings, stream_ms, wall_ms))?;
        outcome.add(called, |_| row as u32);
        Ok(())
    }

    /// Calls the rule about rows.
    fn call(
        &self,
        places: &[Place],
        call: impl FnOnce() -> Result<Vec<RowEffect>, String>,
    ) -> Result<Outcome, String> {
        self.with_world(|world| world.state.begin_call());
        self.running(places, call)
    }

    /// Calls the rule in a call that has begun; a failure undoes it.
    fn running(
        &self,
        places: &[Place],
        call: impl FnOnce() -> Result<Vec<RowEffect>, String>,
    ) -> Result<Outcome, String> {
        take_logs();
        let mut running = host::run(&self.world, places);
        let mut effects = call()?;
        effects.sort_by_key(|effect| effect.row);
        Ok(Outcome { effects, logs: take_logs(), late: running.done() })
    }

    /// Stream time is at this; it does not go back.
    pub(super) fn reached(&self, stream_ms: i64) {
        let stream_ms = self.stream_ms.get().max(stream_ms);
        self.stream_ms.set(stream_ms);
        self.with_world(|world| world.state.advance(stream_ms));
    }

    fn next_notice_ms(&self) -> Option<i64> {
        self.with_world(|world| world.state.next_notice_ms())
    }

    #[allow(clippy::expect_used, reason = "a wrong test must fail")]
    pub(super) fn with_world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(self.world.borrow_mut().as_mut().expect("the harness is not used by the rule"))
    }

    pub(super) fn topic(&self) -> String {
        self.subscription.topics.first().map_or("TEST", String::as_str).to_owned()
    }
}

/// The end of a call that begins at row `at`: before the first later row whose stream time reaches
/// what is due.
fn cut(places: &[Place], at: usize, end: usize, due_ms: Option<i64>) -> usize {
    let Some(due_ms) = due_ms else { return end };
    let later = at + 1..end;
    later.into_iter().find(|row| places[*row].moment.stream_ms >= due_ms).unwrap_or(end)
}
