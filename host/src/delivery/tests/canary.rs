//! The canary: one message that is changed, and a ping for each time that it was.

use std::time::Duration;

use super::world::{Host, Kafka, Setup, entry, slack};
use crate::canary::RULE;
use crate::config::CanaryConfig;
use crate::delivery::canary::Canary;
use crate::delivery::common::now_ms;
use crate::demo::receiver::{Receiver, Say};
use crate::demo::slack::Fault;
use crate::notification::{AlertId, Kind, Severity, Span};
use crate::outbox::Entry;
use crate::secret::Secret;
use crate::telemetry::Metrics;

/// One that was sent at this time, as its rule tells it.
fn sent(n: i64, sent_ms: i64) -> Entry {
    let mut entry = entry(n, "general", Kind::Update, Some("g"));
    RULE.clone_into(&mut entry.intent.rule);
    entry.notification.severity = Severity::Info;
    entry.notification.body = vec![Span::Text("Last seen ".into()), Span::Timestamp(sent_ms)];
    let alert = AlertId::of(&entry.intent, sent_ms, &entry.notification);
    Entry { alert, event_time_ms: sent_ms, ..entry }
}

/// What awaits it, with metrics of its own, and what pings this address.
fn awaited(url: &str) -> (Setup, Metrics, tokio::task::JoinHandle<()>) {
    let config = CanaryConfig {
        topic: "SYSLOG".into(),
        interval: Duration::from_secs(60),
        channel: "general".into(),
        ping_url: None,
    };
    let metrics = Metrics::new();
    let canary = Canary::new(&config, &metrics);
    let pings = tokio::spawn(canary.clone().pinging(&Secret::new(url)).unwrap());
    (Setup { canary: Some(canary), ..Setup::default() }, metrics, pings)
}

fn pings(metrics: &Metrics, outcome: &str) -> f64 {
    let text = metrics.encode();
    let name = format!("firebell_canary_pings_total{{outcome=\"{outcome}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn its_one_message_is_changed_and_each_change_is_pinged() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let receiver = Receiver::start().await.unwrap();
    let (setup, metrics, _pings) = awaited(&format!("{}/secret-of-the-ping", receiver.url));
    assert!(metrics.snapshot().canary_sent_ms.is_some(), "it is awaited from the beginning");
    let host = Host::start(&kafka, &slack, &setup);
    let first_ms = now_ms() + 1;
    kafka.append(&sent(0, first_ms));
    kafka.until(|_| receiver.count() == 1).await;
    // Another rule's alert is none.
    kafka.append(&entry(7, "general", Kind::Fire, None));
    receiver.say([Say::Status(503)]);
    kafka.append(&sent(1, first_ms + 1));
    kafka.until(|_| pings(&metrics, "failed") == 1.0).await;
    kafka.until(Kafka::is_worked_off).await;
    let messages = slack.messages();
    assert_eq!((messages.len(), messages[0].edits), (2, 1));
    let shown = messages[0].blocks.to_string();
    assert!(
        shown.contains("Last seen ") && shown.contains(" ms from record to message"),
        "{shown}"
    );
    assert_eq!(receiver.seen()[0].path, "/secret-of-the-ping");
    assert_eq!((receiver.count(), pings(&metrics, "ok")), (2, 1.0));
    let seen_ms = i64::try_from(metrics.snapshot().canary_sent_ms.unwrap()).unwrap();
    assert_eq!(seen_ms, first_ms + 1);
    // One key in the ledger, and nothing in the history, however often it comes.
    host.stop().await;
    assert_eq!(kafka.ledger().len(), 2);
    assert!(kafka.broker().history.iter().all(|event| event.rule != RULE));
}

#[tokio::test]
async fn what_slack_does_not_take_or_what_is_late_is_no_sign_of_life() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let receiver = Receiver::start().await.unwrap();
    let (setup, metrics, _pings) = awaited(&receiver.url);
    let begin_ms = metrics.snapshot().canary_sent_ms;
    let _host = Host::start(&kafka, &slack, &setup);
    // Shown with its age, and that is all.
    kafka.append(&sent(0, now_ms() - 200_000));
    kafka.until(|_| slack.count() == 1).await;
    kafka.until(Kafka::is_worked_off).await;
    let refusals = ["invalid_blocks", "invalid_blocks"].map(Fault::OkFalse);
    refusals.into_iter().for_each(|fault| slack.fail_next("chat.update", fault));
    kafka.append(&sent(1, now_ms()));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(kafka.broker().dead_letters.len(), 1);
    assert_eq!((receiver.count(), metrics.snapshot().canary_sent_ms), (0, begin_ms));
    // The next one is.
    kafka.append(&sent(2, now_ms()));
    kafka.until(|_| receiver.count() == 1).await;
}
