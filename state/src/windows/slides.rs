//! Sliding windows: whenever a record comes, what was in the time before it.

use super::Row;
use crate::entry::{Definition, Entry};
use crate::key::Kind;
use crate::limits::StateError;
use crate::moment::{Added, Moment, WindowState};
use crate::plan::Crossing;
use crate::sliding::{Reach, Sliding};
use crate::store::Store;

/// Adds a record and looks at the window that ends with it.
pub(super) fn add(
    store: &mut Store,
    definition: &Definition,
    row: Row<'_>,
    size_ms: i64,
) -> Result<Added, StateError> {
    let window = &definition.window;
    let reach = reach(definition, row.at, size_ms);
    let mut added = Added::default();
    if reach.end_ms <= reach.horizon_ms {
        added.note_late(definition.would_cross(None, &row));
        return Ok(added);
    }
    let key = definition.key(Kind::Sliding, row.key, 0);
    let grown = |sliding: &Sliding| {
        let content = sliding.cost_with(window, row.input, reach.horizon_ms);
        definition.check_entry(content).map(|()| content)
    };
    let crossed = if let Some(Entry::Sliding(sliding)) = store.get(&key) {
        store.check_room(sliding.cost(), grown(sliding)?)?;
        let crossed = store.update(&key, Some(definition), |entry| match entry {
            Entry::Sliding(sliding) => take(sliding, definition, &row, reach),
            _ => None,
        });
        crossed.flatten()
    } else {
        let mut sliding = Box::<Sliding>::default();
        grown(&sliding)?;
        let crossed = take(&mut sliding, definition, &row, reach);
        let entry = Entry::Sliding(sliding);
        store.check_room(0, entry.cost(row.key.len()))?;
        store.replace(key.owned(), Some(entry));
        crossed
    };
    added.crossed.extend(crossed);
    Ok(added)
}

/// The window that ends with a time, if a record is in it.
pub(super) fn open(
    store: &Store,
    definition: &Definition,
    at: Moment,
    key: &[u8],
    size_ms: i64,
) -> Vec<WindowState> {
    let Some(Entry::Sliding(sliding)) = store.get(&definition.key(Kind::Sliding, key, 0)) else {
        return vec![];
    };
    let reach = reach(definition, at, size_ms);
    let named = (definition.position, &definition.window);
    sliding.state(named, key, reach).into_iter().collect()
}

fn reach(definition: &Definition, at: Moment, size_ms: i64) -> Reach {
    let size_ms = size_ms.max(1);
    let horizon_ms =
        at.stream_ms.saturating_sub(size_ms).saturating_sub(definition.window.grace_ms);
    Reach { size_ms, end_ms: at.event_ms, horizon_ms }
}

/// Takes a record in; tells if its window passed the threshold and did not at the last look.
fn take(
    sliding: &mut Sliding,
    definition: &Definition,
    row: &Row<'_>,
    reach: Reach,
) -> Option<WindowState> {
    let window = &definition.window;
    sliding.prune(reach.horizon_ms);
    let newest = sliding.last_ms().is_none_or(|last_ms| last_ms <= reach.end_ms);
    sliding.insert(window, reach.end_ms, row.input, row.record);
    if window.crossing == Crossing::Never {
        return None;
    }
    let passes = window.crossing.passes(sliding.value(window.aggregate, reach));
    let crosses = passes && !sliding.above;
    // A record that comes out of order says nothing about how it is now.
    if passes || newest {
        sliding.above = passes;
    }
    crosses.then(|| sliding.state((definition.position, window), row.key, reach)).flatten()
}
