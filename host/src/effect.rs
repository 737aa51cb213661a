//! What a rule asks for: notifications and records to emit.

use crate::limits::{Limits, cut};
use crate::notification::{Notification, Span};

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

/// What is wrong with the effects of one call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEffects {
    /// A row that the batch does not have.
    #[error("effect {index} is about row {row}, but the batch has {rows}")]
    Row {
        /// Position in what was returned.
        index: usize,
        /// The row that it names.
        row: u32,
        /// Rows of the batch.
        rows: usize,
    },
    /// A notification that says nothing.
    #[error("effect {index} is a notification without a title")]
    Title {
        /// Position in what was returned.
        index: usize,
    },
    /// A topic that cannot exist.
    #[error(
        "effect {index} emits to `{topic}`, which is no topic's name; Kafka allows 1 to 249 letters, \
         digits, `.`, `_`, `-`"
    )]
    Topic {
        /// Position in what was returned.
        index: usize,
        /// The name.
        topic: String,
    },
    /// More notifications than a record may cause.
    #[error("row {row} causes more than {max} notifications (`notifications_per_record`)")]
    Notifications {
        /// The row.
        row: u32,
        /// The limit.
        max: u32,
    },
    /// More records than a record may emit.
    #[error("row {row} emits more than {max} records (`emits_per_record`)")]
    Emits {
        /// The row.
        row: u32,
        /// The limit.
        max: u32,
    },
    /// More bytes than a call may return.
    #[error("the call returned {bytes} bytes, more than {max} (`output_bytes`)")]
    Output {
        /// Bytes of all effects.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

/// Checks what a call about `rows` rows returned, and puts it into the order of its rows.
///
/// The order of one row's effects stays: it numbers the intents.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn check(
    effects: &mut [RowEffect],
    rows: usize,
    limits: &Limits,
) -> Result<(), InvalidEffects> {
    let mut bytes = 0_usize;
    for (index, RowEffect { row, effect }) in effects.iter().enumerate() {
        if *row as usize >= rows {
            return Err(InvalidEffects::Row { index, row: *row, rows });
        }
        bytes = bytes.saturating_add(effect.bytes());
        match effect {
            Effect::Notify(notification) if notification.title.trim().is_empty() => {
                return Err(InvalidEffects::Title { index });
            }
            Effect::Emit { topic, .. } if !is_topic_name(topic) => {
                let mut topic = topic.clone();
                cut(&mut topic, TOPIC_NAME_MAX);
                return Err(InvalidEffects::Topic { index, topic });
            }
            Effect::Notify(_) | Effect::Emit { .. } => {}
        }
    }
    if bytes > limits.output_bytes {
        return Err(InvalidEffects::Output { bytes, max: limits.output_bytes });
    }
    effects.sort_by_key(|effect| effect.row);
    for of_row in effects.chunk_by(|a, b| a.row == b.row) {
        let row = of_row[0].row;
        let is_notification = |effect: &&RowEffect| matches!(effect.effect, Effect::Notify(_));
        let notifications = of_row.iter().filter(is_notification).count();
        let (max, max_emits) = (limits.notifications_per_record, limits.emits_per_record);
        if notifications > max as usize {
            return Err(InvalidEffects::Notifications { row, max });
        }
        if of_row.len() - notifications > max_emits as usize {
            return Err(InvalidEffects::Emits { row, max: max_emits });
        }
    }
    Ok(())
}

/// Longest name of a topic: Kafka's `Topic.MAX_NAME_LENGTH`.
const TOPIC_NAME_MAX: usize = 249;

/// Whether Kafka would take `name` as a topic's.
pub fn is_topic_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty()
        && name.len() <= TOPIC_NAME_MAX
        && name != "."
        && name != ".."
        && name.bytes().all(allowed)
}

impl Effect {
    /// Bytes of all texts in it, plus a little for each part; what `output_bytes` counts.
    pub fn bytes(&self) -> usize {
        /// For what is not text: numbers, tags, lengths.
        const PART: usize = 16;
        match self {
            Self::Notify(notification) => {
                let Notification {
                    alert_key,
                    window_start_ms: _,
                    severity: _,
                    kind: _,
                    title,
                    body,
                    fields,
                    labels,
                    channel,
                    evidence: _,
                    excerpt: _,
                } = notification.as_ref();
                let spans = |spans: &[Span]| -> usize {
                    spans.iter().map(|span| PART + span_bytes(span)).sum()
                };
                PART + alert_key.as_ref().map_or(0, String::len)
                    + title.len()
                    + spans(body)
                    + fields.iter().map(|(n, value)| PART + n.len() + spans(value)).sum::<usize>()
                    + labels.iter().map(|(n, value)| PART + n.len() + value.len()).sum::<usize>()
                    + channel.as_ref().map_or(0, String::len)
            }
            Self::Emit { topic, content: EmittedContent::Whole } => PART + topic.len(),
            Self::Emit { topic, content: EmittedContent::Derived { key, value, headers } } => {
                PART + topic.len()
                    + key.as_ref().map_or(0, Vec::len)
                    + value.as_ref().map_or(0, Vec::len)
                    + headers.iter().map(|(n, value)| PART + n.len() + value.len()).sum::<usize>()
            }
        }
    }
}

fn span_bytes(span: &Span) -> usize {
    match span {
        Span::Text(text) | Span::Code(text) | Span::Emphasis(text) | Span::Mention(text) => {
            text.len()
        }
        Span::Link { url, label } => url.len() + label.len(),
        Span::Timestamp(_) => 0,
    }
}

#[cfg(test)]
mod tests;
