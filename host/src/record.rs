//! A record as evaluation sees it: borrowed, from Kafka, from a file or from a test.
//!
//! Knows neither Kafka nor a clock.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// One topic partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Names one record for ever: `TOPIC/PARTITION/OFFSET`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The offset of this record (not the next one).
    pub offset: i64,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// Why a text is not a record id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a record id; it reads TOPIC/PARTITION/OFFSET")]
pub struct InvalidRecordId(pub String);

impl FromStr for RecordId {
    type Err = InvalidRecordId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidRecordId(text.to_owned());
        let mut parts = text.rsplitn(3, '/');
        let (Some(offset), Some(partition), Some(topic)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        Ok(Self {
            topic: topic.into(),
            partition: partition.parse().map_err(|_| invalid())?,
            offset: offset.parse().map_err(|_| invalid())?,
        })
    }
}

/// The headers of a record; looked at only when a rule asks for one.
pub trait Headers {
    /// Calls `each` with every header in order; a header's value may be null.
    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>));
}

/// No headers.
impl Headers for () {
    fn each(&self, _: &mut dyn FnMut(&str, Option<&[u8]>)) {}
}

impl Headers for Vec<(String, Option<Vec<u8>>)> {
    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for (name, value) in self {
            each(name, value.as_deref());
        }
    }
}

/// A record of one topic partition, borrowed from where it was read.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The offset of this record.
    pub offset: i64,
    /// Milliseconds since the Unix epoch; -1 = the record has none.
    pub timestamp_ms: i64,
    /// The key's bytes; `None` = null.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` = a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a dyn Headers,
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("offset", &self.offset)
            .field("timestamp_ms", &self.timestamp_ms)
            .field("key", &self.key.map(String::from_utf8_lossy))
            .field("value", &self.value.map(String::from_utf8_lossy))
            .finish_non_exhaustive()
    }
}

/// A record that is to be written: what a rule emits, a dead letter, an outbox entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// The topic that it goes to.
    pub topic: Arc<str>,
    /// The partition, where the writer decides it; `None` = by key.
    pub partition: Option<i32>,
    /// The key's bytes; `None` = null.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` = a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since the Unix epoch; `None` = the time of writing.
    pub timestamp_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_id_reads_back_even_when_the_topic_has_slashes() {
        for text in ["SYSLOG/3/42", "a/b/0/7"] {
            assert_eq!(text.parse::<RecordId>().unwrap().to_string(), text);
        }
        assert!("SYSLOG/x/42".parse::<RecordId>().is_err());
        assert!("42".parse::<RecordId>().is_err());
    }
}
