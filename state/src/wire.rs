//! How entries are written to a changelog topic.
//!
//! A key is its kind (a byte) and what identifies the entry. A value is the version (a byte), a
//! CRC-32 of the rest (little-endian) and the entry. Numbers are little-endian, lengths LEB128.

mod reader;
mod window;

use std::collections::HashSet;
use std::sync::Arc;

use thiserror::Error;

use crate::entry::{Entry, Meta};
use crate::key::{Key, Kind};
use crate::moment::{Due, Evidence};
use crate::sliding::{Row, Sliding};
use crate::sources::{Source, Sources};
use crate::tally::{Items, Tally};
use reader::Reader;

/// The version of the values that are written.
const VERSION: u8 = 1;

/// Why an entry of a changelog is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    #[error(
        "the changelog has an entry of version {found}, this Firebell knows {known}: it was \
         written by a newer Firebell; start that one, or remove the changelog topic and with it \
         the rule's state"
    )]
    Version { found: u8, known: u8 },
    #[error(
        "the changelog has an entry of the unknown kind {found}: it was written by a newer \
         Firebell, or the topic is no changelog"
    )]
    Kind { found: u8 },
    #[error("an entry of the changelog has the wrong checksum: it is damaged")]
    Checksum,
    #[error("an entry of the changelog is cut off")]
    Cut,
    #[error("an entry of the changelog is damaged: {0}")]
    Malformed(&'static str),
}

/// Names of topics, each held once.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    all: HashSet<Arc<str>>,
    /// Those of the entry that is read, by their numbers in it.
    present: Vec<Arc<str>>,
}

impl Topics {
    /// Reads the topics of an entry's records into `present`.
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), WireError> {
        let mut count = 0;
        reader.each(|reader| {
            let name = reader.text()?;
            // Most often it is that of the entry before.
            if self.present.get(count).is_none_or(|present| **present != *name) {
                self.present.truncate(count);
                let shared = self.shared(name);
                self.present.push(shared);
            }
            count += 1;
            Ok(())
        })?;
        self.present.truncate(count);
        Ok(())
    }

    fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.all.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.all.insert(Arc::clone(&name));
        name
    }
}

pub(crate) fn encode_key(key: &Key) -> Vec<u8> {
    let mut out = Vec::with_capacity(17 + key.bytes.len());
    out.push(key.kind as u8);
    if key.kind.is_window() {
        out.extend(key.definition.to_le_bytes());
    }
    if matches!(key.kind, Kind::Window | Kind::Session) {
        out.extend(key.start_ms.to_le_bytes());
    }
    out.extend(&*key.bytes);
    out
}

pub(crate) fn decode_key(bytes: &[u8]) -> Result<Key, WireError> {
    const KINDS: [Kind; 6] =
        [Kind::Meta, Kind::Value, Kind::Timer, Kind::Window, Kind::Session, Kind::Sliding];
    let mut reader = Reader(bytes);
    let found = reader.u8()?;
    let kind = KINDS.into_iter().find(|kind| *kind as u8 == found);
    let kind = kind.ok_or(WireError::Kind { found })?;
    let definition = if kind.is_window() { reader.u64()? } else { 0 };
    let start_ms = if matches!(kind, Kind::Window | Kind::Session) { reader.i64()? } else { 0 };
    if kind == Kind::Meta && !reader.0.is_empty() {
        return Err(WireError::Malformed("its key is too long"));
    }
    Ok(Key { kind, definition, bytes: Arc::from(reader.0), start_ms })
}

pub(crate) fn encode(entry: &Entry) -> Vec<u8> {
    let mut out = vec![VERSION, 0, 0, 0, 0];
    match entry {
        Entry::Meta(meta) => encode_meta(&mut out, meta),
        Entry::Value { bytes, expires_ms } => {
            put_option(&mut out, expires_ms.map(i64::to_le_bytes));
            out.extend(&**bytes);
        }
        Entry::Timer(due) => {
            let (kind, due_ms) = match due {
                Due::EventTime(due_ms) => (0, due_ms),
                Due::WallClock(due_ms) => (1, due_ms),
            };
            out.push(kind);
            out.extend(due_ms.to_le_bytes());
        }
        Entry::Tally(tally) => encode_tally(&mut out, tally),
        Entry::Sliding(sliding) => encode_sliding(&mut out, sliding),
    }
    let checksum = crc32fast::hash(&out[5..]);
    out[1..5].copy_from_slice(&checksum.to_le_bytes());
    out
}

pub(crate) fn decode(kind: Kind, value: &[u8], topics: &mut Topics) -> Result<Entry, WireError> {
    let mut reader = Reader(value);
    let found = reader.u8()?;
    if found != VERSION {
        return Err(WireError::Version { found, known: VERSION });
    }
    let checksum = reader.u32()?;
    if checksum != crc32fast::hash(reader.0) {
        return Err(WireError::Checksum);
    }
    let entry = match kind {
        Kind::Meta => Entry::Meta(decode_meta(&mut reader)?),
        Kind::Value => {
            let expires_ms = reader.option(Reader::i64)?;
            Entry::Value { expires_ms, bytes: reader.rest().into() }
        }
        Kind::Timer => match (reader.u8()?, reader.i64()?) {
            (0, due_ms) => Entry::Timer(Due::EventTime(due_ms)),
            (1, due_ms) => Entry::Timer(Due::WallClock(due_ms)),
            _ => return Err(WireError::Malformed("a timer of neither clock")),
        },
        Kind::Window | Kind::Session => Entry::Tally(decode_tally(&mut reader, topics)?),
        Kind::Sliding => Entry::Sliding(Box::new(decode_sliding(&mut reader, topics)?)),
    };
    if reader.0.is_empty() { Ok(entry) } else { Err(WireError::Malformed("it is too long")) }
}

fn encode_meta(out: &mut Vec<u8>, meta: &Meta) {
    put_option(out, meta.version.map(u32::to_le_bytes));
    put_option(out, meta.stream_ms.map(i64::to_le_bytes));
    put_len(out, meta.windows.len());
    for (fingerprint, window) in &*meta.windows {
        out.extend(fingerprint.to_le_bytes());
        window::encode(out, window);
    }
    out.push(u8::from(meta.sources.known) | u8::from(!meta.sources.begun) << 1);
    put_len(out, meta.sources.list.len());
    for source in &meta.sources.list {
        put_bytes(out, source.topic.as_bytes());
        out.extend((source.partition as u32).to_le_bytes());
        put_option(out, source.furthest_ms.map(i64::to_le_bytes));
    }
}

fn decode_meta(reader: &mut Reader<'_>) -> Result<Meta, WireError> {
    let version = reader.option(Reader::u32)?;
    let stream_ms = reader.option(Reader::i64)?;
    let windows = reader.list(|reader| Ok((reader.u64()?, window::decode(reader)?)))?;
    // Before routed rules had a time of several partitions, nothing followed.
    if reader.0.is_empty() {
        return Ok(Meta { version, stream_ms, sources: Arc::default(), windows: windows.into() });
    }
    let flags = reader.u8()?;
    let list = reader.list(|reader| {
        let topic = reader.text()?.into();
        let partition = reader.u32()? as i32;
        Ok(Source { topic, partition, furthest_ms: reader.option(Reader::i64)? })
    })?;
    let sources = Arc::new(Sources { known: flags & 1 != 0, begun: flags & 2 == 0, list });
    Ok(Meta { version, stream_ms, sources, windows: windows.into() })
}

fn encode_tally(out: &mut Vec<u8>, tally: &Tally) {
    out.push(u8::from(tally.crossed) | u8::from(tally.told) << 1);
    out.extend(tally.end_ms.to_le_bytes());
    out.extend(tally.count.to_le_bytes());
    out.extend(tally.value.to_le_bytes());
    put_len(out, tally.items.as_ref().map_or(0, |items| items.len()));
    tally.items.iter().flat_map(|items| items.iter()).for_each(|item| put_bytes(out, item));
    let evidence = tally.evidence.as_deref().map(Vec::as_slice).unwrap_or_default();
    let topics = put_topics(out, evidence.iter());
    put_len(out, evidence.len());
    evidence.iter().for_each(|record| put_evidence(out, &topics, record));
}

fn decode_tally(reader: &mut Reader<'_>, topics: &mut Topics) -> Result<Tally, WireError> {
    let flags = reader.u8()?;
    let mut tally = Tally::new(reader.i64()?);
    tally.crossed = flags & 1 != 0;
    tally.told = flags & 2 != 0;
    tally.count = reader.u64()?;
    tally.value = reader.f64()?;
    let mut items = Items::default();
    reader.each(|reader| {
        items.insert(reader.bytes()?);
        Ok(())
    })?;
    tally.items = (items.len() > 0).then(|| Box::new(items));
    topics.read(reader)?;
    let evidence = reader.list(|reader| reader.evidence(&topics.present))?;
    tally.evidence = (!evidence.is_empty()).then(|| Arc::new(evidence));
    Ok(tally)
}

/// Columns of a sliding window's rows, as bits.
const NUMBERS: u8 = 2;
const ITEMS: u8 = 4;
const EVIDENCE: u8 = 8;

fn encode_sliding(out: &mut Vec<u8>, sliding: &Sliding) {
    let first = sliding.rows().next();
    let column = |there: bool, bit: u8| if there { bit } else { 0 };
    out.push(
        u8::from(sliding.above)
            | column(first.is_some_and(|row| row.number.is_some()), NUMBERS)
            | column(first.is_some_and(|row| row.item.is_some()), ITEMS)
            | column(sliding.keeps_evidence(), EVIDENCE),
    );
    let topics = put_topics(out, sliding.rows().filter_map(|row| row.evidence));
    put_len(out, sliding.len());
    for row in sliding.rows() {
        out.extend(row.time_ms.to_le_bytes());
        out.extend(row.number.iter().flat_map(|number| number.to_le_bytes()));
        row.item.iter().for_each(|item| put_bytes(out, item));
        match row.evidence {
            Some(record) => {
                out.push(1);
                put_evidence(out, &topics, record);
            }
            None if sliding.keeps_evidence() => out.push(0),
            None => {}
        }
    }
}

fn decode_sliding(reader: &mut Reader<'_>, topics: &mut Topics) -> Result<Sliding, WireError> {
    let flags = reader.u8()?;
    let has = |bit: u8| flags & bit != 0;
    topics.read(reader)?;
    let topics = &topics.present;
    let mut sliding = Sliding::default();
    sliding.above = flags & 1 != 0;
    reader.each(|reader| {
        let time_ms = reader.i64()?;
        if sliding.last_ms().is_some_and(|last_ms| time_ms < last_ms) {
            return Err(WireError::Malformed("its records are in no order"));
        }
        let number = if has(NUMBERS) { Some(reader.f64()?) } else { None };
        let item = if has(ITEMS) { Some(reader.bytes()?) } else { None };
        let evidence =
            if has(EVIDENCE) { reader.option(|reader| reader.evidence(topics))? } else { None };
        let row = Row { time_ms, number, item, evidence: evidence.as_ref() };
        sliding.push(row, has(EVIDENCE));
        Ok(())
    })?;
    sliding.link();
    Ok(sliding)
}

/// Writes the topics of some records and returns them, in the order of their numbers.
fn put_topics<'a>(
    out: &mut Vec<u8>,
    records: impl Iterator<Item = &'a Evidence>,
) -> Vec<&'a Arc<str>> {
    let mut topics: Vec<&Arc<str>> = vec![];
    for record in records {
        if !topics.contains(&&record.topic) {
            topics.push(&record.topic);
        }
    }
    put_len(out, topics.len());
    topics.iter().for_each(|topic| put_bytes(out, topic.as_bytes()));
    topics
}

fn put_evidence(out: &mut Vec<u8>, topics: &[&Arc<str>], record: &Evidence) {
    let topic = topics.iter().position(|topic| **topic == record.topic);
    put_len(out, topic.unwrap_or(topics.len()));
    out.extend(record.partition.to_le_bytes());
    out.extend(record.offset.to_le_bytes());
    out.extend(record.timestamp_ms.to_le_bytes());
}

fn put_option<const N: usize>(out: &mut Vec<u8>, value: Option<[u8; N]>) {
    out.push(u8::from(value.is_some()));
    out.extend(value.into_iter().flatten());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend(bytes);
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    let mut left = len;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

#[cfg(test)]
mod tests;
