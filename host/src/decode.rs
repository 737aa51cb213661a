//! Bytes to fields: the places of a record that some rule asked for, found once per record.
//!
//! In: a record and the union of the places that the rules of one topic and format asked for
//! ([`Decoder`]). Out: a [`Slot`] per place, which says what was found and where its bytes are;
//! nothing is copied but text that has escapes. [`cell`] reads a slot as a declared type.
//!
//! # What is looked at
//!
//! - JSON: the whole document is walked, so that the last of duplicate keys wins as in `serde_json`,
//!   but only what was asked for is read. What is passed over is checked as far as finding its end
//!   takes: quotes, brackets and commas, not the spelling of its numbers and words, its escapes or its UTF-8.
//! - Text: `/message` is the whole value.
//! - Syslog: the fields that `syslog` lists.
//! - Bytes that are not UTF-8 are no error: text cells show U+FFFD in their place.
//! - A null value is a tombstone: it has no fields and is never an error.

pub mod cell;
mod json;
mod syslog;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::record::Record;
use crate::subscription::{FieldSource, Format};

use json::{Habit, Pointers};

/// Why a value could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value is not a JSON document.
    #[error("not JSON: {problem} at byte {at}")]
    Json {
        /// The byte of the value, from 0.
        at: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// The value is not a syslog line.
    #[error("not a syslog line: it starts with neither a priority such as `<34>` nor a time")]
    Syslog,
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// The record has no such place.
    #[default]
    Missing,
    /// JSON's `null`.
    Null,
    /// JSON's `true`.
    True,
    /// JSON's `false`.
    False,
    /// A JSON number; its bytes are its JSON text.
    Number,
    /// A JSON object or array; its bytes are its JSON text.
    Nested,
    /// Text; its bytes are the text without escapes, perhaps not UTF-8.
    Text,
    /// Bytes that are not part of a decoded value: the key, the whole value, a header.
    Bytes,
}

/// What a slot's bytes are part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Base {
    /// The record's value.
    #[default]
    Value,
    /// The record's key.
    Key,
    /// What decoding made: text whose escapes were replaced, headers.
    Made,
}

/// A place of a record: what was found and where.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slot {
    kind: Kind,
    base: Base,
    /// The bytes within their base.
    start: u32,
    end: u32,
    /// JSON text only: the token within the value, with its quotes; empty = the text was not JSON.
    token_start: u32,
    token_end: u32,
}

impl Slot {
    fn in_value(kind: Kind, start: usize, end: usize) -> Self {
        // Kafka's lengths are 32-bit.
        Self { kind, start: start as u32, end: end as u32, ..Self::default() }
    }
}

/// Reusable room for one record's slots.
#[derive(Debug, Default)]
pub struct Slots {
    slots: Vec<Slot>,
    made: Vec<u8>,
    habit: Habit,
}

impl Slots {
    /// Gives back what a large record left behind, but for so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        self.made.clear();
        self.made.shrink_to(bytes);
    }
}

/// One record's fields: borrowed from the record and from the room for slots.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    value: &'a [u8],
    key: &'a [u8],
    slots: &'a [Slot],
    made: &'a [u8],
}

impl<'a> Fields<'a> {
    /// What was found at a place.
    #[inline]
    pub fn kind(&self, slot: usize) -> Kind {
        self.slots[slot].kind
    }

    /// The bytes of a place; what they are depends on its kind.
    #[inline]
    pub fn bytes(&self, slot: usize) -> &'a [u8] {
        let Slot { base, start, end, .. } = self.slots[slot];
        let range = start as usize..end as usize;
        match base {
            Base::Value => &self.value[range],
            Base::Key => &self.key[range],
            Base::Made => &self.made[range],
        }
    }

    /// The JSON token of a text, with its quotes and escapes, where the record has one.
    pub fn token(&self, slot: usize) -> Option<&'a [u8]> {
        let Slot { token_start, token_end, .. } = self.slots[slot];
        (token_end > token_start).then(|| &self.value[token_start as usize..token_end as usize])
    }
}

/// Finds the places that were asked for in the records of one topic and format.
#[derive(Debug)]
pub struct Decoder {
    /// Differs from every other decoder's in the process.
    number: u64,
    format: Format,
    /// The places; a place's slot is its index.
    sources: Vec<FieldSource>,
    pointers: Pointers,
    /// Slots of syslog or text fields, by field.
    named: Vec<(syslog::Name, usize)>,
    key: Option<usize>,
    value: Option<usize>,
    headers: Vec<(Box<str>, usize)>,
}

impl Decoder {
    /// A decoder for these places; they should differ, and their order is the slots' order.
    pub fn new(format: Format, sources: Vec<FieldSource>) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let mut decoder = Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            format,
            pointers: Pointers::default(),
            named: Vec::new(),
            key: None,
            value: None,
            headers: Vec::new(),
            sources: Vec::new(),
        };
        for (slot, source) in sources.iter().enumerate() {
            match source {
                FieldSource::Key => decoder.key = Some(slot),
                FieldSource::Value => decoder.value = Some(slot),
                FieldSource::Header(name) => decoder.headers.push((name.clone(), slot)),
                FieldSource::Pointer(tokens) => match format {
                    Format::Json => decoder.pointers.insert(tokens, slot),
                    Format::Syslog | Format::Text => {
                        if let Some(name) = syslog::Name::of(tokens, format) {
                            decoder.named.push((name, slot));
                        }
                    }
                    Format::Bytes => {}
                },
            }
        }
        decoder.sources = sources;
        decoder
    }

    /// The places, in the order of their slots.
    pub fn sources(&self) -> &[FieldSource] {
        &self.sources
    }

    /// Fills the slots of one record.
    ///
    /// # Errors
    ///
    /// When the value is not what the format says. The slots of key, value and headers are filled
    /// even then, the others are missing.
    #[inline]
    pub fn decode<'a>(
        &self,
        record: &Record<'a>,
        room: &'a mut Slots,
    ) -> (Fields<'a>, Result<(), DecodeError>) {
        room.made.clear();
        room.slots.clear();
        room.slots.resize(self.sources.len(), Slot::default());
        let mut decoded = Ok(());
        if let Some(value) = record.value {
            decoded = self.decode_value(value, record.timestamp_ms, room);
            if decoded.is_err() {
                room.slots.fill(Slot::default());
            }
            if let Some(slot) = self.value {
                room.slots[slot] = Slot::in_value(Kind::Bytes, 0, value.len());
            }
        }
        if let (Some(slot), Some(key)) = (self.key, record.key) {
            room.slots[slot] =
                Slot { base: Base::Key, ..Slot::in_value(Kind::Bytes, 0, key.len()) };
        }
        if !self.headers.is_empty() {
            self.read_headers(record, room);
        }
        let fields = Fields {
            value: record.value.unwrap_or_default(),
            key: record.key.unwrap_or_default(),
            slots: &room.slots,
            made: &room.made,
        };
        (fields, decoded)
    }

    #[inline]
    fn decode_value(
        &self,
        value: &[u8],
        timestamp_ms: i64,
        room: &mut Slots,
    ) -> Result<(), DecodeError> {
        match self.format {
            Format::Json if !self.pointers.is_empty() => {
                let Slots { slots, made, habit } = room;
                json::decode(value, (self.number, &self.pointers), (slots, made, habit))
            }
            Format::Text => {
                for (_, slot) in &self.named {
                    room.slots[*slot] = Slot::in_value(Kind::Text, 0, value.len());
                }
                Ok(())
            }
            Format::Syslog if !self.named.is_empty() => {
                syslog::decode(value, timestamp_ms, &self.named, &mut room.slots, &mut room.made)
            }
            Format::Json | Format::Syslog | Format::Bytes => Ok(()),
        }
    }

    /// The last header of a name wins, as Kafka's `lastHeader`; one without a value is missing.
    #[cold]
    fn read_headers(&self, record: &Record<'_>, room: &mut Slots) {
        let Slots { slots, made, .. } = room;
        record.headers.each(&mut |name, value| {
            for (wanted, slot) in &self.headers {
                if **wanted == *name {
                    slots[*slot] = value.map_or_else(Slot::default, |value| {
                        let start = made.len();
                        made.extend_from_slice(value);
                        let slot = Slot::in_value(Kind::Bytes, start, made.len());
                        Slot { base: Base::Made, ..slot }
                    });
                }
            }
        });
    }
}

#[cfg(test)]
mod tests;
