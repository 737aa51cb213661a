//! A record as a rule sees it: named fields over the batch's columns, nothing copied.

use std::borrow::Cow;

use crate::__private::wit::Batch;
use crate::subscription::{Field, FieldType};

/// One record of a batch: the fields that the rule declared, and where the record stands.
///
/// A field is `None` when the record does not have it, or has it with another type. To read a field
/// that was not declared, or by the method of another type, is a mistake of the rule and panics.
#[derive(Clone, Copy)]
pub struct Record<'b> {
    batch: &'b Batch,
    columns: &'b Columns,
    row: usize,
}

/// The declared fields.
pub(crate) struct Columns {
    /// In the order of their declaration.
    pub(crate) fields: Vec<Field>,
    /// The name of the one that holds the event time.
    pub(crate) event_time: Option<Cow<'static, str>>,
}

impl<'b> Record<'b> {
    #[inline(always)]
    pub(crate) fn new(batch: &'b Batch, columns: &'b Columns, row: usize) -> Self {
        Self { batch, columns, row }
    }

    /// The topic.
    pub fn topic(&self) -> &'b str {
        &self.batch.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.batch.partition
    }

    /// The offset of this record.
    #[inline]
    pub fn offset(&self) -> i64 {
        self.batch.offsets[self.row]
    }

    /// The record's timestamp, milliseconds since the Unix epoch; `None` = it has none.
    #[inline]
    pub fn timestamp_ms(&self) -> Option<i64> {
        let timestamp = self.batch.timestamps[self.row];
        (timestamp >= 0).then_some(timestamp)
    }

    /// The event time, milliseconds since the Unix epoch: of the field that
    /// [`State::event_time`](crate::State::event_time) names, or else the record's timestamp.
    #[inline]
    pub fn event_time_ms(&self) -> Option<i64> {
        let of_field = self.columns.event_time.as_ref().and_then(|name| self.integer(name));
        of_field.or_else(|| self.timestamp_ms())
    }

    /// A field declared as text.
    #[inline]
    pub fn text(&self, name: &str) -> Option<&'b str> {
        self.cell(name, FieldType::Text).map(as_text)
    }

    /// A field declared as integer.
    #[inline]
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.cell(name, FieldType::Integer)?.try_into().ok().map(i64::from_le_bytes)
    }

    /// A field declared as float.
    #[inline]
    pub fn float(&self, name: &str) -> Option<f64> {
        self.cell(name, FieldType::Float)?.try_into().ok().map(f64::from_le_bytes)
    }

    /// A field declared as boolean.
    #[inline]
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.cell(name, FieldType::Boolean)?.first().map(|byte| *byte != 0)
    }

    /// A field declared as bytes.
    #[inline]
    pub fn bytes(&self, name: &str) -> Option<&'b [u8]> {
        self.cell(name, FieldType::Bytes)
    }

    /// The JSON text of a field declared as json; a value that is there and null is `Some("null")`.
    #[inline]
    pub fn json(&self, name: &str) -> Option<&'b str> {
        self.cell(name, FieldType::Json).map(as_text)
    }

    /// The bytes of a cell; `None` = null.
    #[inline(always)]
    fn cell(&self, name: &str, field_type: FieldType) -> Option<&'b [u8]> {
        let fields = &self.columns.fields;
        let column = column(fields, name);
        let field = &fields[column];
        if field.field_type != field_type {
            misread(field, field_type)
        }
        let cell = self.row * fields.len() + column;
        let nulls = &self.batch.nulls;
        if !nulls.is_empty() && nulls[cell / 8] >> (cell % 8) & 1 == 1 {
            return None;
        }
        let ends = &self.batch.ends;
        let start = if cell == 0 { 0 } else { ends[cell - 1] as usize };
        Some(&self.batch.cells[start..ends[cell] as usize])
    }
}

/// The column of a declared field.
#[inline(always)]
fn column(fields: &[Field], name: &str) -> usize {
    // Equal literals of one crate are one: most names are found without a look at their letters.
    match fields.iter().position(|field| std::ptr::eq::<str>(&*field.name, name)) {
        Some(column) => column,
        None => column_spelt(fields, name),
    }
}

#[cold]
#[inline(never)]
fn column_spelt(fields: &[Field], name: &str) -> usize {
    match fields.iter().position(|field| field.name == name) {
        Some(column) => column,
        None => undeclared(fields, name),
    }
}

impl std::fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.topic(), self.partition(), self.offset())
    }
}

/// The text of a cell that the contract says is UTF-8.
#[cfg(target_arch = "wasm32")]
#[allow(
    unsafe_code,
    reason = "the contract promises UTF-8; the generated bindings trust the host's strings alike, \
              and checking would cost as much as the rest of the call"
)]
#[inline(always)]
fn as_text(bytes: &[u8]) -> &str {
    // SAFETY: the host writes text and json cells as UTF-8 (wit/0.1.1, `column-type`).
    unsafe { str::from_utf8_unchecked(bytes) }
}

/// The text of a cell that the contract says is UTF-8; natively a test may have got it wrong.
#[cfg(not(target_arch = "wasm32"))]
#[allow(clippy::expect_used, reason = "only tests run natively")]
fn as_text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("cells of text and json are UTF-8")
}

#[cold]
#[inline(never)]
#[allow(clippy::panic, reason = "a mistake of the rule, which its tests find")]
fn undeclared(fields: &[Field], name: &str) -> ! {
    let declared: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
    panic!("field `{name}` was not declared by subscribe(); declared: {}", declared.join(", "))
}

#[cold]
#[inline(never)]
#[allow(clippy::panic, reason = "a mistake of the rule, which its tests find")]
fn misread(field: &Field, read_as: FieldType) -> ! {
    let Field { name, field_type, .. } = field;
    panic!(
        "field `{name}` was declared as {declared} and read as {}; read it by record.{declared}()",
        read_as.as_str(),
        declared = field_type.as_str()
    )
}
