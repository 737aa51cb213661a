//! One alert, one message: what gets worse and what ends is said in its thread, changes are gathered, and
//! a crash loses and repeats nothing of it.

use std::time::Duration;

use firebell::ledger;
use firebell::notification::{AlertId, IntentId, Kind, Notification, Severity};
use firebell::outbox::{Entry, partition_of};
use firebell::record::RecordId;
use firebell_tests::kafka::{Kafka, Outgoing};
use firebell_tests::records::SEED_MS;
use firebell_tests::scene::{Scene, counted};
use firebell_tests::{eventually, eventually_eq};

const MINUTE_MS: i64 = 60_000;

/// An entry of the alert `key`, which happened `minute` minutes after the seed.
fn entry(key: &str, minute: i64, kind: Kind, severity: Severity) -> Entry {
    let record = RecordId { topic: "SYSLOG".into(), partition: 0, offset: minute };
    let intent = IntentId { record, rule: format!("rule-of-{key}"), index: 0 };
    let notification = Notification {
        alert_key: Some(key.into()),
        window_start_ms: None,
        severity,
        kind,
        title: format!("{key} {minute}"),
        body: vec![],
        fields: vec![],
        labels: vec![],
        channel: None,
        evidence: vec![],
        excerpt: None,
    };
    Entry {
        alert: AlertId::of(&intent, SEED_MS, &notification),
        intent,
        channel: "general".into(),
        event_time_ms: SEED_MS + minute * MINUTE_MS,
        rule_version: "ab12".into(),
        generation: 1,
        notification,
        is_stale: false,
        digest: None,
    }
}

/// Writes entries as evaluation does.
fn decide(scene: &Scene, entries: &[Entry]) {
    let outbox = scene.site.outbox();
    let partitions = eventually("the outbox", || scene.kafka.partitions(&outbox));
    let partition = partition_of("general", partitions);
    let records = entries
        .iter()
        .map(|entry| Outgoing::value(entry.to_bytes()).key(entry.key()).partition(partition));
    scene.kafka.produce(&outbox, records);
}

fn replies(scene: &Scene) -> Vec<String> {
    scene.slack.replies().into_iter().map(|reply| reply.text).collect()
}

fn texts(scene: &Scene) -> Vec<String> {
    scene.slack.posts().into_iter().map(|post| post.text).collect()
}

#[test]
fn what_gets_worse_and_what_ends_is_said_in_the_thread() {
    let mut scene = Scene::new(Kafka::newest(), "threads");
    scene.site.set("slack", "broadcast_worsening", "true");
    let _host = scene.site.start();
    decide(&scene, &[entry("disk", 0, Kind::Fire, Severity::Warning)]);
    scene.await_titles(["disk 0"]);
    decide(&scene, &[entry("disk", 2, Kind::Update, Severity::Critical)]);
    let worse = vec!["🚨 critical, was warning: disk 2".to_owned()];
    eventually_eq("that it got worse", &worse, || replies(&scene));
    assert_eq!(texts(&scene), ["🚨 disk 2"]);
    decide(&scene, &[entry("disk", 12, Kind::Resolve, Severity::Critical)]);
    let over = [worse[0].clone(), "✅ Resolved after 12 min 0 s: disk 12".to_owned()];
    eventually_eq("that it is over", &over.to_vec(), || replies(&scene));
    let posts = scene.slack.posts();
    assert_eq!((posts.len(), posts[0].text.as_str(), posts[0].edits), (1, "✅ disk 12", 2));
    assert!(
        posts[0].blocks.contains("critical · resolved after 12 min 0 s"),
        "{}",
        posts[0].blocks
    );
    let shown: Vec<_> = scene.slack.replies().into_iter().map(|reply| reply.broadcast).collect();
    assert_eq!(shown, [true, false]);
    // The ledger's last entry of the alert says all of it.
    eventually("the ledger", || {
        let entries = scene.kafka.read(&scene.site.ledger());
        let entries = entries.iter().filter_map(|one| one.value.as_deref());
        let last = entries.map(|bytes| ledger::Entry::from_bytes(bytes).unwrap()).next_back()?;
        let told = last.told.filter(|_| last.state == ledger::State::Resolved)?;
        assert_eq!((told.opened_ms, told.rule.as_str()), (SEED_MS, "rule-of-disk"));
        assert_eq!(last.last_reply.as_deref(), Some("SYSLOG/0/12#rule-of-disk#0"));
        Some(())
    });
}

#[test]
fn many_changes_become_one_edit_in_five_seconds_and_the_last_one_wins() {
    let scene = Scene::new(Kafka::newest(), "edits");
    let host = scene.site.start();
    let updates: Vec<Entry> =
        (1..=40).map(|n| entry("burst", n, Kind::Update, Severity::Error)).collect();
    decide(&scene, &[entry("burst", 0, Kind::Fire, Severity::Error)]);
    decide(&scene, &updates);
    scene.await_titles(["burst 40"]);
    let edited = scene.slack.asked("chat.update");
    assert_eq!(edited.len(), 2, "the first at once, the others together");
    assert!(edited[1] - edited[0] >= Duration::from_secs(5));
    let superseded = || host.metric("firebell_slack_posts_total", &[("outcome", "superseded")]);
    eventually_eq("those that needed no request", &38.0, superseded);
    assert!(replies(&scene).is_empty());
}

#[test]
fn kills_between_changes_and_replies_lose_and_repeat_nothing() {
    let scene = Scene::new(Kafka::newest(), "threads-kill");
    let keys: Vec<String> = (0..8).map(|n| format!("alert-{n}")).collect();
    let of_all = |minute, kind, severity| -> Vec<Entry> {
        keys.iter().map(|key| entry(key, minute, kind, severity)).collect()
    };
    let steps = [
        of_all(0, Kind::Fire, Severity::Info),
        of_all(1, Kind::Update, Severity::Warning),
        of_all(2, Kind::Update, Severity::Critical),
        of_all(3, Kind::Resolve, Severity::Critical),
    ];
    let mut host = Some(scene.site.start());
    for (number, step) in steps.iter().enumerate() {
        decide(&scene, step);
        // Somewhere in the middle of the step.
        eventually("some of it", || {
            let told = scene.slack.replies().len() + scene.slack.count();
            (told >= number * 8 + 3).then_some(())
        });
        host.take().unwrap().kill();
        host = Some(scene.site.start());
    }
    eventually("the end of all", || {
        let posts = scene.slack.posts();
        posts.iter().all(|post| post.text.starts_with('✅')).then_some(())
    });
    let mut wanted: Vec<String> = Vec::new();
    for key in &keys {
        wanted.push(format!("🟡 warning, was info: {key} 1"));
        wanted.push(format!("🚨 critical, was warning: {key} 2"));
        wanted.push(format!("✅ Resolved after 3 min 0 s: {key} 3"));
    }
    eventually_eq("the replies", &counted(wanted), || counted(replies(&scene)));
    scene.await_titles(keys.iter().map(|key| format!("{key} 3")));
    assert!(scene.dead_letters().is_empty());
}

#[test]
fn a_message_that_somebody_deleted_comes_back_only_while_its_alert_fires() {
    let scene = Scene::new(Kafka::newest(), "deleted");
    let host = scene.site.start();
    decide(&scene, &["stays", "ends"].map(|key| entry(key, 0, Kind::Fire, Severity::Error)));
    scene.await_titles(["stays 0", "ends 0"]);
    scene.slack.delete("stays 0");
    scene.slack.delete("ends 0");
    decide(
        &scene,
        &[
            entry("ends", 1, Kind::Resolve, Severity::Error),
            entry("stays", 1, Kind::Update, Severity::Critical),
        ],
    );
    scene.await_titles(["stays 1"]);
    let gone = || host.metric("firebell_slack_posts_total", &[("outcome", "gone")]);
    eventually_eq("what ended quietly", &1.0, gone);
    assert!(replies(&scene).is_empty());
}
