//! What a rule returns and what is sent: typed, never Slack markup.
//!
//! A pure core: no Kafka, no wasmtime, no clock.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::record::RecordId;

/// How bad it is; ordered from harmless to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// For information.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Error,
    /// Get up.
    Critical,
}

impl Severity {
    /// The word used in configuration, wire forms and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// What a notification does to its alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Opens the alert.
    Fire,
    /// Changes its message.
    Update,
    /// Closes it.
    Resolve,
}

impl Kind {
    /// The word used in wire forms and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fire => "fire",
            Self::Update => "update",
            Self::Resolve => "resolve",
        }
    }
}

/// A word that is not one of a closed list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not one of {expected}")]
pub struct UnknownWord {
    /// What was found.
    pub word: String,
    /// What may stand there.
    pub expected: &'static str,
}

impl FromStr for Severity {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        [Self::Info, Self::Warning, Self::Error, Self::Critical]
            .into_iter()
            .find(|severity| severity.as_str() == word)
            .ok_or(UnknownWord { word: word.into(), expected: "info, warning, error, critical" })
    }
}

impl FromStr for Kind {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        [Self::Fire, Self::Update, Self::Resolve]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or(UnknownWord { word: word.into(), expected: "fire, update, resolve" })
    }
}

/// A piece of a message; text from a record is text and stays text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// Literal text.
    Text(String),
    /// Literal text in a fixed-width face.
    Code(String),
    /// Literal text, set apart.
    Emphasis(String),
    /// A link; shown as text when the operator has not allowed its host.
    Link {
        /// Where it goes.
        url: String,
        /// What is shown.
        label: String,
    },
    /// A person or group by a configured name.
    Mention(String),
    /// Milliseconds since the Unix epoch, shown in the reader's zone.
    Timestamp(i64),
}

/// A notification as a rule returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Names the situation; `None` = the record itself.
    pub alert_key: Option<String>,
    /// Start of the window, milliseconds since the Unix epoch.
    pub window_start_ms: Option<i64>,
    /// How bad.
    pub severity: Severity,
    /// What it does to the alert.
    pub kind: Kind,
    /// One line of plain text.
    pub title: String,
    /// The rest of the message.
    pub body: Vec<Span>,
    /// Named values.
    pub fields: Vec<(String, Vec<Span>)>,
    /// For routing and silences.
    pub labels: Vec<(String, String)>,
    /// A channel by name; `None` = the rule's first allowed one.
    pub channel: Option<String>,
    /// Records of the window that it is about, the first ones; set by the host.
    pub evidence: Vec<RecordId>,
    /// What is in the record that caused it, as text, from the beginning; where it is about a window. Set
    /// by the host.
    pub excerpt: Option<String>,
}

/// Identity of one intent: the same record, seen again by the same rule, gives the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IntentId {
    /// The record that caused it.
    pub record: RecordId,
    /// The rule's name.
    pub rule: String,
    /// Which of the rule's effects for this record, from 0.
    pub index: u32,
}

impl fmt::Display for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}#{}", self.record, self.rule, self.index)
    }
}

/// Identity of an alert: 16 bytes of SHA-256 over rule, alert key and window start; without a key,
/// over rule and record.
///
/// The rule's version is not part of it: a reload never pages again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlertId([u8; 16]);

impl AlertId {
    /// The id of the alert that `notification`, caused as `intent`, belongs to. `timestamp_ms` is
    /// the record's, whatever its event time.
    pub fn of(intent: &IntentId, timestamp_ms: i64, notification: &Notification) -> Self {
        let mut hash = Sha256::new();
        let mut part = |tag: u8, bytes: &[u8]| {
            // Tag and length keep two different tuples from hashing the same bytes.
            hash.update([tag]);
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(0, intent.rule.as_bytes());
        match &notification.alert_key {
            Some(key) => part(1, key.as_bytes()),
            None => {
                part(2, format!("{}#{}", intent.record, intent.index).as_bytes());
                // A topic that is made anew has other records at the same offsets.
                part(4, &timestamp_ms.to_le_bytes());
            }
        }
        if let Some(start) = notification.window_start_ms {
            part(3, &start.to_le_bytes());
        }
        let digest = hash.finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlertId({self})")
    }
}

/// Why a text is not an alert id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an alert id; it has 32 hexadecimal digits")]
pub struct InvalidAlertId(pub String);

impl FromStr for AlertId {
    type Err = InvalidAlertId;

    fn from_str(text: &str) -> Result<Self, InvalidAlertId> {
        let invalid = || InvalidAlertId(text.to_owned());
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| invalid())?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN_MS: i64 = 1_520_176_464_000;

    fn notification(key: Option<&str>, window: Option<i64>) -> Notification {
        Notification {
            alert_key: key.map(str::to_owned),
            window_start_ms: window,
            severity: Severity::Warning,
            kind: Kind::Fire,
            title: "t".into(),
            body: vec![],
            fields: vec![],
            labels: vec![],
            channel: None,
            evidence: vec![],
            excerpt: None,
        }
    }

    fn intent(offset: i64, index: u32) -> IntentId {
        let record = RecordId { topic: "SYSLOG".into(), partition: 0, offset };
        IntentId { record, rule: "invalid-user".into(), index }
    }

    fn id(intent: &IntentId, notification: &Notification) -> AlertId {
        AlertId::of(intent, SEEN_MS, notification)
    }

    #[test]
    fn an_alert_key_makes_records_one_alert_and_its_absence_makes_each_its_own() {
        let keyed = notification(Some("rpi-03"), None);
        assert_eq!(id(&intent(1, 0), &keyed), id(&intent(2, 0), &keyed));
        let own = notification(None, None);
        assert_ne!(id(&intent(1, 0), &own), id(&intent(2, 0), &own));
        assert_ne!(id(&intent(1, 0), &own), id(&intent(1, 1), &own));
        let windowed = notification(Some("rpi-03"), Some(0));
        assert_ne!(id(&intent(1, 0), &keyed), id(&intent(1, 0), &windowed));
    }

    #[test]
    fn a_record_of_a_topic_that_was_made_anew_is_an_alert_of_its_own() {
        let (at, own) = (intent(1, 0), notification(None, None));
        assert_eq!(AlertId::of(&at, SEEN_MS, &own), AlertId::of(&at, SEEN_MS, &own));
        assert_ne!(AlertId::of(&at, SEEN_MS, &own), AlertId::of(&at, SEEN_MS + 1, &own));
        assert_ne!(AlertId::of(&at, SEEN_MS, &own), AlertId::of(&at, -1, &own));
        // A key names the situation, and the situation outlives the topic.
        let keyed = notification(Some("rpi-03"), None);
        assert_eq!(AlertId::of(&at, SEEN_MS, &keyed), AlertId::of(&at, SEEN_MS + 1, &keyed));
    }

    #[test]
    fn an_alert_id_reads_back() {
        let id = id(&intent(1, 0), &notification(None, None));
        assert_eq!(id.to_string().parse::<AlertId>().unwrap(), id);
        assert!("+0000000000000000000000000000000".parse::<AlertId>().is_err());
    }
}
