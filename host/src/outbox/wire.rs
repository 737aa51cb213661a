//! The wire form of an outbox entry: JSON with a version in `v`.

use serde::{Deserialize, Serialize};

use super::{Entry, OutboxError};
use crate::digest::Digest;
use crate::notification::{IntentId, Notification, Span};
use crate::record::RecordId;

/// The version that is written, and the only one that is read.
const VERSION: u64 = 1;

#[derive(Deserialize)]
struct Versioned {
    v: u64,
}

#[derive(Serialize, Deserialize)]
struct EntryV1 {
    v: u64,
    intent: IntentV1,
    alert: String,
    channel: String,
    event_time_ms: i64,
    rule_version: String,
    generation: u64,
    notification: NotificationV1,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
struct IntentV1 {
    topic: String,
    partition: i32,
    offset: i64,
    rule: String,
    index: u32,
}

#[derive(Serialize, Deserialize)]
struct NotificationV1 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alert_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window_start_ms: Option<i64>,
    severity: String,
    kind: String,
    title: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    body: Vec<SpanV1>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<(String, Vec<SpanV1>)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<(String, i32, i64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    excerpt: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SpanV1 {
    Text(String),
    Code(String),
    Emphasis(String),
    Link { url: String, label: String },
    Mention(String),
    TimestampMs(i64),
}

pub(super) fn to_bytes(entry: &Entry) -> Vec<u8> {
    let wire = EntryV1 {
        v: VERSION,
        intent: IntentV1 {
            topic: entry.intent.record.topic.to_string(),
            partition: entry.intent.record.partition,
            offset: entry.intent.record.offset,
            rule: entry.intent.rule.clone(),
            index: entry.intent.index,
        },
        alert: entry.alert.to_string(),
        channel: entry.channel.clone(),
        event_time_ms: entry.event_time_ms,
        rule_version: entry.rule_version.clone(),
        generation: entry.generation,
        notification: notification_to_wire(&entry.notification),
        stale: entry.is_stale,
        digest: entry.digest.clone(),
    };
    // Strings, integers and lists always have a JSON form.
    serde_json::to_vec(&wire).unwrap_or_default()
}

pub(super) fn from_bytes(bytes: &[u8]) -> Result<Entry, OutboxError> {
    let Versioned { v } = serde_json::from_slice(bytes).map_err(OutboxError::Shape)?;
    if v != VERSION {
        return Err(OutboxError::Version { found: v, known: VERSION });
    }
    let wire: EntryV1 = serde_json::from_slice(bytes).map_err(OutboxError::Shape)?;
    let record = RecordId {
        topic: wire.intent.topic.into(),
        partition: wire.intent.partition,
        offset: wire.intent.offset,
    };
    Ok(Entry {
        intent: IntentId { record, rule: wire.intent.rule, index: wire.intent.index },
        alert: wire.alert.parse().map_err(|error| value("alert", error))?,
        channel: wire.channel,
        event_time_ms: wire.event_time_ms,
        rule_version: wire.rule_version,
        generation: wire.generation,
        notification: notification_from_wire(wire.notification)?,
        is_stale: wire.stale,
        digest: wire.digest,
    })
}

fn value(place: &'static str, error: impl ToString) -> OutboxError {
    OutboxError::Value { place, message: error.to_string() }
}

fn notification_to_wire(from: &Notification) -> NotificationV1 {
    let fields = from.fields.iter();
    NotificationV1 {
        alert_key: from.alert_key.clone(),
        window_start_ms: from.window_start_ms,
        severity: from.severity.as_str().to_owned(),
        kind: from.kind.as_str().to_owned(),
        title: from.title.clone(),
        body: spans_to_wire(&from.body),
        fields: fields.map(|(name, spans)| (name.clone(), spans_to_wire(spans))).collect(),
        labels: from.labels.clone(),
        channel: from.channel.clone(),
        evidence: from
            .evidence
            .iter()
            .map(|record| (record.topic.to_string(), record.partition, record.offset))
            .collect(),
        excerpt: from.excerpt.clone(),
    }
}

fn notification_from_wire(wire: NotificationV1) -> Result<Notification, OutboxError> {
    let fields = wire.fields.into_iter();
    Ok(Notification {
        alert_key: wire.alert_key,
        window_start_ms: wire.window_start_ms,
        severity: wire.severity.parse().map_err(|error| value("severity", error))?,
        kind: wire.kind.parse().map_err(|error| value("kind", error))?,
        title: wire.title,
        body: spans_from_wire(wire.body),
        fields: fields.map(|(name, spans)| (name, spans_from_wire(spans))).collect(),
        labels: wire.labels,
        channel: wire.channel,
        evidence: wire
            .evidence
            .into_iter()
            .map(|(topic, partition, offset)| RecordId { topic: topic.into(), partition, offset })
            .collect(),
        excerpt: wire.excerpt,
    })
}

fn spans_to_wire(spans: &[Span]) -> Vec<SpanV1> {
    let to_wire = |span: &Span| match span.clone() {
        Span::Text(text) => SpanV1::Text(text),
        Span::Code(text) => SpanV1::Code(text),
        Span::Emphasis(text) => SpanV1::Emphasis(text),
        Span::Link { url, label } => SpanV1::Link { url, label },
        Span::Mention(name) => SpanV1::Mention(name),
        Span::Timestamp(ms) => SpanV1::TimestampMs(ms),
    };
    spans.iter().map(to_wire).collect()
}

fn spans_from_wire(spans: Vec<SpanV1>) -> Vec<Span> {
    let from_wire = |span| match span {
        SpanV1::Text(text) => Span::Text(text),
        SpanV1::Code(text) => Span::Code(text),
        SpanV1::Emphasis(text) => Span::Emphasis(text),
        SpanV1::Link { url, label } => Span::Link { url, label },
        SpanV1::Mention(name) => Span::Mention(name),
        SpanV1::TimestampMs(ms) => Span::Timestamp(ms),
    };
    spans.into_iter().map(from_wire).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::{AlertId, Kind, Severity};
    use proptest::prelude::*;

    fn span() -> impl Strategy<Value = Span> {
        prop_oneof![
            any::<String>().prop_map(Span::Text),
            any::<String>().prop_map(Span::Code),
            any::<String>().prop_map(Span::Emphasis),
            any::<(String, String)>().prop_map(|(url, label)| Span::Link { url, label }),
            any::<String>().prop_map(Span::Mention),
            any::<i64>().prop_map(Span::Timestamp),
        ]
    }

    fn notification() -> impl Strategy<Value = Notification> {
        let spans = || proptest::collection::vec(span(), 0..4);
        (
            any::<(Option<String>, Option<i64>, String, Option<String>, Option<String>)>(),
            prop::sample::select(vec![Severity::Info, Severity::Critical]),
            prop::sample::select(vec![Kind::Fire, Kind::Update, Kind::Resolve]),
            spans(),
            proptest::collection::vec((any::<String>(), spans()), 0..3),
            proptest::collection::vec(any::<(String, String)>(), 0..3),
            proptest::collection::vec(any::<(String, i32, i64)>(), 0..3),
        )
            .prop_map(|(texts, severity, kind, body, fields, labels, evidence)| {
                let record = |(topic, partition, offset): (String, _, _)| RecordId {
                    topic: topic.into(),
                    partition,
                    offset,
                };
                let evidence = evidence.into_iter().map(record).collect();
                let (alert_key, window_start_ms, title, channel, excerpt) = texts;
                Notification {
                    alert_key,
                    window_start_ms,
                    severity,
                    kind,
                    title,
                    body,
                    fields,
                    labels,
                    channel,
                    evidence,
                    excerpt,
                }
            })
    }

    fn entry_of(notification: Notification, offset: i64, channel: String) -> Entry {
        let record = RecordId { topic: "SYSLOG".into(), partition: 3, offset };
        let intent = IntentId { record, rule: "invalid-user".into(), index: 1 };
        let event_time_ms = 1_520_176_464_000;
        Entry {
            alert: AlertId::of(&intent, event_time_ms, &notification),
            intent,
            channel,
            event_time_ms,
            rule_version: "ab12".into(),
            generation: 7,
            notification,
            is_stale: false,
            digest: None,
        }
    }

    fn seed() -> Entry {
        let title =
            "2018-03-04 15:14:24 👽 rpi-03 sshd[24150]: Invalid user mini from 192.168.42.42 👽";
        let notification = Notification {
            alert_key: None,
            window_start_ms: None,
            severity: Severity::Warning,
            kind: Kind::Fire,
            title: title.into(),
            body: vec![Span::Text("from ".into()), Span::Code("192.168.42.42".into())],
            fields: vec![("seen".into(), vec![Span::Timestamp(1_520_176_464_000)])],
            labels: vec![],
            channel: None,
            evidence: vec![],
            excerpt: None,
        };
        entry_of(notification, 42, "general".into())
    }

    proptest! {
        #[test]
        fn every_entry_reads_back(
            n in notification(),
            offset: i64,
            channel: String,
            is_stale: bool,
            samples: Option<(u64, Vec<String>)>,
        ) {
            let digest = samples
                .map(|(count, samples)| Digest { count, first_ms: -5, last_ms: offset, samples });
            let entry = Entry { is_stale, digest, ..entry_of(n, offset, channel) };
            prop_assert_eq!(Entry::from_bytes(&entry.to_bytes()).unwrap(), entry);
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes: Vec<u8>) {
            prop_assert!(Entry::from_bytes(&bytes).is_err());
        }
    }

    #[test]
    fn version_1_is_written_down_and_stays_readable() {
        let bytes = seed().to_bytes();
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"{"v":1,"intent":{"topic":"SYSLOG","partition":3,"offset":42,"rule":"invalid-user","index":1},"alert":"dd3b7e3895ee9223d53bd0e4ce0c3ebe","channel":"general","event_time_ms":1520176464000,"rule_version":"ab12","generation":7,"notification":{"severity":"warning","kind":"fire","title":"2018-03-04 15:14:24 👽 rpi-03 sshd[24150]: Invalid user mini from 192.168.42.42 👽","body":[{"text":"from "},{"code":"192.168.42.42"}],"fields":[["seen",[{"timestamp_ms":1520176464000}]]]}}"#);
    }

    #[test]
    fn what_catch_up_adds_is_written_down() {
        let digest = Some(Digest { count: 2, first_ms: 1, last_ms: 3, samples: vec!["a".into()] });
        let bytes = Entry { is_stale: true, digest, ..seed() }.to_bytes();
        let text = String::from_utf8(bytes).unwrap();
        let added =
            r#","stale":true,"digest":{"count":2,"first_ms":1,"last_ms":3,"samples":["a"]}}"#;
        assert!(text.ends_with(added), "{text}");
        let plain = String::from_utf8(seed().to_bytes()).unwrap();
        assert_eq!(text.replace(added, "}"), plain);
    }

    #[test]
    fn the_records_behind_a_notification_are_written_down() {
        let mut entry = seed();
        entry.notification.evidence =
            vec![RecordId { topic: "SYSLOG".into(), partition: 3, offset: 40 }];
        entry.notification.excerpt = Some("{\"a\":1}".into());
        let text = String::from_utf8(entry.to_bytes()).unwrap();
        let added = r#","evidence":[["SYSLOG",3,40]],"excerpt":"{\"a\":1}"}}"#;
        assert!(text.ends_with(added), "{text}");
        let plain = String::from_utf8(seed().to_bytes()).unwrap();
        assert_eq!(text.replace(added, "}}"), plain);
    }

    #[test]
    fn an_unknown_version_is_refused_by_its_number() {
        let text = String::from_utf8(seed().to_bytes()).unwrap();
        let newer = text.replacen(r#""v":1"#, r#""v":2"#, 1);
        let error = Entry::from_bytes(newer.as_bytes()).unwrap_err();
        assert!(matches!(error, OutboxError::Version { found: 2, known: 1 }), "{error}");
        // A future shape need not look like ours.
        let alien = Entry::from_bytes(br#"{"v":3,"x":[]}"#).unwrap_err();
        assert!(matches!(alien, OutboxError::Version { found: 3, .. }), "{alien}");
        assert!(matches!(Entry::from_bytes(b"{}"), Err(OutboxError::Shape(_))));
    }

    #[test]
    fn words_outside_the_closed_lists_are_refused() {
        let text = String::from_utf8(seed().to_bytes()).unwrap();
        for (right, wrong) in [("warning", "bad"), (r#""fire""#, r#""flame""#)] {
            let changed = text.replacen(right, wrong, 1);
            let error = Entry::from_bytes(changed.as_bytes()).unwrap_err();
            assert!(matches!(error, OutboxError::Value { .. }), "{error}");
        }
    }
}
