//! Old alerts: one message a day that grows, and nothing about what was never told.

use std::time::Duration;

use super::world::{Host, Kafka, Setup, entry, fire, slack, texts};
use crate::demo::slack::Fault;
use crate::digest::{Digest, key_of_day};
use crate::notification::{AlertId, Kind};
use crate::outbox::Entry;

const DAY_MS: i64 = 1_520_121_600_000;
const KEY: Option<&str> = Some("rpi-03");

/// An entry of a digest, as the partition `n` of the input makes it.
fn digest(n: i64, count: u64) -> Entry {
    let minute = DAY_MS + n * 60_000;
    let mut sum = Digest::of(minute, &format!("sample {n}"));
    sum.count = count;
    let base = entry(n, "general", Kind::Update, None);
    let notification = sum.notification(&base.intent.rule, key_of_day(DAY_MS));
    let alert = AlertId::of(&base.intent, 0, &notification);
    Entry { alert, notification, digest: Some(sum), ..base }
}

fn title(count: u64, first: i64, last: i64) -> String {
    let minute = |n: i64| format!("2018-03-04 00:{n:02}");
    let when = if first == last { minute(first) } else { minute(first) + " to " + &minute(last) };
    format!("{count} older alerts of invalid-user, {when} UTC, were not posted one by one")
}

#[tokio::test]
async fn all_digests_of_a_day_are_one_message_with_their_sum() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&digest(4, 30));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], [title(30, 4, 4)]);
    kafka.append(&digest(2, 5));
    kafka.append(&digest(9, 2));
    kafka.until(Kafka::is_worked_off).await;
    let messages = slack.messages();
    assert_eq!((messages.len(), messages[0].edits), (1, 2));
    assert_eq!(messages[0].text, format!("🔵 {}", title(37, 2, 9)));
    let blocks = messages[0].blocks.to_string();
    for part in ["sample 4", "sample 2", "sample 9", "invalid-user.toml", "digest of 2018-03-04"] {
        assert!(blocks.contains(part), "{part} is not in {blocks}");
    }
    assert_eq!(kafka.ledger()[0].digest.as_ref().unwrap().count, 37);
}

#[tokio::test]
async fn a_kill_between_slacks_yes_and_the_ledger_counts_nothing_twice() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    for (n, count, sum) in [(1, 30, 30), (2, 5, 35), (3, 2, 37)] {
        // The ledger is not taken: the yes is known to this host alone.
        kafka.broker().refuse_writes = usize::MAX;
        let host = Host::start(&kafka, &slack, &Setup::default());
        kafka.append(&digest(n, count));
        let told = title(sum, 1, n);
        let text = format!("🔵 {told}");
        kafka.until(|_| slack.messages().first().is_some_and(|first| first.text == text)).await;
        host.kill().await;
        kafka.broker().refuse_writes = 0;
        let host = Host::start(&kafka, &slack, &Setup::default());
        kafka.until(Kafka::is_worked_off).await;
        host.kill().await;
        assert_eq!(texts(&slack)["general"], [told], "after {n}");
        assert_eq!(kafka.ledger()[0].digest.as_ref().unwrap().count, sum);
    }
    // The offsets are lost; the ledger is not.
    kafka.broker().committed.clear();
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], [title(37, 1, 3)]);
}

#[tokio::test]
async fn a_digest_whose_message_was_deleted_is_posted_again_with_its_sum() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&digest(1, 30));
    kafka.until(Kafka::is_worked_off).await;
    let message = &slack.messages()[0];
    assert!(slack.delete(&message.channel_id, &message.ts));
    kafka.append(&digest(2, 7));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], [title(37, 1, 2)]);
}

#[tokio::test]
async fn what_slack_refuses_for_good_is_in_the_dead_letter_and_not_in_the_sum() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&digest(1, 30));
    kafka.until(Kafka::is_worked_off).await;
    for _ in 0..2 {
        slack.fail_next("chat.update", Fault::OkFalse("invalid_blocks"));
    }
    kafka.append(&digest(2, 100));
    kafka.append(&digest(3, 7));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], [title(37, 1, 3)]);
    let letter = kafka.broker().dead_letters[0].value.clone().unwrap();
    assert_eq!(Entry::from_bytes(&letter).unwrap().digest.unwrap().count, 100);
}

#[tokio::test]
async fn digests_that_are_refused_together_are_all_dead_letters_whenever_the_host_is_killed() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let mut setup = Setup::default();
    setup.patience.edits = Duration::from_secs(1);
    let host = Host::start(&kafka, &slack, &setup);
    kafka.append(&digest(1, 30));
    kafka.append(&digest(2, 5));
    kafka.until(|_| slack.messages().first().is_some_and(|message| message.edits == 1)).await;
    kafka.until(Kafka::is_worked_off).await;
    // They wait, and are told together. The host is killed when the ledger has that they were refused.
    for _ in 0..2 {
        slack.fail_next("chat.update", Fault::OkFalse("invalid_blocks"));
    }
    kafka.broker().last_write = Some(|record| record.topic.ends_with(".ledger"));
    [digest(3, 2), digest(4, 100), digest(5, 7)].iter().for_each(|entry| {
        kafka.append(entry);
    });
    kafka.until(|kafka| kafka.broker().refuse_writes > 0).await;
    host.kill().await;
    kafka.broker().refuse_writes = 0;
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.until(Kafka::is_worked_off).await;
    let mut given_up: Vec<u64> = Vec::new();
    for letter in &kafka.broker().dead_letters {
        let entry = Entry::from_bytes(letter.value.as_deref().unwrap()).unwrap();
        given_up.push(entry.digest.unwrap().count);
    }
    given_up.sort_unstable();
    assert_eq!(given_up, [2, 7, 100]);
    assert_eq!(texts(&slack)["general"], [title(35, 1, 2)]);
}

#[tokio::test]
async fn by_a_webhook_each_digest_is_a_message_with_its_own_number() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let setup = Setup { webhook: true, ..Setup::default() };
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.append(&digest(1, 30));
    kafka.append(&digest(2, 7));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], [title(30, 1, 1), title(7, 2, 2)]);
}

#[tokio::test]
async fn an_alert_that_was_never_posted_is_neither_changed_nor_resolved() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &Setup::default());
    let stale = |n, kind| Entry { is_stale: true, ..entry(n, "general", kind, KEY) };
    kafka.append(&stale(0, Kind::Update));
    kafka.append(&stale(1, Kind::Resolve));
    // It was resolved a moment ago, and fired too long ago to be posted.
    kafka.append(&entry(2, "general", Kind::Resolve, KEY));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(slack.count(), 0);
    assert_eq!(host.metric(&["slack_posts_total", "untold"]), 3.0);
    // It still goes on: that is news.
    kafka.append(&entry(3, "general", Kind::Update, KEY));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 3"]);
}

#[tokio::test]
async fn a_message_that_stands_is_changed_by_what_is_old_and_never_posted_again() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    let stale = |n, kind| Entry { is_stale: true, ..entry(n, "general", kind, KEY) };
    kafka.append(&entry(0, "general", Kind::Fire, KEY));
    kafka.append(&stale(1, Kind::Update));
    kafka.append(&stale(2, Kind::Resolve));
    kafka.until(Kafka::is_worked_off).await;
    let messages = slack.messages();
    assert_eq!(
        (messages.len(), messages[0].text.as_str(), messages[0].edits),
        (1, "✅ message 2", 2)
    );
    assert!(slack.delete(&messages[0].channel_id, &messages[0].ts));
    kafka.append(&stale(3, Kind::Update));
    kafka.append(&fire(4, "general"));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 4"]);
}
