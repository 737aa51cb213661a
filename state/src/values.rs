//! Values and timers of keys.

use crate::entry::Entry;
use crate::key::{Key, KeyRef, Kind};
use crate::limits::{StateError, VALUE_BYTES_MAX, check_key};
use crate::moment::Due;
use crate::state::RuleState;

/// The keys and values of a state as they were once, in the order of the keys.
#[derive(Debug, Clone)]
pub struct Values(Vec<(Key, Entry)>);

impl RuleState {
    /// The value of a key at a stream time; one that has expired by then is not there, whether or
    /// not [`expire`](Self::expire) was called.
    ///
    /// # Errors
    /// [`StateError::Key`]
    pub fn get(&self, stream_ms: i64, key: &[u8]) -> Result<Option<&[u8]>, StateError> {
        check_key(key)?;
        Ok(match self.store.get(&KeyRef::value(key)) {
            Some(Entry::Value { bytes, expires_ms }) if lives(*expires_ms, stream_ms) => {
                Some(bytes)
            }
            _ => None,
        })
    }

    /// Puts a value. It expires when stream time is `ttl_ms` after `stream_ms`; without, never.
    ///
    /// # Errors
    /// [`StateError::Key`], [`StateError::Value`], [`StateError::Full`]
    pub fn put(
        &mut self,
        stream_ms: i64,
        key: &[u8],
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<(), StateError> {
        let expires_ms = ttl_ms.map(|ttl_ms| stream_ms.saturating_add_unsigned(ttl_ms));
        self.put_until(key, value, expires_ms)
    }

    /// Puts a value if the key has none at this stream time; false if it has one, which stays as
    /// it is, with its expiry.
    ///
    /// # Errors
    /// [`StateError::Key`], [`StateError::Value`], [`StateError::Full`]
    pub fn insert(
        &mut self,
        stream_ms: i64,
        key: &[u8],
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<bool, StateError> {
        if self.get(stream_ms, key)?.is_some() {
            return if value.len() > VALUE_BYTES_MAX {
                Err(StateError::Value { bytes: value.len() })
            } else {
                Ok(false)
            };
        }
        self.put(stream_ms, key, value, ttl_ms)?;
        Ok(true)
    }

    /// Removes the value of a key, if there is one.
    ///
    /// # Errors
    /// [`StateError::Key`]
    pub fn delete(&mut self, key: &[u8]) -> Result<(), StateError> {
        check_key(key)?;
        self.remove(KeyRef::value(key));
        Ok(())
    }

    /// Sets the timer of a key; one that was set is replaced. It may be due already.
    ///
    /// # Errors
    /// [`StateError::Key`], [`StateError::Full`]
    pub fn set_timer(&mut self, key: &[u8], due: Due) -> Result<(), StateError> {
        check_key(key)?;
        self.set(KeyRef::timer(key), Entry::Timer(due))
    }

    /// Unsets the timer of a key, if there is one.
    pub fn clear_timer(&mut self, key: &[u8]) {
        self.remove(KeyRef::timer(key));
    }

    /// All keys and values that have not expired, in the order of the keys: what a migration to
    /// another version is given.
    pub fn entries_for_migration(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut entries = vec![];
        self.each_value(&mut |key, value, _| entries.push((key.to_vec(), value.to_vec())));
        entries
    }

    /// Puts these keys and values in the place of all there are: what a migration gave. A key
    /// that stays keeps its expiry; of equal keys the last one counts.
    ///
    /// # Errors
    /// [`StateError::Key`], [`StateError::Value`], [`StateError::Full`]; then nothing is changed.
    pub fn replace_values(&mut self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), StateError> {
        let entries: std::collections::BTreeMap<_, _> = entries.into_iter().collect();
        let mut wanted = 0;
        for (key, value) in &entries {
            check_key(key)?;
            check_value(value)?;
            let entry = Entry::Value { bytes: Box::default(), expires_ms: None };
            wanted += entry.cost(key.len()) + value.len();
        }
        let stream_ms = self.stream_ms();
        let there = self.store.sorted(|kind| kind == Kind::Value);
        let held = there.iter().map(|(key, entry)| entry.cost(key.bytes.len())).sum();
        self.store.check_room(held, wanted)?;
        let gone: Vec<_> = there
            .into_iter()
            .filter(|(key, _)| !entries.contains_key(&*key.bytes))
            .map(|(key, _)| key.clone())
            .collect();
        gone.into_iter().for_each(|key| self.store.replace(key, None));
        for (key, value) in entries {
            let key = KeyRef::value(&key);
            let expires_ms = match self.store.get(&key) {
                Some(Entry::Value { expires_ms, .. }) => *expires_ms,
                _ => None,
            };
            // A key that had expired, but was still there, is new to the migration.
            let lives = stream_ms.is_none_or(|stream_ms| lives(expires_ms, stream_ms));
            let expires_ms = expires_ms.filter(|_| lives);
            let entry = Entry::Value { bytes: value.into(), expires_ms };
            if self.store.get(&key) != Some(&entry) {
                self.store.replace(key.owned(), Some(entry));
            }
        }
        Ok(())
    }

    /// All keys and values as they are, for [`put_values_back`](Self::put_values_back).
    pub fn values(&self) -> Values {
        let there = self.store.sorted(|kind| kind == Kind::Value).into_iter();
        Values(there.map(|(key, entry)| (key.clone(), entry.clone())).collect())
    }

    /// Puts keys and values as they were in the place of all there are, with their expiry: a migration
    /// is taken back by it after it was committed. The limit of bytes is not looked at: they were there.
    pub fn put_values_back(&mut self, values: &Values) {
        let there = self.store.sorted(|kind| kind == Kind::Value).into_iter();
        let gone: Vec<_> = there
            .map(|(key, _)| key)
            .filter(|key| values.0.binary_search_by(|(kept, _)| kept.cmp(key)).is_err())
            .cloned()
            .collect();
        gone.into_iter().for_each(|key| self.store.replace(key, None));
        for (key, entry) in &values.0 {
            if self.store.get(&key.borrowed()) != Some(entry) {
                self.store.replace(key.clone(), Some(entry.clone()));
            }
        }
    }

    fn put_until(
        &mut self,
        key: &[u8],
        value: &[u8],
        expires_ms: Option<i64>,
    ) -> Result<(), StateError> {
        check_key(key)?;
        check_value(value)?;
        self.set(KeyRef::value(key), Entry::Value { bytes: value.into(), expires_ms })
    }

    fn set(&mut self, key: KeyRef<'_>, entry: Entry) -> Result<(), StateError> {
        let old = self.store.get(&key).map_or(0, |old| old.cost(key.bytes.len()));
        self.store.check_room(old, entry.cost(key.bytes.len()))?;
        self.store.replace(key.owned(), Some(entry));
        Ok(())
    }

    fn remove(&mut self, key: KeyRef<'_>) {
        if self.store.get(&key).is_some() {
            self.store.replace(key.owned(), None);
        }
    }
}

/// Whether something that expires then is there at a stream time.
pub(crate) fn lives(expires_ms: Option<i64>, stream_ms: i64) -> bool {
    expires_ms.is_none_or(|expires_ms| stream_ms < expires_ms)
}

fn check_value(value: &[u8]) -> Result<(), StateError> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(StateError::Value { bytes: value.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
