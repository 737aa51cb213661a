//! The key of a changelog record: the input partition, the rule, and the rule's own key; and the
//! stream time that rides with committed offsets.

use std::sync::Arc;

use crate::record::TopicPartition;

/// The version of keys that is written, and the only one that is read.
const VERSION: u8 = 1;

/// What a key begins with: version, topic, partition, rule. Lengths are 16 bits, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryKey<'a> {
    /// The input partition that the state belongs to.
    pub input: &'a TopicPartition,
    /// The rule.
    pub rule: &'a str,
    /// The rule's key, as [`firebell_state`] writes it.
    pub key: &'a [u8],
}

/// A key as it is read: topic, partition, rule, the rule's key.
pub type Parts<'a> = (&'a str, i32, &'a str, &'a [u8]);

/// Why a key of the changelog is unreadable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A newer Firebell wrote it.
    #[error(
        "it has version {0}, and this Firebell reads version {VERSION}: it was written by a newer \
         one, which must read it"
    )]
    Version(u8),
    /// Somebody else wrote it.
    #[error("it is no key of a Firebell changelog; nobody else may write to this topic")]
    Shape,
}

impl EntryKey<'_> {
    /// The bytes of the key.
    pub fn to_bytes(self) -> Vec<u8> {
        let Self { input, rule, key } = self;
        let mut bytes = Vec::with_capacity(9 + input.topic.len() + rule.len() + key.len());
        bytes.push(VERSION);
        put(&mut bytes, input.topic.as_bytes());
        bytes.extend_from_slice(&input.partition.to_le_bytes());
        put(&mut bytes, rule.as_bytes());
        bytes.extend_from_slice(key);
        bytes
    }

    /// Takes a key apart.
    ///
    /// # Errors
    ///
    /// It is of another version, or no key.
    pub fn parse(bytes: &[u8]) -> Result<Parts<'_>, KeyError> {
        let (version, rest) = bytes.split_first().ok_or(KeyError::Shape)?;
        if *version != VERSION {
            return Err(KeyError::Version(*version));
        }
        let (topic, rest) = take(rest).ok_or(KeyError::Shape)?;
        let (partition, rest) = rest.split_first_chunk::<4>().ok_or(KeyError::Shape)?;
        let (rule, key) = take(rest).ok_or(KeyError::Shape)?;
        Ok((topic, i32::from_le_bytes(*partition), rule, key))
    }
}

/// Topics and rules have at most 249 and some hundred bytes.
fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(part.get(..usize::from(length)).unwrap_or(part));
}

fn take(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (part, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    Some((std::str::from_utf8(part).ok()?, rest))
}

/// The partition of the changelog that holds the state of an input partition. Partitions of one topic
/// lie one behind the other, so that equal numbers of partitions meet one to one.
pub fn partition_of(input: &TopicPartition, partitions: i32) -> i32 {
    let first = crate::outbox::partition_of(&input.topic, partitions);
    (first.wrapping_add(input.partition)).rem_euclid(partitions.max(1))
}

/// What the metadata of a committed offset begins with.
const METADATA: &str = "firebell:1:";

/// What rides in the metadata of a committed offset: with the offset, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beside {
    /// Stream time (as Kafka Streams keeps its partition time); `None` = none yet.
    pub stream_ms: Option<i64>,
    /// The id of the topic that the offset is of.
    pub topic_id: Option<Arc<str>>,
}

impl Beside {
    /// The metadata: `firebell:1:STREAM_MS:TOPIC_ID`, either of which may be empty; empty when both are.
    pub fn to_metadata(&self) -> String {
        let Self { stream_ms, topic_id } = self;
        if stream_ms.is_none() && topic_id.is_none() {
            return String::new();
        }
        let stream = stream_ms.map(|ms| ms.to_string()).unwrap_or_default();
        format!("{METADATA}{stream}:{}", topic_id.as_deref().unwrap_or_default())
    }

    /// Reads metadata; that of somebody else tells nothing.
    pub fn from_metadata(metadata: &str) -> Self {
        let Some(text) = metadata.strip_prefix(METADATA) else { return Self::default() };
        let (stream, id) = text.split_once(':').unwrap_or((text, ""));
        let topic_id = (!id.is_empty()).then(|| id.into());
        Self { stream_ms: stream.parse().ok(), topic_id }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_reads_back_and_a_newer_one_is_told() {
        let input = TopicPartition::new("SYSLOG", 3);
        let bytes = EntryKey { input: &input, rule: "burst", key: b"k" }.to_bytes();
        assert_eq!(EntryKey::parse(&bytes), Ok(("SYSLOG", 3, "burst", &b"k"[..])));
        assert_eq!(EntryKey::parse(&[2, 0]), Err(KeyError::Version(2)));
        assert_eq!(EntryKey::parse(b""), Err(KeyError::Shape));
    }

    #[test]
    fn partitions_of_a_topic_are_spread_evenly() {
        let of = |partition| partition_of(&TopicPartition::new("SYSLOG", partition), 4);
        let mut all = [0, 1, 2, 3].map(of);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    }

    #[test]
    fn stream_time_rides_in_the_metadata() {
        for stream_ms in [None, Some(-5)] {
            for topic_id in [None, Some("id".into())] {
                let beside = Beside { stream_ms, topic_id };
                assert_eq!(Beside::from_metadata(&beside.to_metadata()), beside);
            }
        }
        assert_eq!(Beside::default().to_metadata(), "");
        assert_eq!(Beside::from_metadata("AgAAAY4"), Beside::default());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _checked = EntryKey::parse(&bytes).is_ok();
        }
    }
}
