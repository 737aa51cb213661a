//! Targets beside Slack's channels: each news once and signed, faults and crashes by the same key, what
//! is refused as a dead letter.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::suppressions::silence_what;
use super::world::{Host, Kafka, Setup, entry, fire, slack, small_room};
use crate::config::{Config, Environment};
use crate::delivery::sinks::{Sinks, signature};
use crate::delivery::suppression::Suppression;
use crate::demo::receiver::{Receiver, Say, Seen};
use crate::ledger::State;
use crate::ledger::open::OpenAlerts;
use crate::notification::{Kind, Severity};
use crate::policy::Policy;
use crate::policy::live::LivePolicy;
use crate::policy::silence::Silences;
use crate::record::OutgoingRecord;

const KEY: Option<&str> = Some("rpi-03");
const HOOK: &str = "webhook:oncall";
const MANAGER: &str = "alertmanager:main";

/// No targets but Slack's channels.
pub(super) fn slack_only() -> Arc<Sinks> {
    let text = "[kafka]\nbootstrap_servers = \"k:1\"\n[slack]\ntoken_env = \"T\"\ndefault_channel = \"general\"\n";
    Arc::new(sinks(text))
}

/// The targets of a configuration's text.
fn sinks(text: &str) -> Sinks {
    let environment = Environment::of("here", 1, [("T", "xoxb-1"), ("S", "secret")]);
    Sinks::new(&Config::parse(Path::new("f.toml"), text, &environment).unwrap()).unwrap()
}

async fn receiver() -> Receiver {
    Receiver::start().await.unwrap()
}

/// A host's setup with a webhook and an Alertmanager at `url`, a topic, and no Slack.
fn setup(url: &str, retry_minutes: u32) -> Setup {
    let text = format!(
        "[kafka]\nbootstrap_servers = \"k:1\"\n[webhooks.oncall]\nurl = \"{url}/hook/PATH-SECRET\"\n\
         secret_env = \"S\"\nrequest_timeout_ms = 200\nretry_minutes = {retry_minutes}\n\
         [alertmanagers.main]\nurl = \"{url}\"\ntoken_env = \"T\"\nresend_seconds = 1\n\
         [kafka_sinks.seed]\ntopic = \"KSQL_NOTIFY\"\nform = \"text\"\nretry_minutes = 0\n"
    );
    Setup { sinks: Arc::new(sinks(&text)), ..Setup::default() }
}

fn header<'a>(record: &'a OutgoingRecord, name: &str) -> &'a str {
    let (_, value) = record.headers.iter().find(|(of, _)| of == name).unwrap();
    std::str::from_utf8(value.as_ref().unwrap()).unwrap()
}

#[tokio::test]
async fn each_news_reaches_a_webhook_once_and_signed() {
    let (kafka, slack, receiver) = (Kafka::default(), slack(&[]).await, receiver().await);
    let host = Host::start(&kafka, &slack, &setup(&receiver.url, 60));
    for (n, kind) in [Kind::Fire, Kind::Fire, Kind::Update, Kind::Resolve].into_iter().enumerate() {
        kafka.append(&entry(n.try_into().unwrap(), HOOK, kind, KEY));
    }
    kafka.until(Kafka::is_worked_off).await;
    let seen = receiver.seen();
    let kinds: Vec<_> = seen.iter().map(|seen| seen.json()["kind"].clone()).collect();
    assert_eq!(kinds, ["fire", "update", "resolve"]);
    let keys: BTreeSet<&str> = seen.iter().map(|seen| seen.header("idempotency-key")).collect();
    assert_eq!(keys.len(), 3);
    for seen in &seen {
        assert_eq!(seen.path, "/hook/PATH-SECRET");
        assert_eq!(seen.json()["key"], seen.header("idempotency-key"));
        let seconds = seen.header("x-firebell-timestamp").parse().unwrap();
        let signed = signature(b"secret", seconds, &seen.body);
        assert_eq!(seen.header("x-firebell-signature"), signed);
    }
    assert_eq!(kafka.ledger()[0].state, State::Resolved);
    assert_eq!(host.metric(&["sink_posts_total", HOOK, "posted"]), 3.0);
    assert_eq!(host.metric(&["sink_posts_total", HOOK, "duplicate"]), 1.0);
    assert_eq!((host.metric(&["slack_posts_total"]), slack.count()), (0.0, 0));
}

#[tokio::test]
async fn faults_are_answered_by_the_same_again_under_the_same_key() {
    let (kafka, slack, receiver) = (Kafka::default(), slack(&[]).await, receiver().await);
    receiver.say([Say::Status(500), Say::TooFast, Say::Hang, Say::Status(503), Say::Status(408)]);
    let host = Host::start(&kafka, &slack, &setup(&receiver.url, 60));
    kafka.append(&fire(1, HOOK));
    kafka.until(Kafka::is_worked_off).await;
    let seen = receiver.seen();
    let told: BTreeSet<_> =
        seen.iter().map(|seen| (seen.header("idempotency-key"), &seen.body)).collect();
    assert_eq!((seen.len(), told.len()), (6, 1));
    for (class, count) in [("transient", 2.0), ("throttled", 1.0), ("ambiguous", 2.0)] {
        assert_eq!(host.metric(&["sink_errors_total", HOOK, class]), count, "{class}");
    }
    assert!(kafka.broker().dead_letters.is_empty());
}

#[tokio::test]
async fn what_is_not_taken_holds_up_its_own_alert_and_nobody_else() {
    let (kafka, slack, receiver) = (Kafka::default(), slack(&[]).await, receiver().await);
    receiver.refuse("poison");
    let host = Host::start(&kafka, &slack, &setup(&receiver.url, 60));
    let mut poison = entry(1, HOOK, Kind::Fire, Some("poison"));
    poison.notification.severity = Severity::Critical;
    kafka.append(&poison);
    kafka.append(&entry(2, HOOK, Kind::Update, Some("poison")));
    for n in 3..30 {
        kafka.append(&fire(n, HOOK));
    }
    kafka.until(|_| host.metric(&["sink_posts_total", HOOK, "posted"]) >= 27.0).await;
    assert!(!kafka.is_worked_off() && kafka.broker().dead_letters.is_empty());
    let is_its = |seen: &Seen| String::from_utf8_lossy(&seen.body).contains("poison");
    let seen = receiver.seen();
    assert!(seen.iter().filter(|seen| is_its(seen)).count() >= 2, "it is tried again");
    // Its target takes it at last: in order, and once each.
    receiver.refuse("");
    kafka.until(Kafka::is_worked_off).await;
    let seen = receiver.seen();
    let kinds: Vec<_> = seen.iter().rev().take(2).map(|seen| seen.json()["kind"].clone()).collect();
    assert_eq!(kinds, ["update", "fire"]);
    let keys: BTreeSet<&str> = seen.iter().map(|seen| seen.header("idempotency-key")).collect();
    assert_eq!(keys.len(), 29);
    assert!(kafka.broker().dead_letters.is_empty());
}

#[tokio::test]
async fn a_target_that_is_away_keeps_no_other_from_its_alerts_and_gets_all_when_it_is_back() {
    const MANY: i64 = 1_250;
    let (kafka, slack, receiver) = (Kafka::default(), slack(&["general"]).await, receiver().await);
    let text = format!(
        "[kafka]\nbootstrap_servers = \"k:1\"\n[slack]\ntoken_env = \"T\"\n\
         default_channel = \"general\"\n[webhooks.oncall]\nurl = \"{}\"\n",
        receiver.url
    );
    let room = small_room();
    let setup = Setup { sinks: Arc::new(sinks(&text)), room, ..Setup::default() };
    receiver.refuse("message");
    let host = Host::start(&kafka, &slack, &setup);
    // More than a host holds in memory of all its channels.
    for n in 0..MANY {
        kafka.append(&fire(n, HOOK));
    }
    kafka.append(&fire(MANY, "general"));
    kafka.until(|_| slack.count() == 1).await;
    let pending = ["firebell_outbox_pending_entries"];
    // But for one that is being tried.
    let all = MANY as f64 - 1.0;
    kafka.until(|_| host.metric(&pending) >= all).await;
    assert!(kafka.broker().held.is_empty(), "reading goes on");
    // A restart begins where the first of them is.
    host.stop().await;
    let host = Host::start(&kafka, &slack, &setup);
    kafka.until(|_| host.metric(&pending) >= all).await;
    receiver.refuse("");
    let taken = ["sink_posts_total", HOOK, "posted"];
    let begin = std::time::Instant::now();
    while host.metric(&taken) < MANY as f64 {
        assert!(begin.elapsed() < Duration::from_secs(120), "{}", host.metric(&taken));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    kafka.until(Kafka::is_worked_off).await;
    let ok = |seen: &Seen| seen.header("idempotency-key").to_owned();
    let keys: BTreeSet<String> = receiver.seen().iter().map(ok).collect();
    assert_eq!((keys.len(), slack.count()), (usize::try_from(MANY).unwrap(), 1));
    assert!(kafka.broker().read_again > 10 && kafka.broker().dead_letters.is_empty());
}

#[tokio::test]
async fn what_is_refused_or_asked_for_too_long_is_a_dead_letter_without_secrets() {
    let (kafka, slack, receiver) = (Kafka::default(), slack(&[]).await, receiver().await);
    receiver.say([Say::Status(400), Say::Status(302), Say::Status(500)]);
    let _host = Host::start(&kafka, &slack, &setup(&receiver.url, 0));
    for n in 1..=4 {
        kafka.append(&fire(n, HOOK));
    }
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(receiver.count(), 4);
    let letters = std::mem::take(&mut kafka.broker().dead_letters);
    let reasons: Vec<_> =
        letters.iter().map(|letter| header(letter, "x-firebell-reason")).collect();
    assert_eq!(reasons, ["refused", "refused", "unanswered"]);
    let told = header(&letters[0], "__connect.errors.exception.message");
    assert!(told.starts_with("webhook:oncall will not take this: HTTP 400"), "{told}");
    assert!(!format!("{letters:?}").contains("PATH-SECRET"));
    assert_eq!(kafka.ledger().iter().filter(|note| note.state == State::Abandoned).count(), 3);
}

#[tokio::test]
async fn a_target_that_is_not_there_takes_nothing_and_holds_nobody_up() {
    let (kafka, slack, receiver) = (Kafka::default(), slack(&["general"]).await, receiver().await);
    let _host = Host::start(&kafka, &slack, &setup(&receiver.url, 60));
    for (n, channel) in ["webhook:oncal", "general", HOOK].into_iter().enumerate() {
        kafka.append(&fire(n.try_into().unwrap(), channel));
    }
    kafka.until(Kafka::is_worked_off).await;
    let mut told: Vec<String> = kafka
        .broker()
        .dead_letters
        .iter()
        .map(|letter| header(letter, "__connect.errors.exception.message").to_owned())
        .collect();
    told.sort();
    assert!(told[0].contains("there is no [slack]"), "{told:?}");
    assert!(told[1].contains("did you mean \"webhook:oncall\"?"), "{told:?}");
    assert_eq!((receiver.count(), slack.count()), (1, 0));
}

#[tokio::test]
async fn what_was_not_answered_before_a_kill_is_sent_again_under_its_key() {
    let (kafka, slack, receiver) = (Kafka::default(), slack(&[]).await, receiver().await);
    receiver.say([Say::Hang]);
    let setup = setup(&receiver.url, 60);
    let host = Host::start(&kafka, &slack, &setup);
    kafka.append(&fire(1, HOOK));
    kafka.until(|_| receiver.count() == 1).await;
    host.kill().await;
    let host = Host::start(&kafka, &slack, &setup);
    kafka.until(Kafka::is_worked_off).await;
    let seen = receiver.seen();
    let keys: BTreeSet<&str> = seen.iter().map(|seen| seen.header("idempotency-key")).collect();
    assert_eq!((seen.len(), keys.len()), (2, 1));
    host.kill().await;
    // Its yes is in the ledger: it is not sent a third time, even when the offset was lost.
    kafka.broker().committed.clear();
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(receiver.count(), 2);
}

#[tokio::test]
async fn who_was_told_before_a_silence_is_told_of_the_end_in_it_and_of_what_comes_after() {
    let (kafka, slack, receiver) = (Kafka::default(), slack(&[]).await, receiver().await);
    let silences = Silences::default();
    silences.set_ready();
    let suppression = Suppression::new(
        LivePolicy::new(Policy::default()),
        silences.clone(),
        OpenAlerts::default(),
    );
    let _host = Host::start(&kafka, &slack, &Setup { suppression, ..setup(&receiver.url, 60) });
    let say = |n, kind| kafka.append(&entry(n, HOOK, kind, Some("rpi-03")));
    say(1, Kind::Fire);
    kafka.until(Kafka::is_worked_off).await;
    silence_what(&silences, "rule = invalid-user");
    say(2, Kind::Update);
    say(3, Kind::Resolve);
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(receiver.count(), 2, "the beginning and the end");
    assert_eq!(kafka.ledger()[0].state, State::Resolved);
    // It fires again in the silence, and goes on after it.
    let (_, fired) = say(4, Kind::Fire);
    say(5, Kind::Update);
    kafka
        .until(|kafka| kafka.broker().committed.values().any(|(offset, _)| *offset <= fired))
        .await;
    silences.set("s", None);
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(kafka.ledger()[0].state, State::Open);
    assert!(receiver.count() > 2);
}

#[tokio::test]
async fn what_is_silenced_is_not_told_to_a_webhook_either() {
    let (kafka, slack, receiver) = (Kafka::default(), slack(&[]).await, receiver().await);
    let silences = Silences::default();
    silences.set_ready();
    silence_what(&silences, "rule = invalid-user");
    let suppression =
        Suppression::new(LivePolicy::new(Policy::default()), silences, OpenAlerts::default());
    let host = Host::start(&kafka, &slack, &Setup { suppression, ..setup(&receiver.url, 60) });
    kafka.append(&fire(1, HOOK));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(receiver.count(), 0);
    assert_eq!(kafka.ledger()[0].state, State::Suppressed);
    assert_eq!(host.metric(&["sink_posts_total", HOOK, "suppressed"]), 1.0);
}

#[tokio::test]
async fn a_topic_gets_the_seeds_form_by_the_alerts_key() {
    let (kafka, slack, receiver) = (Kafka::default(), slack(&[]).await, receiver().await);
    let _host = Host::start(&kafka, &slack, &setup(&receiver.url, 60));
    let mut routed = fire(1, "kafka:seed");
    routed.notification.channel = Some("general".into());
    kafka.append(&routed);
    kafka.until(Kafka::is_worked_off).await;
    let told = std::mem::take(&mut kafka.broker().told);
    assert_eq!((told.len(), &*told[0].topic), (1, "KSQL_NOTIFY"));
    assert_eq!(told[0].key, Some(routed.key()));
    assert_eq!(header(&told[0], "x-firebell-key").len(), 32);
    let value = String::from_utf8(told[0].value.clone().unwrap()).unwrap();
    assert_eq!(value, r#"{"CHANNEL":"general","TEXT":"message 1"}"#);
}

/// The `endsAt` of all alerts that an Alertmanager was told, and how many of them lie ahead.
fn told_open(receiver: &Receiver) -> usize {
    let now = jiff::Timestamp::now();
    let ends = |alert: &serde_json::Value| {
        alert["endsAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()
    };
    let seen = receiver.seen();
    seen.iter()
        .filter(|seen| seen.json().as_array().unwrap().iter().all(|alert| ends(alert) > now))
        .count()
}

#[tokio::test]
async fn an_open_alert_is_kept_alive_at_an_alertmanager_through_a_restart_until_it_ends() {
    let (kafka, slack, receiver) = (Kafka::default(), slack(&[]).await, receiver().await);
    let setup = setup(&receiver.url, 60);
    let host = Host::start(&kafka, &slack, &setup);
    kafka.append(&entry(1, MANAGER, Kind::Fire, KEY));
    kafka.append(&fire(2, MANAGER));
    kafka.until(Kafka::is_worked_off).await;
    let seen = receiver.seen();
    assert_eq!(seen[0].path, "/api/v2/alerts");
    assert_eq!(seen[0].header("authorization"), "Bearer xoxb-1");
    host.stop().await;
    let host = Host::start(&kafka, &slack, &setup);
    // At once, and then every second.
    kafka.until(|_| told_open(&receiver) >= 4).await;
    let seen = receiver.seen();
    let again = seen.last().unwrap().json();
    assert_eq!(again.as_array().unwrap().len(), 1);
    assert_eq!(again[0]["labels"], seen[0].json()[0]["labels"]);
    kafka.append(&entry(3, MANAGER, Kind::Resolve, KEY));
    kafka.until(Kafka::is_worked_off).await;
    let after = receiver.seen();
    let last = after.last().unwrap().json();
    assert_eq!(last[0]["labels"], again[0]["labels"]);
    let ends: jiff::Timestamp = last[0]["endsAt"].as_str().unwrap().parse().unwrap();
    assert!(ends <= jiff::Timestamp::now());
    // The event was told once.
    let event = fire(2, MANAGER).alert.to_string();
    let events = after.iter().filter(|seen| String::from_utf8_lossy(&seen.body).contains(&event));
    assert_eq!(events.count(), 1);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(receiver.count(), after.len(), "what has ended is not told again");
    assert_eq!(host.metric(&["sink_errors_total"]), 0.0);
}

#[tokio::test]
async fn a_webhook_is_told_of_the_end_of_an_alert_that_slack_is_told_of_in_a_tally() {
    let (kafka, slack, receiver) = (Kafka::default(), slack(&["general"]).await, receiver().await);
    let text = format!(
        "[kafka]\nbootstrap_servers = \"k:1\"\n[slack]\ntoken_env = \"T\"\n\
         default_channel = \"general\"\n[webhooks.oncall]\nurl = \"{}\"\n",
        receiver.url
    );
    let storms = Setup {
        messages_per_second: 20.0,
        burst: 1,
        digest_after: Some(Duration::from_millis(200)),
        sinks: Arc::new(sinks(&text)),
        ..Setup::default()
    };
    let _host = Host::start(&kafka, &slack, &storms);
    for n in 0..30 {
        kafka.append(&fire(n, "general"));
    }
    for (n, kind) in [(30, Kind::Fire), (31, Kind::Resolve)] {
        for target in ["general", HOOK] {
            kafka.append(&entry(n, target, kind, KEY));
        }
    }
    kafka.until(Kafka::is_worked_off).await;
    let kinds: Vec<_> = receiver.seen().iter().map(|seen| seen.json()["kind"].clone()).collect();
    assert_eq!(kinds, ["fire", "resolve"]);
    let alert = fire_of(KEY);
    let in_slack =
        kafka.ledger().into_iter().find(|note| note.alert == alert && note.channel == "general");
    let in_slack = in_slack.unwrap();
    assert!(in_slack.told_in.is_some() && in_slack.state == State::Resolved, "{in_slack:?}");
}

/// The alert of a key.
fn fire_of(key: Option<&str>) -> crate::notification::AlertId {
    entry(0, HOOK, Kind::Fire, key).alert
}
