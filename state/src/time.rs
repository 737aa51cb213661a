//! What time does: timers that are due, windows that close, entries that expire.

use crate::entry::Entry;
use crate::key::Key;
use crate::moment::Firing;
use crate::state::RuleState;

impl RuleState {
    /// The earliest stream time at which the rule must be told something: a timer by event time,
    /// or a window that closes, at its end and grace.
    pub fn next_notice_ms(&self) -> Option<i64> {
        self.store.indices().next_notice_ms()
    }

    /// The earliest stream time at which anything happens: a notice, or an entry that expires.
    pub fn next_ms(&self) -> Option<i64> {
        let indices = self.store.indices();
        indices.next_notice_ms().into_iter().chain(indices.next_expiry_ms()).min()
    }

    /// The earliest timer by the wall clock.
    pub fn next_wall_ms(&self) -> Option<i64> {
        self.store.indices().next_wall_ms()
    }

    /// Takes what is due at the earliest stream time up to `until_ms`, with that time: timers in
    /// the order of their keys, then windows by key, start and place in the plan. Call it until
    /// there is nothing: what the rule does at one time may set the next. A timer is gone by it,
    /// and a window told.
    pub fn fire(&mut self, until_ms: i64) -> Option<(i64, Vec<Firing>)> {
        let due_ms = self.next_notice_ms().filter(|due_ms| *due_ms <= until_ms)?;
        let mut keys = self.store.indices().noticed(due_ms);
        let position =
            |key: &Key| self.definitions.find(key.definition).map(|definition| definition.position);
        keys.sort_by_cached_key(|key| {
            (key.kind.is_window(), key.bytes.clone(), key.start_ms, position(key))
        });
        let firings = keys.into_iter().filter_map(|key| self.fire_one(key));
        Some((due_ms, firings.collect()))
    }

    /// Takes all timers by the wall clock that are due at `now_ms`, in the order of their times
    /// and keys.
    pub fn fire_wall(&mut self, now_ms: i64) -> Vec<Firing> {
        let keys = self.store.indices().walls(now_ms);
        keys.into_iter().filter_map(|key| self.fire_one(key)).collect()
    }

    /// Removes what has expired at this stream time: values, windows that are no longer retained,
    /// and sliding windows without records. Nobody is told, and nothing that the rule still has
    /// to be told goes. It changes no answer: what has expired is not seen before either.
    pub fn expire(&mut self, stream_ms: i64) {
        for key in self.store.indices().expired(stream_ms) {
            self.store.replace(key, None);
        }
    }

    fn fire_one(&mut self, key: Key) -> Option<Firing> {
        match self.store.get(&key.borrowed())? {
            Entry::Timer(due) => {
                let due = *due;
                let bytes = key.bytes.to_vec();
                self.store.replace(key, None);
                Some(Firing::Timer { key: bytes, due })
            }
            Entry::Tally(tally) => {
                let definition = self.definitions.find(key.definition)?;
                let closed = tally.state(definition.position, &key.bytes, key.start_ms);
                self.store.update(&key.borrowed(), Some(definition), |entry| {
                    if let Entry::Tally(tally) = entry {
                        tally.told = true;
                    }
                });
                Some(Firing::Closed(closed))
            }
            Entry::Meta(_) | Entry::Value { .. } | Entry::Sliding(_) => None,
        }
    }
}
