//! Lookup tables: compacted topics that every host has whole in memory.
//!
//! [`Tables`] is shared by all workers; `kafka.rs` fills it and follows the topics. A rule reads the
//! tables that its plan names, by a [`TableSet`].

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

pub mod kafka;

/// Keys and their values.
type Entries = HashMap<Box<[u8]>, Box<[u8]>>;

/// One table; a clone is another handle of it.
#[derive(Debug, Clone, Default)]
pub struct Table {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    entries: RwLock<Entries>,
    /// It was read to the end that its topic had when reading began.
    ready: AtomicBool,
}

impl Table {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let entries = self.shared.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).map(|value| value.to_vec())
    }

    /// Sets the value of a key, or removes it.
    pub fn set(&self, key: &[u8], value: Option<&[u8]>) {
        let mut entries = self.shared.entries.write().unwrap_or_else(PoisonError::into_inner);
        match value {
            Some(value) => entries.insert(key.into(), value.into()),
            None => entries.remove(key),
        };
    }

    /// Keys in it.
    pub fn len(&self) -> usize {
        self.shared.entries.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it was read to the end that its topic had when reading began.
    pub fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire)
    }

    /// It was read to its end.
    pub fn set_ready(&self) {
        self.shared.ready.store(true, Ordering::Release);
    }
}

/// All tables by the operator's names.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    tables: Arc<BTreeMap<String, Table>>,
}

/// The tables that one rule may read.
#[derive(Debug, Clone, Default)]
pub struct TableSet {
    tables: Arc<BTreeMap<String, Table>>,
}

impl Tables {
    /// Empty tables of these names.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let tables = names.into_iter().map(|name| (name.to_owned(), Table::default()));
        Self { tables: Arc::new(tables.collect()) }
    }

    /// A table by its name.
    pub fn get(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.tables.keys().map(String::as_str)
    }

    /// Those that a rule's plan names.
    ///
    /// # Errors
    ///
    /// The first name that is not configured.
    pub fn select(&self, names: &[String]) -> Result<TableSet, String> {
        let mut tables = BTreeMap::new();
        for name in names {
            let table = self.tables.get(name).ok_or_else(|| name.clone())?;
            tables.insert(name.clone(), table.clone());
        }
        Ok(TableSet { tables: Arc::new(tables) })
    }
}

impl TableSet {
    /// A table by its name.
    pub fn get(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// A table that was not read to its end yet.
    pub fn missing(&self) -> Option<&str> {
        let not_ready = |(_, table): &(&String, &Table)| !table.is_ready();
        self.tables.iter().find(not_ready).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_sees_the_tables_of_its_plan_only_and_their_changes() {
        let tables = Tables::new(["hosts", "owners"]);
        let set = tables.select(&["hosts".into()]).unwrap();
        assert_eq!(set.missing(), Some("hosts"));
        let hosts = tables.get("hosts").unwrap();
        hosts.set(b"rpi-03", Some(b"attic"));
        hosts.set_ready();
        assert_eq!(set.missing(), None);
        assert_eq!(set.get("hosts").unwrap().get(b"rpi-03"), Some(b"attic".to_vec()));
        hosts.set(b"rpi-03", None);
        assert_eq!(set.get("hosts").unwrap().get(b"rpi-03"), None);
        assert!(set.get("owners").is_none());
        assert_eq!(tables.select(&["hots".into()]).unwrap_err(), "hots");
    }
}
