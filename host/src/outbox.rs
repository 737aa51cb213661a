//! The outbox: notifications that were decided and are to be sent, as entries of a Kafka topic.

use crate::notification::{AlertId, IntentId, Notification};

/// One notification on its way to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The record, rule and index that caused it.
    pub intent: IntentId,
    /// The alert that it belongs to.
    pub alert: AlertId,
    /// The channel by name, already checked against the rule's list.
    pub channel: String,
    /// Event time: the record's timestamp, milliseconds since the Unix epoch; -1 = none.
    pub event_time_ms: i64,
    /// The rule's version (hex SHA-256) that decided it.
    pub rule_version: String,
    /// The rule set's generation that decided it.
    pub generation: u64,
    /// What is to be said.
    pub notification: Notification,
}
