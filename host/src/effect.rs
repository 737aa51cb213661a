//! What a rule asks for: notifications and records to emit.

use crate::notification::Notification;

/// A record that a rule wants written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmittedContent {
    /// The row's record as it is: key, value, headers and timestamp.
    Whole,
    /// A record made by the rule.
    Derived {
        /// The key's bytes.
        key: Option<Vec<u8>>,
        /// The value's bytes; `None` = a tombstone.
        value: Option<Vec<u8>>,
        /// The headers, in order.
        headers: Vec<(String, Vec<u8>)>,
    },
}

/// One thing that a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Tell somebody.
    Notify(Box<Notification>),
    /// Write a record to a topic.
    Emit {
        /// The topic; the operator must have allowed it.
        topic: String,
        /// What is written.
        content: EmittedContent,
    },
}

/// An effect and the batch's row that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowEffect {
    /// The row of the batch, from 0.
    pub row: u32,
    /// What is asked for.
    pub effect: Effect,
}
