//! The outbox: notifications that were decided and are to be sent, as entries of a Kafka topic.
//!
//! In: what evaluation decided. Out: bytes of a record, and back. The record's key is the alert id,
//! its partition is [`partition_of`] the channel, so that one delivery owns a channel with its order
//! and its pace. Pure but for `kafka.rs`.

use crate::digest::Digest;
use crate::notification::{AlertId, IntentId, Notification};

pub mod kafka;
mod wire;

/// One notification on its way to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The record, rule and index that caused it.
    pub intent: IntentId,
    /// The alert that it belongs to.
    pub alert: AlertId,
    /// The channel by name, already checked against the rule's list.
    pub channel: String,
    /// Event time: what the rule declares to be it, or the record's timestamp; of what time does, the
    /// stream time at which it was found out, or the wall clock's where a timer fires and no record
    /// comes. Milliseconds since the Unix epoch; -1 = none.
    pub event_time_ms: i64,
    /// The rule's version (hex SHA-256) that decided it.
    pub rule_version: String,
    /// The rule set's generation that decided it.
    pub generation: u64,
    /// What is to be said.
    pub notification: Notification,
    /// It is older than its rule allows: it may change a message, and never makes one.
    pub is_stale: bool,
    /// It stands for these alerts, which were too old to be posted.
    pub digest: Option<Digest>,
}

/// Why bytes are not an outbox entry.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// A newer host wrote it. It is refused, not guessed.
    #[error(
        "outbox entry has version {found}, this firebell reads version {known}; \
         upgrade this host to the version that wrote it"
    )]
    Version {
        /// The version that was found.
        found: u64,
        /// The only version that is read.
        known: u64,
    },
    /// It is no JSON, or not of the shape of its version.
    #[error("outbox entry cannot be read")]
    Shape(#[source] serde_json::Error),
    /// A word or an id in it has no meaning.
    #[error("outbox entry has a wrong {place}: {message}")]
    Value {
        /// Which member.
        place: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl Entry {
    /// The record's value: JSON of the current version.
    pub fn to_bytes(&self) -> Vec<u8> {
        wire::to_bytes(self)
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// When it is of another version, or not an entry.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OutboxError> {
        wire::from_bytes(bytes)
    }

    /// The record's key: the alert id as text.
    pub fn key(&self) -> Vec<u8> {
        self.alert.to_string().into_bytes()
    }
}

/// The partition of outbox and ledger that a channel belongs to, of `partitions` (at least 1).
///
/// FNV-1a over 64 bits of the channel's UTF-8 name, modulo the number of partitions. It must never
/// change: the ledger of an alert is looked for in the partition of its channel.
pub fn partition_of(channel: &str, partitions: i32) -> i32 {
    partition_of_bytes(channel.as_bytes(), partitions)
}

/// The partition of any bytes among `partitions`: FNV-1a, the same for ever.
pub fn partition_of_bytes(bytes: &[u8], partitions: i32) -> i32 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let partitions = u64::try_from(partitions).unwrap_or(1).max(1);
    // Smaller than `partitions`, which came from an i32.
    i32::try_from(hash % partitions).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_stays_in_its_partition_for_ever() {
        // Written down, not computed: a change here loses every alert that is open.
        let names = ["general", "firebell-ops", "", "störung"];
        assert_eq!(names.map(|name| partition_of(name, 4)), [3, 1, 1, 1]);
        assert_eq!(names.map(|name| partition_of(name, 12)), [7, 1, 5, 9]);
        assert_eq!(partition_of("general", 1), 0);
        assert_eq!(partition_of("general", 0), 0);
        assert_eq!(partition_of("general", -1), 0);
    }

    #[test]
    fn channels_spread_over_the_partitions() {
        let mut counts = [0; 8];
        for n in 0..800 {
            counts[partition_of(&format!("team-{n}"), 8) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (50..150).contains(count)), "{counts:?}");
    }
}
