//! The canary: a record that is sent again and again, goes the whole way to one message, and whose absence
//! is noticed.
//!
//! Here is what its parts must agree about: the record, the rule that the host adds for it, and what its
//! message says. Who sends it is `run/canary.rs`, who sees it arrive is `delivery/canary.rs`. A pure core.

use std::time::Duration;

use serde_json::json;

use crate::config::CanaryConfig;
use crate::notification::Span;
use crate::outbox::Entry;
use crate::record::OutgoingRecord;

/// The rule that the host adds; no file can be named so by accident.
pub const RULE: &str = "$canary";
/// The component that it is made of; it ships.
pub const COMPONENT: &str = "canary";
/// The header by which everybody can tell that a record is no record of theirs.
pub const HEADER: &str = "firebell-canary";
/// What is later by so many intervals is no sign of life.
const LATE_INTERVALS: u32 = 3;

/// The toml of its rule.
pub fn rule_toml(config: &CanaryConfig, group: &str) -> String {
    // A name or a channel with a quote in it is refused where it is read; escaped it is all the same.
    let text = |text: &str| toml::Value::from(text).to_string();
    format!(
        "component = {}\ntopics = [{}]\nformat = \"bytes\"\nchannels = [{}]\nstale_after = \"off\"\n\
         [config]\ngroup = {}\ninterval_seconds = {}\n",
        text(&format!("builtin:{COMPONENT}")),
        text(&config.topic),
        text(&config.channel),
        text(group),
        config.interval.as_secs(),
    )
}

/// The record of one moment. It has a key, which also keeps it in one partition, and no value: a record
/// without a value has no fields in whatever format, and is never undecodable.
pub fn record(
    config: &CanaryConfig,
    (group, instance): (&str, &str),
    sequence: u64,
    now_ms: i64,
) -> OutgoingRecord {
    let header = json!({
        "group": group,
        "instance": instance,
        "sequence": sequence,
        "sent_ms": now_ms,
    });
    OutgoingRecord {
        topic: config.topic.as_str().into(),
        partition: None,
        key: Some(format!("${HEADER}/{group}").into_bytes()),
        value: None,
        headers: vec![(HEADER.to_owned(), Some(header.to_string().into_bytes()))],
        timestamp_ms: Some(now_ms),
    }
}

/// Until the next moment: all hosts of a group send at the same ones, and the first of them counts.
pub fn until_next(interval: Duration, now_ms: i64) -> Duration {
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
    let wait_ms = interval_ms - now_ms.rem_euclid(interval_ms);
    Duration::from_millis(wait_ms.unsigned_abs())
}

/// Whether an entry is the canary's.
pub fn is_its(entry: &Entry) -> bool {
    entry.intent.rule == RULE
}

/// How long a canary took until `now_ms`, by the clocks of who sent it and of this host.
pub fn took(entry: &Entry, now_ms: i64) -> Duration {
    let took_ms = now_ms.saturating_sub(entry.event_time_ms).max(0);
    Duration::from_millis(took_ms.unsigned_abs())
}

/// Whether that is too long for a sign of life.
pub fn is_late(took: Duration, interval: Duration) -> bool {
    took > late_after(interval)
}

/// After how long without a sign of life it is missed.
pub fn late_after(interval: Duration) -> Duration {
    interval * LATE_INTERVALS
}

/// An entry as its message is to say it at `now_ms`: with how long it took.
pub fn told(entry: &Entry, now_ms: i64) -> Entry {
    let mut told = entry.clone();
    let took = took(entry, now_ms).as_millis();
    told.notification.body.push(Span::Text(format!(", took {took} ms from record to message")));
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::world::fire;
    use crate::limits::Limits;
    use crate::rules::definition::{ComponentSource, Definition};

    fn config() -> CanaryConfig {
        CanaryConfig {
            topic: "SYSLOG".into(),
            interval: Duration::from_secs(60),
            channel: "firebell-ops".into(),
            ping_url: None,
        }
    }

    #[test]
    fn its_rule_is_the_one_that_ships_with_what_is_configured() {
        let made = rule_toml(&config(), "firebell");
        let definition = Definition::parse(RULE, &made, &Limits::default()).unwrap();
        let shipped = crate::shipped::find(COMPONENT).unwrap();
        let wanted = Definition::parse(RULE, shipped.toml, &Limits::default()).unwrap();
        let source = ComponentSource::Builtin(COMPONENT.into());
        assert_eq!(definition.component.into_inner(), source);
        assert_eq!(
            (&definition.channels, definition.format, definition.stale_after),
            (&wanted.channels, wanted.format, wanted.stale_after)
        );
        assert_eq!(definition.config_json.value, wanted.config_json.value);
    }

    #[test]
    fn its_record_says_whose_it_is_and_has_no_value() {
        let record = record(&config(), ("g", "host-1"), 7, 1_000);
        assert_eq!(record.key.as_deref(), Some(&b"$firebell-canary/g"[..]));
        assert_eq!(
            (record.value, record.timestamp_ms, record.partition),
            (None, Some(1_000), None)
        );
        let (name, value) = &record.headers[0];
        let header: serde_json::Value = serde_json::from_slice(value.as_ref().unwrap()).unwrap();
        assert_eq!(name, HEADER);
        let wanted = json!({"group": "g", "instance": "host-1", "sequence": 7, "sent_ms": 1_000});
        assert_eq!(header, wanted);
    }

    #[test]
    fn hosts_send_at_the_same_moments() {
        let minute = Duration::from_secs(60);
        for (now_ms, wait_ms) in [(0, 60_000), (1, 59_999), (59_999, 1), (60_000, 60_000), (-1, 1)]
        {
            assert_eq!(until_next(minute, now_ms), Duration::from_millis(wait_ms), "{now_ms}");
        }
    }

    #[test]
    fn its_message_says_how_long_it_took_and_late_is_three_intervals() {
        let entry = Entry { event_time_ms: 1_000, ..fire(1, "ops") };
        let last = told(&entry, 1_042).notification.body.pop();
        assert_eq!(last, Some(Span::Text(", took 42 ms from record to message".into())));
        // Clocks disagree.
        assert_eq!(took(&entry, 900), Duration::ZERO);
        let interval = Duration::from_secs(60);
        assert!(!is_late(took(&entry, 181_000), interval));
        assert!(is_late(took(&entry, 181_001), interval));
    }
}
