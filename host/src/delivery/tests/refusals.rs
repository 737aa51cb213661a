//! What Slack will never take, and what nobody can read, goes to the dead letters; the rest goes on.

use super::world::{Host, Kafka, PARTITIONS, Setup, entry, fire, slack, texts};
use crate::demo::slack::Fault;
use crate::notification::Kind;
use crate::outbox::partition_of;
use crate::record::OutgoingRecord;

fn header<'a>(record: &'a OutgoingRecord, name: &str) -> &'a str {
    let (_, value) = record.headers.iter().find(|(of, _)| of == name).unwrap();
    std::str::from_utf8(value.as_ref().unwrap()).unwrap()
}

#[tokio::test]
async fn a_message_that_slack_refuses_is_tried_as_plain_text_once() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &Setup::default());
    slack.fail_next("chat.postMessage", Fault::OkFalse("invalid_blocks"));
    kafka.append(&fire(1, "general"));
    kafka.until(Kafka::is_worked_off).await;
    let messages = slack.messages();
    assert!(messages[0].blocks.is_null() && messages[0].text.starts_with("🟡 message 1\n"));
    slack.fail_next("chat.postMessage", Fault::OkFalse("invalid_blocks"));
    slack.fail_next("chat.postMessage", Fault::OkFalse("msg_too_long"));
    let refused = fire(2, "general");
    let (partition, offset) = kafka.append(&refused);
    kafka.append(&fire(3, "general"));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(slack.count(), 2);
    let letter = kafka.broker().dead_letters.remove(0);
    assert_eq!(letter.value, Some(refused.to_bytes()));
    assert_eq!(letter.key, Some(refused.key()));
    assert_eq!(header(&letter, "__connect.errors.topic"), "test.outbox");
    assert_eq!(header(&letter, "__connect.errors.partition"), partition.to_string());
    assert_eq!(header(&letter, "__connect.errors.offset"), offset.to_string());
    assert_eq!(header(&letter, "__connect.errors.stage"), "delivery");
    assert!(header(&letter, "__connect.errors.exception.message").contains("msg_too_long"));
    assert_eq!(header(&letter, "x-firebell-reason"), "message");
    assert_eq!(header(&letter, "x-firebell-rule"), "invalid-user");
    assert_eq!(host.metric(&["slack_posts_total", "dead_letter"]), 1.0);
    assert_eq!(host.metric(&["dead_letters_total", "delivery", "message"]), 1.0);
}

#[tokio::test]
async fn a_channel_that_takes_nothing_does_not_hold_up_others() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "old"]).await);
    slack.archive("old");
    let host = Host::start(&kafka, &slack, &Setup::default());
    for (n, channel) in ["old", "nowhere", "general"].into_iter().enumerate() {
        kafka.append(&fire(n.try_into().unwrap(), channel));
    }
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 2"]);
    let mut texts: Vec<String> = kafka
        .broker()
        .dead_letters
        .iter()
        .map(|letter| header(letter, "__connect.errors.exception.message").to_owned())
        .collect();
    texts.sort();
    assert!(texts[0].contains("`nowhere`: channel_not_found"), "{texts:?}");
    assert!(texts[1].contains("`old`: is_archived"), "{texts:?}");
    assert!(host.readiness.snapshot().is_ready());
}

#[tokio::test]
async fn a_code_that_nobody_knows_is_given_up_after_some_attempts() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    // Three as it is, three as plain text.
    for _ in 0..6 {
        slack.fail_next("chat.postMessage", Fault::OkFalse("a_code_of_tomorrow"));
    }
    kafka.append(&fire(1, "general"));
    kafka.append(&fire(2, "general"));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 2"]);
    let letter = kafka.broker().dead_letters.remove(0);
    assert_eq!(header(&letter, "x-firebell-reason"), "unknown");
    assert!(header(&letter, "__connect.errors.exception.message").contains("a_code_of_tomorrow"));
}

#[tokio::test]
async fn what_was_given_up_is_not_tried_again_after_a_restart_but_a_later_fire_is() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    slack.archive("general");
    let host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&entry(1, "general", Kind::Fire, Some("k")));
    kafka.until(Kafka::is_worked_off).await;
    host.kill().await;
    // The offset is lost; the ledger is not.
    kafka.broker().committed.clear();
    let posts = || slack.requests().iter().filter(|r| r.method == "chat.postMessage").count();
    let before = posts();
    let host = Host::start(&kafka, &slack, &Setup::default());
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!((posts(), kafka.broker().dead_letters.len()), (before, 1));
    assert_eq!(host.metric(&["slack_posts_total", "repeated"]), 1.0);
    kafka.append(&entry(2, "general", Kind::Fire, Some("k")));
    kafka.until(|kafka| kafka.broker().dead_letters.len() == 2).await;
}

#[tokio::test]
async fn bytes_that_are_no_entry_are_dead_letters() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    let partition = partition_of("general", PARTITIONS);
    kafka.append_bytes(partition, b"k".to_vec(), b"not json".to_vec());
    kafka.append(&fire(1, "general"));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 1"]);
    let letter = kafka.broker().dead_letters.remove(0);
    assert_eq!(header(&letter, "x-firebell-reason"), "unreadable");
    assert_eq!(letter.value.as_deref(), Some(b"not json".as_slice()));
}

#[tokio::test]
async fn an_entry_of_a_newer_version_waits_for_a_host_that_can_read_it() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &Setup::default());
    let newer = String::from_utf8(fire(1, "general").to_bytes()).unwrap();
    let newer = newer.replacen(r#""v":1"#, r#""v":2"#, 1);
    let partition = partition_of("general", PARTITIONS);
    let (_, offset) = kafka.append_bytes(partition, b"k".to_vec(), newer.into_bytes());
    kafka.append(&fire(2, "general"));
    kafka.until(|_| slack.count() == 1).await;
    host.stop().await;
    let broker = kafka.broker();
    assert!(broker.dead_letters.is_empty());
    assert_eq!(broker.committed[&partition].0, offset, "the offset stays before it");
}
