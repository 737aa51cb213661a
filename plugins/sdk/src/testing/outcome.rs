//! What a batch, or time, led to.

use std::cell::RefCell;

use crate::Notification;
use crate::effects::{Effect, RowEffect};
use crate::log::Level;

thread_local! {
    /// What the rule logged on this thread since it was last taken.
    static LOGS: RefCell<Vec<LogLine>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn log(level: Level, message: &str) {
    LOGS.with_borrow_mut(|logs| logs.push(LogLine { level, message: message.to_owned() }));
}

/// What the rule logged on this thread since it was last taken.
pub(super) fn take_logs() -> Vec<LogLine> {
    LOGS.take()
}

/// A line that the rule logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The text.
    pub message: String,
}

/// What a batch, or time, led to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What the rule asked for, in order. What it asked for when time went on has the row that
    /// made time go on.
    pub effects: Vec<RowEffect>,
    /// What it logged, in order.
    pub logs: Vec<LogLine>,
    /// How many adds came too late for a window.
    pub late: usize,
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

    /// Adds what came after; its rows become what `row` says.
    pub(super) fn add(&mut self, other: Self, row: impl Fn(u32) -> u32) {
        let effect = |RowEffect { row: of, effect }| RowEffect { row: row(of), effect };
        self.effects.extend(other.effects.into_iter().map(effect));
        self.logs.extend(other.logs);
        self.late += other.late;
    }
}
