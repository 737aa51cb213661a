//! Adding records to windows. Adds are gathered and passed to the host in one call for each window
//! and batch; what crossed is handed to the rule in the order of records.

use std::collections::VecDeque;

use super::{Effects, Phase};
use crate::__private::bindings::firebell::rule::state::Crossed;
use crate::host;
use crate::{Aggregate, Crossing, Window, WindowState};

/// Windows.
impl Effects {
    /// A window that [`State::window`](crate::State::window) declared.
    pub fn window(&mut self, name: &str) -> Windows<'_> {
        let state = self.call.as_ref().map(|call| call.state());
        let Some(index) = state.and_then(|state| state.window_index(name)) else {
            undeclared(name, state.map_or(&[], |state| &state.windows))
        };
        Windows { effects: self, index }
    }

    /// The declared window.
    fn declared(&self, index: usize) -> Option<&Window> {
        self.call.as_ref()?.state().windows.get(index)
    }

    /// The adds of a window that the host has not been told of.
    fn adds(&mut self, index: usize) -> &mut Adds {
        let state = self.call.as_ref().map(|call| call.state());
        let pending = self.pending.get_or_insert_with(|| {
            let tells = |window: &Window| window.crossing != Crossing::Never;
            let tells = state.is_some_and(|state| state.windows.iter().any(tells));
            // Only from here, so that a rule without windows does not import them.
            Box::new(Pending::new(tells))
        });
        if pending.windows.len() <= index {
            pending.windows.resize_with(index + 1, Adds::default);
        }
        &mut pending.windows[index]
    }
}

/// All windows of one name, for all keys; see [`Effects::window`].
#[derive(Debug)]
pub struct Windows<'e> {
    effects: &'e mut Effects,
    index: usize,
}

impl Windows<'_> {
    /// Adds the record to the windows of this key, for a window that counts records.
    pub fn add(self, key: impl AsRef<[u8]>) {
        self.check("add", |aggregate| aggregate == Aggregate::Count);
        let row = self.effects.row;
        self.effects.adds(self.index).push(row, key.as_ref());
    }

    /// Adds a value to the windows of this key, for `sum`, `min` and `max`.
    pub fn add_value(self, key: impl AsRef<[u8]>, value: f64) {
        self.check("add_value", |aggregate| {
            matches!(aggregate, Aggregate::Sum | Aggregate::Min | Aggregate::Max)
        });
        let row = self.effects.row;
        let adds = self.effects.adds(self.index);
        adds.push(row, key.as_ref());
        adds.values.push(value);
    }

    /// Adds an item to the windows of this key, for `distinct`.
    pub fn add_item(self, key: impl AsRef<[u8]>, item: impl AsRef<[u8]>) {
        self.check("add_item", |aggregate| aggregate == Aggregate::Distinct);
        let row = self.effects.row;
        let adds = self.effects.adds(self.index);
        adds.push(row, key.as_ref());
        adds.items.extend_from_slice(item.as_ref());
        adds.item_ends.push(adds.items.len() as u32);
    }

    /// The open windows of this key that the record's time lies in, with what was added so far.
    pub fn open(self, key: impl AsRef<[u8]>) -> Vec<WindowState> {
        self.effects.in_step_or_not_crossed();
        self.effects.settle(self.effects.row);
        let windows = self.effects.call.as_ref().map_or(&[][..], |call| &call.state().windows);
        host::state::windows(self.effects.row, self.index as u32, key.as_ref())
            .into_iter()
            .map(|state| WindowState::lift(state, windows))
            .collect()
    }

    fn check(&self, method: &str, takes: impl Fn(Aggregate) -> bool) {
        let Some(Window { name, aggregate, crossing, .. }) = self.effects.declared(self.index)
        else {
            return;
        };
        if !takes(*aggregate) {
            misused(name, *aggregate, method)
        }
        if self.effects.phase == Phase::Elapsed && *crossing != Crossing::Never {
            without_record(name)
        }
        self.effects.in_step_or_not_crossed();
    }
}

/// What was added to the windows of one name since the host was told.
#[derive(Debug, Default)]
struct Adds {
    rows: Vec<u32>,
    keys: Vec<u8>,
    key_ends: Vec<u32>,
    values: Vec<f64>,
    items: Vec<u8>,
    item_ends: Vec<u32>,
}

impl Adds {
    fn push(&mut self, row: u32, key: &[u8]) {
        self.rows.push(row);
        self.keys.extend_from_slice(key);
        // A batch is far from 4 GiB.
        self.key_ends.push(self.keys.len() as u32);
    }

    /// Tells the host; what crossed.
    fn flush(&mut self, window: u32) -> Vec<Crossed> {
        let Self { rows, keys, key_ends, values, items, item_ends } = self;
        if rows.is_empty() {
            return Vec::new();
        }
        let crossed = if item_ends.is_empty() {
            host::state::add(window, rows, keys, key_ends, values)
        } else {
            host::state::add_items(window, rows, keys, key_ends, items, item_ends)
        };
        rows.clear();
        keys.clear();
        key_ends.clear();
        values.clear();
        items.clear();
        item_ends.clear();
        crossed
    }
}

/// What is between the rule and the host.
#[derive(Debug)]
pub(super) struct Pending {
    /// Brings the windows up to date, and the rule, up to this row.
    pub(super) settle: fn(&mut Effects, u32),
    /// Whether anything may cross.
    pub(super) tells: bool,
    /// By the window's place in the plan.
    windows: Vec<Adds>,
    /// What crossed and the rule does not know yet, by ascending row.
    crossed: VecDeque<Crossed>,
}

impl Pending {
    fn new(tells: bool) -> Self {
        Self { settle, tells, windows: Vec::new(), crossed: VecDeque::new() }
    }

    /// Tells the host all adds.
    fn flush(&mut self) {
        let mut lists: Vec<_> = (0..)
            .zip(&mut self.windows)
            .map(|(window, adds)| adds.flush(window).into_iter())
            .collect();
        // Each list is in the order of rows; of one row, the plan's order holds.
        while let Some(next) = lists
            .iter_mut()
            .filter(|list| list.len() > 0)
            .min_by_key(|list| list.as_slice()[0].row)
            .and_then(Iterator::next)
        {
            self.crossed.push_back(next);
        }
    }

    /// The next that crossed at a row before this one.
    fn next_crossed(&mut self, before: u32) -> Option<Crossed> {
        let next = self.crossed.front().is_some_and(|crossed| crossed.row < before);
        if next { self.crossed.pop_front() } else { None }
    }
}

/// Tells the host all adds, and the rule what crossed at rows before this one.
fn settle(out: &mut Effects, before: u32) {
    let Some(call) = out.call.clone() else { return };
    let (row, phase) = (out.row, out.phase);
    while let Some(pending) = &mut out.pending {
        pending.flush();
        let Some(Crossed { row, state }) = pending.next_crossed(before) else { break };
        if out.failed() {
            break;
        }
        (out.row, out.phase) = (row, Phase::Crossed);
        call.crossed(&WindowState::lift(state, &call.state().windows), row, out);
        (out.row, out.phase) = (row, phase);
    }
    (out.row, out.phase) = (row, phase);
}

impl Effects {
    /// Windows may be at a later record than the one that is told of: refuses to look.
    fn in_step_or_not_crossed(&self) {
        if self.phase == Phase::Crossed && !self.in_step {
            out_of_step()
        }
    }
}

#[cold]
#[inline(never)]
#[allow(clippy::panic, reason = "a mistake of the rule, which its tests find")]
fn undeclared(name: &str, windows: &[Window]) -> ! {
    let declared: Vec<&str> = windows.iter().map(|window| &*window.name).collect();
    panic!("window `{name}` was not declared by state(); declared: {}", declared.join(", "))
}

#[cold]
#[inline(never)]
#[allow(clippy::panic, reason = "a mistake of the rule, which its tests find")]
fn misused(name: &str, aggregate: Aggregate, method: &str) -> ! {
    let right = match aggregate {
        Aggregate::Count => "add",
        Aggregate::Sum | Aggregate::Min | Aggregate::Max => "add_value",
        Aggregate::Distinct => "add_item",
    };
    panic!("window `{name}` is {aggregate:?}: add to it by {right}(), not {method}()")
}

#[cold]
#[inline(never)]
#[allow(clippy::panic, reason = "a mistake of the rule, which its tests find")]
fn without_record(name: &str) -> ! {
    panic!(
        "window `{name}` tells what crossed, with the record of it: add to it from record(), or \
         declare neither at_least() nor at_most()"
    )
}

#[cold]
#[inline(never)]
#[allow(clippy::panic, reason = "a mistake of the rule, which its tests find")]
fn out_of_step() -> ! {
    panic!(
        "crossed() can't use windows, which may hold later records already: declare \
         `.in_step()` in state()"
    )
}
