//! Session windows: a record begins a session, makes one longer or joins several.
//!
//! What lies in a closed session belongs to it, and comes too late: closed sessions never change,
//! so no other one begins where one was.

use super::Row;
use crate::entry::{Definition, Entry};
use crate::key::{Key, Kind};
use crate::limits::StateError;
use crate::moment::{Added, Moment, WindowState};
use crate::store::Store;
use crate::tally::Tally;

/// Where a record belongs.
enum Place {
    /// In this closed session.
    Closed(i64),
    /// In these open sessions, by their starts; in none, it begins one.
    Open(Vec<i64>),
}

/// Adds a record to the sessions of its key.
pub(super) fn add(
    store: &mut Store,
    definition: &Definition,
    row: Row<'_>,
    gap_ms: i64,
) -> Result<Added, StateError> {
    let window = &definition.window;
    let mut added = Added::default();
    let end_ms = row.at.event_ms.saturating_add(gap_ms);
    // The session that it would be by itself.
    let key = definition.key(Kind::Session, row.key, row.at.event_ms).owned();
    let starts = match place(store, definition, &key, row.at, end_ms) {
        Place::Closed(start_ms) => {
            let closed = tally(store, &key.at(start_ms));
            added.note_late(definition.would_cross(closed, &row));
            return Ok(added);
        }
        Place::Open(starts) => starts,
    };
    if starts.is_empty() && window.closes_ms(end_ms) <= row.at.stream_ms {
        added.note_late(definition.would_cross(None, &row));
        return Ok(added);
    }
    if let [start_ms] = *starts
        && start_ms <= row.at.event_ms
    {
        let key = key.at(start_ms);
        if let Some(tally) = tally(store, &key) {
            let growth = tally.growth_with(window, row.input);
            definition.check_entry(tally.cost() + growth)?;
            store.check_room(0, growth)?;
        }
        let crossed = store.update(&key.borrowed(), Some(definition), |entry| match entry {
            Entry::Tally(tally) => {
                tally.end_ms = tally.end_ms.max(end_ms);
                let crossed = tally.add(window, row.input, row.record);
                crossed.then(|| tally.state(definition.position, row.key, start_ms))
            }
            _ => None,
        });
        added.crossed.extend(crossed.flatten());
        return Ok(added);
    }
    added.crossed.extend(join(store, definition, row, (key, end_ms), &starts)?);
    Ok(added)
}

/// The open session that a time lies in.
pub(super) fn open(
    store: &Store,
    definition: &Definition,
    at: Moment,
    key: &[u8],
) -> Vec<WindowState> {
    let key = definition.key(Kind::Session, key, at.event_ms).owned();
    // An end at the time itself leaves out the sessions that a record would only reach.
    match place(store, definition, &key, at, at.event_ms) {
        Place::Closed(_) => vec![],
        Place::Open(starts) => starts
            .into_iter()
            .filter_map(|start_ms| {
                let tally = tally(store, &key.at(start_ms))?;
                Some(tally.state(definition.position, &key.bytes, start_ms))
            })
            .collect(),
    }
}

/// Makes one session of those that a record reaches, with the record; tells if it crossed.
fn join(
    store: &mut Store,
    definition: &Definition,
    row: Row<'_>,
    (key, end_ms): (Key, i64),
    starts: &[i64],
) -> Result<Option<WindowState>, StateError> {
    let window = &definition.window;
    let mut old_bytes = 0;
    let mut joined: Option<Tally> = None;
    for start_ms in starts {
        let Some(entry) = store.get(&key.at(*start_ms).borrowed()) else {
            continue;
        };
        old_bytes += entry.cost(row.key.len());
        match (entry, &mut joined) {
            (Entry::Tally(tally), None) => joined = Some(tally.clone()),
            (Entry::Tally(tally), Some(joined)) => joined.merge(window, tally.clone()),
            _ => {}
        }
    }
    let mut joined = joined.unwrap_or_else(|| Tally::new(end_ms));
    joined.end_ms = joined.end_ms.max(end_ms);
    let crossed = joined.add(window, row.input, row.record);
    definition.check_entry(joined.cost())?;
    let start_ms = starts.first().map_or(key.start_ms, |first| key.start_ms.min(*first));
    let crossed = crossed.then(|| joined.state(definition.position, row.key, start_ms));
    let entry = Entry::Tally(joined);
    store.check_room(old_bytes, entry.cost(row.key.len()))?;
    for gone in starts.iter().filter(|gone| **gone != start_ms) {
        store.replace(key.at(*gone), None);
    }
    store.replace(key.at(start_ms), Some(entry));
    Ok(crossed)
}

/// Finds the sessions of a key that a record reaches, which by itself would end at `end_ms`.
fn place(store: &Store, definition: &Definition, key: &Key, at: Moment, end_ms: i64) -> Place {
    let session = |start_ms| Some((start_ms, tally(store, &key.at(start_ms))?));
    let (earlier, later) = store.indices().sessions(key, end_ms);
    let mut starts = vec![];
    let mut retained = earlier
        .filter_map(session)
        .filter(|(_, tally)| definition.is_retained(tally, at.stream_ms));
    if let Some((start_ms, tally)) = retained.next()
        && at.event_ms < tally.end_ms
    {
        if definition.is_closed(tally, at.stream_ms) {
            return Place::Closed(start_ms);
        }
        starts.push(start_ms);
    }
    let open =
        later.filter_map(session).filter(|(_, tally)| !definition.is_closed(tally, at.stream_ms));
    starts.extend(open.map(|(start_ms, _)| start_ms));
    Place::Open(starts)
}

fn tally<'a>(store: &'a Store, key: &Key) -> Option<&'a Tally> {
    match store.get(&key.borrowed()) {
        Some(Entry::Tally(tally)) => Some(tally),
        _ => None,
    }
}
