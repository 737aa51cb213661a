//! One alert, one message: fired once, changed as it grows, resolved.

use std::time::Duration;

use super::world::{Host, Kafka, Setup, entry, fire, slack, texts};
use crate::demo::slack::Fault;
use crate::ledger::State;
use crate::notification::Kind;
use serde_json::json;

const KEY: Option<&str> = Some("rpi-03");

#[tokio::test]
async fn an_alert_is_one_message_from_fire_to_resolve() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &Setup::default());
    for (n, kind) in [Kind::Fire, Kind::Fire, Kind::Update, Kind::Resolve].into_iter().enumerate() {
        kafka.append(&entry(n.try_into().unwrap(), "general", kind, KEY));
    }
    kafka.until(Kafka::is_worked_off).await;
    let messages = slack.messages();
    assert_eq!(
        (messages.len(), messages[0].text.as_str(), messages[0].edits),
        (1, "✅ message 3", 2)
    );
    let payload = &messages[0].metadata["event_payload"];
    assert_eq!(payload["intent"], "SYSLOG/0/0#invalid-user#0", "who made the message stays known");
    assert_eq!(payload["last_intent"], "SYSLOG/0/3#invalid-user#0");
    assert_eq!(payload["kind"], "resolve");
    assert_eq!(host.metric(&["slack_posts_total", "duplicate"]), 1.0);
    let note = &kafka.ledger()[0];
    assert_eq!((note.state, note.outbox_offset), (State::Resolved, 6));
    // What comes again after it was resolved is news.
    kafka.append(&entry(4, "general", Kind::Fire, KEY));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 3", "message 4"]);
}

#[tokio::test]
async fn an_alert_stays_known_over_restarts() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    for n in 0..3 {
        let host = Host::start(&kafka, &slack, &Setup::default());
        kafka.append(&entry(n, "general", Kind::Fire, KEY));
        kafka.until(Kafka::is_worked_off).await;
        host.kill().await;
    }
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&entry(3, "general", Kind::Update, KEY));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 3"]);
}

#[tokio::test]
async fn the_same_alert_in_two_channels_is_told_to_both() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&entry(0, "general", Kind::Fire, KEY));
    kafka.append(&entry(1, "ops", Kind::Fire, KEY));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(slack.count(), 2);
}

#[tokio::test]
async fn an_update_without_a_message_to_change_is_posted() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    // Of an alert that nobody knows.
    kafka.append(&entry(0, "general", Kind::Update, KEY));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 0"]);
    // Of a message that somebody deleted.
    let message = &slack.messages()[0];
    assert!(slack.delete(&message.channel_id, &message.ts));
    kafka.append(&entry(1, "general", Kind::Update, KEY));
    kafka.append(&entry(2, "general", Kind::Update, KEY));
    kafka.until(Kafka::is_worked_off).await;
    let messages = slack.messages();
    assert_eq!(
        (messages.len(), messages[0].text.as_str(), messages[0].edits),
        (1, "🟡 message 2", 1)
    );
}

#[tokio::test]
async fn an_update_with_an_unclear_answer_is_simply_repeated() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&entry(0, "general", Kind::Fire, KEY));
    for fault in [
        Fault::StatusAfterAccept(500),
        Fault::ResetBefore,
        Fault::NotJson,
        Fault::OkFalse("update_failed"),
        Fault::RateLimited { retry_after: 0 },
    ] {
        slack.fail_next("chat.update", fault);
    }
    kafka.append(&entry(1, "general", Kind::Update, KEY));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!((slack.count(), slack.faults_left()), (1, 0));
    assert_eq!(slack.messages()[0].text, "🟡 message 1");
    assert!(slack.requests().iter().all(|request| request.method != "conversations.history"));
}

#[tokio::test]
async fn old_alerts_are_forgotten_with_tombstones() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let mut setup = Setup { retention: Duration::from_millis(40), ..Setup::default() };
    setup.patience.expire_every = Duration::from_millis(10);
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.append(&fire(1, "general"));
    kafka.until(Kafka::is_worked_off).await;
    kafka.until(|kafka| kafka.ledger().is_empty() && !kafka.broker().ledger.is_empty()).await;
    let broker = kafka.broker();
    assert_eq!(broker.ledger.last().unwrap().2, None);
    assert_eq!(broker.ledger[0].1, broker.ledger[1].1);
}

#[tokio::test]
async fn a_webhook_posts_every_change_and_repeats_none_of_them() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let setup = Setup { webhook: true, ..Setup::default() };
    let host = Host::start(&kafka, &slack, &setup);
    for (n, kind) in [Kind::Fire, Kind::Fire, Kind::Update, Kind::Resolve].into_iter().enumerate() {
        kafka.append(&entry(n.try_into().unwrap(), "general", kind, KEY));
    }
    kafka.until(Kafka::is_worked_off).await;
    host.stop().await;
    // The offsets are lost; the ledger is not.
    kafka.broker().committed.clear();
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.append(&fire(9, "general"));
    kafka.until(Kafka::is_worked_off).await;
    let expected = ["message 0", "message 2", "message 3", "message 9"];
    assert_eq!(texts(&slack)["general"], expected);
    assert_eq!(slack.messages()[0].arguments["unfurl_links"], json!(false));
}
