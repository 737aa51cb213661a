//! Rules tested natively, by `cargo test`, through the code that a host calls.
//!
//! The condition is the host's to evaluate: rows given here count as records that passed it.
//!
//! ```
//! # use firebell_rule::{Config, Effects, Notification, Record, Rule, Subscription};
//! # struct Loud;
//! # impl Rule for Loud {
//! #     fn new(_: Config) -> Result<Self, String> { Ok(Self) }
//! #     fn subscribe(&self) -> Subscription { Subscription::new().text("message", "/message") }
//! #     fn record(&self, record: &Record<'_>, out: &mut Effects) {
//! #         match record.text("message") {
//! #             Some(message) => out.notify(Notification::fire(message.to_uppercase())),
//! #             None => firebell_rule::warn!("no message at offset {}", record.offset()),
//! #         }
//! #     }
//! # }
//! use firebell_rule::testing::{Harness, Row};
//!
//! let rule = Harness::<Loud>::new("{}").unwrap();
//! let outcome = rule.evaluate([Row::new().set("message", "help"), Row::new()]).unwrap();
//! assert_eq!(outcome.notifications()[0].title, "HELP");
//! assert_eq!(outcome.logs[0].message, "no message at offset 1");
//! ```
//!
//! A rule with state sees the windows, values and timers that it would see in a host: by the same
//! code, with batches cut where time has something to tell. [`Row::timestamp_ms`] makes time go on,
//! [`Harness::advance_to`] does without a record, and [`Harness::restart`] forgets all that is not
//! state.

pub(crate) mod host;
mod plan;
mod row;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use firebell_state::{Evidence, Moment, Plan, RuleState};

use self::host::{Place, World};
use crate::effects::{Effect, RowEffect};
use crate::instance::Instance;
use crate::log::Level;
use crate::{Entries, Notification, Rule, Subscription};

pub use row::{Row, Value};

thread_local! {
    /// What the rule logged on this thread since it was last taken.
    static LOGS: RefCell<Vec<LogLine>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn log(level: Level, message: &str) {
    LOGS.with_borrow_mut(|logs| logs.push(LogLine { level, message: message.to_owned() }));
}

/// A line that the rule logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The text.
    pub message: String,
}

/// What a batch, or time, led to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What the rule asked for, in order. What it asked for when time went on has the row that
    /// made time go on.
    pub effects: Vec<RowEffect>,
    /// What it logged, in order.
    pub logs: Vec<LogLine>,
    /// How many adds came too late for a window.
    pub late: usize,
}

impl Outcome {
    /// The notifications, in order.
    pub fn notifications(&self) -> Vec<&Notification> {
        self.effects
            .iter()
            .filter_map(|effect| match &effect.effect {
                Effect::Notify(notification) => Some(notification),
                Effect::Emit { .. } => None,
            })
            .collect()
    }

    /// The topics that records were emitted to, in order.
    pub fn emitted_to(&self) -> Vec<&str> {
        self.effects
            .iter()
            .filter_map(|effect| match &effect.effect {
                Effect::Emit { topic, .. } => Some(topic.as_str()),
                Effect::Notify(_) => None,
            })
            .collect()
    }
}

/// State of a rule in a test: no operator gives more by default.
const STATE_BYTES_MAX: usize = 64 << 20;

/// How often time may go on without getting further: a timer that sets itself for the past.
const ELAPSED_MAX: usize = 100_000;

/// A rule as a host would have it: described, and ready for batches of one partition.
pub struct Harness<R> {
    instance: Instance<R>,
    config_json: String,
    subscription: Subscription,
    plan: Arc<Plan>,
    /// What the host keeps for the rule; none while a call has it.
    world: RefCell<Option<World>>,
    /// The largest event time that was seen.
    stream_ms: Cell<i64>,
    /// The offset of the next record.
    next_offset: Cell<i64>,
}

impl<R: Rule> Harness<R> {
    /// Makes the rule from a configuration, the text of a JSON object.
    ///
    /// # Errors
    ///
    /// What the operator would read.
    pub fn new(config_json: &str) -> Result<Self, String> {
        let (instance, subscription, plan) = describe(config_json)?;
        let mut state = RuleState::new(STATE_BYTES_MAX);
        state.adopt(plan.clone());
        Ok(Self {
            instance,
            config_json: config_json.to_owned(),
            subscription,
            plan,
            world: RefCell::new(Some(World::new(state))),
            stream_ms: Cell::new(i64::MIN),
            next_offset: Cell::new(0),
        })
    }

    /// What the rule asked for.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Puts a value into a lookup table; `None` takes it out.
    pub fn table(&self, table: &str, key: impl AsRef<[u8]>, value: Option<&[u8]>) {
        self.with_world(|world| {
            let table: &mut BTreeMap<_, _> = world.tables.entry(table.to_owned()).or_default();
            match value {
                Some(value) => table.insert(key.as_ref().to_owned(), value.to_owned()),
                None => table.remove(key.as_ref()),
            };
        });
    }

    /// The value that the rule keeps for a key.
    pub fn value(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let stream_ms = self.stream_ms.get();
        self.with_world(|world| world.state.get(stream_ms, key.as_ref()).map(|value| value.to_vec()))
    }

    /// Gives the rule a batch: records of partition 0 of its first topic (or `TEST`), at offsets
    /// that begin at 0 and go on from batch to batch. A record without a timestamp does not make
    /// time go on.
    ///
    /// # Errors
    ///
    /// The reason that the rule gave to [`Effects::fail`](crate::Effects::fail). What the call that
    /// failed has changed is undone; a host would give it the records again, one by one.
    ///
    /// # Panics
    ///
    /// When the rule does, and when a row has a field that the rule did not declare, or a value of
    /// another type: the test is wrong then.
    pub fn evaluate(&self, rows: impl IntoIterator<Item = Row>) -> Result<Outcome, String> {
        let rows: Vec<Row> = rows.into_iter().collect();
        let places = self.places(&rows);
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
                let called =
                    self.call(&places[at..end], || self.instance.evaluate(batch.clone()))?;
                // The call may have made something that is due at one of its later rows.
                let shorter = cut(&places, at, end, self.next_notice_ms());
                if shorter == end {
                    outcome.add(called, |row| row + at as u32);
                    break;
                }
                self.with_world(|world| world.state.undo_call());
                end = shorter;
            }
            self.stream_ms.set(places[end - 1].moment.stream_ms);
            at = end;
        }
        self.elapse(self.stream_ms.get(), rows.len().saturating_sub(1), &mut outcome)?;
        Ok(outcome)
    }

    /// Lets event time go on without a record, as a host does for a rule that declares
    /// [`State::idle`](crate::State::idle): fires the timers and closes the windows that are due.
    ///
    /// # Errors
    ///
    /// The reason that the rule gave to [`Effects::fail`](crate::Effects::fail).
    ///
    /// # Panics
    ///
    /// When the rule does, and when it sets timers for the past without end.
    pub fn advance_to(&self, stream_ms: i64) -> Result<Outcome, String> {
        self.stream_ms.set(self.stream_ms.get().max(stream_ms));
        let mut outcome = Outcome::default();
        self.elapse(self.stream_ms.get(), 0, &mut outcome)?;
        Ok(outcome)
    }

    /// Lets the wall clock go on: fires the timers that wait for it.
    ///
    /// # Errors
    ///
    /// The reason that the rule gave to [`Effects::fail`](crate::Effects::fail).
    ///
    /// # Panics
    ///
    /// When the rule does.
    pub fn wall_clock_at(&self, now_ms: i64) -> Result<Outcome, String> {
        let mut outcome = Outcome::default();
        let stream_ms = self.stream_ms.get().max(0);
        let firings = self.with_world(|world| {
            world.state.begin_call();
            world.state.fire_wall(now_ms)
        });
        if !firings.is_empty() {
            self.fire(firings, stream_ms, Some(now_ms), 0, &mut outcome)?;
        }
        Ok(outcome)
    }

    /// Drops the instance and makes a new one, as after a trap, a reload or a move: only what the
    /// host keeps is left.
    ///
    /// # Panics
    ///
    /// When the rule refuses the configuration that it took before.
    #[allow(clippy::expect_used, reason = "a wrong rule must fail its test")]
    pub fn restart(&mut self) {
        let (instance, ..) = describe(&self.config_json).expect("a rule describes itself again");
        self.instance = instance;
    }

    /// Has the rule read the state of another version; see [`Rule::migrate`].
    ///
    /// # Errors
    ///
    /// What the operator would read.
    pub fn migrate(&self, from: u32, entries: Entries) -> Result<Entries, String> {
        self.instance.migrate(from, entries)
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
    fn elapse(&self, stream_ms: i64, row: usize, outcome: &mut Outcome) -> Result<(), String> {
        for _ in 0..ELAPSED_MAX {
            let fired = self.with_world(|world| {
                world.state.begin_call();
                world.state.fire(stream_ms)
            });
            let Some((due_ms, firings)) = fired else { return Ok(()) };
            self.fire(firings, due_ms, None, row, outcome)?;
        }
        panic!("the rule sets timers for the past without end")
    }

    /// Tells the rule of what time did.
    fn fire(
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
        LOGS.take();
        let mut running = host::run(&self.world, places);
        let mut effects = call()?;
        effects.sort_by_key(|effect| effect.row);
        Ok(Outcome { effects, logs: LOGS.take(), late: running.done() })
    }

    fn next_notice_ms(&self) -> Option<i64> {
        self.with_world(|world| world.state.next_notice_ms())
    }

    #[allow(clippy::expect_used, reason = "a wrong test must fail")]
    fn with_world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(self.world.borrow_mut().as_mut().expect("the harness is not used by the rule"))
    }

    fn topic(&self) -> String {
        self.subscription.topics.first().map_or("TEST", String::as_str).to_owned()
    }
}

impl Outcome {
    fn add(&mut self, other: Self, row: impl Fn(u32) -> u32) {
        let effect = |RowEffect { row: of, effect }| RowEffect { row: row(of), effect };
        self.effects.extend(other.effects.into_iter().map(effect));
        self.logs.extend(other.logs);
        self.late += other.late;
    }
}

/// The end of a call that begins at row `at`: before the first later row whose stream time reaches
/// what is due.
fn cut(places: &[Place], at: usize, end: usize, due_ms: Option<i64>) -> usize {
    let Some(due_ms) = due_ms else { return end };
    let later = at + 1..end;
    later.into_iter().find(|row| places[*row].moment.stream_ms >= due_ms).unwrap_or(end)
}

/// A new instance, what it asked for and what it keeps.
fn describe<R: Rule>(
    config_json: &str,
) -> Result<(Instance<R>, Subscription, Arc<Plan>), String> {
    let instance = Instance::new();
    let subscription = instance.describe(config_json.to_owned())?;
    let plan = plan::checked(&instance.declare(), &subscription)?;
    Ok((instance, subscription, Arc::new(plan)))
}
