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
mod outcome;
mod plan;
mod row;
mod run;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use firebell_state::{Plan, RuleState};

use self::host::World;
use crate::instance::Instance;
use crate::{Rule, Subscription};

pub(crate) use outcome::log;
pub use outcome::{LogLine, Outcome};
pub use row::{Row, Value};

/// State of a rule in a test: no operator gives more by default.
const STATE_BYTES_MAX: usize = 64 << 20;

/// A rule as a host would have it: described, and ready for batches of one partition.
pub struct Harness<R> {
    instance: Instance<R>,
    config_json: String,
    subscription: Subscription,
    plan: Arc<Plan>,
    /// What the host keeps for the rule; none while a call has it.
    world: RefCell<Option<World>>,
    /// The largest event time that was seen, milliseconds since the Unix epoch.
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
        state.set_version(plan.version);
        Ok(Self {
            instance,
            config_json: config_json.to_owned(),
            subscription,
            plan,
            world: RefCell::new(Some(World::new(state, BTreeMap::new()))),
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
        self.with_world(|world| {
            let value = world.state.get(stream_ms, key.as_ref()).ok().flatten();
            value.map(<[u8]>::to_vec)
        })
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
        self.evaluate_rows(&rows.into_iter().collect::<Vec<_>>())
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
        let mut outcome = Outcome::default();
        self.elapse(stream_ms, 0, &mut outcome)?;
        self.reached(stream_ms);
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

    /// Puts another version of the rule in its place: it takes over the state, by
    /// [`Rule::migrate`] where that has another version.
    ///
    /// # Errors
    ///
    /// What the operator would read; a host keeps the old version running.
    pub fn reload<S: Rule>(self, config_json: &str) -> Result<Harness<S>, String> {
        let new = Harness::<S>::new(config_json)?;
        let (stream_ms, next_offset) = (self.stream_ms.get(), self.next_offset.get());
        if let Some(World { mut state, tables, .. }) = self.world.take() {
            if let Some(from) = state.stored_version().filter(|from| *from != new.plan.version) {
                let entries = new.instance.migrate(from, state.entries_for_migration())?;
                state.replace_values(entries).map_err(|error| error.to_string())?;
            }
            state.adopt(new.plan.clone());
            state.set_version(new.plan.version);
            new.world.replace(Some(World::new(state, tables)));
        }
        new.stream_ms.set(stream_ms);
        new.next_offset.set(next_offset);
        Ok(new)
    }
}

/// A new instance, what it asked for and what it keeps.
fn describe<R: Rule>(config_json: &str) -> Result<(Instance<R>, Subscription, Arc<Plan>), String> {
    let instance = Instance::new();
    let subscription = instance.describe(config_json.to_owned())?;
    let plan = plan::checked(&instance.declare(), &subscription)?;
    Ok((instance, subscription, Arc::new(plan)))
}
