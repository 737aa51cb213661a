//! All entries, the indices over them and the journal of their changes.
//!
//! Everything that changes an entry goes through here, so that the indices, the byte count and
//! what can be undone are always those of the entries.

mod indices;
mod journal;

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use indexmap::map::Entry as MapEntry;

use crate::entry::{Deadlines, Definition, Definitions, Entry};
use crate::key::{Key, KeyRef, Kind};
use crate::limits::StateError;
use indices::Indices;
use journal::{Change, Journal};

/// The entries of a rule's state.
#[derive(Debug)]
pub(crate) struct Store {
    /// Entries lie in the order in which they came, and only places are hashed: a table of them stays in
    /// the processor's cache where one of entries does not. Keys come from records: who writes them
    /// must not know which ones collide.
    entries: IndexMap<Key, Slot, RandomState>,
    indices: Indices,
    journal: Journal,
    /// Of the plan that is taken up; empty without one.
    definitions: Arc<Definitions>,
    /// Number of entries by the fingerprint of their window.
    by_definition: BTreeMap<u64, usize>,
    /// Slots that hold an entry.
    len: usize,
    bytes: usize,
    bytes_max: usize,
}

/// The place of an entry.
#[derive(Debug)]
struct Slot {
    /// None: removed in this transaction; the slot stays until the seal for its `touched`.
    entry: Option<Entry>,
    /// The journal's tick when it was noted last; 0 = not since the last seal.
    touched: u64,
}

/// What the store must know of an entry before and after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    deadlines: Deadlines,
    bytes: usize,
}

impl Facts {
    fn of(entry: &Entry, key_bytes: usize, definition: Option<&Definition>) -> Self {
        Self { deadlines: entry.deadlines(definition), bytes: entry.cost(key_bytes) }
    }
}

impl Store {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            entries: IndexMap::default(),
            indices: Indices::default(),
            journal: Journal::default(),
            definitions: Arc::default(),
            by_definition: BTreeMap::new(),
            len: 0,
            bytes: 0,
            bytes_max,
        }
    }

    /// Sets the limit; what is over it already stays.
    pub(crate) fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    pub(crate) fn get(&self, key: &KeyRef<'_>) -> Option<&Entry> {
        self.entries.get(key)?.entry.as_ref()
    }

    /// All entries, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter().filter_map(|(key, slot)| Some((key, slot.entry.as_ref()?)))
    }

    /// The entries of some kind, in the order of their keys.
    pub(crate) fn sorted(&self, keep: impl Fn(Kind) -> bool) -> Vec<(&Key, &Entry)> {
        let mut entries: Vec<_> = self.iter().filter(|(key, _)| keep(key.kind)).collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries
    }

    pub(crate) fn indices(&self) -> &Indices {
        &self.indices
    }

    /// Number of entries by the fingerprint of their window.
    pub(crate) fn by_definition(&self) -> &BTreeMap<u64, usize> {
        &self.by_definition
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that may still come.
    pub(crate) fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes)
    }

    /// Refuses to replace `old` bytes by `new` ones if that goes over the limit.
    pub(crate) fn check_room(&self, old: usize, new: usize) -> Result<(), StateError> {
        let wanted = self.bytes.saturating_sub(old).saturating_add(new);
        if new > old && wanted > self.bytes_max {
            let (bytes, bytes_max) = (self.bytes, self.bytes_max);
            return Err(StateError::Full { bytes, wanted, bytes_max });
        }
        Ok(())
    }

    /// Takes up other definitions. Deadlines are looked at anew if some may have changed by it.
    pub(crate) fn define(&mut self, definitions: Arc<Definitions>) {
        let before = std::mem::replace(&mut self.definitions, definitions);
        let moved = |fingerprint: &u64| {
            let known = [&before, &self.definitions].map(|all| all.find(*fingerprint));
            let [before, after] =
                known.map(|found| found.map(|found| (found.window.grace_ms, found.window.closing)));
            before != after
        };
        if self.by_definition.keys().any(moved) {
            self.indices =
                Indices::of(self.iter().map(|(key, entry)| {
                    (key, entry.deadlines(self.definitions.find(key.definition)))
                }));
        }
    }

    /// Puts an entry in the place of what is there, or removes that.
    pub(crate) fn replace(&mut self, key: Key, entry: Option<Entry>) {
        let after = entry.as_ref().map(|entry| self.facts(&key, entry));
        let Some(slot) = self.entries.get_mut(&key.borrowed()) else {
            if entry.is_some() {
                let touched = self.journal.note(key.clone(), None, 0);
                self.entries.insert(key.clone(), Slot { entry, touched });
                self.account(&key, None, after);
            }
            return;
        };
        let old = std::mem::replace(&mut slot.entry, entry);
        let touched = slot.touched;
        slot.touched = self.journal.tick();
        let before = old.as_ref().map(|entry| self.facts(&key, entry));
        if !self.journal.noted(touched) {
            self.journal.note(key.clone(), old, touched);
        }
        self.account(&key, before, after);
    }

    /// Changes an entry in its place; none if there is no such entry. `definition` is that of the
    /// entry's window.
    pub(crate) fn update<R>(
        &mut self,
        key: &KeyRef<'_>,
        definition: Option<&Definition>,
        change: impl FnOnce(&mut Entry) -> R,
    ) -> Option<R> {
        let (_, key, slot) = self.entries.get_full_mut(key)?;
        let entry = slot.entry.as_mut()?;
        if !self.journal.noted(slot.touched) {
            slot.touched = self.journal.note(key.clone(), Some(entry.clone()), slot.touched);
        }
        let before = Facts::of(entry, key.bytes.len(), definition);
        let result = change(entry);
        let after = Facts::of(entry, key.bytes.len(), definition);
        if before != after {
            self.bytes = self.bytes - before.bytes + after.bytes;
            if before.deadlines != after.deadlines {
                self.indices.change(key, before.deadlines, after.deadlines);
            }
        }
        Some(result)
    }

    /// Sets or removes an entry that was read from the changelog: nothing to undo or to write.
    pub(crate) fn restore(&mut self, key: Key, entry: Option<Entry>) {
        let Some(entry) = entry else { return self.put_back(key, None, None) };
        let after = self.facts(&key, &entry);
        let slot = Slot { entry: Some(entry), touched: 0 };
        // Most are there for the first time: one look instead of two.
        let before = match self.entries.entry(key.clone()) {
            MapEntry::Vacant(place) => {
                place.insert(slot);
                None
            }
            MapEntry::Occupied(mut place) => place.insert(slot).entry,
        };
        let before = before.map(|entry| self.facts(&key, &entry));
        self.account(&key, before, Some(after));
    }

    /// Begins a call: what was done so far is undone only with its transaction.
    pub(crate) fn begin_call(&mut self) {
        self.journal.begin_call();
    }

    /// Undoes what was done since the call began; false if that is nothing.
    pub(crate) fn undo_call(&mut self) -> bool {
        let mut undone = false;
        while let Some((change, touched)) = self.journal.pop_call() {
            self.put_back(change.key, change.old, touched);
            undone = true;
        }
        self.journal.begin_call();
        undone
    }

    /// Undoes all that is not committed; false if that is nothing.
    pub(crate) fn abort(&mut self) -> bool {
        let mut undone = false;
        while let Some(Change { key, old, .. }) = self.journal.pop() {
            self.put_back(key, old, None);
            undone = true;
        }
        self.journal.begin_call();
        undone
    }

    /// Notes what is committed.
    pub(crate) fn committed(&mut self) {
        self.journal.committed();
    }

    /// Whether something changed since the last seal.
    pub(crate) fn is_dirty(&self) -> bool {
        self.journal.is_dirty()
    }

    /// Every entry that changed since the last seal, once, in the order of the keys.
    pub(crate) fn seal(&mut self, each: &mut dyn FnMut(&Key, Option<&Entry>)) {
        for key in self.journal.seal() {
            match self.entries.get(&key.borrowed()).map(|slot| &slot.entry) {
                Some(Some(entry)) => each(&key, Some(entry)),
                Some(None) => {
                    self.entries.swap_remove(&key.borrowed());
                    each(&key, None);
                }
                None => each(&key, None),
            }
        }
    }

    /// Sets a slot as it was. `touched`: what the slot was noted with, none: it was not.
    fn put_back(&mut self, key: Key, entry: Option<Entry>, touched: Option<u64>) {
        let after = entry.as_ref().map(|entry| self.facts(&key, entry));
        let slot = Slot { entry, touched: touched.unwrap_or(0) };
        let old = if slot.entry.is_none() && touched.is_none() {
            self.entries.swap_remove(&key.borrowed())
        } else {
            self.entries.insert(key.clone(), slot)
        };
        let before = old.and_then(|slot| slot.entry).map(|entry| self.facts(&key, &entry));
        self.account(&key, before, after);
    }

    fn facts(&self, key: &Key, entry: &Entry) -> Facts {
        let definition =
            if key.kind.is_window() { self.definitions.find(key.definition) } else { None };
        Facts::of(entry, key.bytes.len(), definition)
    }

    fn account(&mut self, key: &Key, before: Option<Facts>, after: Option<Facts>) {
        let bytes = |facts: Option<Facts>| facts.map_or(0, |facts| facts.bytes);
        let deadlines = |facts: Option<Facts>| facts.map(|f| f.deadlines).unwrap_or_default();
        self.bytes = self.bytes - bytes(before) + bytes(after);
        let (left, reached) = (deadlines(before), deadlines(after));
        if left != reached {
            self.indices.change(key, left, reached);
        }
        match (before.is_some(), after.is_some()) {
            (false, true) => {
                self.len += 1;
                if key.kind.is_window() {
                    *self.by_definition.entry(key.definition).or_default() += 1;
                }
                if key.kind == Kind::Session {
                    self.indices.add_session(key);
                }
            }
            (true, false) => {
                self.len -= 1;
                if let Some(entries) = self.by_definition.get_mut(&key.definition) {
                    *entries -= 1;
                    if *entries == 0 {
                        self.by_definition.remove(&key.definition);
                    }
                }
                if key.kind == Kind::Session {
                    self.indices.remove_session(key);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Due;

    /// A store with a timer that changed in this many calls of one transaction.
    fn changed(calls: i64) -> (Store, Key) {
        let mut store = Store::new(1 << 20);
        let key = KeyRef::timer(b"k").owned();
        for call in 0..calls {
            store.begin_call();
            for change in 0..3 {
                let due = Due::EventTime(call * 3 + change);
                store.replace(key.clone(), Some(Entry::Timer(due)));
                store.replace(key.clone(), None);
            }
        }
        store.begin_call();
        (store, key)
    }

    #[test]
    fn an_entry_is_noted_once_for_all_calls_of_a_transaction() {
        let (mut store, key) = changed(10);
        assert_eq!(store.journal.len(), 1);
        store.replace(key.clone(), Some(Entry::Timer(Due::EventTime(0))));
        assert_eq!(store.journal.len(), 2);
        store.undo_call();
        store.replace(key, Some(Entry::Timer(Due::EventTime(0))));
        store.begin_call();
        assert_eq!(store.journal.len(), 1);
        store.seal(&mut |_, _| {});
        store.committed();
        assert_eq!(store.journal.len(), 0);
    }

    #[test]
    fn nothing_is_left_of_an_entry_that_is_gone() {
        let (mut store, _) = changed(2);
        assert_eq!((store.len(), store.entries.len()), (0, 1));
        store.seal(&mut |_, _| {});
        assert_eq!(store.entries.len(), 0);
        let (mut store, _) = changed(2);
        store.abort();
        assert_eq!(store.entries.len(), 0);
    }
}
