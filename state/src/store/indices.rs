//! Which entries time does something to next, and where a key's sessions are.

use std::collections::BTreeSet;

use crate::entry::Deadlines;
use crate::key::{Key, Kind};

/// Entries in the order of their deadlines.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Indices {
    /// By the stream time at which the rule is told something.
    notices: BTreeSet<(i64, Key)>,
    /// By the stream time at which they go silently.
    expiries: BTreeSet<(i64, Key)>,
    /// By the wall clock's time at which the rule is told something.
    walls: BTreeSet<(i64, Key)>,
    /// The sessions of each key, by their starts.
    sessions: BTreeSet<Key>,
}

impl Indices {
    /// Indices over all entries: quicker than adding one after the other.
    pub(crate) fn of<'a>(entries: impl Iterator<Item = (&'a Key, Deadlines)>) -> Self {
        let (mut notices, mut expiries, mut walls, mut sessions) = (vec![], vec![], vec![], vec![]);
        for (key, deadlines) in entries {
            notices.extend(deadlines.notice_ms.map(|due_ms| (due_ms, key.clone())));
            expiries.extend(deadlines.expiry_ms.map(|due_ms| (due_ms, key.clone())));
            walls.extend(deadlines.wall_ms.map(|due_ms| (due_ms, key.clone())));
            if key.kind == Kind::Session {
                sessions.push(key.clone());
            }
        }
        Self {
            notices: notices.into_iter().collect(),
            expiries: expiries.into_iter().collect(),
            walls: walls.into_iter().collect(),
            sessions: sessions.into_iter().collect(),
        }
    }

    /// The earliest stream time at which the rule is told something.
    pub(crate) fn next_notice_ms(&self) -> Option<i64> {
        self.notices.first().map(|(due_ms, _)| *due_ms)
    }

    /// The earliest stream time at which an entry goes silently.
    pub(crate) fn next_expiry_ms(&self) -> Option<i64> {
        self.expiries.first().map(|(due_ms, _)| *due_ms)
    }

    /// The earliest time of the wall clock at which the rule is told something.
    pub(crate) fn next_wall_ms(&self) -> Option<i64> {
        self.walls.first().map(|(due_ms, _)| *due_ms)
    }

    /// Entries of which the rule is told something at exactly this stream time.
    pub(crate) fn noticed(&self, due_ms: i64) -> Vec<Key> {
        let from = self.notices.iter().take_while(|(at_ms, _)| *at_ms == due_ms);
        from.map(|(_, key)| key.clone()).collect()
    }

    /// Entries that go up to this stream time.
    pub(crate) fn expired(&self, stream_ms: i64) -> Vec<Key> {
        due(&self.expiries, stream_ms)
    }

    /// Entries of which the rule is told something up to this time of the wall clock.
    pub(crate) fn walls(&self, now_ms: i64) -> Vec<Key> {
        due(&self.walls, now_ms)
    }

    /// The starts of a key's sessions: those up to `at_ms`, latest first, and those after it and
    /// before `before_ms`.
    pub(crate) fn sessions(
        &self,
        key: &Key,
        before_ms: i64,
    ) -> (impl Iterator<Item = i64>, impl Iterator<Item = i64>) {
        let first = key.at(i64::MIN);
        let end = key.at(before_ms.max(key.start_ms));
        let earlier = self.sessions.range(first..=key.clone()).rev();
        let after = (std::ops::Bound::Excluded(key.clone()), std::ops::Bound::Excluded(end));
        // A range that excludes both of two equal ends is an error.
        let later = (before_ms > key.start_ms).then(|| self.sessions.range(after));
        (earlier.map(|key| key.start_ms), later.into_iter().flatten().map(|key| key.start_ms))
    }

    pub(crate) fn add_session(&mut self, key: &Key) {
        debug_assert_eq!(key.kind, Kind::Session);
        self.sessions.insert(key.clone());
    }

    pub(crate) fn remove_session(&mut self, key: &Key) {
        self.sessions.remove(key);
    }

    /// Moves an entry from its deadlines to others.
    pub(crate) fn change(&mut self, key: &Key, before: Deadlines, after: Deadlines) {
        shift(&mut self.notices, key, before.notice_ms, after.notice_ms);
        shift(&mut self.expiries, key, before.expiry_ms, after.expiry_ms);
        shift(&mut self.walls, key, before.wall_ms, after.wall_ms);
    }
}

fn due(index: &BTreeSet<(i64, Key)>, until_ms: i64) -> Vec<Key> {
    let due = index.iter().take_while(|(due_ms, _)| *due_ms <= until_ms);
    due.map(|(_, key)| key.clone()).collect()
}

fn shift(index: &mut BTreeSet<(i64, Key)>, key: &Key, before: Option<i64>, after: Option<i64>) {
    if before != after {
        if let Some(due_ms) = before {
            index.remove(&(due_ms, key.clone()));
        }
        if let Some(due_ms) = after {
            index.insert((due_ms, key.clone()));
        }
    }
}
