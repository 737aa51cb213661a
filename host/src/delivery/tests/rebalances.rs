//! Partitions come and go: what is under way is finished, the rest is somebody else's.

use std::time::Duration;

use super::world::{Host, Kafka, PARTITIONS, Setup, fire, once, slack, small_room, texts};
use crate::delivery::dispatch::Ended;
use crate::delivery::ports::{Event, Release};
use crate::demo::slack::Fault;
use crate::outbox::{Entry, partition_of};

#[tokio::test]
async fn a_revoked_partition_is_finished_committed_and_then_released() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let partition = partition_of("general", PARTITIONS);
    slack.fail_next("chat.postMessage", Fault::Slow(Duration::from_millis(100)));
    let first = Host::start(&kafka, &slack, &Setup::default());
    let entries: Vec<Entry> = (0..5).map(|n| fire(n, "general")).collect();
    entries.iter().for_each(|entry| {
        kafka.append(entry);
    });
    kafka.until(|_| !slack.requests().is_empty()).await;
    first.tell(Event::Revoked(vec![partition]));
    kafka.until(|kafka| !kafka.broker().released.is_empty()).await;
    let released = kafka.broker().released[0];
    // One was under way; four are left for the next owner, who need not look for them.
    assert_eq!(released, Release { partition, next: Some(2), clean: true });
    assert_eq!(slack.count(), 1);
    let second = Host::idle(&kafka, &slack, &Setup::default());
    second.tell(Event::Assigned(vec![partition]));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack), once(&entries));
    assert!(slack.requests().iter().all(|request| request.method != "conversations.history"));
    assert_eq!(first.stop().await, Ended::Stopped);
}

#[tokio::test]
async fn a_lost_partition_is_dropped_at_once_and_nothing_is_committed() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let partition = partition_of("general", PARTITIONS);
    let host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&fire(0, "general"));
    kafka.until(Kafka::is_worked_off).await;
    slack.fail_next("chat.postMessage", Fault::Hang);
    kafka.append(&fire(1, "general"));
    kafka.append(&fire(2, "general"));
    kafka.until(|_| slack.faults_left() == 0).await;
    host.tell(Event::Lost(vec![partition]));
    kafka.until(|kafka| !kafka.broker().released.is_empty()).await;
    let release = Release { partition, next: None, clean: false };
    assert_eq!(kafka.broker().released[0], release);
    assert_eq!(slack.count(), 1);
    assert_eq!(host.metric(&["firebell_outbox_pending_entries"]), 0.0);
    // The next owner reads back, finds nothing, and posts.
    let next = Host::idle(&kafka, &slack, &Setup::default());
    next.tell(Event::Assigned(vec![partition]));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 0", "message 1", "message 2"]);
}

#[tokio::test]
async fn a_partition_that_is_given_up_before_its_ledger_is_looked_through_is_not_clean() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let partition = partition_of("general", PARTITIONS);
    kafka.broker().refuse_writes = usize::MAX;
    let killed = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&fire(0, "general"));
    kafka.until(|_| slack.count() == 1).await;
    killed.kill().await;
    kafka.broker().refuse_writes = 0;
    // The second owner does not get to read the history before it loses the partition again.
    let mut patient = Setup::default();
    patient.patience.settle = Duration::from_secs(30);
    let second = Host::start(&kafka, &slack, &patient);
    kafka.until(|_| second.metric(&["firebell_outbox_pending_entries"]) == 1.0).await;
    second.tell(Event::Revoked(vec![partition]));
    kafka.until(|kafka| !kafka.broker().released.is_empty()).await;
    assert!(!kafka.broker().released[0].clean);
    let third = Host::idle(&kafka, &slack, &Setup::default());
    third.tell(Event::Assigned(vec![partition]));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(slack.count(), 1);
}

#[tokio::test]
async fn a_reader_that_fails_ends_delivery_without_committing() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &Setup::default());
    slack.fail_next("chat.postMessage", Fault::Hang);
    kafka.append(&fire(0, "general"));
    kafka.until(|_| slack.faults_left() == 0).await;
    host.tell(Event::Failed("fenced".into()));
    assert_eq!(host.stop().await, Ended::Failed("fenced".into()));
    let broker = kafka.broker();
    assert!(broker.released.is_empty() && broker.commits.is_empty());
}

#[tokio::test]
async fn reading_is_held_while_too_much_is_in_memory() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    slack.set_token("xoxb-other");
    let host = Host::start(&kafka, &slack, &Setup { room: small_room(), ..Setup::default() });
    // More than very many channels together may hold, however little each does.
    for n in 0..60 * 30 {
        kafka.append(&fire(n, &format!("c{}", n % 60)));
    }
    kafka.until(|kafka| kafka.broker().held == [true]).await;
    slack.set_token(&Setup::default().token);
    kafka.until(|kafka| kafka.broker().held == [true, false]).await;
    host.kill().await;
}
