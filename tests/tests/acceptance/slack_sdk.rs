//! Slack's own Python client reads back what was posted.

use std::process::Command;

use firebell::digest::{Digest, key_of_day};
use firebell::notification::{AlertId, IntentId, Kind, Notification, Severity, Span};
use firebell::outbox::{Entry, partition_of};
use firebell::record::RecordId;
use firebell_tests::kafka::{Kafka, Outgoing};
use firebell_tests::records::SEED_MS;
use firebell_tests::scene::Scene;
use firebell_tests::site::TOKEN;
use firebell_tests::{eventually, eventually_eq};
use serde_json::Value;

const SCRIPT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/acceptance/slack_sdk/read_back.py");
/// Everything that Slack would take for markup, were it not escaped.
const HOSTILE: &str = "<!channel> <@U0AB> *bold* `code` <https://evil.example|click> &amp; 👽";

/// An entry as evaluation writes it, about record `offset`.
fn entry(offset: i64, key: Option<&str>, kind: Kind, body: Vec<Span>) -> Entry {
    let record = RecordId { topic: "SYSLOG".into(), partition: 0, offset };
    let intent = IntentId { record, rule: "invalid-user".into(), index: 0 };
    let fields = vec![("asked for".into(), vec![Span::Code(HOSTILE.into())])];
    let notification = Notification {
        alert_key: key.map(str::to_owned),
        window_start_ms: None,
        severity: Severity::Critical,
        kind,
        title: format!("{} {HOSTILE}", kind.as_str()),
        body,
        fields,
        labels: vec![],
        channel: None,
        evidence: vec![],
        excerpt: None,
    };
    Entry {
        alert: AlertId::of(&intent, SEED_MS, &notification),
        intent,
        channel: "general".into(),
        event_time_ms: SEED_MS,
        rule_version: "ab12".into(),
        generation: 1,
        notification,
        is_stale: false,
        digest: None,
    }
}

/// One of every kind of span.
fn every_span() -> Vec<Span> {
    vec![
        Span::Text(format!("{HOSTILE}\nand a second line ")),
        Span::Code(HOSTILE.into()),
        Span::Emphasis("emphasis".into()),
        Span::Link { url: "https://grafana.example.com/d/1".into(), label: "allowed".into() },
        Span::Link { url: "https://evil.example/".into(), label: "not allowed".into() },
        Span::Mention("robin".into()),
        Span::Mention("on-call".into()),
        Span::Mention("all".into()),
        Span::Mention("nobody-of-that-name".into()),
        Span::Timestamp(SEED_MS),
    ]
}

/// More of everything than Slack takes, all of it hostile.
fn far_too_much() -> Vec<Entry> {
    let hidden = "\u{202e}\u{200b}\u{0}\u{feff}\r";
    let texts = [
        HOSTILE.repeat(80),
        format!("{HOSTILE}{hidden}").repeat(60),
        "\"\\".repeat(3_000),
        "\n".repeat(2_000),
        "👩\u{200d}👧".repeat(600),
        " ".to_owned(),
    ];
    let entries = (100..).zip(&texts).map(|(offset, text)| {
        let spans = || {
            vec![
                Span::Text(text.clone()),
                Span::Code(text.clone()),
                Span::Emphasis(text.clone()),
                Span::Link { url: text.clone(), label: text.clone() },
                Span::Link {
                    url: format!("https://grafana.example.com/{}", "x".repeat(2_000)),
                    label: text.clone(),
                },
                Span::Mention(text.chars().take(500).collect()),
                Span::Timestamp(1_831_300_000_000_000),
            ]
        };
        let mut entry = entry(offset, None, Kind::Fire, [spans(), spans()].concat());
        entry.notification.title = text.chars().take(20_000).collect();
        let field = |n: u32| (format!("{n} {HOSTILE}"), spans().into_iter().skip(4).collect());
        entry.notification.fields = (0..20).map(field).collect();
        entry
    });
    let whole = entry(99, None, Kind::Fire, vec![Span::Text("<@U1> ".repeat(100_000))]);
    entries.chain([whole]).collect()
}

/// A digest of alerts with hostile titles.
fn digest() -> Entry {
    let mut sum = Digest::of(SEED_MS, HOSTILE);
    for n in 1..20 {
        sum.add(Digest::of(SEED_MS + n * 60_000, &format!("{n} {HOSTILE}").repeat(50)));
    }
    let mut entry = entry(200, None, Kind::Update, vec![]);
    entry.notification = sum.notification("invalid-user", key_of_day(SEED_MS));
    entry.alert = AlertId::of(&entry.intent, SEED_MS, &entry.notification);
    Entry { digest: Some(sum), ..entry }
}

/// Writes entries to the channel `general` as evaluation does.
fn decide(scene: &Scene, entries: &[Entry]) {
    let outbox = scene.site.outbox();
    let partitions = eventually("the outbox", || scene.kafka.partitions(&outbox));
    let partition = partition_of("general", partitions);
    scene.kafka.produce(
        &outbox,
        entries
            .iter()
            .map(|entry| Outgoing::value(entry.to_bytes()).key(entry.key()).partition(partition)),
    );
}

/// A scene with a configuration that allows something.
fn scene(stem: &str) -> Scene {
    let mut scene = Scene::new(Kafka::newest(), stem);
    scene.site.set("slack", "link_hosts", "[\"grafana.example.com\"]");
    for (name, id) in [("robin", "U0123ABCDEF"), ("on-call", "S0123ABCDEF"), ("all", "channel")] {
        scene.site.set("slack.mentions", name, &format!("{id:?}"));
    }
    scene
}

/// What the client reads in a channel.
fn read_back(scene: &Scene, channel: &str) -> Vec<Value> {
    let python = xtask::python::with_slack_sdk().unwrap();
    let mut command = Command::new(python);
    command.arg(SCRIPT).args([&scene.slack.api_url(), TOKEN.1, channel]);
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn slacks_own_client_understands_every_message_and_finds_its_alert() {
    let scene = scene("slack-sdk");
    let _host = scene.site.start();
    let entries = [
        entry(1, None, Kind::Fire, every_span()),
        entry(2, Some("burst"), Kind::Fire, vec![]),
        entry(3, Some("burst"), Kind::Update, vec![Span::Text("5 attempts".into())]),
        entry(4, Some("burst"), Kind::Resolve, vec![]),
    ];
    decide(&scene, &entries);
    let ids = [&entries[0], &entries[1]].map(|entry| entry.alert.to_string());
    let id =
        |message: &Value| message["metadata"]["event_payload"]["id"].as_str().map(str::to_owned);
    let kind = |message: &Value| message["metadata"]["event_payload"]["kind"].clone();
    eventually_eq("the kinds of the first message of each alert", &["fire", "resolve"], || {
        let messages = read_back(&scene, "general");
        ids.each_ref().map(|wanted| {
            let message = messages.iter().find(|message| id(message).as_ref() == Some(wanted));
            match message.map(kind) {
                Some(Value::String(kind)) if kind == "fire" => "fire",
                Some(Value::String(kind)) if kind == "resolve" => "resolve",
                _ => "nothing",
            }
        })
    });
    let messages = read_back(&scene, "general");
    let of = |wanted: &String| messages.iter().find(|message| id(message).as_ref() == Some(wanted));
    for (wanted, title) in ids.iter().zip(["fire", "resolve"]) {
        let message = of(wanted).unwrap();
        let said = message["said"].to_string().replace('\u{2060}', "");
        assert!(said.contains(&format!("{title} {HOSTILE}")), "{said}");
        let text = message["text"].as_str().unwrap();
        assert!(!text.contains("<!") && !text.contains("<@"), "{text}");
    }
}

#[test]
fn slacks_own_client_understands_replies_digests_and_what_is_far_too_much() {
    let scene = scene("slack-sdk-evil");
    let host = scene.site.start();
    let mut entries = far_too_much();
    entries.push(digest());
    let mut grows: Vec<Entry> = [Kind::Fire, Kind::Update, Kind::Resolve]
        .into_iter()
        .zip(300..)
        .map(|(kind, offset)| entry(offset, Some("grows"), kind, every_span()))
        .collect();
    grows[0].notification.severity = Severity::Info;
    grows[1].notification.body.push(Span::Text(HOSTILE.repeat(500)));
    entries.extend(grows);
    decide(&scene, &entries);
    eventually_eq("the replies", &2, || scene.slack.replies().len());
    let messages = read_back(&scene, "general");
    // Seven that are too much, a digest, one that grows and its two replies.
    assert_eq!(messages.len(), 11, "{messages:#?}");
    let types: Vec<&Value> = messages.iter().map(|one| &one["metadata"]["event_type"]).collect();
    let of = |wanted: &str| types.iter().filter(|found| **found == wanted).count();
    assert_eq!((of("firebell_alert"), of("firebell_reply")), (9, 2));
    for message in &messages {
        let text = message["text"].as_str().unwrap();
        assert!(!text.contains("<!") && !text.contains("<@") && text.len() > 1, "{text}");
        let said = message["said"].to_string();
        assert!(!said.contains(['\u{202e}', '\u{200b}', '\u{feff}']), "{said}");
    }
    assert_eq!(host.metric("firebell_slack_errors_total", &[]), 0.0, "Slack refused nothing");
    assert!(scene.dead_letters().is_empty());
}
