//! A storm: ten thousand alerts a minute for one channel are a handful of messages, and none is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use firebell::ledger::{Entry as Note, Ledger};
use firebell::notification::Severity;
use firebell::outbox::Entry;
use firebell_tests::eventually;
use firebell_tests::guests::guest;
use firebell_tests::kafka::{Kafka, send};
use firebell_tests::scene::{Scene, message};
use firebell_tests::site::Site;
use firebell_tests::slack::{Post, Slack};
use rdkafka::producer::{BaseProducer, Producer};

/// Alerts of the storm, and how long it lasts.
const ALERTS: usize = 10_000;
const LASTS: Duration = Duration::from_secs(60);
/// Every so many alerts one is critical.
const CRITICAL_EVERY: usize = 330;
/// Messages that may go to a channel at once, here and at Slack.
const BURST: u32 = 3;

/// A scene with Slack's real pace.
fn scene(stem: &str) -> Scene {
    let mut scene = Scene::new(Kafka::newest(), stem);
    scene.slack = Slack::start_paced(BURST);
    scene.site = Site::new(&scene.kafka, &scene.slack.api_url());
    scene.site.set("slack", "messages_per_second", "1.0");
    scene.site.set("slack", "burst", &BURST.to_string());
    scene.site.set("slack", "workspace_messages_per_second", "5.0");
    scene.site.set("kafka.properties", "\"session.timeout.ms\"", "\"6000\"");
    scene.rule("graded", &guest("graded"), "");
    scene
}

fn severity(number: usize) -> &'static str {
    match number {
        _ if number % CRITICAL_EVERY == CRITICAL_EVERY / 2 => "critical",
        _ if number.is_multiple_of(7) => "warning",
        _ => "info",
    }
}

/// Writes alerts evenly over some time.
fn rage(kafka: &Kafka, topic: &str, numbers: std::ops::Range<usize>, lasts: Duration) {
    let producer: BaseProducer =
        kafka.client(&[("linger.ms", "5"), ("enable.idempotence", "true")]);
    let (begin, count) = (Instant::now(), numbers.len());
    for (at, number) in numbers.enumerate() {
        let due = lasts.mul_f64(at as f64 / count as f64);
        if let Some(early) = due.checked_sub(begin.elapsed()) {
            std::thread::sleep(early);
        }
        send(&producer, topic, &message(&format!("{} alert {number:05}", severity(number))));
    }
    producer.flush(firebell_tests::DEADLINE).unwrap();
}

/// What the ledger says of every alert: those with a message, those in a tally, and the tallies.
struct Accounts {
    posted: Vec<Note>,
    folded: Vec<Note>,
    tallies: Vec<Note>,
}

fn accounts(scene: &Scene) -> Accounts {
    let mut last = BTreeMap::new();
    for record in scene.kafka.read(&scene.site.ledger()) {
        last.insert(record.key.unwrap(), record.value);
    }
    let notes = last.into_values().flatten().map(|value| Note::from_bytes(&value).unwrap());
    let (tallies, alerts): (Vec<_>, Vec<_>) = notes.partition(|note| note.tally.is_some());
    let (folded, posted) = alerts.into_iter().partition(|note| note.told_in.is_some());
    Accounts { posted, folded, tallies }
}

impl Accounts {
    /// Whether each tally's message says what the ledger has.
    fn are_told(&self) -> bool {
        let mut ledger = Ledger::default();
        self.folded.iter().chain(&self.tallies).for_each(|note| ledger.put(note.clone()));
        self.tallies.iter().all(|note| {
            let tally = note.tally.as_ref().unwrap();
            tally.said == Some(ledger.sum(&note.alert).said(tally.closed_ms.is_some()))
        })
    }
}

/// Waits until so many alerts are told, and looks that each is, and once.
fn assert_all_accounted(scene: &Scene, count: usize) -> Accounts {
    let accounts = eventually("all alerts in the ledger, and told", || {
        let accounts = accounts(scene);
        let all = accounts.posted.len() + accounts.folded.len() >= count;
        (all && accounts.are_told()).then_some(accounts)
    });
    assert_eq!(accounts.posted.len() + accounts.folded.len(), count);
    let posts = scene.slack.posts();
    let told: BTreeSet<&str> = posts.iter().map(|post| post.alert.as_str()).collect();
    assert_eq!(told.len(), posts.len(), "an alert was posted twice");
    let own: BTreeSet<String> = accounts
        .posted
        .iter()
        .chain(&accounts.tallies)
        .map(|note| note.alert.to_string())
        .collect();
    assert_eq!(own.iter().map(String::as_str).collect::<BTreeSet<_>>(), told);
    assert!(accounts.posted.iter().all(|note| note.place.is_some()));
    // And the messages of the tallies count those that they tell of.
    let counted: usize = posts.iter().filter_map(counted).sum();
    assert_eq!(counted, accounts.folded.len());
    accounts
}

/// The number of alerts that a tally's message tells of.
fn counted(post: &Post) -> Option<usize> {
    let (count, _) = post.title.split_once(" alerts told together")?;
    count.parse().ok()
}

/// For each critical alert: milliseconds from the outbox to Slack, sorted.
fn critical_waits(scene: &Scene) -> Vec<i64> {
    let posts = scene.slack.posts();
    let posted: BTreeMap<&str, i64> =
        posts.iter().map(|post| (post.alert.as_str(), post.accepted_ms)).collect();
    let mut waits = vec![];
    for record in scene.kafka.read(&scene.site.outbox()) {
        let entry = Entry::from_bytes(&record.value.unwrap()).unwrap();
        if entry.notification.severity == Severity::Critical {
            waits.push(posted[entry.alert.to_string().as_str()] - record.timestamp_ms);
        }
    }
    waits.sort_unstable();
    waits
}

/// The most posts that arrived within any minute.
fn busiest_minute(posts: &[Post]) -> usize {
    let at: Vec<Instant> = posts.iter().map(|post| post.arrived).collect();
    let within = |from: &Instant| {
        at.iter().filter(|at| *at >= from && at.duration_since(*from) < LASTS).count()
    };
    at.iter().map(within).max().unwrap_or(0)
}

#[test]
fn ten_thousand_alerts_in_a_minute_are_some_messages_with_the_critical_ones_at_once() {
    let scene = scene("storm");
    let host = scene.site.start();
    let begin = Instant::now();
    rage(&scene.kafka, &scene.topic, 0..ALERTS, LASTS);
    let accounts = assert_all_accounted(&scene, ALERTS);
    let took = begin.elapsed();
    let posts = scene.slack.posts();
    assert_eq!(accounts.tallies.len(), 1);
    let most = busiest_minute(&posts);
    assert!(most <= 60, "{most} posts in one minute");
    let edits = scene.slack.asked("chat.update").len();
    let allowed = usize::try_from(took.as_secs()).unwrap() / 5 + 1;
    assert!(edits <= allowed, "{edits} edits in {took:?}");
    let waits = critical_waits(&scene);
    let p99 = waits[(waits.len() * 99).div_ceil(100) - 1];
    eprintln!(
        "{ALERTS} alerts: {} posts, {edits} edits, {} in the tally; {} critical ones waited {} ms \
         in the middle, {p99} ms at the 99th percentile",
        posts.len(),
        accounts.folded.len(),
        waits.len(),
        waits[waits.len() / 2]
    );
    assert_eq!(waits.len(), (0..ALERTS).filter(|n| severity(*n) == "critical").count());
    assert!(p99 < 5_000, "{waits:?}");
    assert_eq!(host.metric("firebell_storms_total", &[("channel", "general")]), 1.0);
    assert!(host.terminate().success());
}

#[test]
fn killed_in_the_middle_of_a_storm_every_alert_is_told_once() {
    let scene = scene("storm-killed");
    let host = scene.site.start();
    let (kafka, topic, half) = (scene.kafka.clone(), scene.topic.clone(), ALERTS / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| rage(&kafka, &topic, 0..half, LASTS / 2));
        eventually("a tally that grows", || {
            scene.slack.posts().iter().any(|post| post.edits >= 2).then_some(())
        });
        host.kill();
        let host = scene.site.start();
        std::thread::sleep(Duration::from_secs(4));
        host.kill();
    });
    let host = scene.site.start();
    let accounts = assert_all_accounted(&scene, half);
    assert_eq!(accounts.tallies.len(), 1, "the same tally goes on");
    assert!(scene.dead_letters().is_empty());
    assert!(host.terminate().success());
}
