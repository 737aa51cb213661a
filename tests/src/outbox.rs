//! Entries of the outbox as a worker writes them, for tests of delivery alone.

use firebell::notification::{AlertId, IntentId, Kind, Notification, Severity};
use firebell::outbox::{Entry, partition_of};
use firebell::record::RecordId;

use crate::kafka::{Kafka, Outgoing};
use crate::now_ms;
use crate::site::Site;

/// The partitions of the outbox, as a site's group has it.
const PARTITIONS: i32 = 4;

/// An entry of a rule about record `offset`; `key` makes several of them one alert.
pub fn entry(rule: &str, channel: &str, offset: i64, kind: Kind, key: Option<&str>) -> Entry {
    let record = RecordId { topic: "SYSLOG".into(), partition: 0, offset };
    let intent = IntentId { record, rule: rule.to_owned(), index: 0 };
    let notification = Notification {
        alert_key: key.map(str::to_owned),
        window_start_ms: None,
        severity: Severity::Warning,
        kind,
        title: format!("message {offset}"),
        body: vec![],
        fields: vec![],
        labels: vec![("host.name".into(), "rpi-03".into())],
        evidence: vec![],
        excerpt: None,
        channel: None,
    };
    Entry {
        alert: AlertId::of(&intent, 0, &notification),
        intent,
        channel: channel.to_owned(),
        event_time_ms: now_ms(),
        rule_version: "ab12".into(),
        generation: 1,
        notification,
        is_stale: false,
        digest: None,
    }
}

/// Writes entries to a site's outbox.
pub fn append<'a>(kafka: &Kafka, site: &Site, entries: impl IntoIterator<Item = &'a Entry>) {
    let record = |entry: &Entry| {
        let partition = partition_of(&entry.channel, PARTITIONS);
        Outgoing::value(entry.to_bytes()).key(entry.key()).partition(partition)
    };
    kafka.produce(&site.outbox(), entries.into_iter().map(record));
}
