//! What lies in the Kafka of lists.

use std::collections::{BTreeMap, BTreeSet};

use firebell::dead_letter::DeadLetter;
use firebell::evaluation::Evaluation;
use firebell::outbox::Entry;
use firebell::record::{Record, TopicPartition};
use firebell::state::States;
use firebell::state::wire::EntryKey;

use super::model::Seen;

/// A record as Kafka has it.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    /// Where it is from, and what it is.
    pub(crate) from: (TopicPartition, Seen),
}

/// What came of records of a partition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Came {
    Entry(Box<Entry>),
    Letter(DeadLetter),
}

pub(crate) fn value(seen: &Seen) -> Vec<u8> {
    let message = if seen.fails { "please fail" } else { "all is well" };
    let value = serde_json::json!({"host": seen.host, "message": message, "n": seen.offset});
    value.to_string().into_bytes()
}

pub(crate) fn records(log: &[Stored], first: i64) -> Vec<Record<'_>> {
    let mut records = Vec::with_capacity(log.len());
    for (Stored { timestamp_ms, key, value, headers, .. }, offset) in log.iter().zip(first..) {
        let (key, value) = (key.as_deref(), value.as_deref());
        records.push(Record { offset, timestamp_ms: *timestamp_ms, key, value, headers });
    }
    records
}

/// Entries and dead letters in the order of their records.
pub(crate) fn came(out: Evaluation) -> Vec<Came> {
    let mut came: Vec<Came> =
        out.entries.into_iter().map(|entry| Came::Entry(Box::new(entry))).collect();
    for letter in out.dead_letters {
        let offset = letter.record.offset;
        let later = |came: &Came| match came {
            Came::Entry(entry) => entry.intent.record.offset > offset,
            Came::Letter(letter) => letter.record.offset > offset,
        };
        let at = came.iter().position(later).unwrap_or(came.len());
        came.insert(at, Came::Letter(letter));
    }
    came
}

/// The record that was routed: its source's header says which offset it had, its value is unique there.
pub(crate) fn origin(
    logs: &BTreeMap<TopicPartition, Vec<Stored>>,
    headers: &[(String, Option<Vec<u8>>)],
    value: Option<&Vec<u8>>,
) -> (TopicPartition, Seen) {
    let routed = headers.iter().find(|(name, _)| name == "firebell.routed").unwrap();
    let routed = routed.1.as_deref().unwrap();
    let found = logs.values().flatten().find(|stored| {
        let (TopicPartition { topic, partition }, seen) = &stored.from;
        let mut place = (topic.len() as u16).to_le_bytes().to_vec();
        place.extend_from_slice(topic.as_bytes());
        place.extend_from_slice(&partition.to_le_bytes());
        place.extend_from_slice(&seen.offset.to_le_bytes());
        routed.windows(place.len()).any(|bytes| bytes == place) && stored.value.as_ref() == value
    });
    found.unwrap().from.clone()
}

pub(crate) fn restore(
    changelog: &[(Vec<u8>, Option<Vec<u8>>)],
    compacts: bool,
    of: &TopicPartition,
    states: &mut States,
) {
    let mut entries: Vec<(&[u8], Option<&[u8]>)> =
        changelog.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
    if compacts {
        entries.reverse();
        let mut known = BTreeSet::new();
        entries.retain(|(key, _)| known.insert(*key));
        entries.reverse();
    }
    for (key, value) in entries {
        let (topic, partition, rule, key) = EntryKey::parse(key).unwrap();
        if *topic == *of.topic && partition == of.partition {
            states.restore(of, rule, key, value).unwrap();
        }
    }
}
