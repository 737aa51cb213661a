//! Rules tested natively, by `cargo test`, through the code that a host calls.
//!
//! The condition is the host's to evaluate: rows given here count as records that passed it.
//!
//! ```
//! # use firebell_rule::{Config, Effects, Notification, Record, Rule, Subscription};
//! # struct Loud;
//! # impl Rule for Loud {
//! #     fn new(_: Config) -> Result<Self, String> { Ok(Self) }
//! #     fn subscribe(&self) -> Subscription { Subscription::new().text("message", "/message") }
//! #     fn record(&self, record: &Record<'_>, out: &mut Effects) {
//! #         match record.text("message") {
//! #             Some(message) => out.notify(Notification::fire(message.to_uppercase())),
//! #             None => firebell_rule::warn!("no message at offset {}", record.offset()),
//! #         }
//! #     }
//! # }
//! use firebell_rule::testing::{Harness, Row};
//!
//! let rule = Harness::<Loud>::new("{}").unwrap();
//! let outcome = rule.evaluate([Row::new().set("message", "help"), Row::new()]).unwrap();
//! assert_eq!(outcome.notifications()[0].title, "HELP");
//! assert_eq!(outcome.logs[0].message, "no message at offset 1");
//! ```

use std::cell::RefCell;

use crate::__private::wit::Batch;
use crate::effects::{Effect, RowEffect};
use crate::instance::Instance;
use crate::log::Level;
use crate::{FieldType, Notification, Rule, Subscription};

thread_local! {
    /// What the rule logged on this thread since it was last taken.
    static LOGS: RefCell<Vec<LogLine>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn log(level: Level, message: &str) {
    LOGS.with_borrow_mut(|logs| logs.push(LogLine { level, message: message.to_owned() }));
}

/// A line that the rule logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The text.
    pub message: String,
}

/// What a batch led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the rule asked for, in order.
    pub effects: Vec<RowEffect>,
    /// What it logged, in order.
    pub logs: Vec<LogLine>,
}

impl Outcome {
    /// The notifications, in order.
    pub fn notifications(&self) -> Vec<&Notification> {
        self.effects
            .iter()
            .filter_map(|effect| match &effect.effect {
                Effect::Notify(notification) => Some(notification),
                Effect::Emit { .. } => None,
            })
            .collect()
    }

    /// The topics that records were emitted to, in order.
    pub fn emitted_to(&self) -> Vec<&str> {
        self.effects
            .iter()
            .filter_map(|effect| match &effect.effect {
                Effect::Emit { topic, .. } => Some(topic.as_str()),
                Effect::Notify(_) => None,
            })
            .collect()
    }
}

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
    timestamp_ms: Option<i64>,
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
}

/// A rule as a host would have it: described, and ready for batches.
pub struct Harness<R> {
    instance: Instance<R>,
    subscription: Subscription,
}

impl<R: Rule> Harness<R> {
    /// Makes the rule from a configuration, the text of a JSON object.
    ///
    /// # Errors
    ///
    /// What the operator would read.
    pub fn new(config_json: &str) -> Result<Self, String> {
        let instance = Instance::new();
        let subscription = instance.describe(config_json.to_owned())?;
        Ok(Self { instance, subscription })
    }

    /// What the rule asked for.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Gives the rule a batch: records of partition 0 of its first topic (or `TEST`), at offsets
    /// from 0.
    ///
    /// # Errors
    ///
    /// The reason that the rule gave to [`Effects::fail`](crate::Effects::fail).
    ///
    /// # Panics
    ///
    /// When the rule does, and when a row has a field that the rule did not declare, or a value of
    /// another type: the test is wrong then.
    pub fn evaluate(&self, rows: impl IntoIterator<Item = Row>) -> Result<Outcome, String> {
        let rows: Vec<Row> = rows.into_iter().collect();
        let batch = self.batch(&rows);
        LOGS.take();
        let effects = self.instance.evaluate(&batch)?;
        Ok(Outcome { effects, logs: LOGS.take() })
    }

    #[allow(clippy::panic, reason = "a wrong test must fail")]
    fn batch(&self, rows: &[Row]) -> Batch {
        let fields = &self.subscription.fields;
        let topic = self.subscription.topics.first().map_or("TEST", String::as_str).to_owned();
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
            topic,
            partition: 0,
            offsets: (0..rows.len() as i64).collect(),
            timestamps: rows.iter().map(|row| row.timestamp_ms.unwrap_or(-1)).collect(),
            cells,
            ends,
            nulls,
        }
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
