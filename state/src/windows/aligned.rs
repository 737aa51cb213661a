//! Tumbling and hopping windows.

use super::Row;
use crate::entry::{Definition, Entry};
use crate::key::{KeyRef, Kind};
use crate::limits::{ENTRY_BYTES, EVIDENCE_BYTES, ITEM_BYTES, StateError};
use crate::moment::{Added, Moment, WindowState};
use crate::plan::Aggregate;
use crate::store::Store;
use crate::tally::{Input, Tally};

/// Adds a record to its windows of a size and advance.
pub(super) fn add(
    store: &mut Store,
    definition: &Definition,
    row: Row<'_>,
    (size_ms, advance_ms): (i64, i64),
) -> Result<Added, StateError> {
    let extents = Extents::of(row.at.event_ms, size_ms, advance_ms);
    check(store, definition, &row, extents)?;
    let window = &definition.window;
    let stream_ms = row.at.stream_ms;
    let mut added = Added::default();
    for (start_ms, end_ms) in extents {
        let key = definition.key(Kind::Window, row.key, start_ms);
        if window.closes_ms(end_ms) <= stream_ms {
            added.note_late(definition.would_cross(tally(store, &key), &row));
            continue;
        }
        let crosses = store.update(&key, Some(definition), |entry| match entry {
            Entry::Tally(tally) if !tally.told => Some(tally.add(window, row.input, row.record)),
            _ => None,
        });
        match crosses {
            Some(Some(false)) => {}
            Some(Some(true)) => {
                let crossed = tally(store, &key);
                let state = |tally: &Tally| tally.state(definition.position, row.key, start_ms);
                added.crossed.extend(crossed.map(state));
            }
            // It was told that it closed, and only then the grace was made longer.
            Some(None) => added.note_late(definition.would_cross(tally(store, &key), &row)),
            None => {
                let mut tally = Tally::new(end_ms);
                if tally.add(window, row.input, row.record) {
                    added.crossed.push(tally.state(definition.position, row.key, start_ms));
                }
                store.replace(key.owned(), Some(Entry::Tally(tally)));
            }
        }
    }
    Ok(added)
}

/// The open windows that a time lies in.
pub(super) fn open(
    store: &Store,
    definition: &Definition,
    at: Moment,
    key: &[u8],
    (size_ms, advance_ms): (i64, i64),
) -> Vec<WindowState> {
    let extents = Extents::of(at.event_ms, size_ms, advance_ms);
    extents
        .filter_map(|(start_ms, _)| {
            let tally = tally(store, &definition.key(Kind::Window, key, start_ms))?;
            let open = !definition.is_closed(tally, at.stream_ms);
            open.then(|| tally.state(definition.position, key, start_ms))
        })
        .collect()
}

/// Refuses a record that would take too much, before anything is changed.
fn check(
    store: &Store,
    definition: &Definition,
    row: &Row<'_>,
    extents: Extents,
) -> Result<(), StateError> {
    let item = match row.input {
        Input::Item(item) => item.len() + ITEM_BYTES,
        Input::Number(_) => 0,
    };
    let most = ENTRY_BYTES + row.key.len() + EVIDENCE_BYTES + item;
    let distinct = definition.window.aggregate == Aggregate::Distinct;
    if !distinct && most.saturating_mul(extents.len()) <= store.room() {
        return Ok(());
    }
    let mut growth = 0;
    for (start_ms, end_ms) in extents {
        if definition.window.closes_ms(end_ms) <= row.at.stream_ms {
            continue;
        }
        let key = definition.key(Kind::Window, row.key, start_ms);
        growth += match tally(store, &key) {
            Some(tally) => {
                let growth = tally.growth_with(&definition.window, row.input);
                definition.check_entry(tally.cost() + growth)?;
                growth
            }
            None => {
                let content = Tally::new(end_ms).growth_with(&definition.window, row.input);
                ENTRY_BYTES + row.key.len() + content
            }
        };
    }
    store.check_room(0, growth)
}

fn tally<'a>(store: &'a Store, key: &KeyRef<'_>) -> Option<&'a Tally> {
    match store.get(key) {
        Some(Entry::Tally(tally)) => Some(tally),
        _ => None,
    }
}

/// Starts and ends of the windows that a time lies in, ascending. They are multiples of the
/// advance; what lies outside of what 64 bits can say is cut off.
#[derive(Debug, Clone, Copy)]
struct Extents {
    time_ms: i64,
    size_ms: i64,
    advance_ms: i64,
    /// From the start of the last window to the time.
    since_last_ms: i64,
    /// Windows that are left, the earliest first.
    left: i64,
}

impl Extents {
    fn of(time_ms: i64, size_ms: i64, advance_ms: i64) -> Self {
        let (size_ms, advance_ms) = (size_ms.max(1), advance_ms.max(1));
        let since_last_ms = time_ms.rem_euclid(advance_ms);
        let left = if since_last_ms >= size_ms {
            0
        } else if size_ms == advance_ms {
            1
        } else {
            (size_ms - since_last_ms - 1) / advance_ms + 1
        };
        Self { time_ms, size_ms, advance_ms, since_last_ms, left }
    }

    fn len(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX)
    }
}

impl Iterator for Extents {
    type Item = (i64, i64);

    fn next(&mut self) -> Option<(i64, i64)> {
        while self.left > 0 {
            self.left -= 1;
            // Less than the size: the time lies in the window.
            let since_ms = self.since_last_ms + self.left * self.advance_ms;
            let end_ms = self.time_ms.saturating_add(self.size_ms - since_ms);
            match self.time_ms.checked_sub(since_ms) {
                Some(start_ms) => return Some((start_ms, end_ms)),
                None if self.left == 0 => return Some((i64::MIN, end_ms)),
                None => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(time_ms: i64, size_ms: i64, advance_ms: i64) -> Vec<(i64, i64)> {
        Extents::of(time_ms, size_ms, advance_ms).collect()
    }

    #[test]
    fn windows_are_half_open_and_aligned_to_the_epoch_on_both_sides_of_it() {
        assert_eq!(extents(0, 10, 10), [(0, 10)]);
        assert_eq!(extents(9, 10, 10), [(0, 10)]);
        assert_eq!(extents(10, 10, 10), [(10, 20)]);
        assert_eq!(extents(-1, 10, 10), [(-10, 0)]);
        assert_eq!(extents(-10, 10, 10), [(-10, 0)]);
        assert_eq!(extents(-11, 10, 10), [(-20, -10)]);
    }

    #[test]
    fn a_time_is_in_every_hopping_window_that_reaches_it() {
        assert_eq!(extents(12, 10, 5), [(5, 15), (10, 20)]);
        assert_eq!(extents(-1, 10, 4), [(-8, 2), (-4, 6)]);
        // The size is no multiple of the advance: two windows or three.
        assert_eq!(extents(7, 10, 4), [(0, 10), (4, 14)]);
        assert_eq!(extents(8, 10, 4), [(0, 10), (4, 14), (8, 18)]);
        assert_eq!(extents(10, 10, 4), [(4, 14), (8, 18)]);
    }

    #[test]
    fn the_ends_of_time_are_cut_off() {
        assert_eq!(extents(i64::MAX, 60_000, 60_000).len(), 1);
        assert_eq!(extents(i64::MAX, 60_000, 60_000)[0].1, i64::MAX);
        assert_eq!(extents(i64::MIN, 60_000, 60_000)[0].0, i64::MIN);
        assert_eq!(extents(i64::MIN, i64::MAX, i64::MAX / 3)[0].0, i64::MIN);
        assert_eq!(extents(i64::MIN, 60_000, 1_000).len(), 1);
    }
}
