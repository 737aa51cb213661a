//! Slack's own Python client reads back what was posted.

use std::process::Command;

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
    let mut scene = Scene::new(Kafka::newest(), "slack-sdk");
    scene.site.set("slack", "link_hosts", "[\"grafana.example.com\"]");
    for (name, id) in [("robin", "U0123ABCDEF"), ("on-call", "S0123ABCDEF"), ("all", "channel")] {
        scene.site.set("slack.mentions", name, &format!("{id:?}"));
    }
    let _host = scene.site.start();
    let entries = [
        entry(1, None, Kind::Fire, every_span()),
        entry(2, Some("burst"), Kind::Fire, vec![]),
        entry(3, Some("burst"), Kind::Update, vec![Span::Text("5 attempts".into())]),
        entry(4, Some("burst"), Kind::Resolve, vec![]),
    ];
    let outbox = scene.site.outbox();
    let partitions = eventually("the outbox", || scene.kafka.partitions(&outbox));
    let partition = partition_of("general", partitions);
    scene.kafka.produce(
        &outbox,
        entries
            .iter()
            .map(|entry| Outgoing::value(entry.to_bytes()).key(entry.key()).partition(partition)),
    );
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
