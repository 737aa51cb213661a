//! The key of a changelog record: the input partition, the rule, and the rule's own key; and the
//! stream time that rides with committed offsets.

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

/// Stream time as the metadata of a committed offset (as Kafka Streams keeps its partition time):
/// with the offset, or not at all. Empty = none.
pub fn stream_to_metadata(stream_ms: Option<i64>) -> String {
    stream_ms.map(|ms| format!("{METADATA}{ms}")).unwrap_or_default()
}

/// Stream time in the metadata of a committed offset; `None` = there is none, or somebody else's.
pub fn stream_from_metadata(metadata: &str) -> Option<i64> {
    metadata.strip_prefix(METADATA)?.parse().ok()
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
        assert_eq!(stream_from_metadata(&stream_to_metadata(Some(-5))), Some(-5));
        assert_eq!(stream_to_metadata(None), "");
        assert_eq!(stream_from_metadata(""), None);
        assert_eq!(stream_from_metadata("AgAAAY4"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _checked = EntryKey::parse(&bytes).is_ok();
        }
    }
}
