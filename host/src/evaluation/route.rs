//! Records on their way through the repartition topic, to the partition of what their rule groups by.
//!
//! A routed record is the whole record, key aside, so that the version of the rule that is there when it
//! is read evaluates it as if it had come straight from its topic. One header says where it is from.

use std::ops::Range;
use std::sync::Arc;

use crate::matching::RuleBatch;
use crate::record::{Headers, OutgoingRecord, Record, TopicPartition};

use super::moments::cell_bytes;

/// The header that says where a record is from. Its value: version, rule, topic, partition, offset,
/// timestamp, key (lengths 16 and 32 bits, all little-endian; a key of length `u32::MAX` is null).
const HEADER: &str = "firebell.routed";
/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

/// Bytes of what a record is grouped by that are its key.
const SHOWN_KEY_BYTES_MAX: usize = 1 << 10;

/// The repartition topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repartition {
    /// Its name.
    pub topic: Arc<str>,
    /// How many partitions it has.
    pub partitions: i32,
}

/// Where a routed record is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Origin<'h> {
    rule: &'h str,
    topic: &'h str,
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    key: Option<&'h [u8]>,
}

/// Makes a routed record of every row, grouped by the cells of `column`.
pub(super) fn route(
    to: &Repartition,
    rule: &str,
    (partition, records): (&TopicPartition, &[Record<'_>]),
    (matched, column): (&RuleBatch, usize),
    out: &mut Vec<OutgoingRecord>,
) {
    let rows = matched.rows.len();
    let columns = matched.batch.ends.len().checked_div(rows).unwrap_or(0);
    for (row, index) in matched.rows.iter().enumerate() {
        let record = &records[*index as usize];
        let by = cell_bytes(&matched.batch, row * columns + column);
        let mut headers = Vec::new();
        record.headers.each(&mut |name, value| {
            headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        });
        headers.push((HEADER.to_owned(), Some(header(rule, partition, record))));
        out.push(OutgoingRecord {
            topic: Arc::clone(&to.topic),
            partition: Some(partition_of(by, to.partitions)),
            // Only for people: it is read from the record again.
            key: Some(by.get(..SHOWN_KEY_BYTES_MAX).unwrap_or(by).to_vec()),
            value: record.value.map(<[u8]>::to_vec),
            headers,
            // Its own time is in the header. With it here, retention would delete what is old before
            // it is read, and a broker could refuse what is from the future.
            timestamp_ms: None,
        });
    }
}

/// The partition of a group; stable for ever, since state lies there.
fn partition_of(by: &[u8], partitions: i32) -> i32 {
    crate::outbox::partition_of_bytes(by, partitions)
}

fn header(rule: &str, partition: &TopicPartition, record: &Record<'_>) -> Vec<u8> {
    let key_len = record.key.map_or(0, <[u8]>::len);
    let mut bytes = Vec::with_capacity(32 + rule.len() + partition.topic.len() + key_len);
    bytes.push(VERSION);
    for text in [rule, &*partition.topic] {
        // Names have some hundred bytes at most.
        bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(&partition.partition.to_le_bytes());
    bytes.extend_from_slice(&record.offset.to_le_bytes());
    bytes.extend_from_slice(&record.timestamp_ms.to_le_bytes());
    let length = record.key.map_or(u32::MAX, |key| key.len() as u32);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(record.key.unwrap_or_default());
    bytes
}

/// Calls `each` with where a record of the repartition topic is from; false when it does not say.
fn with_origin(record: &Record<'_>, each: impl FnOnce(Origin<'_>)) -> bool {
    let mut each = Some(each);
    record.headers.each(&mut |name, value| {
        if name == HEADER
            && let Some(origin) = value.and_then(parse)
            && let Some(each) = each.take()
        {
            each(origin);
        }
    });
    each.is_none()
}

fn parse(bytes: &[u8]) -> Option<Origin<'_>> {
    fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        Some((std::str::from_utf8(text).ok()?, rest))
    }
    let rest = bytes.strip_prefix(&[VERSION])?;
    let (rule, rest) = text(rest)?;
    let (topic, rest) = text(rest)?;
    let (partition, rest) = rest.split_first_chunk::<4>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (timestamp, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let key = match u32::from_le_bytes(*length) {
        u32::MAX => None,
        length => Some(rest.get(..length as usize)?),
    };
    Some(Origin {
        rule,
        topic,
        partition: i32::from_le_bytes(*partition),
        offset: i64::from_le_bytes(*offset),
        timestamp_ms: i64::from_le_bytes(*timestamp),
        key,
    })
}

/// Records of one rule and topic that came by the repartition topic, in their order.
pub(super) struct Routed<'a> {
    pub(super) rule: String,
    pub(super) topic: Arc<str>,
    /// The partitions that they are from.
    pub(super) partitions: Vec<i32>,
    /// What else they were.
    places: Vec<Place<'a>>,
    /// All keys, one behind the other.
    keys: Vec<u8>,
}

/// A record as it was in its topic.
struct Place<'a> {
    offset: i64,
    timestamp_ms: i64,
    key: Option<Range<usize>>,
    value: Option<&'a [u8]>,
    headers: OwnHeaders<'a>,
}

impl<'a> Routed<'a> {
    fn new(rule: &str, topic: &str) -> Self {
        Self {
            rule: rule.to_owned(),
            topic: topic.into(),
            partitions: Vec::new(),
            places: Vec::new(),
            keys: Vec::new(),
        }
    }

    fn push(&mut self, origin: &Origin<'_>, record: &Record<'a>) {
        let start = self.keys.len();
        self.keys.extend_from_slice(origin.key.unwrap_or_default());
        self.partitions.push(origin.partition);
        self.places.push(Place {
            offset: origin.offset,
            timestamp_ms: origin.timestamp_ms,
            key: origin.key.map(|_| start..self.keys.len()),
            value: record.value,
            headers: OwnHeaders(record.headers),
        });
    }

    /// The records as they were in their topic.
    pub(super) fn records(&self) -> Vec<Record<'_>> {
        let mut records = Vec::with_capacity(self.places.len());
        for Place { offset, timestamp_ms, key, value, headers } in &self.places {
            records.push(Record {
                offset: *offset,
                timestamp_ms: *timestamp_ms,
                key: key.clone().and_then(|range| self.keys.get(range)),
                value: *value,
                headers,
            });
        }
        records
    }
}

/// Sorts records of the repartition topic by rule, and each rule's into runs of one topic; beside them,
/// how many do not say where they are from. Nobody but Firebell writes there: they are passed over.
pub(super) fn by_rule<'a>(records: &[Record<'a>]) -> (Vec<Routed<'a>>, u64) {
    let (mut all, mut strays): (Vec<Routed<'a>>, u64) = (Vec::new(), 0);
    for record in records {
        let says = with_origin(record, |origin| {
            // A rule's records stay in their order, whatever topics they are from: its time follows them.
            let last = all.iter().rposition(|one| one.rule == origin.rule);
            let last = last.filter(|last| *all[*last].topic == *origin.topic);
            let at = last.unwrap_or_else(|| {
                all.push(Routed::new(origin.rule, origin.topic));
                all.len() - 1
            });
            all[at].push(&origin, record);
        });
        strays += u64::from(!says);
    }
    (all, strays)
}

/// The headers that a routed record had before it was routed.
pub(super) struct OwnHeaders<'a>(pub(super) &'a dyn Headers);

impl Headers for OwnHeaders<'_> {
    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.each(&mut |name, value| {
            if name != HEADER {
                each(name, value);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;

    #[test]
    fn a_routed_record_says_where_it_is_from_and_keeps_all_else() {
        let headers = vec![("trace".to_owned(), Some(b"7".to_vec()))];
        let of = |key: Option<&'static [u8]>| Record {
            offset: 9,
            timestamp_ms: 1_000,
            key,
            value: Some(b"{}"),
            headers: &headers,
        };
        let batch = Batch {
            offsets: vec![9, 9],
            cells: b"rpi-03rpi-04".to_vec(),
            ends: vec![6, 12],
            ..Batch::default()
        };
        let matched = RuleBatch { batch, rows: vec![0, 1], mismatched: 0 };
        let to = Repartition { topic: "g.repartition".into(), partitions: 4 };
        let mut out = Vec::new();
        let from = TopicPartition::new("SYSLOG", 3);
        route(&to, "burst", (&from, &[of(Some(b"k")), of(None)]), (&matched, 0), &mut out);
        assert_eq!(out[0].key.as_deref(), Some(&b"rpi-03"[..]));
        for (routed, key) in out.iter().zip([Some(&b"k"[..]), None]) {
            let record = Record {
                offset: 0,
                timestamp_ms: 1_000,
                key: routed.key.as_deref(),
                value: routed.value.as_deref(),
                headers: &routed.headers,
            };
            let [found] = by_rule(&[record]).0.try_into().unwrap_or_else(|_| panic!("not one"));
            assert_eq!(
                (&*found.rule, &*found.topic, &*found.partitions),
                ("burst", "SYSLOG", &[3][..])
            );
            let found = found.records()[0];
            assert_eq!((found.offset, found.timestamp_ms, found.key), (9, 1_000, key));
            let mut names = Vec::new();
            OwnHeaders(&routed.headers).each(&mut |name, _| names.push(name.to_owned()));
            assert_eq!(names, ["trace"]);
        }
    }

    #[test]
    fn what_does_not_say_where_it_is_from_is_nobodys() {
        for bytes in [&b""[..], &[1, 9, 0], &[2, 0, 0, 0, 0]] {
            assert_eq!(parse(bytes), None);
        }
    }
}
