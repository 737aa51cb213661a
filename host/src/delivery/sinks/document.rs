//! All that is known of an alert as one JSON document: what webhooks and topics are given. Pure.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Told;
use super::signature::hex;
use crate::notification::Span;
use crate::outbox::Entry;
use crate::policy::Labels;

/// The version of the form, in `v`. Members may be added to it; none changes or goes.
const VERSION: u64 = 1;

/// The document about an entry on its way to `target`.
pub(super) fn document(told: &Told<'_>, target: &str, group: &str) -> Value {
    let (entry, is_over) = (told.entry, told.is_over());
    let notification = &entry.notification;
    let labels = Labels::of(entry);
    let labels: Map<String, Value> =
        labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let fields: Vec<Value> = notification
        .fields
        .iter()
        .map(|(name, value)| json!({ "name": name, "text": words(value) }))
        .collect();
    let record = &entry.intent.record;
    json!({
        "v": VERSION,
        "key": key(entry, target),
        "alert": entry.alert.to_string(),
        "state": if is_over { "resolved" } else { "firing" },
        "kind": notification.kind.as_str(),
        "severity": notification.severity.as_str(),
        "rule": entry.intent.rule,
        "title": notification.title,
        "text": words(&notification.body),
        "fields": fields,
        "labels": labels,
        "alert_key": notification.alert_key,
        "window_start_ms": notification.window_start_ms,
        "event_time": time(entry.event_time_ms),
        "event_time_ms": entry.event_time_ms,
        "record": {
            "topic": &*record.topic, "partition": record.partition, "offset": record.offset,
        },
        "intent": entry.intent.to_string(),
        "target": target,
        "channel": chosen(entry),
        "group": group,
        "rule_version": entry.rule_version,
        "stale": entry.is_stale,
        "digest": entry.digest,
    })
}

/// The same for the same news to the same target, however often it is sent.
pub(super) fn key(entry: &Entry, target: &str) -> String {
    let mut hash = Sha256::new();
    // No name of a target has this byte.
    hash.update(format!("{target}\n{}\n{}", entry.intent, entry.alert).as_bytes());
    hex(&hash.finalize()[..16])
}

/// The channel that the rule chose.
pub(super) fn chosen(entry: &Entry) -> &str {
    entry.notification.channel.as_deref().unwrap_or(&entry.channel)
}

/// Spans in words alone.
pub(super) fn words(spans: &[Span]) -> String {
    let word = |span: &Span| match span {
        Span::Text(text) | Span::Code(text) | Span::Emphasis(text) => text.clone(),
        Span::Link { url, label } if label.trim().is_empty() || label == url => url.clone(),
        Span::Link { url, label } => format!("{label} ({url})"),
        Span::Mention(name) => format!("@{name}"),
        Span::Timestamp(ms) => time(*ms).unwrap_or_else(|| format!("{ms} ms")),
    };
    spans.iter().map(word).collect()
}

/// A time as RFC 3339 writes it; `None` = there is none, or no calendar has it.
pub(super) fn time(ms: i64) -> Option<String> {
    let instant = jiff::Timestamp::from_millisecond(ms).ok().filter(|_| ms >= 0)?;
    Some(instant.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::world::entry;
    use crate::ledger::State;
    use crate::notification::Kind;

    #[test]
    fn version_1_is_written_down() {
        let mut entry = entry(7, "webhook:oncall", Kind::Update, Some("rpi-03"));
        entry.event_time_ms = 1_520_176_464_000;
        entry.notification.channel = Some("general".into());
        entry.notification.labels = vec![("host".into(), "rpi-03".into())];
        entry.notification.body = vec![
            Span::Text("from ".into()),
            Span::Code("192.168.42.42".into()),
            Span::Link { url: "https://x/".into(), label: "there".into() },
        ];
        entry.notification.fields = vec![("seen".into(), vec![Span::Timestamp(0)])];
        let told = Told { entry: &entry, before: None, standing: None, now_ms: 0 };
        let document = document(&told, "webhook:oncall", "firebell");
        insta::assert_snapshot!(document.to_string(), @r#"{"alert":"39955635fa25ea364dfaff64ca5cdfdd","alert_key":"rpi-03","channel":"general","digest":null,"event_time":"2018-03-04T15:14:24Z","event_time_ms":1520176464000,"fields":[{"name":"seen","text":"1970-01-01T00:00:00Z"}],"group":"firebell","intent":"SYSLOG/0/7#invalid-user#0","key":"9a1c32c8800e6f1deafd3ac0085c3566","kind":"update","labels":{"channel":"general","host":"rpi-03","rule":"invalid-user","severity":"warning","topic":"SYSLOG"},"record":{"offset":7,"partition":0,"topic":"SYSLOG"},"rule":"invalid-user","rule_version":"ab12","severity":"warning","stale":false,"state":"firing","target":"webhook:oncall","text":"from 192.168.42.42there (https://x/)","title":"message 7","v":1,"window_start_ms":null}"#);
    }

    #[test]
    fn a_key_is_of_one_news_to_one_target() {
        let (one, other) = (entry(1, "a", Kind::Fire, None), entry(2, "a", Kind::Fire, None));
        assert_eq!(key(&one, "webhook:a"), key(&one, "webhook:a"));
        assert_ne!(key(&one, "webhook:a"), key(&one, "webhook:b"));
        assert_ne!(key(&one, "webhook:a"), key(&other, "webhook:a"));
    }

    #[test]
    fn an_update_of_what_was_resolved_does_not_open_it() {
        let entry = entry(1, "webhook:a", Kind::Update, Some("k"));
        for (before, state) in [(Some(State::Resolved), "resolved"), (None, "firing")] {
            let told = Told { entry: &entry, before, standing: None, now_ms: 0 };
            assert_eq!(document(&told, "webhook:a", "g")["state"], state);
        }
    }

    #[test]
    fn times_that_no_calendar_has_are_none() {
        assert_eq!(time(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(time(-1), None);
        assert_eq!(time(i64::MAX), None);
    }
}
