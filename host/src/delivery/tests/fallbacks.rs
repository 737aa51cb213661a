//! Channels that take nothing: another one has it, and they are not asked all the time.

use std::time::Duration;

use super::crashes::draw;
use super::world::{Host, Kafka, Setup, entry, fire, slack, texts};
use crate::demo::slack::{Fault, RandomFaults, SlackStandIn};
use crate::ledger::State;
use crate::notification::Kind;
use crate::outbox::Entry;

fn setup() -> Setup {
    Setup { fallback: Some("ops".into()), ..Setup::default() }
}

/// Requests that post to a channel by name or id.
fn asked(slack: &SlackStandIn, channel: &str) -> usize {
    let to = |r: &crate::demo::slack::Request| r.arguments["channel"] == channel;
    slack.requests().iter().filter(|r| r.method == "chat.postMessage" && to(r)).count()
}

#[tokio::test]
async fn what_a_channel_refuses_is_told_in_the_fallback_channel_for_whom_it_was_meant() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    slack.archive("general");
    let host = Host::start(&kafka, &slack, &setup());
    kafka.append(&entry(0, "general", Kind::Fire, Some("k")));
    kafka.append(&fire(1, "ops"));
    kafka.until(Kafka::is_worked_off).await;
    assert!(kafka.broker().dead_letters.is_empty());
    let messages = slack.messages();
    let diverted = messages.iter().find(|m| m.text.contains("message 0")).unwrap();
    assert_eq!(diverted.channel, "ops");
    assert!(diverted.blocks.to_string().contains("#general"), "{}", diverted.blocks);
    let note = kafka.ledger().into_iter().find(|note| note.channel == "general").unwrap();
    assert_eq!((note.fallback.as_deref(), note.state), (Some("ops"), State::Open));
    assert_eq!(note.place.unwrap().channel_id, diverted.channel_id);
    assert_eq!(host.metric(&["slack_posts_total", "fallback"]), 1.0);
    // A second fire is a duplicate, a change changes the message there.
    kafka.append(&entry(2, "general", Kind::Fire, Some("k")));
    kafka.append(&entry(3, "general", Kind::Resolve, Some("k")));
    kafka.until(Kafka::is_worked_off).await;
    let messages = slack.messages();
    assert_eq!(messages.iter().filter(|m| m.channel == "ops").count(), 2);
    let changed = messages.iter().find(|m| m.text.contains("message 3")).unwrap();
    assert!(changed.blocks.to_string().contains("#general") && changed.edits == 1);
}

#[tokio::test]
async fn a_fallback_that_takes_nothing_either_leads_to_the_dead_letters() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    slack.archive("general");
    slack.archive("ops");
    let _host = Host::start(&kafka, &slack, &setup());
    kafka.append(&fire(0, "general"));
    kafka.append(&fire(1, "ops"));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!((slack.count(), kafka.broker().dead_letters.len()), (0, 2));
    assert!(kafka.ledger().iter().all(|note| note.state == State::Abandoned));
}

#[tokio::test]
async fn a_channel_that_refuses_again_and_again_is_tried_once_a_pause() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let mut setup = Setup::default();
    setup.patience.breaker_least = Duration::from_millis(300);
    setup.patience.breaker_most = Duration::from_millis(300);
    let host = Host::start(&kafka, &slack, &setup);
    (0..20).for_each(|n| {
        kafka.append(&fire(n, "old"));
    });
    kafka.append(&fire(20, "general"));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(asked(&slack, "old"), 3, "then it is not asked");
    assert_eq!(kafka.broker().dead_letters.len(), 20);
    assert_eq!(host.metric(&["channel_refused", "old"]), 1.0);
    assert_eq!(texts(&slack)["general"], ["message 20"]);
    // It is there now, and the next that comes after the pause finds that out.
    slack.add_channel("old");
    tokio::time::sleep(Duration::from_millis(350)).await;
    kafka.append(&fire(21, "old"));
    kafka.append(&fire(22, "old"));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["old"], ["message 21", "message 22"]);
    assert_eq!(host.metric(&["channel_refused", "old"]), 0.0);
}

#[tokio::test]
async fn killed_at_random_moments_what_goes_to_the_fallback_is_told_once() {
    for run in 0..3_u64 {
        let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
        slack.archive("general");
        slack.fail_at_random(Some(RandomFaults {
            seed: run,
            per_mille: 100,
            methods: vec![],
            faults: vec![
                Fault::StatusAfterAccept(500),
                Fault::ResetAfterAccept,
                Fault::ResetBefore,
                Fault::StatusBeforeAccept(503),
            ],
        }));
        let entries: Vec<Entry> = (0..100).map(|n| fire(n, "general")).collect();
        let (mut left, mut seed) = (entries.iter(), run);
        while !left.as_slice().is_empty() {
            let host = Host::start(&kafka, &slack, &setup());
            left.by_ref().take(12).for_each(|entry| {
                kafka.append(entry);
            });
            tokio::time::sleep(Duration::from_micros(draw(&mut seed) % 60_000)).await;
            host.kill().await;
        }
        let _host = Host::start(&kafka, &slack, &setup());
        kafka.until(Kafka::is_worked_off).await;
        let mut told = texts(&slack)["ops"].clone();
        told.sort();
        let mut expected: Vec<String> = (0..100).map(|n| format!("message {n}")).collect();
        expected.sort();
        assert_eq!(told, expected, "run {run}");
        assert!(kafka.broker().dead_letters.is_empty(), "run {run}");
    }
}
