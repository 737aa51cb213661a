//! What became of an entry, in one word.

use std::time::Duration;

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// Nothing more is to be done.
    Over(Outcome),
    /// It is to be tried again.
    Later {
        /// Not before so much time has passed.
        wait: Duration,
    },
}

/// What became of an entry; the label `outcome` of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A message was posted.
    Posted,
    /// A message was changed.
    Updated,
    /// A later change of its message said all that it had to say.
    Superseded,
    /// Its message was deleted, and it is over.
    Gone,
    /// The history says that it was posted before.
    Found,
    /// It was posted to the fallback channel.
    Fallback,
    /// It is counted in a tally.
    Tallied,
    /// Its alert is told in its group's message.
    Grouped,
    /// Its alert is open already, or over already.
    Duplicate,
    /// It was carried out before a restart.
    Repeated,
    /// It is about an alert that nobody was told of.
    Untold,
    /// It was silenced or muted until it was over.
    Suppressed,
    /// Slack will never take it; it is in the dead-letter topic.
    DeadLetter,
    /// Nobody can say whether it was posted, and the operator wants silence then.
    Dropped,
}

impl Outcome {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Updated => "updated",
            Self::Superseded => "superseded",
            Self::Gone => "gone",
            Self::Found => "found",
            Self::Fallback => "fallback",
            Self::Tallied => "tallied",
            Self::Grouped => "grouped",
            Self::Duplicate => "duplicate",
            Self::Repeated => "repeated",
            Self::Untold => "untold",
            Self::Suppressed => "suppressed",
            Self::DeadLetter => "dead_letter",
            Self::Dropped => "dropped",
        }
    }
}
