//! What is inhibited is not told while its source is open, wherever that is.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::suppressions::{silence_what, silenced};
use super::world::{Host, Kafka, PARTITIONS, Setup, entry, slack, texts};
use crate::delivery::ports::Event;
use crate::delivery::suppression::Suppression;
use crate::demo::slack::Fault;
use crate::ledger::open::OpenAlerts;
use crate::ledger::{Entry as Note, State};
use crate::notification::Kind;
use crate::outbox::{Entry, partition_of};
use crate::policy::Policy;
use crate::policy::live::LivePolicy;
use crate::policy::silence::Silences;

/// A policy by its text.
pub(super) fn policy(text: &str) -> LivePolicy {
    LivePolicy::new(Policy::parse(Path::new("policy.toml"), text).unwrap())
}

const INHIBITS: &str = "[[inhibit_rules]]\nsource_matchers = ['rule = site-down']\n\
                        target_matchers = ['rule = host-down']\nequal = ['site']\n";

/// A host's setup under a policy, without silences and with all open alerts read.
pub(super) fn under(policy: &LivePolicy) -> Setup {
    let (silences, open) = (Silences::default(), OpenAlerts::default());
    silences.set_ready();
    open.set_read(true);
    let suppression = Suppression::new(policy.clone(), silences, open);
    Setup { suppression, ..Setup::default() }
}

fn inhibiting() -> Setup {
    under(&policy(INHIBITS))
}

fn of(n: i64, channel: &str, rule: &str, kind: Kind, key: Option<&str>) -> Entry {
    let mut entry = entry(n, channel, kind, key);
    entry.intent.rule = rule.into();
    entry.alert = crate::notification::AlertId::of(&entry.intent, 0, &entry.notification);
    entry.notification.labels = vec![("site".into(), "b".into())];
    entry
}

fn site(n: i64, kind: Kind) -> Entry {
    of(n, "ops", "site-down", kind, Some("b"))
}

fn host(n: i64, kind: Kind) -> Entry {
    of(n, "general", "host-down", kind, Some("rpi-03"))
}

fn note_of(kafka: &Kafka, entry: &Entry) -> Option<Note> {
    kafka.ledger().into_iter().find(|note| note.alert == entry.alert)
}

async fn until_waits(kafka: &Kafka, entry: &Entry, why: &str) {
    let waits = |note: Note| note.labels.is_some() && note.why.as_deref() == Some(why);
    kafka.until(|kafka| note_of(kafka, entry).is_some_and(waits)).await;
}

#[tokio::test]
async fn a_source_in_another_partition_inhibits_through_a_crash_until_it_ends() {
    assert_ne!(partition_of("ops", PARTITIONS), partition_of("general", PARTITIONS));
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let source = site(0, Kind::Fire);
    let running = Host::start(&kafka, &slack, &inhibiting());
    kafka.append(&source);
    kafka.until(|_| slack.count() == 1).await;
    kafka.append(&host(1, Kind::Fire));
    let why = format!("inhibited by alert {}", source.alert);
    until_waits(&kafka, &host(1, Kind::Fire), &why).await;
    assert_eq!(note_of(&kafka, &host(1, Kind::Fire)).unwrap().state, State::Suppressed);
    assert_eq!(running.metric(&["suppressed_total", "inhibition"]), 1.0);
    running.kill().await;
    let _running = Host::start(&kafka, &slack, &inhibiting());
    kafka.append(&host(2, Kind::Update));
    kafka.append(&of(3, "general", "other", Kind::Fire, None));
    kafka.until(|_| slack.count() == 2).await;
    assert_eq!(texts(&slack)["general"], ["message 3"], "others are told");
    kafka.append(&site(4, Kind::Resolve));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 3", "message 2"]);
    let note = note_of(&kafka, &host(1, Kind::Fire)).unwrap();
    assert_eq!((note.state, note.why), (State::Open, None));
}

#[tokio::test]
async fn what_ends_or_is_an_event_while_it_is_inhibited_is_never_told() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let running = Host::start(&kafka, &slack, &inhibiting());
    kafka.append(&site(0, Kind::Fire));
    kafka.until(|_| slack.count() == 1).await;
    let event = of(1, "general", "host-down", Kind::Fire, None);
    kafka.append(&event);
    kafka.append(&host(2, Kind::Fire));
    kafka.append(&host(3, Kind::Resolve));
    kafka.until(Kafka::is_worked_off).await;
    kafka.append(&site(4, Kind::Resolve));
    kafka.until(Kafka::is_worked_off).await;
    assert!(!texts(&slack).contains_key("general"));
    for entry in [event, host(2, Kind::Fire)] {
        let note = note_of(&kafka, &entry).unwrap();
        assert_eq!((note.state, note.labels), (State::Suppressed, None));
        assert!(note.why.unwrap().contains("inhibited by alert"));
    }
    assert_eq!(running.metric(&["slack_posts_total", "suppressed"]), 2.0);
    // It comes again, and nothing inhibits it.
    kafka.append(&host(5, Kind::Fire));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 5"]);
}

#[tokio::test]
async fn a_source_inhibits_before_slack_has_it_and_while_it_is_silenced_itself() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let setup = inhibiting();
    slack.fail_next("chat.postMessage", Fault::Slow(Duration::from_secs(30)));
    let running = Host::start(&kafka, &slack, &setup);
    kafka.append(&site(0, Kind::Fire));
    kafka.until(|kafka| note_of(kafka, &site(0, Kind::Fire)).is_some()).await;
    kafka.append(&host(1, Kind::Fire));
    until_waits(
        &kafka,
        &host(1, Kind::Fire),
        &format!("inhibited by alert {}", site(0, Kind::Fire).alert),
    )
    .await;
    assert!(!texts(&slack).contains_key("general"));
    running.kill().await;
    let (kafka, slack) = (Kafka::default(), self::slack(&["general", "ops"]).await);
    let (silences, _) = silenced("ops");
    let open = OpenAlerts::default();
    open.set_read(true);
    let suppression = Suppression::new(policy(INHIBITS), silences.clone(), open);
    let _running = Host::start(&kafka, &slack, &Setup { suppression, ..Setup::default() });
    kafka.append(&site(0, Kind::Fire));
    until_waits(&kafka, &site(0, Kind::Fire), "silence s").await;
    kafka.append(&host(1, Kind::Fire));
    let why = format!("inhibited by alert {}", site(0, Kind::Fire).alert);
    until_waits(&kafka, &host(1, Kind::Fire), &why).await;
    assert_eq!(slack.count(), 0);
    // Its news change nothing of why it waits.
    let mut worse = site(2, Kind::Update);
    worse.notification.severity = crate::notification::Severity::Critical;
    kafka.append(&worse);
    let critical = |note: Note| {
        let severity = note.labels.map(|labels| labels.get("severity").to_owned());
        severity.as_deref() == Some("critical") && note.why.as_deref() == Some("silence s")
    };
    kafka.until(|kafka| note_of(kafka, &site(0, Kind::Fire)).is_some_and(critical)).await;
    silence_what(&silences, "channel = nowhere");
    kafka.append(&site(3, Kind::Resolve));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 1"]);
}

/// Plays the follower of the ledger.
fn follow(kafka: &Kafka, open: &OpenAlerts) -> JoinHandle<()> {
    let (kafka, open) = (kafka.clone(), open.clone());
    tokio::spawn(async move {
        let mut read = 0;
        loop {
            let new: Vec<_> = kafka.broker().ledger.iter().skip(read).cloned().collect();
            read += new.len();
            for (partition, key, value) in new {
                let entry = value.map(|value| Note::from_bytes(&value).unwrap());
                open.read(partition, &key, entry.as_ref());
            }
            open.set_read(true);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
}

#[tokio::test]
async fn a_source_on_another_host_inhibits_and_still_does_when_its_partition_moves() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let mut hosts = Vec::new();
    for channel in ["ops", "general"] {
        let silences = Silences::default();
        silences.set_ready();
        let open = OpenAlerts::default();
        let follower = follow(&kafka, &open);
        let suppression = Suppression::new(policy(INHIBITS), silences, open);
        let setup = Setup { suppression, ..Setup::default() };
        let host = Host::idle(&kafka, &slack, &setup);
        host.tell(Event::Assigned(vec![partition_of(channel, PARTITIONS)]));
        hosts.push((host, follower));
    }
    kafka.append(&site(0, Kind::Fire));
    kafka.until(|_| slack.count() == 1).await;
    // As long as it takes until the other host has read that.
    tokio::time::sleep(Duration::from_millis(50)).await;
    kafka.append(&host(1, Kind::Fire));
    let why = format!("inhibited by alert {}", site(0, Kind::Fire).alert);
    until_waits(&kafka, &host(1, Kind::Fire), &why).await;
    let (source, follower) = hosts.remove(0);
    source.kill().await;
    follower.abort();
    hosts[0].0.tell(Event::Assigned(vec![partition_of("ops", PARTITIONS)]));
    kafka.append(&site(2, Kind::Update));
    kafka.until(|_| texts(&slack)["ops"] == ["message 2"]).await;
    assert_eq!(slack.count(), 1);
    kafka.append(&site(3, Kind::Resolve));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 1"]);
    hosts.into_iter().for_each(|(_, follower)| follower.abort());
}

#[tokio::test]
async fn without_rules_of_inhibition_nothing_is_written_ahead_and_nobody_waits_for_the_ledger() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let silences = Silences::default();
    silences.set_ready();
    let suppression = Suppression::new(policy(""), silences, OpenAlerts::default());
    let _running = Host::start(&kafka, &slack, &Setup { suppression, ..Setup::default() });
    kafka.append(&site(0, Kind::Fire));
    kafka.append(&host(1, Kind::Fire));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!((slack.count(), kafka.broker().ledger.len()), (2, 2));
}
