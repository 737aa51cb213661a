//! Why a call of a rule gave nothing.

use std::fmt;
use std::sync::Arc;

use firebell_state::InvalidPlan;

use crate::engine::limiter::Logs;
use crate::subscription::InvalidFieldSource;

/// What went wrong in a call, told as what it is; a closed set, the label of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureReason {
    /// The guest trapped: out-of-bounds access, division by zero, stack exhausted, unreachable.
    Trap,
    /// The guest panicked and said so.
    Panic,
    /// The call used more than `fuel_per_record` for each of its records.
    OutOfFuel,
    /// The instance wanted more than `memory_mib`.
    MemoryLimit,
    /// The call returned more than `output_bytes`.
    OutputLimit,
    /// A record caused more than `notifications_per_record`.
    NotificationLimit,
    /// A record emitted more than `emits_per_record`.
    EmitLimit,
    /// `evaluate` returned an error.
    Refused,
    /// An effect that means nothing: a row that does not exist, no title, an impossible topic.
    InvalidEffect,
    /// The rule's state would be larger than `state_mib`.
    StateLimit,
    /// Something that cannot be was asked of state or tables.
    InvalidState,
    /// `describe` or `declare` answered otherwise than before.
    UnstableDescribe,
    /// No instance could be made.
    Instantiate,
}

impl FailureReason {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Trap,
        Self::Panic,
        Self::OutOfFuel,
        Self::MemoryLimit,
        Self::OutputLimit,
        Self::NotificationLimit,
        Self::EmitLimit,
        Self::Refused,
        Self::InvalidEffect,
        Self::StateLimit,
        Self::InvalidState,
        Self::UnstableDescribe,
        Self::Instantiate,
    ];

    /// The word in metrics and in the header `x-firebell-reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Panic => "panic",
            Self::OutOfFuel => "out_of_fuel",
            Self::MemoryLimit => "memory_limit",
            Self::OutputLimit => "output_limit",
            Self::NotificationLimit => "notification_limit",
            Self::EmitLimit => "emit_limit",
            Self::Refused => "refused",
            Self::InvalidEffect => "invalid_effect",
            Self::StateLimit => "state_limit",
            Self::InvalidState => "invalid_state",
            Self::UnstableDescribe => "unstable_describe",
            Self::Instantiate => "instantiate",
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call that gave nothing: its effects are lost and its instance is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// What it was.
    pub reason: FailureReason,
    /// The same for people, with the limit's name where there is one, or the panic's text.
    pub message: String,
    /// What the guest logged before.
    pub logs: Logs,
    /// Fuel that was burnt.
    pub fuel: u64,
}

impl CallFailure {
    pub(super) fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), logs: Logs::default(), fuel: 0 }
    }

    /// A rule that cannot work with its state.
    pub(crate) fn invalid_state(message: &str) -> Self {
        Self::new(FailureReason::InvalidState, message)
    }

    /// A rule that does not describe itself as it did when it was loaded.
    pub(crate) fn unstable(message: String) -> Self {
        Self::new(FailureReason::UnstableDescribe, message)
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CallFailure {}

/// Why `describe` gave no subscription.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DescribeError {
    /// The rule does not like its configuration; the text is the author's.
    #[error("the rule refuses its configuration: {0}")]
    Refused(String),
    /// The call failed.
    #[error("describe failed")]
    Failed(#[from] CallFailure),
    /// It was asked twice.
    #[error(
        "describe is unstable: it answered otherwise when it was asked again; a rule must always \
         answer the same for the same configuration"
    )]
    Unstable,
    /// What it declared cannot be.
    #[error("describe declares what cannot be")]
    Invalid(#[from] InvalidSubscription),
}

/// Why a declared subscription cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidSubscription {
    /// A field's source.
    #[error("field `{name}`: its source is wrong")]
    Source {
        /// The field.
        name: String,
        /// What is wrong with it.
        source: InvalidFieldSource,
    },
    /// Two fields of one name.
    #[error("field `{name}` is declared twice")]
    Twice {
        /// The field.
        name: Arc<str>,
    },
    /// No field at all would be a rule that sees nothing, but too many are a mistake.
    #[error("{count} {what} are declared; {max} are allowed")]
    TooMany {
        /// Fields or topics.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many may be.
        max: usize,
    },
    /// What the rule wants to keep.
    #[error("the rule's plan of what it keeps cannot be")]
    Plan(#[from] InvalidPlan),
    /// A field to group by that does not exist.
    #[error("the plan groups by field `{name}`, which is not declared; declare it")]
    KeyBy {
        /// The field.
        name: String,
    },
    /// A field that does not hold a time.
    #[error(
        "the plan takes the event time from field `{name}`, which is not declared as an integer \
         (milliseconds since the Unix epoch)"
    )]
    EventTime {
        /// The field.
        name: String,
    },
    /// A field without a name.
    #[error("the source `{source_text}` is declared without a name; give the field one")]
    NoName {
        /// Where its value would come from; a long text is cut.
        source_text: String,
    },
    /// A name, a source or a condition that is too long to be meant.
    #[error("{what} has {bytes} bytes; {max} are allowed")]
    TooLong {
        /// The name, source or condition; a long text is cut.
        what: String,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// A topic that Kafka would refuse.
    #[error("`{topic}` is no topic's name; Kafka allows 1 to 249 letters, digits, `.`, `_`, `-`")]
    Topic {
        /// The name; a long one is cut.
        topic: String,
    },
}
