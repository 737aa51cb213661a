//! One instance of a rule: what the host calls, natively and in WebAssembly alike.

use std::cell::RefCell;
use std::rc::Rc;

use crate::__private::wit::{self, Batch};
use crate::__private::{Firing, Timer as RawTimer};
use crate::effects::{Call, Effects, RowEffect};
use crate::record::Columns;
use crate::{Config, Due, Entries, Record, Rule, State, Subscription, Timer, WindowState};

/// A rule that was described, or is about to be.
pub struct Instance<R>(RefCell<Option<Rc<Described<R>>>>);

/// A rule, the columns that it declared and what it keeps.
struct Described<R> {
    rule: R,
    columns: Columns,
    state: State,
}

impl<R: Rule> Instance<R> {
    /// Not described yet.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// The contract's `describe`.
    pub fn describe(&self, config: String) -> Result<Subscription, String> {
        let rule = R::new(Config::from_json(config))?;
        let subscription = rule.subscribe();
        subscription.check()?;
        let state = rule.state();
        let columns =
            Columns { fields: subscription.fields.clone(), event_time: state.event_time.clone() };
        self.0.replace(Some(Rc::new(Described { rule, columns, state })));
        Ok(subscription)
    }

    /// The contract's `declare`.
    pub fn declare(&self) -> State {
        // Asked anew: for a rule that keeps nothing, little is compiled of an answer that is known.
        self.0.borrow().as_ref().map(|described| described.rule.state()).unwrap_or_default()
    }

    /// The contract's `evaluate`.
    pub fn evaluate(&self, batch: Batch) -> Result<Vec<RowEffect>, String> {
        let call = Rc::new(Evaluation { described: self.described()?, batch });
        let Evaluation { described, batch } = &*call;
        let mut out = Effects::of_records(call.clone());
        for row in 0..batch.offsets.len() {
            out.about(row);
            described.rule.record(&Record::new(batch, &described.columns, row), &mut out);
            out.row_done();
            if out.failed() {
                break;
            }
        }
        out.finish()
    }

    /// The contract's `elapsed`.
    #[inline(always)]
    pub fn elapsed(
        &self,
        firings: Vec<Firing>,
        stream_time_ms: i64,
        wall_clock_ms: Option<i64>,
    ) -> Result<Vec<RowEffect>, String> {
        let described = self.described()?;
        if keeps_nothing(&described.rule) {
            return Err(NOTHING_KEPT.into());
        }
        let mut out = Effects::of_time(Rc::new(Elapsing(described.clone())));
        for (row, firing) in firings.into_iter().enumerate() {
            out.about(row);
            match firing {
                Firing::Timer(RawTimer { key, due }) => {
                    let due = Due::lift(due);
                    let timer = Timer { key, due, stream_time_ms, wall_clock_ms };
                    described.rule.timer(&timer, &mut out);
                }
                Firing::Closed(state) => {
                    let window = WindowState::lift(state, &described.state.windows);
                    described.rule.closed(&window, &mut out);
                }
            }
            if out.failed() {
                break;
            }
        }
        out.finish()
    }

    /// The contract's `migrate`.
    #[inline(always)]
    pub fn migrate(&self, from: u32, entries: Entries) -> Result<Entries, String> {
        let described = self.described()?;
        if keeps_nothing(&described.rule) {
            return Err(NOTHING_KEPT.into());
        }
        described.rule.migrate(from, entries)
    }

    fn described(&self) -> Result<Rc<Described<R>>, String> {
        self.0.borrow().clone().ok_or_else(|| "a rule was called before describe".into())
    }
}

impl<R: Rule> Default for Instance<R> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a host is told that calls such a rule about its state.
const NOTHING_KEPT: &str = "the rule keeps nothing";

/// Whether nothing is kept for the rule. Where its answer is known to the compiler, nothing is
/// compiled of what follows: a rule without state is hardly larger for what it does not use.
#[inline(always)]
fn keeps_nothing(rule: &impl Rule) -> bool {
    rule.state().version == 0
}

/// A call of `evaluate`.
struct Evaluation<R> {
    described: Rc<Described<R>>,
    batch: Batch,
}

impl<R: Rule> Call for Evaluation<R> {
    fn state(&self) -> &State {
        &self.described.state
    }

    fn crossed(&self, window: &WindowState, row: u32, out: &mut Effects) {
        let Described { rule, columns, .. } = &*self.described;
        rule.crossed(window, &Record::new(&self.batch, columns, row as usize), out);
    }
}

/// A call of `elapsed`.
struct Elapsing<R>(Rc<Described<R>>);

impl<R: Rule> Call for Elapsing<R> {
    fn state(&self) -> &State {
        &self.0.state
    }

    /// Nothing crosses without a record: such adds are refused.
    fn crossed(&self, _: &WindowState, _: u32, _: &mut Effects) {}
}

/// The plan as the contract has it.
#[inline(always)]
pub fn lower_plan(state: State) -> wit::Plan {
    state.into()
}
