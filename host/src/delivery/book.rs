//! The ledger of one partition while it is ours: in memory for questions, in Kafka for ever.

use std::sync::{Arc, Mutex, PoisonError};

use crate::group::{Folded, Stands};
use crate::ledger::open::{OpenAlerts, Tenure};
use crate::ledger::{Entry as Known, Ledger};
use crate::notification::{AlertId, Severity};
use crate::outbox::Entry;
use crate::record::OutgoingRecord;
use crate::tally::Sum;

/// A partition's ledger.
#[derive(Debug)]
pub struct Book {
    topic: Arc<str>,
    partition: i32,
    ledger: Mutex<Ledger>,
    /// All hosts' open alerts hear of what is noted here.
    tenure: Tenure,
}

impl Book {
    /// The book of a partition, with what was restored; what is open in it is told to `open`.
    pub fn new(topic: Arc<str>, partition: i32, ledger: Ledger, open: &OpenAlerts) -> Self {
        let tenure = open.take_over(partition, ledger.entries());
        Self { topic, partition, ledger: Mutex::new(ledger), tenure }
    }

    /// What is known of an entry's alert in its channel.
    pub fn known(&self, entry: &Entry) -> Option<Known> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.get(&entry.alert, &entry.channel).cloned()
    }

    /// What is known of a tally in its channel.
    pub fn tally(&self, tally: &AlertId, channel: &str) -> Option<Known> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.get(tally, channel).filter(|known| known.tally.is_some()).cloned()
    }

    /// The tallies of a channel, each with the sum of its alerts.
    pub fn tallies(&self, channel: &str) -> Vec<(Known, Sum)> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).tallies(channel)
    }

    /// The sum of the alerts that a tally tells of.
    pub fn sum(&self, tally: &AlertId) -> Sum {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).sum(tally)
    }

    /// What is known of a group in its channel.
    pub fn group(&self, group: &AlertId, channel: &str) -> Option<Known> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.get(group, channel).filter(|known| known.group.is_some()).cloned()
    }

    /// The groups of a channel that are open.
    pub fn groups(&self, channel: &str) -> Vec<Known> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).groups(channel)
    }

    /// The alerts of a group that are told one by one.
    pub fn members(&self, group: &AlertId) -> Vec<Known> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.members(group).cloned().collect()
    }

    /// Whether one of them is so. `is` must not ask the book.
    pub fn any_member(&self, group: &AlertId, is: impl FnMut(&Known) -> bool) -> bool {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).members(group).any(is)
    }

    /// How bad the worst of them is that has not ended.
    pub fn worst_member(&self, group: &AlertId) -> Option<Severity> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let open = ledger.members(group).filter(|known| known.stands() != Stands::Ended);
        open.filter_map(|known| Some(known.told.as_ref()?.severity)).max()
    }

    /// How many alerts of a group are only counted.
    pub fn folded(&self, group: &AlertId) -> Folded {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).folded(group)
    }

    /// The partition of outbox and ledger.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// What a channel must be told again: of each alert there that is open.
    pub fn standing(&self, channel: &str) -> Vec<serde_json::Value> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.of_channel(channel).filter_map(|known| known.standing.clone()).collect()
    }

    /// Notes what became of an alert, and returns the record that must be written.
    pub fn note(&self, known: Known) -> OutgoingRecord {
        let record = self.record(known.key(), Some(known.to_bytes()));
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        self.tenure.note(&known);
        ledger.put(known);
        record
    }

    /// Forgets what is older, and not in the outbox from `position` on, and returns the tombstones that must be written.
    pub fn expire(&self, before_ms: i64, position: i64) -> Vec<OutgoingRecord> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let old = ledger.expire(before_ms, position);
        drop(ledger);
        old.iter().for_each(|key| self.tenure.forget(key));
        old.into_iter().map(|key| self.record(key, None)).collect()
    }

    fn record(&self, key: Vec<u8>, value: Option<Vec<u8>>) -> OutgoingRecord {
        OutgoingRecord {
            topic: Arc::clone(&self.topic),
            partition: Some(self.partition),
            key: Some(key),
            value,
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }
}
