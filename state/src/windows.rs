//! Records into windows.

mod aligned;
mod sessions;
mod slides;

use crate::entry::Definition;
use crate::key::{KeyRef, Kind};
use crate::limits::{ENTRY_BYTES_MAX, KEY_BYTES_MAX, RETENTION_MS, StateError, check_key};
use crate::moment::{Added, Evidence, Late, Moment, WindowState};
use crate::plan::{Aggregate, Crossing, Shape};
use crate::state::RuleState;
use crate::store::Store;
use crate::tally::{Input, Tally};

/// A record on its way into the windows of a key.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    at: Moment,
    record: &'a Evidence,
    key: &'a [u8],
    input: Input<'a>,
}

impl RuleState {
    /// Adds a record to the windows of a key that its time lies in; `window` is a place in the
    /// plan, `value` is not looked at by `count`.
    ///
    /// # Errors
    /// [`StateError`]; then nothing is changed.
    pub fn add(
        &mut self,
        window: u32,
        at: Moment,
        record: &Evidence,
        key: &[u8],
        value: f64,
    ) -> Result<Added, StateError> {
        check_key(key)?;
        let definition = Self::definition(&self.definitions, window)?;
        let name = || definition.window.name.clone();
        match definition.window.aggregate {
            Aggregate::Count => {}
            Aggregate::Distinct => return Err(StateError::WantsItems { window: name() }),
            _ if !value.is_finite() => return Err(StateError::Number { window: name(), value }),
            _ => {}
        }
        let input = Input::Number(value);
        add(&mut self.store, definition, Row { at, record, key, input })
    }

    /// The same for a window that counts different items.
    ///
    /// # Errors
    /// [`StateError`]; then nothing is changed.
    pub fn add_item(
        &mut self,
        window: u32,
        at: Moment,
        record: &Evidence,
        key: &[u8],
        item: &[u8],
    ) -> Result<Added, StateError> {
        check_key(key)?;
        let definition = Self::definition(&self.definitions, window)?;
        let name = || definition.window.name.clone();
        if definition.window.aggregate != Aggregate::Distinct {
            return Err(StateError::WantsNumbers { window: name() });
        }
        if item.len() > KEY_BYTES_MAX {
            return Err(StateError::Item { window: name(), bytes: item.len() });
        }
        let input = Input::Item(item);
        add(&mut self.store, definition, Row { at, record, key, input })
    }

    /// The open windows of a key that a row's time lies in, by their starts; windows without
    /// records are not there.
    ///
    /// # Errors
    /// [`StateError::Key`], [`StateError::UnknownWindow`]
    pub fn windows(
        &self,
        window: u32,
        at: Moment,
        key: &[u8],
    ) -> Result<Vec<WindowState>, StateError> {
        check_key(key)?;
        let definition = Self::definition(&self.definitions, window)?;
        Ok(match definition.window.shape {
            Shape::Tumbling(size_ms) => {
                aligned::open(&self.store, definition, at, key, (size_ms, size_ms))
            }
            Shape::Hopping { size_ms, advance_ms } => {
                aligned::open(&self.store, definition, at, key, (size_ms, advance_ms))
            }
            Shape::Sliding(size_ms) => slides::open(&self.store, definition, at, key, size_ms),
            Shape::Session(_) => sessions::open(&self.store, definition, at, key),
        })
    }
}

fn add(store: &mut Store, definition: &Definition, row: Row<'_>) -> Result<Added, StateError> {
    match definition.window.shape {
        Shape::Tumbling(size_ms) => aligned::add(store, definition, row, (size_ms, size_ms)),
        Shape::Hopping { size_ms, advance_ms } => {
            aligned::add(store, definition, row, (size_ms, advance_ms))
        }
        Shape::Sliding(size_ms) => slides::add(store, definition, row, size_ms),
        Shape::Session(gap_ms) => sessions::add(store, definition, row, gap_ms.max(1)),
    }
}

impl Definition {
    fn key<'a>(&self, kind: Kind, bytes: &'a [u8], start_ms: i64) -> KeyRef<'a> {
        KeyRef { kind, definition: self.fingerprint, bytes, start_ms }
    }

    /// Whether a window takes no more records.
    fn is_closed(&self, tally: &Tally, stream_ms: i64) -> bool {
        tally.told || self.window.closes_ms(tally.end_ms) <= stream_ms
    }

    /// Whether a window is still retained for questions.
    fn is_retained(&self, tally: &Tally, stream_ms: i64) -> bool {
        self.window.closes_ms(tally.end_ms).saturating_add(RETENTION_MS) > stream_ms
    }

    /// Whether a record would make a closed window cross that has not; none: a window of which
    /// nothing is known.
    fn would_cross(&self, closed: Option<&Tally>, row: &Row<'_>) -> bool {
        let window = &self.window;
        if window.crossing == Crossing::Never {
            return false;
        }
        let value = match closed.filter(|tally| self.is_retained(tally, row.at.stream_ms)) {
            Some(tally) if tally.crossed => return false,
            Some(tally) => tally.value_with(window.aggregate, row.input),
            None => Tally::new(0).value_with(window.aggregate, row.input),
        };
        window.crossing.passes(value)
    }

    /// Refuses an entry that would be too large.
    fn check_entry(&self, bytes: usize) -> Result<(), StateError> {
        if bytes > ENTRY_BYTES_MAX {
            return Err(StateError::Entry { window: self.window.name.clone(), bytes });
        }
        Ok(())
    }
}

impl Added {
    /// Notes that the record came too late for one window.
    fn note_late(&mut self, would_cross: bool) {
        let late = self.late.get_or_insert(Late { would_cross: false, windows: 0 });
        late.windows += 1;
        late.would_cross |= would_cross;
    }
}

#[cfg(test)]
mod tests;
