//! What must be known to undo a call or a transaction.
//!
//! A log of what entries were before they changed, with two marks: where the call began and how
//! far the last seal reached. An entry is in it once for each call that changed it, and of the
//! calls since the last seal only the first is kept.

use crate::entry::Entry;
use crate::key::Key;

/// An entry before it changed.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: Key,
    /// None: there was none.
    pub(super) old: Option<Entry>,
    /// Whether it is the first change since the last seal.
    first: bool,
}

/// Changes, oldest first.
#[derive(Debug)]
pub(super) struct Journal {
    log: Vec<Change>,
    /// Changes before this one are sealed.
    sealed: usize,
    /// Changes from this one on are the call's.
    call: usize,
    /// Grows with every call and seal; tells whether a slot was noted in this one.
    tick: u64,
    /// The tick of the last seal: what was noted from then on is in the log after the mark.
    sealed_tick: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self { log: vec![], sealed: 0, call: 0, tick: 1, sealed_tick: 1 }
    }
}

impl Journal {
    pub(super) fn tick(&self) -> u64 {
        self.tick
    }

    /// Whether a slot was noted in this call.
    pub(super) fn noted(&self, touched: u64) -> bool {
        touched == self.tick
    }

    /// Notes what a slot held; to be called only if it is not [`noted`](Self::noted). Returns
    /// what the slot is to remember.
    pub(super) fn note(&mut self, key: Key, old: Option<Entry>, touched: u64) -> u64 {
        self.log.push(Change { key, old, first: touched < self.sealed_tick });
        self.tick
    }

    pub(super) fn begin_call(&mut self) {
        // What the call changed first is needed to undo the transaction, the rest no longer.
        let mut kept = self.call;
        for at in self.call..self.log.len() {
            if self.log[at].first {
                self.log.swap(kept, at);
                kept += 1;
            }
        }
        self.log.truncate(kept);
        self.call = kept;
        self.tick += 1;
    }

    /// The call's last change, and what the slot was noted with before it.
    pub(super) fn pop_call(&mut self) -> Option<(Change, Option<u64>)> {
        if self.log.len() <= self.call {
            return None;
        }
        let change = self.log.pop()?;
        let touched = (!change.first).then_some(self.sealed_tick);
        Some((change, touched))
    }

    /// The last change of all.
    pub(super) fn pop(&mut self) -> Option<Change> {
        let change = self.log.pop();
        self.call = self.call.min(self.log.len());
        self.sealed = self.sealed.min(self.log.len());
        change
    }

    /// Ends the call and takes all that changed since the last seal, once, in order.
    pub(super) fn seal(&mut self) -> Vec<Key> {
        self.begin_call();
        self.sealed_tick = self.tick;
        let changes = self.log.iter().skip(self.sealed);
        let mut keys: Vec<Key> = changes.map(|change| change.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        self.sealed = self.log.len();
        keys
    }

    /// Forgets what is needed to undo what was sealed.
    pub(super) fn committed(&mut self) {
        self.log.drain(..self.sealed);
        self.call -= self.sealed;
        self.sealed = 0;
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.log.len() > self.sealed
    }

    /// Number of changes that are noted.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.log.len()
    }
}
