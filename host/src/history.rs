//! The history: what happened to every alert on its way, kept for some days in a topic of its own.
//!
//! The ledger says what became of an alert; the history says how. It is for people and decides nothing,
//! so delivery never waits for it. Pure but for `kafka.rs`.

use serde::{Deserialize, Serialize};

use crate::limits::cut;
use crate::notification::{AlertId, InvalidAlertId};
use crate::outbox::Entry;
use crate::record::OutgoingRecord;

pub mod kafka;

/// The version that is written, and the newest that is read.
const VERSION: u64 = 1;
/// Bytes of a text; the outbox has the whole.
const TEXT_BYTES_MAX: usize = 300;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// Delivery took a notification up.
    TakenUp {
        /// `fire`, `update` or `resolve`.
        kind: String,
        /// How bad.
        severity: String,
        /// What it says.
        title: String,
        /// Event time, milliseconds since the Unix epoch; -1 = none.
        event_time_ms: i64,
    },
    /// It may not be told now, and waits.
    Waits {
        /// The silence or the time interval.
        why: String,
    },
    /// Slack or another target was asked for something, and said this.
    Asked {
        /// What was asked for: `post`, `update`, …
        method: String,
        /// The class of the answer; `sent` = yes.
        class: String,
        /// A code, a status, why there was no answer; empty = nothing more.
        detail: String,
    },
    /// Nothing more is done about it.
    Ended {
        /// A word of delivery's closed list: `posted`, `updated`, `suppressed`, …
        outcome: String,
        /// Why, where that is not clear; empty = it is.
        why: String,
    },
}

/// Something that happened to an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, milliseconds since the Unix epoch, by the clock of the host.
    pub at_ms: i64,
    /// The order of what one host did in one millisecond.
    pub number: u64,
    /// The alert.
    pub alert: AlertId,
    /// The target: a channel by name, or another.
    pub channel: String,
    /// The notification that it happened to.
    pub intent: String,
    /// The rule.
    pub rule: String,
    /// What happened.
    pub what: What,
}

/// Why bytes are no event.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A newer host wrote it.
    #[error("history entry has version {0}, this firebell reads version {VERSION}")]
    Version(u64),
    /// It is no JSON, or not of the shape of its version.
    #[error("history entry cannot be read")]
    Shape(#[from] serde_json::Error),
    /// Its alert has no id.
    #[error("history entry has a wrong alert")]
    Alert(#[from] InvalidAlertId),
}

#[derive(Deserialize)]
struct Versioned {
    v: u64,
}

#[derive(Serialize, Deserialize)]
struct EventV1 {
    v: u64,
    at_ms: i64,
    number: u64,
    alert: String,
    channel: String,
    intent: String,
    rule: String,
    #[serde(flatten)]
    what: What,
}

impl What {
    /// A notification is taken up.
    pub fn taken_up(entry: &Entry) -> Self {
        let notification = &entry.notification;
        Self::TakenUp {
            kind: notification.kind.as_str().to_owned(),
            severity: notification.severity.as_str().to_owned(),
            title: short(&notification.title),
            event_time_ms: entry.event_time_ms,
        }
    }

    /// A target was asked, and answered.
    pub fn asked(method: &str, class: &str, detail: &str) -> Self {
        Self::Asked { method: method.to_owned(), class: class.to_owned(), detail: short(detail) }
    }

    /// Nothing more is done.
    pub fn ended(outcome: &str, why: &str) -> Self {
        Self::Ended { outcome: outcome.to_owned(), why: short(why) }
    }
}

fn short(text: &str) -> String {
    let mut text = text.to_owned();
    cut(&mut text, TEXT_BYTES_MAX);
    text
}

impl Event {
    /// The record for the topic of this name. By key, so that an alert's history is in one partition.
    pub fn record(&self, topic: &std::sync::Arc<str>) -> OutgoingRecord {
        OutgoingRecord {
            topic: topic.clone(),
            partition: None,
            key: Some(self.alert.to_string().into_bytes()),
            value: Some(self.to_bytes()),
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    /// The record's value: JSON of the current version.
    pub fn to_bytes(&self) -> Vec<u8> {
        let wire = EventV1 {
            v: VERSION,
            at_ms: self.at_ms,
            number: self.number,
            alert: self.alert.to_string(),
            channel: self.channel.clone(),
            intent: self.intent.clone(),
            rule: self.rule.clone(),
            what: self.what.clone(),
        };
        // Strings and integers always have a JSON form.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// When it is of another version, or no event.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HistoryError> {
        let Versioned { v } = serde_json::from_slice(bytes)?;
        if v != VERSION {
            return Err(HistoryError::Version(v));
        }
        let wire: EventV1 = serde_json::from_slice(bytes)?;
        let alert: AlertId = wire.alert.parse()?;
        Ok(Self {
            at_ms: wire.at_ms,
            number: wire.number,
            alert,
            channel: wire.channel,
            intent: wire.intent,
            rule: wire.rule,
            what: wire.what,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn event(at_ms: i64, what: What) -> Event {
        Event {
            at_ms,
            number: 0,
            alert: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            channel: "general".into(),
            intent: "SYSLOG/0/42#invalid-user#0".into(),
            rule: "invalid-user".into(),
            what,
        }
    }

    #[test]
    fn version_1_is_written_down_and_reads_back() {
        let events = [
            What::TakenUp {
                kind: "fire".into(),
                severity: "warning".into(),
                title: "t".into(),
                event_time_ms: 7,
            },
            What::Waits { why: "silence s".into() },
            What::asked("post", "throttled", "ratelimited"),
            What::ended("posted", ""),
        ];
        let texts = events.map(|what| {
            let event = event(1_520_176_464_386, what);
            let bytes = event.to_bytes();
            assert_eq!(Event::from_bytes(&bytes).unwrap(), event);
            String::from_utf8(bytes).unwrap()
        });
        insta::assert_snapshot!(texts.join("\n"), @r#"
        {"v":1,"at_ms":1520176464386,"number":0,"alert":"0123456789abcdef0123456789abcdef","channel":"general","intent":"SYSLOG/0/42#invalid-user#0","rule":"invalid-user","what":"taken_up","kind":"fire","severity":"warning","title":"t","event_time_ms":7}
        {"v":1,"at_ms":1520176464386,"number":0,"alert":"0123456789abcdef0123456789abcdef","channel":"general","intent":"SYSLOG/0/42#invalid-user#0","rule":"invalid-user","what":"waits","why":"silence s"}
        {"v":1,"at_ms":1520176464386,"number":0,"alert":"0123456789abcdef0123456789abcdef","channel":"general","intent":"SYSLOG/0/42#invalid-user#0","rule":"invalid-user","what":"asked","method":"post","class":"throttled","detail":"ratelimited"}
        {"v":1,"at_ms":1520176464386,"number":0,"alert":"0123456789abcdef0123456789abcdef","channel":"general","intent":"SYSLOG/0/42#invalid-user#0","rule":"invalid-user","what":"ended","outcome":"posted","why":""}
        "#);
    }

    #[test]
    fn what_is_newer_or_nothing_is_refused() {
        let text = String::from_utf8(event(1, What::ended("posted", "")).to_bytes()).unwrap();
        let newer = text.replacen(r#""v":1"#, r#""v":2"#, 1);
        assert!(matches!(Event::from_bytes(newer.as_bytes()), Err(HistoryError::Version(2))));
        let other = text.replacen("ended", "evaporated", 1);
        assert!(matches!(Event::from_bytes(other.as_bytes()), Err(HistoryError::Shape(_))));
        assert!(Event::from_bytes(&text.replacen("0123", "xxxx", 1).into_bytes()).is_err());
    }

    #[test]
    fn long_texts_are_cut() {
        let What::Asked { detail, .. } = What::asked("post", "sent", &"ä".repeat(1_000)) else {
            panic!("another event")
        };
        assert!(detail.len() <= TEXT_BYTES_MAX);
    }
}
