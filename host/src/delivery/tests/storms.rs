//! More alerts than can be posted: the worst first, the rest in one message, none lost, none twice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::crashes::draw;
use super::suppressions::{silence_what, silenced};
use super::world::{Host, Kafka, Setup, entry, fire, slack, texts};
use crate::demo::slack::{Fault, Message, RandomFaults, SlackStandIn};
use crate::ledger::{Entry as Note, State};
use crate::notification::{Kind, Severity};
use crate::outbox::Entry;

/// A host on which five alerts may wait for a channel.
fn setup() -> Setup {
    let mut setup = Setup {
        messages_per_second: 20.0,
        burst: 1,
        digest_after: Some(Duration::from_millis(200)),
        ..Setup::default()
    };
    setup.patience.tally_every = Duration::from_millis(30);
    setup
}

fn of(n: i64, severity: Severity, kind: Kind, key: Option<&str>) -> Entry {
    let mut entry = entry(n, "general", kind, key);
    entry.notification.severity = severity;
    entry
}

fn append(kafka: &Kafka, entries: impl IntoIterator<Item = Entry>) {
    entries.into_iter().for_each(|entry| {
        kafka.append(&entry);
    });
}

/// Events, of which every `n`th is critical.
fn events(count: i64, n: i64) -> Vec<Entry> {
    let severity = |i: i64| if i % n == n - 1 { Severity::Critical } else { Severity::Info };
    (0..count).map(|i| of(i, severity(i), Kind::Fire, None)).collect()
}

fn tallies(slack: &SlackStandIn) -> Vec<Message> {
    slack.messages().into_iter().filter(|m| m.text.contains("told together")).collect()
}

/// The number at the beginning of a tally's text.
fn counted(message: &Message) -> usize {
    let words = message.text.split(' ').nth(1).unwrap();
    words.parse().unwrap_or_else(|_| panic!("no number in {}", message.text))
}

/// What the ledger says of alerts: those that were posted, and those that are told in a tally.
fn accounts(kafka: &Kafka) -> (Vec<Note>, Vec<Note>) {
    let alerts = kafka.ledger().into_iter().filter(|note| note.tally.is_none());
    alerts.partition(|note| note.told_in.is_none())
}

/// Waits until the tallies say what the ledger has.
async fn until_told(kafka: &Kafka, slack: &SlackStandIn) {
    kafka.until(Kafka::is_worked_off).await;
    until_tallied(kafka, slack).await;
}

async fn until_tallied(kafka: &Kafka, slack: &SlackStandIn) {
    kafka
        .until(|kafka| {
            let (_, folded) = accounts(kafka);
            let fires: u64 =
                folded.iter().filter_map(|note| Some(note.told_in.as_ref()?.fires)).sum();
            tallies(slack).iter().map(counted).sum::<usize>() as u64 == fires
        })
        .await;
}

#[tokio::test]
async fn what_is_worse_overtakes_and_equals_keep_their_order() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let setup = Setup { digest_after: None, ..setup() };
    append(&kafka, (0..4).map(|n| of(n, Severity::Info, Kind::Fire, None)));
    append(&kafka, [of(4, Severity::Warning, Kind::Fire, None)]);
    append(&kafka, [of(5, Severity::Critical, Kind::Fire, None)]);
    append(&kafka, [of(6, Severity::Error, Kind::Fire, None)]);
    append(&kafka, [of(7, Severity::Critical, Kind::Fire, None)]);
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.until(Kafka::is_worked_off).await;
    let texts = &texts(&slack)["general"];
    // The first may be on its way before the others are read.
    let rest: Vec<&str> =
        texts.iter().map(String::as_str).filter(|text| *text != "message 0").collect();
    let worst_first = ["5", "7", "6", "4", "1", "2", "3"].map(|n| format!("message {n}"));
    assert_eq!(rest, worst_first);
}

#[tokio::test]
async fn the_channels_of_a_workspace_take_turns_and_criticals_go_first() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let setup = Setup {
        workspace_messages_per_second: 20.0,
        burst: 1,
        messages_per_second: 1_000.0,
        ..Setup::default()
    };
    let mut entries: Vec<Entry> = (0..8).map(|n| fire(n, "general")).collect();
    entries.extend((8..11).map(|n| fire(n, "ops")));
    let mut critical = fire(11, "ops");
    critical.notification.severity = Severity::Critical;
    entries.push(critical);
    append(&kafka, entries);
    let start = Instant::now();
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.until(Kafka::is_worked_off).await;
    let messages = slack.messages();
    let at = |text: &str| messages.iter().position(|m| m.text.ends_with(text)).unwrap();
    assert!(at("message 11") <= 2, "the critical one is {}", at("message 11"));
    let last = messages.iter().rposition(|m| m.channel == "ops").unwrap();
    assert!(last <= 9, "the other channel is served in between: {last}");
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_storm_is_criticals_one_by_one_and_a_tally_of_the_rest() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &setup());
    append(&kafka, events(400, 50));
    until_told(&kafka, &slack).await;
    let (posted, folded) = accounts(&kafka);
    assert_eq!(posted.len() + folded.len(), 400);
    assert!(folded.len() >= 380, "{}", folded.len());
    assert!(posted.iter().all(|note| note.place.is_some()));
    let tallies = tallies(&slack);
    assert_eq!((tallies.len(), counted(&tallies[0])), (1, folded.len()));
    assert_eq!(slack.count(), posted.len() + 1);
    let criticals = slack.messages().into_iter().filter(|m| m.text.starts_with('🚨'));
    assert_eq!(criticals.count(), 8);
    assert_eq!(host.metric(&["storms_total", "general"]), 1.0);
    assert_eq!(host.metric(&["slack_posts_total", "tallied"]), folded.len() as f64);
    assert!(tallies[0].blocks.to_string().contains("invalid-user"), "{}", tallies[0].blocks);
    host.stop().await;
}

#[tokio::test]
async fn a_tally_follows_its_alerts_and_what_becomes_critical_is_posted() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &setup());
    let keys: Vec<String> = (0..30).map(|n| format!("host-{n}")).collect();
    let all = |from: i64, severity, kind| {
        let keys = (from..).zip(&keys);
        keys.map(move |(n, key)| of(n, severity, kind, Some(key))).collect::<Vec<_>>()
    };
    append(&kafka, all(0, Severity::Warning, Kind::Fire));
    until_told(&kafka, &slack).await;
    // A second fire is a duplicate, as that of any open alert.
    append(&kafka, all(100, Severity::Warning, Kind::Fire));
    until_told(&kafka, &slack).await;
    assert_eq!(host.metric(&["slack_posts_total", "duplicate"]), 30.0);
    let (_, folded) = accounts(&kafka);
    let told = folded.first().unwrap().told_in.as_ref().unwrap().key.clone().unwrap();
    let other = folded[1].told_in.as_ref().unwrap().key.clone().unwrap();
    let before = slack.count();
    append(&kafka, [of(200, Severity::Critical, Kind::Update, Some(&told))]);
    append(&kafka, [of(201, Severity::Error, Kind::Update, Some(&other))]);
    kafka.until(|_| slack.count() == before + 1).await;
    until_told(&kafka, &slack).await;
    kafka.until(|_| tallies(&slack)[0].text.starts_with('🔴')).await;
    append(&kafka, all(300, Severity::Warning, Kind::Resolve));
    until_told(&kafka, &slack).await;
    kafka.until(|_| tallies(&slack)[0].text.contains("all resolved")).await;
    assert!(tallies(&slack)[0].text.starts_with('✅'), "the storm is over too");
    assert_eq!(slack.count(), before + 1);
    let (posted, folded) = accounts(&kafka);
    assert_eq!(posted.len() + folded.len(), 30);
    assert!(posted.iter().chain(&folded).all(|note| note.state == State::Resolved));
}

#[tokio::test]
async fn what_waits_is_written_after_what_the_tally_has_of_its_alert() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let (silences, silenced) = silenced("nowhere");
    silence_what(&silences, "quiet = yes");
    let labelled = |n, kind, quiet: &str| {
        let mut entry = of(n, Severity::Info, kind, Some("flaps"));
        entry.notification.labels = vec![("quiet".into(), quiet.into())];
        entry
    };
    append(&kafka, [labelled(0, Kind::Fire, "no"), labelled(1, Kind::Resolve, "no")]);
    append(&kafka, [labelled(2, Kind::Fire, "yes")]);
    append(&kafka, (10..40).map(|n| of(n, Severity::Info, Kind::Fire, None)));
    let setup = Setup { suppression: silenced.suppression, ..setup() };
    let _host = Host::start(&kafka, &slack, &setup);
    let alert = labelled(0, Kind::Fire, "no").alert;
    let all = |kafka: &Kafka| -> Vec<Note> {
        let broker = kafka.broker();
        let notes = broker.ledger.iter().filter_map(|(_, _, value)| value.as_deref());
        let notes = notes.map(|value| Note::from_bytes(value).unwrap());
        notes.filter(|note| note.alert == alert).collect()
    };
    kafka.until(|kafka| accounts(kafka).1.len() >= 31).await;
    until_tallied(&kafka, &slack).await;
    let notes = all(&kafka);
    assert!(notes.iter().any(|note| note.state == State::Resolved), "{notes:?}");
    assert!(notes.last().unwrap().is_held(), "{notes:?}");
}

#[tokio::test]
async fn the_next_storm_has_a_tally_of_its_own_and_an_old_one_is_still_changed() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &setup());
    let keyed = |from: i64| {
        (from..from + 30).map(|n| of(n, Severity::Info, Kind::Fire, Some(&n.to_string())))
    };
    append(&kafka, keyed(0));
    until_told(&kafka, &slack).await;
    let is_over = |message: &Message| message.blocks.to_string().contains("The storm is over");
    kafka.until(|_| tallies(&slack).iter().all(is_over)).await;
    host.kill().await;
    let _host = Host::start(&kafka, &slack, &setup());
    append(&kafka, keyed(100));
    until_told(&kafka, &slack).await;
    assert_eq!(tallies(&slack).len(), 2);
    let (_, folded) = accounts(&kafka);
    let old = folded.iter().filter_map(|note| note.told_in.as_ref()?.key.clone());
    let old = old.filter(|key| key.parse::<i64>().unwrap() < 100).collect::<Vec<_>>();
    let first = &tallies(&slack)[0];
    assert_eq!(old.len(), counted(first));
    append(
        &kafka,
        (1_000..).zip(&old).map(|(n, key)| of(n, Severity::Info, Kind::Resolve, Some(key))),
    );
    kafka.until(|_| tallies(&slack)[0].text.contains("all resolved")).await;
    assert!(!tallies(&slack)[1].text.contains("all resolved"));
}

#[tokio::test]
async fn killed_in_a_storm_with_faults_at_random_every_alert_is_told_once() {
    for run in 0..3_u64 {
        let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
        slack.fail_at_random(Some(RandomFaults {
            seed: run,
            per_mille: 150,
            methods: vec![],
            faults: vec![
                Fault::StatusAfterAccept(500),
                Fault::ResetAfterAccept,
                Fault::ResetBefore,
                Fault::OkFalseAfterAccept("fatal_error"),
                Fault::NotJsonAfterAccept,
                Fault::RatelimitedBody,
                Fault::RateLimited { retry_after: 0 },
                Fault::HangAfterAccept,
            ],
        }));
        let entries = events(400, 40);
        let mut left = entries.iter();
        let mut seed = 77 + run;
        let setup = Setup { messages_per_second: 100.0, ..setup() };
        while !left.as_slice().is_empty() {
            let host = Host::start(&kafka, &slack, &setup);
            append(&kafka, left.by_ref().take(60).cloned());
            tokio::time::sleep(Duration::from_micros(draw(&mut seed) % 150_000)).await;
            host.kill().await;
        }
        let host = Host::start(&kafka, &slack, &setup);
        until_told(&kafka, &slack).await;
        let (posted, folded) = accounts(&kafka);
        assert_eq!(posted.len() + folded.len(), 400, "run {run}");
        assert!(posted.iter().all(|note| note.place.is_some()), "run {run}");
        // Every message is of one alert, and of no alert there are two.
        let ids: Vec<String> = slack
            .messages()
            .iter()
            .map(|m| m.metadata["event_payload"]["id"].as_str().unwrap().to_owned())
            .collect();
        let once: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(once.len(), ids.len(), "run {run}: something was posted twice");
        assert_eq!(ids.len(), posted.len() + tallies(&slack).len(), "run {run}");
        assert!(folded.iter().all(|note| !once.contains(&note.alert.to_string())));
        host.kill().await;
    }
}

#[tokio::test]
async fn a_tally_that_was_posted_before_a_kill_is_found_and_goes_on() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &setup());
    append(&kafka, events(40, 1_000));
    // Slack has it, and the host does not hear of that.
    slack.fail_next("chat.postMessage", Fault::Slow(Duration::ZERO));
    kafka.until(|_| !tallies(&slack).is_empty()).await;
    host.kill().await;
    // As if the ledger had not taken what Slack said.
    let said = |value: &Option<Vec<u8>>| {
        let note = value.as_deref().map(|value| Note::from_bytes(value).unwrap());
        note.is_some_and(|note| note.tally.is_some() && note.place.is_some())
    };
    kafka.broker().ledger.retain(|(_, _, value)| !said(value));
    let _host = Host::start(&kafka, &slack, &setup());
    append(&kafka, (100..140).map(|n| of(n, Severity::Info, Kind::Fire, None)));
    until_told(&kafka, &slack).await;
    let tallies = tallies(&slack);
    assert_eq!(tallies.len(), 1, "it is the same one");
    assert!(counted(&tallies[0]) > 40);
}

#[tokio::test]
async fn a_webhook_tells_each_part_of_a_storm_in_a_message_of_its_own() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup { webhook: true, ..setup() });
    append(&kafka, events(200, 1_000));
    until_told(&kafka, &slack).await;
    append(&kafka, (1_000..1_100).map(|n| of(n, Severity::Info, Kind::Fire, None)));
    until_told(&kafka, &slack).await;
    let (posted, folded) = accounts(&kafka);
    assert_eq!(posted.len() + folded.len(), 300);
    assert_eq!(slack.count(), posted.len() + tallies(&slack).len());
    assert!(slack.messages().iter().all(|message| message.edits == 0));
}

#[tokio::test]
async fn by_a_webhook_the_end_of_what_was_told_alone_before_a_storm_is_told() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup { webhook: true, ..setup() });
    append(&kafka, [of(0, Severity::Info, Kind::Fire, Some("told"))]);
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 0"]);
    // Its news comes in a storm, its end when that is told.
    append(&kafka, events(100, 1_000).into_iter().skip(1));
    append(&kafka, [of(100, Severity::Info, Kind::Update, Some("told"))]);
    append(&kafka, [of(101, Severity::Info, Kind::Fire, Some("never alone"))]);
    until_told(&kafka, &slack).await;
    let of = |key: &str| of(0, Severity::Info, Kind::Fire, Some(key)).alert;
    let note = |kafka: &Kafka, key: &str| {
        kafka.ledger().into_iter().find(|note| note.alert == of(key)).unwrap()
    };
    let tally = |kafka: &Kafka, key: &str| note(kafka, key).told_in.map(|told_in| told_in.tally);
    let first = tally(&kafka, "told");
    assert!(first.is_some() && first == tally(&kafka, "never alone"));
    let is_said = |kafka: &Kafka, tally| {
        let note = kafka.ledger().into_iter().find(|note| Some(note.alert) == tally);
        note.is_some_and(|note| note.tally.is_some_and(|tally| tally.said.is_some()))
    };
    kafka.until(|kafka| is_said(kafka, first)).await;
    let end = |n, key| self::of(n, Severity::Info, Kind::Resolve, Some(key));
    append(&kafka, [end(102, "told"), end(103, "never alone")]);
    kafka.until(Kafka::is_worked_off).await;
    // Alone, or, while it still storms, in the next tally.
    let is_told = |kafka: &Kafka| {
        let alone = texts(&slack)["general"].contains(&"message 102".to_owned());
        let next = tally(kafka, "told").filter(|next| Some(*next) != first);
        alone || (next.is_some() && is_said(kafka, next))
    };
    kafka.until(is_told).await;
    let states = ["told", "never alone"].map(|key| note(&kafka, key).state);
    assert_eq!((states, tally(&kafka, "never alone")), ([State::Resolved; 2], first));
}

#[tokio::test]
async fn a_storm_does_not_hold_the_reading_and_off_has_no_tally() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &setup());
    append(&kafka, events(12_000, 12_000));
    kafka.until(|_| slack.messages().iter().any(|m| m.text.starts_with('🚨'))).await;
    until_told(&kafka, &slack).await;
    let (posted, folded) = accounts(&kafka);
    assert_eq!(posted.len() + folded.len(), 12_000);
    host.kill().await;
    let (kafka, slack) = (Kafka::default(), self::slack(&["general"]).await);
    let setup = Setup { digest_after: None, messages_per_second: 1_000.0, ..setup() };
    let _host = Host::start(&kafka, &slack, &setup);
    append(&kafka, events(100, 1_000));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!((slack.count(), tallies(&slack).len()), (100, 0));
}
