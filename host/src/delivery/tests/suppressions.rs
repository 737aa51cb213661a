//! What is silenced is not told: events are over, and what can end waits.

use super::world::{Host, Kafka, Setup, entry, fire, slack, texts};
use crate::delivery::common::now_ms;
use crate::delivery::suppression::Suppression;
use crate::ledger::State;
use crate::ledger::open::OpenAlerts;
use crate::notification::{Kind, Severity};
use crate::policy::live::LivePolicy;
use crate::policy::silence::{Silence, Silences};
use crate::policy::{Matchers, Policy};

const KEY: Option<&str> = Some("rpi-03");

/// A silence of all alerts to one channel, and a host's setup that heeds it.
pub(super) fn silenced(channel: &str) -> (Silences, Setup) {
    let silences = Silences::default();
    silences.set_ready();
    silence(&silences, channel);
    let suppression = Suppression::new(
        LivePolicy::new(Policy::default()),
        silences.clone(),
        OpenAlerts::default(),
    );
    (silences, Setup { suppression, ..Setup::default() })
}

/// Silences all alerts to one channel, and no other any more.
pub(super) fn silence(silences: &Silences, channel: &str) {
    silence_what(silences, &format!("channel = {channel}"));
}

/// Silences what a matcher matches, and nothing else any more.
pub(super) fn silence_what(silences: &Silences, matcher: &str) {
    let matcher = matcher.parse().unwrap();
    let silence = Silence {
        id: "s".into(),
        matchers: Matchers(vec![matcher]),
        starts_at_ms: 0,
        ends_at_ms: i64::MAX,
        updated_at_ms: 0,
        created_by: "ana".into(),
        comment: "maintenance".into(),
    };
    silences.set("s", Some(silence));
}

#[tokio::test]
async fn a_silenced_event_is_over_and_written_down() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let (silences, setup) = silenced("general");
    let host = Host::start(&kafka, &slack, &setup);
    kafka.append(&fire(0, "general"));
    kafka.append(&fire(1, "ops"));
    kafka.until(Kafka::is_worked_off).await;
    silences.set("s", None);
    kafka.append(&fire(2, "general"));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 2"]);
    assert_eq!(texts(&slack)["ops"], ["message 1"]);
    assert_eq!(host.metric(&["slack_posts_total", "suppressed"]), 1.0);
    let states = kafka.ledger().into_iter().filter(|note| note.state == State::Suppressed);
    assert_eq!(states.count(), 1);
}

#[tokio::test]
async fn an_open_alert_waits_for_the_end_of_its_silence_through_a_crash_and_holds_nobody_up() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let (silences, setup) = silenced("general");
    let host = Host::start(&kafka, &slack, &setup);
    let (partition, first) = kafka.append(&entry(0, "general", Kind::Fire, KEY));
    for n in 1..4 {
        kafka.append(&entry(n, "general", Kind::Update, KEY));
    }
    kafka.append(&fire(4, "ops"));
    kafka.until(|_| slack.count() == 1).await;
    host.kill().await;
    let host = Host::start(&kafka, &slack, &setup);
    kafka.append(&fire(5, "ops"));
    kafka.until(|_| slack.count() == 2).await;
    assert!(!texts(&slack).contains_key("general"));
    let committed = kafka.broker().committed.get(&partition).map_or(0, |(offset, _)| *offset);
    assert!(committed <= first, "what waits is not done");
    silences.set("s", None);
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 3"]);
    assert_eq!(kafka.ledger().iter().filter(|note| note.channel == "general").count(), 1);
    assert_eq!(host.metric(&["slack_posts_total", "suppressed"]), 0.0);
}

#[tokio::test]
async fn an_alert_that_ends_in_its_silence_is_not_told_at_all() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let (silences, setup) = silenced("general");
    let _host = Host::start(&kafka, &slack, &setup);
    for (n, kind) in [Kind::Fire, Kind::Update, Kind::Resolve].into_iter().enumerate() {
        kafka.append(&entry(n.try_into().unwrap(), "general", kind, KEY));
    }
    kafka.until(Kafka::is_worked_off).await;
    silences.set("s", None);
    assert_eq!(kafka.ledger()[0].state, State::Suppressed);
    // It comes again, and somebody wants to know.
    kafka.append(&entry(3, "general", Kind::Fire, KEY));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 3"]);
}

#[tokio::test]
async fn a_message_that_stands_is_kept_true_in_a_silence() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let (silences, setup) = silenced("ops");
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.append(&entry(0, "general", Kind::Fire, KEY));
    kafka.until(Kafka::is_worked_off).await;
    let silence = Silence {
        matchers: Matchers(vec!["channel = general".parse().unwrap()]),
        ends_at_ms: now_ms() + 3_600_000,
        ..(*silences.get("s").unwrap()).clone()
    };
    silences.set("s", Some(silence));
    kafka.append(&entry(1, "general", Kind::Resolve, KEY));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 1"]);
}

#[tokio::test]
async fn an_alert_that_gets_worse_than_what_is_silenced_is_told() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let (silences, setup) = silenced("nowhere");
    silence_what(&silences, "severity = warning");
    let _host = Host::start(&kafka, &slack, &setup);
    for (n, kind, severity) in
        [(0, Kind::Fire, Severity::Warning), (1, Kind::Update, Severity::Critical)]
    {
        let mut entry = entry(n, "general", kind, KEY);
        entry.notification.severity = severity;
        kafka.append(&entry);
    }
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 1"]);
}
