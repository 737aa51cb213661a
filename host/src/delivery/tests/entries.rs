//! Entries as rules make them.

use crate::notification::{AlertId, IntentId, Kind, Notification, Severity};
use crate::outbox::Entry;
use crate::record::RecordId;

/// An entry about record `n`; `key` makes several of them one alert.
pub(crate) fn entry(n: i64, channel: &str, kind: Kind, key: Option<&str>) -> Entry {
    let record = RecordId { topic: "SYSLOG".into(), partition: 0, offset: n };
    let intent = IntentId { record, rule: "invalid-user".into(), index: 0 };
    let notification = Notification {
        alert_key: key.map(str::to_owned),
        window_start_ms: None,
        severity: Severity::Warning,
        kind,
        title: format!("message {n}"),
        body: vec![],
        fields: vec![],
        labels: vec![],
        channel: None,
        evidence: vec![],
        excerpt: None,
    };
    Entry {
        alert: AlertId::of(&intent, 0, &notification),
        intent,
        channel: channel.into(),
        event_time_ms: 0,
        rule_version: "ab12".into(),
        generation: 1,
        notification,
        is_stale: false,
        digest: None,
    }
}

/// A `fire` of its own.
pub(crate) fn fire(n: i64, channel: &str) -> Entry {
    entry(n, channel, Kind::Fire, None)
}
