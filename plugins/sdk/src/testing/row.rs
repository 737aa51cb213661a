//! Records for tests, and batches of them as a host makes them.

use crate::__private::wit::Batch;
use crate::{FieldType, Subscription};

/// A value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// For a field of text, bytes or json.
    Text(String),
    /// For a field of bytes.
    Bytes(Vec<u8>),
    /// For a field of integers.
    Integer(i64),
    /// For a field of floats.
    Float(f64),
    /// For a field of booleans.
    Boolean(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

/// A record: the fields that it has, by name. A field that is not set is missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    pub(super) timestamp_ms: Option<i64>,
    values: Vec<(String, Value)>,
}

impl Row {
    /// A record without a timestamp and with no field.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives it a field.
    #[must_use]
    pub fn set(mut self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        self.values.push((field.into(), value.into()));
        self
    }

    /// Gives it a timestamp, milliseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// An integer field of it.
    pub(super) fn integer(&self, field: &str) -> Option<i64> {
        match self.values.iter().rev().find(|(name, _)| name == field) {
            Some((_, Value::Integer(number))) => Some(*number),
            _ => None,
        }
    }
}

/// Records of a partition, the first of them at this offset, as a batch.
#[allow(clippy::panic, reason = "a wrong test must fail")]
pub(super) fn batch(
    subscription: &Subscription,
    topic: &str,
    first_offset: i64,
    rows: &[Row],
) -> Batch {
    let fields = &subscription.fields;
    let (mut cells, mut ends) = (Vec::new(), Vec::new());
    let mut nulls = vec![0; (rows.len() * fields.len()).div_ceil(8)];
    for row in rows {
        for (name, _) in &row.values {
            if !fields.iter().any(|field| field.name == *name) {
                panic!("a row has field `{name}`, which the rule did not declare");
            }
        }
        for field in fields {
            match row.values.iter().rev().find(|(name, _)| *name == field.name) {
                Some((name, value)) => push_cell(&mut cells, name, field.field_type, value),
                None => nulls[ends.len() / 8] |= 1 << (ends.len() % 8),
            }
            ends.push(cells.len() as u32);
        }
    }
    if nulls.iter().all(|bits| *bits == 0) {
        nulls.clear();
    }
    Batch {
        topic: topic.to_owned(),
        partition: 0,
        offsets: (first_offset..).take(rows.len()).collect(),
        timestamps: rows.iter().map(|row| row.timestamp_ms.unwrap_or(-1)).collect(),
        cells,
        ends,
        nulls,
    }
}

#[allow(clippy::panic, reason = "a wrong test must fail")]
fn push_cell(cells: &mut Vec<u8>, name: &str, field_type: FieldType, value: &Value) {
    match (field_type, value) {
        (FieldType::Text | FieldType::Bytes | FieldType::Json, Value::Text(text)) => {
            cells.extend_from_slice(text.as_bytes());
        }
        (FieldType::Bytes, Value::Bytes(bytes)) => cells.extend_from_slice(bytes),
        (FieldType::Integer, Value::Integer(number)) => {
            cells.extend_from_slice(&number.to_le_bytes());
        }
        (FieldType::Float, Value::Float(number)) => cells.extend_from_slice(&number.to_le_bytes()),
        (FieldType::Boolean, Value::Boolean(truth)) => cells.push(u8::from(*truth)),
        (declared, value) => {
            panic!("a row has {value:?} for field `{name}`, declared as {}", declared.as_str())
        }
    }
}
