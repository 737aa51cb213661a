//! The host's functions, natively: what a rule asks for while it is called.

use std::cell::RefCell;
use std::collections::BTreeMap;

use firebell_state::{Evidence, Moment, RuleState, StateError};

/// A lookup table.
type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a host has for the rule.
pub(super) struct World {
    /// What the rule keeps.
    pub(super) state: RuleState,
    /// The lookup tables, by name.
    pub(super) tables: BTreeMap<String, Table>,
    /// The rows, or firings, of the call.
    places: Vec<Place>,
    /// Adds of the call that came too late.
    late: usize,
    /// The first row at which a timer was due that the call itself set, before that row.
    pub(super) due_row: Option<usize>,
}

/// Where a row is, and when.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) moment: Moment,
    pub(super) evidence: Evidence,
}

impl World {
    pub(super) fn new(state: RuleState, tables: BTreeMap<String, Table>) -> Self {
        Self { state, tables, places: Vec::new(), late: 0, due_row: None }
    }

    /// The row before which something is due that row `set` made.
    fn due_row(&self, set: usize, due_ms: i64) -> Option<usize> {
        let later = &self.places[set + 1..];
        let row = later.partition_point(|place| place.moment.stream_ms < due_ms);
        (row < later.len()).then_some(set + 1 + row)
    }
}

thread_local! {
    /// What the call has that is made on this thread.
    static RUNNING: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// A call; dropped before it is [`done`](Self::done), it is undone.
pub(super) struct Running<'h> {
    home: &'h RefCell<Option<World>>,
    late: Option<usize>,
}

/// Lends what the host has to the call that follows.
pub(super) fn run<'h>(home: &'h RefCell<Option<World>>, places: &[Place]) -> Running<'h> {
    let mut world = home.take();
    if let Some(world) = &mut world {
        world.places = places.to_vec();
        world.late = 0;
        world.due_row = None;
    }
    RUNNING.set(world);
    Running { home, late: None }
}

impl Running<'_> {
    /// The call went well; how many adds came too late.
    pub(super) fn done(&mut self) -> usize {
        let late = RUNNING.with_borrow(|world| world.as_ref().map_or(0, |world| world.late));
        *self.late.insert(late)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut world = RUNNING.take();
        if let (Some(world), None) = (&mut world, self.late) {
            world.state.undo_call();
        }
        self.home.replace(world);
    }
}

/// Does something at a row.
#[allow(clippy::panic, reason = "a host would trap, which a test must see")]
fn at<T>(row: u32, act: impl FnOnce(&mut World, Place) -> Result<T, StateError>) -> T {
    RUNNING.with_borrow_mut(|world| {
        let Some(world) = world else { panic!("there is no state outside of a call") };
        let Some(place) = world.places.get(row as usize).cloned() else {
            panic!("row {row} is not in the batch")
        };
        act(world, place).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Keys that lie one behind the other.
fn keys<'k>(keys: &'k [u8], ends: &'k [u32]) -> impl Iterator<Item = &'k [u8]> {
    let mut start = 0;
    ends.iter().map(move |end| {
        let end = *end as usize;
        &keys[std::mem::replace(&mut start, end)..end]
    })
}

/// The contract's interface `state`.
pub(crate) mod state {
    use firebell_state::{Added, Due};

    use super::super::plan::lower_window;
    use super::{World, at, keys};
    use crate::__private::bindings::firebell::rule::state::Crossed;
    use crate::__private::wit;

    pub(crate) fn add(
        window: u32,
        rows: &[u32],
        key_bytes: &[u8],
        key_ends: &[u32],
        values: &[f64],
    ) -> Vec<Crossed> {
        let mut crossed = Vec::new();
        for (index, (row, key)) in rows.iter().zip(keys(key_bytes, key_ends)).enumerate() {
            let value = values.get(index).copied().unwrap_or(1.0);
            at(*row, |world, place| {
                let added = world.state.add(window, place.moment, &place.evidence, key, value)?;
                take(world, *row, added, &mut crossed);
                Ok(())
            });
        }
        crossed
    }

    pub(crate) fn add_items(
        window: u32,
        rows: &[u32],
        key_bytes: &[u8],
        key_ends: &[u32],
        item_bytes: &[u8],
        item_ends: &[u32],
    ) -> Vec<Crossed> {
        let mut crossed = Vec::new();
        let items = keys(item_bytes, item_ends);
        for ((row, key), item) in rows.iter().zip(keys(key_bytes, key_ends)).zip(items) {
            at(*row, |world, place| {
                let state = &mut world.state;
                let added = state.add_item(window, place.moment, &place.evidence, key, item)?;
                take(world, *row, added, &mut crossed);
                Ok(())
            });
        }
        crossed
    }

    /// Takes what an add did.
    fn take(world: &mut World, row: u32, added: Added, crossed: &mut Vec<Crossed>) {
        world.late += usize::from(added.late.is_some());
        let lower = |state| Crossed { row, state: lower_window(state) };
        crossed.extend(added.crossed.into_iter().map(lower));
    }

    pub(crate) fn windows(row: u32, window: u32, key: &[u8]) -> Vec<wit::WindowState> {
        let windows = at(row, |world, place| world.state.windows(window, place.moment, key));
        windows.into_iter().map(lower_window).collect()
    }

    pub(crate) fn get(rows: &[u32], key_bytes: &[u8], key_ends: &[u32]) -> Vec<Option<Vec<u8>>> {
        let get = |(row, key): (&u32, &[u8])| {
            at(*row, |world, place| {
                let value = world.state.get(place.moment.stream_ms, key)?;
                Ok(value.map(<[u8]>::to_vec))
            })
        };
        rows.iter().zip(keys(key_bytes, key_ends)).map(get).collect()
    }

    pub(crate) fn put(row: u32, key: &[u8], value: &[u8], ttl_ms: Option<u64>) {
        at(row, |world, place| world.state.put(place.moment.stream_ms, key, value, ttl_ms));
    }

    pub(crate) fn insert(
        rows: &[u32],
        key_bytes: &[u8],
        key_ends: &[u32],
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Vec<bool> {
        let insert = |(row, key): (&u32, &[u8])| {
            at(*row, |world, place| world.state.insert(place.moment.stream_ms, key, value, ttl_ms))
        };
        rows.iter().zip(keys(key_bytes, key_ends)).map(insert).collect()
    }

    pub(crate) fn delete(row: u32, key: &[u8]) {
        at(row, |world, _| world.state.delete(key));
    }

    pub(crate) fn set_timer(row: u32, key: &[u8], due: wit::Due) {
        let due = match due {
            wit::Due::EventTime(ms) => Due::EventTime(ms),
            wit::Due::WallClock(ms) => Due::WallClock(ms),
        };
        at(row, |world, _| {
            if let Due::EventTime(due_ms) = due {
                let row = world.due_row(row as usize, due_ms);
                world.due_row = world.due_row.into_iter().chain(row).min();
            }
            world.state.set_timer(key, due)
        });
    }

    pub(crate) fn clear_timer(row: u32, key: &[u8]) {
        at(row, |world, _| {
            world.state.clear_timer(key);
            Ok(())
        });
    }
}

/// The contract's interface `tables`.
pub(crate) mod tables {
    use super::{at, keys};

    pub(crate) fn get(table: &str, key_bytes: &[u8], key_ends: &[u32]) -> Vec<Option<Vec<u8>>> {
        let get = |key| {
            at(0, |world, _| Ok(world.tables.get(table).and_then(|table| table.get(key).cloned())))
        };
        keys(key_bytes, key_ends).map(get).collect()
    }
}
