//! Values, timers and tables.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Effects;
use crate::Due;
use crate::host;
use crate::state::as_ms;

/// Values, timers, tables: what the host keeps for the rule, by key. What is done counts as
/// happening at the record.
impl Effects {
    /// The value of a key.
    pub fn get(&mut self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.keep();
        let (key, ends) = one(&key);
        host::state::get(&[self.row], key, &ends).pop().flatten()
    }

    /// The value of a key, read from JSON as [`put_as`](Self::put_as) wrote it. A value that is no
    /// `T` fails the record: raise the version of [`State`](crate::State) and migrate when the type changes.
    pub fn get_as<T: DeserializeOwned>(&mut self, key: impl AsRef<[u8]>) -> Option<T> {
        let value = self.get(&key)?;
        self.read(&key, &value)
    }

    /// Puts a value; it is gone when stream time is so long after the record's, or, with `None`,
    /// never. Keys have at most 64 KiB, values 1 MiB.
    pub fn put(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: impl Into<Option<Duration>>,
    ) {
        self.keep();
        host::state::put(self.row, key.as_ref(), value.as_ref(), ms(ttl.into()));
    }

    /// Puts a value as JSON.
    pub fn put_as<T: Serialize + ?Sized>(
        &mut self,
        key: impl AsRef<[u8]>,
        value: &T,
        ttl: impl Into<Option<Duration>>,
    ) {
        match serde_json::to_vec(value) {
            Ok(json) => self.put(key, json, ttl),
            Err(error) => self.fail(format!("a value can't be written as JSON: {error}")),
        }
    }

    /// Puts a value if the key has none; whether it had none. A key that has a value keeps it, and
    /// the time when that is gone.
    pub fn insert(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: impl Into<Option<Duration>>,
    ) -> bool {
        self.keep();
        let (key, ends) = one(&key);
        let new = host::state::insert(&[self.row], key, &ends, value.as_ref(), ms(ttl.into()));
        new.first().is_some_and(|new| *new)
    }

    /// Deletes the value of a key.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        self.keep();
        host::state::delete(self.row, key.as_ref());
    }

    /// Sets the timer of a key, instead of the one that it had; see
    /// [`Rule::timer`](crate::Rule::timer).
    pub fn set_timer(&mut self, key: impl AsRef<[u8]>, due: Due) {
        self.keep();
        host::state::set_timer(self.row, key.as_ref(), due.into());
    }

    /// Unsets the timer of a key.
    pub fn clear_timer(&mut self, key: impl AsRef<[u8]>) {
        self.keep();
        host::state::clear_timer(self.row, key.as_ref());
    }

    /// Before anything that is kept is looked at or changed.
    fn keep(&mut self) {
        if self.call.as_ref().is_none_or(|call| call.state().version == 0) {
            nothing_kept()
        }
        self.catch_up();
    }

    /// A lookup table that [`State::table`](crate::State::table) declared.
    pub fn table<'e>(&'e mut self, name: &'e str) -> Table<'e> {
        let tables = self.call.as_ref().map_or(&[][..], |call| &call.state().tables);
        if !tables.iter().any(|table| table == name) {
            undeclared(name)
        }
        Table { effects: self, name }
    }

    /// A value read from JSON; one that can't be fails the record.
    fn read<T: DeserializeOwned>(&mut self, key: impl AsRef<[u8]>, value: &[u8]) -> Option<T> {
        match serde_json::from_slice(value) {
            Ok(value) => Some(value),
            Err(error) => {
                let key = String::from_utf8_lossy(key.as_ref());
                self.fail(format!("the value of `{key}` is of another type: {error}"));
                None
            }
        }
    }
}

/// A compacted topic that the host has whole in memory; see [`Effects::table`].
#[derive(Debug)]
pub struct Table<'e> {
    effects: &'e mut Effects,
    name: &'e str,
}

impl Table<'_> {
    /// The value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let (key, ends) = one(&key);
        host::tables::get(self.name, key, &ends).pop().flatten()
    }

    /// The value of a key, read from JSON. A value that is no `T` fails the record.
    pub fn get_as<T: DeserializeOwned>(&mut self, key: impl AsRef<[u8]>) -> Option<T> {
        let value = self.get(&key)?;
        self.effects.read(&key, &value)
    }
}

/// One key as the contract has many.
fn one(key: &impl AsRef<[u8]>) -> (&[u8], [u32; 1]) {
    let key = key.as_ref();
    // The host refuses keys of more than 64 KiB.
    (key, [key.len() as u32])
}

fn ms(ttl: Option<Duration>) -> Option<u64> {
    ttl.map(|ttl| as_ms(ttl).unsigned_abs())
}

#[cold]
#[inline(never)]
#[allow(clippy::panic, reason = "a mistake of the rule, which its tests find")]
fn undeclared(name: &str) -> ! {
    panic!("table `{name}` was not declared by state(): add `.table(\"{name}\")`")
}

#[cold]
#[inline(never)]
#[allow(clippy::panic, reason = "a mistake of the rule, which its tests find")]
fn nothing_kept() -> ! {
    panic!("the rule keeps nothing by its state(): return `State::new(1)` from it")
}
