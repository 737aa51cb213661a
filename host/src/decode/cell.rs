//! A slot read as a declared type, and written as a cell of a batch.
//!
//! | declared | read from |
//! |---|---|
//! | text | text; a number's JSON text; bytes |
//! | integer | a number without a fraction that fits (`3`, `3.0`, `3e2`); text that spells one |
//! | float | a finite number; text that spells one |
//! | boolean | `true`, `false`; text that spells them, in any case |
//! | bytes | text without its escapes; bytes |
//! | json | anything, as its JSON text; bytes that are JSON |
//!
//! `$key`, `$value` and headers are bytes and read as text. Whatever else is a mismatch: a null cell
//! that is counted. A missing place and JSON's `null` are null cells that are not counted; a column of
//! type json shows `null` as the text `null`.

use std::borrow::Cow;

use super::{Fields, Kind};
use crate::subscription::FieldType;

/// A slot read as a type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<T> {
    /// It has a value of this type.
    Value(T),
    /// It is missing or null.
    Null,
    /// It holds something of another type.
    Mismatch,
}

impl<T> Cell<T> {
    /// The value, when there is one.
    #[inline]
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Null | Self::Mismatch => None,
        }
    }

    fn of(value: Option<T>) -> Self {
        value.map_or(Self::Mismatch, Self::Value)
    }
}

/// Integers up to this are floats without loss.
const EXACT_FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

impl<'a> Fields<'a> {
    /// The slot as text; the bytes are not checked to be UTF-8.
    #[inline]
    pub fn text(&self, slot: usize) -> Cell<&'a [u8]> {
        match self.kind(slot) {
            Kind::Text | Kind::Number | Kind::Bytes => Cell::Value(self.bytes(slot)),
            Kind::Missing | Kind::Null => Cell::Null,
            Kind::True | Kind::False | Kind::Nested => Cell::Mismatch,
        }
    }

    /// The slot as text, with U+FFFD for what is not UTF-8.
    pub fn lossy_text(&self, slot: usize) -> Cell<Cow<'a, str>> {
        match self.text(slot) {
            Cell::Value(bytes) => Cell::Value(String::from_utf8_lossy(bytes)),
            Cell::Null => Cell::Null,
            Cell::Mismatch => Cell::Mismatch,
        }
    }

    /// The slot as an integer.
    #[inline]
    pub fn integer(&self, slot: usize) -> Cell<i64> {
        match self.kind(slot) {
            Kind::Number | Kind::Text | Kind::Bytes => Cell::of(integer(self.bytes(slot))),
            Kind::Missing | Kind::Null => Cell::Null,
            Kind::True | Kind::False | Kind::Nested => Cell::Mismatch,
        }
    }

    /// The slot as a float; never infinite, never NaN.
    pub fn float(&self, slot: usize) -> Cell<f64> {
        match self.kind(slot) {
            Kind::Number | Kind::Text | Kind::Bytes => Cell::of(float(self.bytes(slot))),
            Kind::Missing | Kind::Null => Cell::Null,
            Kind::True | Kind::False | Kind::Nested => Cell::Mismatch,
        }
    }

    /// The slot as a truth value.
    pub fn boolean(&self, slot: usize) -> Cell<bool> {
        match self.kind(slot) {
            Kind::True => Cell::Value(true),
            Kind::False => Cell::Value(false),
            Kind::Text | Kind::Bytes => {
                let bytes = self.bytes(slot);
                let spells = |word: &str| bytes.eq_ignore_ascii_case(word.as_bytes());
                if spells("true") {
                    Cell::Value(true)
                } else if spells("false") {
                    Cell::Value(false)
                } else {
                    Cell::Mismatch
                }
            }
            Kind::Missing | Kind::Null => Cell::Null,
            Kind::Number | Kind::Nested => Cell::Mismatch,
        }
    }

    /// The slot as bytes.
    pub fn raw(&self, slot: usize) -> Cell<&'a [u8]> {
        match self.kind(slot) {
            Kind::Text | Kind::Bytes => Cell::Value(self.bytes(slot)),
            Kind::Missing | Kind::Null => Cell::Null,
            Kind::True | Kind::False | Kind::Number | Kind::Nested => Cell::Mismatch,
        }
    }

    /// The slot as JSON text.
    pub fn json(&self, slot: usize) -> Cell<Cow<'a, str>> {
        Cell::Value(match self.kind(slot) {
            Kind::Missing => return Cell::Null,
            Kind::Null => Cow::Borrowed("null"),
            Kind::True => Cow::Borrowed("true"),
            Kind::False => Cow::Borrowed("false"),
            Kind::Number | Kind::Nested => String::from_utf8_lossy(self.bytes(slot)),
            Kind::Text => match self.token(slot) {
                Some(token) => String::from_utf8_lossy(token),
                None => {
                    let text = String::from_utf8_lossy(self.bytes(slot)).into_owned();
                    Cow::Owned(serde_json::Value::String(text).to_string())
                }
            },
            Kind::Bytes => {
                let bytes = self.bytes(slot);
                match serde_json::from_slice::<&serde_json::value::RawValue>(bytes) {
                    Ok(_) => String::from_utf8_lossy(bytes),
                    Err(_) => return Cell::Mismatch,
                }
            }
        })
    }

    /// Whether the cell of this type is not null.
    pub fn has(&self, slot: usize, field_type: FieldType) -> bool {
        match field_type {
            FieldType::Text => self.text(slot).value().is_some(),
            FieldType::Integer => self.integer(slot).value().is_some(),
            FieldType::Float => self.float(slot).value().is_some(),
            FieldType::Boolean => self.boolean(slot).value().is_some(),
            FieldType::Bytes => self.raw(slot).value().is_some(),
            FieldType::Json => self.json(slot).value().is_some(),
        }
    }

    /// Appends the cell's bytes in the contract's wire form.
    pub fn write(&self, slot: usize, field_type: FieldType, cells: &mut Vec<u8>) -> Cell<()> {
        fn written<T>(cell: Cell<T>, write: impl FnOnce(T)) -> Cell<()> {
            match cell {
                Cell::Value(value) => {
                    write(value);
                    Cell::Value(())
                }
                Cell::Null => Cell::Null,
                Cell::Mismatch => Cell::Mismatch,
            }
        }
        match field_type {
            FieldType::Text => written(self.lossy_text(slot), |text| {
                cells.extend_from_slice(text.as_bytes());
            }),
            FieldType::Integer => written(self.integer(slot), |value| {
                cells.extend_from_slice(&value.to_le_bytes());
            }),
            FieldType::Float => written(self.float(slot), |value| {
                cells.extend_from_slice(&value.to_le_bytes());
            }),
            FieldType::Boolean => written(self.boolean(slot), |value| cells.push(u8::from(value))),
            FieldType::Bytes => written(self.raw(slot), |bytes| cells.extend_from_slice(bytes)),
            FieldType::Json => written(self.json(slot), |text| {
                cells.extend_from_slice(text.as_bytes());
            }),
        }
    }
}

/// Digits with an optional sign, or a float that is whole.
#[inline]
fn integer(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    // 18 digits always fit; what is made of anything else is not used.
    if !digits.is_empty() && digits.len() <= 18 {
        let mut value = 0_i64;
        let mut plain = true;
        for digit in digits {
            plain &= digit.is_ascii_digit();
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit.wrapping_sub(b'0')));
        }
        if plain {
            return Some(if digits.len() < bytes.len() { -value } else { value });
        }
    }
    long_integer(bytes)
}

#[cold]
fn long_integer(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let value = float(bytes)?;
    (value.fract() == 0.0 && value.abs() <= EXACT_FLOAT_MAX).then_some(value as i64)
}

fn float(bytes: &[u8]) -> Option<f64> {
    // Rust also reads `inf` and `nan`, which are not numbers here.
    let plausible = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    if !bytes.iter().all(plausible) {
        return None;
    }
    let value: f64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}
