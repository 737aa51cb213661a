//! What a rule asks for: notifications, records to emit, and changes of what is kept for it.

mod kept;
mod windows;

use std::fmt;
use std::rc::Rc;

use self::windows::Pending;
use crate::__private::wit;
use crate::{Notification, State, WindowState};

pub use kept::Table;
pub use windows::Windows;

/// One thing that a rule asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Tell somebody.
    Notify(Notification),
    /// Write a record to a topic.
    Emit {
        /// The topic; the operator must have allowed it.
        topic: String,
        /// What is written.
        content: Emitted,
    },
}

/// A record that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Emitted {
    /// The record as it is: key, value, headers and timestamp.
    Whole,
    /// A record made by the rule.
    Derived(Derived),
}

/// A record made by the rule.
///
/// ```
/// use firebell_rule::Derived;
///
/// let count = Derived::new("rpi-03", r#"{"attempts":4}"#).header("rule", "burst");
/// assert_eq!(count.key.as_deref(), Some(&b"rpi-03"[..]));
/// assert_eq!(Derived::tombstone("rpi-03").value, None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Derived {
    /// The key's bytes; `None` = null.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` = a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Derived {
    /// A record with a key and a value.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()), headers: Vec::new() }
    }

    /// A record with a value and no key.
    pub fn keyless(value: impl Into<Vec<u8>>) -> Self {
        Self { key: None, value: Some(value.into()), headers: Vec::new() }
    }

    /// A record that says: the key's value is gone.
    pub fn tombstone(key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), value: None, headers: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// An effect and the row of the batch that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowEffect {
    /// The row, from 0.
    pub row: u32,
    /// What was asked for.
    pub effect: Effect,
}

/// What the rule is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// Looking at a record.
    #[default]
    Record,
    /// Told that a window crossed.
    Crossed,
    /// Told that time went on.
    Elapsed,
}

/// The call of the host that effects are of.
pub(crate) trait Call {
    /// What the rule keeps.
    fn state(&self) -> &State;

    /// Tells the rule of a window that crossed at a row.
    fn crossed(&self, window: &WindowState, row: u32, out: &mut Effects);
}

/// Takes what a rule asks for. Nothing happens until the batch is done and its transaction commits.
#[derive(Default)]
pub struct Effects {
    effects: Vec<RowEffect>,
    failure: Option<String>,
    row: u32,
    call: Option<Rc<dyn Call>>,
    phase: Phase,
    in_step: bool,
    pending: Option<Box<Pending>>,
}

impl Effects {
    /// For the records of a call.
    #[inline(always)]
    pub(crate) fn of_records(call: Rc<dyn Call>) -> Self {
        let in_step = call.state().in_step;
        Self { in_step, call: Some(call), ..Self::default() }
    }

    /// For what time did.
    #[inline(always)]
    pub(crate) fn of_time(call: Rc<dyn Call>) -> Self {
        Self { phase: Phase::Elapsed, ..Self::of_records(call) }
    }

    /// Tells somebody.
    pub fn notify(&mut self, notification: Notification) {
        self.push(Effect::Notify(notification));
    }

    /// Writes the record as it is to a topic that the operator allows this rule.
    pub fn emit_whole(&mut self, topic: impl Into<String>) {
        self.push(Effect::Emit { topic: topic.into(), content: Emitted::Whole });
    }

    /// Writes a record made by the rule to a topic that the operator allows it.
    pub fn emit(&mut self, topic: impl Into<String>, record: Derived) {
        self.push(Effect::Emit { topic: topic.into(), content: Emitted::Derived(record) });
    }

    /// Gives this record up: it goes to the dead-letter topic for this rule, with this reason, and
    /// nothing that the rule asked for it happens. The records beside it are not touched.
    pub fn fail(&mut self, reason: impl Into<String>) {
        self.failure.get_or_insert(reason.into());
    }

    fn push(&mut self, effect: Effect) {
        self.effects.push(RowEffect { row: self.row, effect });
    }

    #[inline(always)]
    pub(crate) fn about(&mut self, row: usize) {
        // The contract counts rows in 32 bits.
        self.row = row as u32;
    }

    /// The row is done.
    #[inline(always)]
    pub(crate) fn row_done(&mut self) {
        if self.in_step {
            self.settle(self.row + 1);
        }
    }

    #[inline(always)]
    pub(crate) fn failed(&self) -> bool {
        self.failure.is_some()
    }

    #[inline(always)]
    pub(crate) fn finish(mut self) -> Result<Vec<RowEffect>, String> {
        self.settle(u32::MAX);
        match self.failure {
            Some(reason) => Err(reason),
            None => Ok(self.effects),
        }
    }

    /// Tells the host all adds, and the rule what crossed at rows before this one.
    #[inline(always)]
    fn settle(&mut self, before: u32) {
        if let Some(Pending { settle, .. }) = self.pending.as_deref() {
            settle(self, before);
        }
    }

    /// Before a record's look at what is kept: lets what crossed at earlier records happen first,
    /// so that it does not matter how records were cut into batches.
    fn catch_up(&mut self) {
        let tells = self.pending.as_ref().is_some_and(|pending| pending.tells);
        if tells && self.phase == Phase::Record {
            self.settle(self.row);
        }
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects")
            .field("row", &self.row)
            .field("effects", &self.effects)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// The effects as the contract has them.
pub fn lower(effects: Vec<RowEffect>) -> Vec<wit::Effect> {
    let lower = |RowEffect { row, effect }| match effect {
        Effect::Notify(notification) => wit::Effect::Notify(notification.lower(row)),
        Effect::Emit { topic, content } => {
            let content = match content {
                Emitted::Whole => wit::Emitted::Whole,
                Emitted::Derived(Derived { key, value, headers }) => {
                    wit::Emitted::Derived(wit::Derived { key, value, headers })
                }
            };
            wit::Effect::Emit(wit::Emission { row, topic, content })
        }
    };
    effects.into_iter().map(lower).collect()
}
