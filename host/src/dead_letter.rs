//! Dead letters: records that were given up on, whole, with the reason why.
//!
//! A record that cannot be decoded is one dead letter; a record on which one rule failed is a dead
//! letter for that rule. The headers are Kafka Connect's (`DeadLetterQueueReporter`), which existing
//! tools read, and our own `x-firebell-…`. Pure: knows neither Kafka nor a clock.

use std::sync::Arc;

use crate::limits::cut;
use crate::record::{OutgoingRecord, Record, RecordId};

/// Bytes of a message in a header.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// Bytes of the long text in a header.
const STACKTRACE_BYTES_MAX: usize = 8_192;

/// Kafka Connect's headers begin so.
const CONNECT: &str = "__connect.errors.";
/// Ours begin so.
const OURS: &str = "x-firebell-";
/// The header with the record's timestamp, milliseconds since the Unix epoch.
const TIMESTAMP: &str = "timestamp-ms";

/// Where on its way a record was given up on; a closed set, the label of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Its value could not be decoded.
    Decode,
    /// A rule failed on it, or is quarantined.
    Evaluate,
    /// A rule named a channel that it may not post to.
    Channel,
    /// A rule named a topic that it may not emit to.
    Emit,
    /// Slack refused for good.
    Delivery,
}

impl Stage {
    /// The word in `__connect.errors.stage` and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Evaluate => "evaluate",
            Self::Channel => "channel",
            Self::Emit => "emit",
            Self::Delivery => "delivery",
        }
    }

    /// `__connect.errors.class.name`: the part of the host that gave up.
    fn class_name(self) -> &'static str {
        match self {
            Self::Decode => "firebell::decode",
            Self::Evaluate => "firebell::engine",
            Self::Channel | Self::Emit => "firebell::evaluation",
            Self::Delivery => "firebell::delivery",
        }
    }

    /// `__connect.errors.exception.class.name`: the type of the error.
    fn exception_class_name(self) -> &'static str {
        match self {
            Self::Decode => "firebell::decode::DecodeError",
            Self::Evaluate => "firebell::engine::CallFailure",
            Self::Channel => "firebell::evaluation::ChannelNotAllowed",
            Self::Emit => "firebell::evaluation::TopicNotAllowed",
            Self::Delivery => "firebell::delivery::PermanentError",
        }
    }
}

/// The rule that a dead letter is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleVersion {
    /// The rule's name.
    pub name: Arc<str>,
    /// Its version, hex SHA-256.
    pub version: String,
}

/// A record that was given up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record.
    pub record: RecordId,
    /// Its timestamp, milliseconds since the Unix epoch; -1 = none.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The rule that it is for; `None` = nobody could read it.
    pub rule: Option<RuleVersion>,
    /// The rule set's generation.
    pub generation: u64,
    /// Where it was given up on.
    pub stage: Stage,
    /// Why, in a word of a closed set: the label of metrics, the header `x-firebell-reason`.
    pub reason: &'static str,
    /// Why, for people: what, where and the cure. May be long; it is cut when it is written.
    pub message: String,
}

/// Who gives up: `__connect.errors.connector.name` and `.task.id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The consumer group's id.
    pub group_id: Arc<str>,
    /// The worker's number.
    pub worker: usize,
}

impl DeadLetter {
    /// A dead letter about `record`, copied whole.
    pub fn new(
        id: RecordId,
        record: &Record<'_>,
        rule: Option<RuleVersion>,
        generation: u64,
        (stage, reason): (Stage, &'static str),
        message: String,
    ) -> Self {
        Self {
            record: id,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: owned_headers(record),
            rule,
            generation,
            stage,
            reason,
            message,
        }
    }

    /// The record for the dead-letter topic: key, value and headers as they were, and the reason and
    /// the record's timestamp in headers of UTF-8 text.
    pub fn into_outgoing(self, topic: &Arc<str>, origin: &Origin) -> OutgoingRecord {
        let mut message = self.message.clone();
        cut(&mut message, MESSAGE_BYTES_MAX);
        let mut stacktrace = self.message;
        cut(&mut stacktrace, STACKTRACE_BYTES_MAX);
        // A dead letter that was replayed and failed again tells its last failure.
        let mut headers = self.headers;
        headers.retain(|(name, _)| !name.starts_with(CONNECT) && !name.starts_with(OURS));
        let mut add = |prefix: &str, name: &str, text: String| {
            headers.push((format!("{prefix}{name}"), Some(text.into_bytes())));
        };
        add(CONNECT, "topic", self.record.topic.to_string());
        add(CONNECT, "partition", self.record.partition.to_string());
        add(CONNECT, "offset", self.record.offset.to_string());
        add(CONNECT, "connector.name", origin.group_id.to_string());
        add(CONNECT, "task.id", origin.worker.to_string());
        add(CONNECT, "stage", self.stage.as_str().to_owned());
        add(CONNECT, "class.name", self.stage.class_name().to_owned());
        add(CONNECT, "exception.class.name", self.stage.exception_class_name().to_owned());
        add(CONNECT, "exception.message", message);
        add(CONNECT, "exception.stacktrace", stacktrace);
        if let Some(RuleVersion { name, version }) = self.rule {
            add(OURS, "rule", name.to_string());
            add(OURS, "rule-version", version);
        }
        add(OURS, "generation", self.generation.to_string());
        add(OURS, "reason", self.reason.to_owned());
        // Not as the letter's own: retention counts from it, and would delete an old record's letter
        // before anybody has looked at it.
        if self.timestamp_ms >= 0 {
            add(OURS, TIMESTAMP, self.timestamp_ms.to_string());
        }
        OutgoingRecord {
            topic: Arc::clone(topic),
            partition: None,
            key: self.key,
            value: self.value,
            headers,
            timestamp_ms: None,
        }
    }
}

/// A copy of a record's headers, in order.
pub(crate) fn owned_headers(record: &Record<'_>) -> Vec<(String, Option<Vec<u8>>)> {
    let mut headers = Vec::new();
    record.headers.each(&mut |name, value| {
        headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
    });
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(rule: Option<RuleVersion>, message: String) -> OutgoingRecord {
        let headers = vec![
            ("trace".to_owned(), Some(b"abc".to_vec())),
            ("empty".to_owned(), None),
            ("__connect.errors.offset".to_owned(), Some(b"7".to_vec())),
            ("x-firebell-reason".to_owned(), Some(b"old".to_vec())),
        ];
        let record = Record {
            offset: 42,
            timestamp_ms: 1_520_176_464_386,
            key: Some(b"192.168.10.250"),
            value: Some(b"{not json"),
            headers: &headers,
        };
        let id = RecordId { topic: "SYSLOG".into(), partition: 3, offset: 42 };
        let why = (Stage::Evaluate, "panic");
        let origin = Origin { group_id: "firebell".into(), worker: 5 };
        DeadLetter::new(id, &record, rule, 9, why, message)
            .into_outgoing(&"firebell.dead-letters".into(), &origin)
    }

    fn rule() -> Option<RuleVersion> {
        Some(RuleVersion { name: "invalid-user".into(), version: "ab12".into() })
    }

    #[test]
    fn every_header_tells_what_its_name_says_and_the_record_is_kept() {
        let out = letter(rule(), "index out of bounds".into());
        let expected = [
            ("trace", Some("abc")),
            ("empty", None),
            ("__connect.errors.topic", Some("SYSLOG")),
            ("__connect.errors.partition", Some("3")),
            ("__connect.errors.offset", Some("42")),
            ("__connect.errors.connector.name", Some("firebell")),
            ("__connect.errors.task.id", Some("5")),
            ("__connect.errors.stage", Some("evaluate")),
            ("__connect.errors.class.name", Some("firebell::engine")),
            ("__connect.errors.exception.class.name", Some("firebell::engine::CallFailure")),
            ("__connect.errors.exception.message", Some("index out of bounds")),
            ("__connect.errors.exception.stacktrace", Some("index out of bounds")),
            ("x-firebell-rule", Some("invalid-user")),
            ("x-firebell-rule-version", Some("ab12")),
            ("x-firebell-generation", Some("9")),
            ("x-firebell-reason", Some("panic")),
            ("x-firebell-timestamp-ms", Some("1520176464386")),
        ];
        let headers: Vec<(&str, Option<&str>)> = out
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_deref().map(|v| std::str::from_utf8(v).unwrap())))
            .collect();
        assert_eq!(headers, expected);
        assert_eq!(&*out.topic, "firebell.dead-letters");
        assert_eq!(out.partition, None);
        assert_eq!(out.key.as_deref(), Some(b"192.168.10.250".as_slice()));
        assert_eq!(out.value.as_deref(), Some(b"{not json".as_slice()));
        assert_eq!(out.timestamp_ms, None, "retention counts from the letter, not the record");
    }

    #[test]
    fn a_record_that_nobody_could_read_names_no_rule() {
        let out = letter(None, "expected value at line 1".into());
        assert!(!out.headers.iter().any(|(name, _)| name.starts_with("x-firebell-rule")));
    }

    #[test]
    fn long_texts_are_cut() {
        let out = letter(rule(), "ä".repeat(100_000));
        let len = |name: &str| {
            let (_, value) = out.headers.iter().find(|(n, _)| n == name).unwrap();
            let value = value.as_ref().unwrap();
            assert!(std::str::from_utf8(value).is_ok(), "{name}");
            value.len()
        };
        assert!(len("__connect.errors.exception.message") <= MESSAGE_BYTES_MAX);
        assert!(len("__connect.errors.exception.stacktrace") <= STACKTRACE_BYTES_MAX);
    }

    #[test]
    fn stages_have_distinct_words() {
        let all = [Stage::Decode, Stage::Evaluate, Stage::Channel, Stage::Emit, Stage::Delivery];
        let words: std::collections::BTreeSet<&str> = all.into_iter().map(Stage::as_str).collect();
        assert_eq!(words.len(), all.len());
    }
}
