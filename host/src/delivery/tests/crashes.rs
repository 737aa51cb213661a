//! `kill -9` at any moment: nothing lost, nothing twice.

use std::time::Duration;

use super::world::{Host, Kafka, Setup, entry, fire, once, slack, texts};
use crate::config::{Ambiguity, OnAmbiguous};
use crate::demo::slack::{Fault, RandomFaults};
use crate::notification::Kind;
use crate::outbox::Entry;

/// SplitMix64, for moments that a seed repeats.
pub(super) fn draw(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[tokio::test]
async fn killed_at_random_moments_with_faults_at_random_it_posts_each_once() {
    for run in 0..4_u64 {
        let channels = ["general", "ops", "team-a"];
        let (kafka, slack) = (Kafka::default(), slack(&channels).await);
        slack.fail_at_random(Some(RandomFaults {
            seed: run,
            per_mille: 100,
            methods: vec![],
            faults: vec![
                Fault::StatusAfterAccept(500),
                Fault::ResetAfterAccept,
                Fault::ResetBefore,
                Fault::NotJsonAfterAccept,
                Fault::StatusBeforeAccept(503),
                Fault::RateLimited { retry_after: 0 },
                Fault::OkFalse("invalid_auth"),
            ],
        }));
        let entries: Vec<Entry> =
            (0..150).map(|n| fire(n, channels[usize::try_from(n).unwrap() % 3])).collect();
        let mut seed = run;
        let mut left = entries.iter();
        let setup = Setup::default();
        let mut kills = 0;
        loop {
            let host = Host::start(&kafka, &slack, &setup);
            for entry in left.by_ref().take(12) {
                kafka.append(entry);
            }
            let life = Duration::from_micros(draw(&mut seed) % 60_000);
            tokio::time::sleep(life).await;
            if left.as_slice().is_empty() {
                kafka.until(Kafka::is_worked_off).await;
                host.kill().await;
                break;
            }
            host.kill().await;
            kills += 1;
        }
        assert!(kills >= 10);
        assert_eq!(texts(&slack), once(&entries), "run {run}");
        assert_eq!(kafka.ledger().len(), entries.len());
    }
}

#[tokio::test]
async fn a_kill_between_slacks_yes_and_the_ledger_is_read_back() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    // The ledger is not taken: the yes is known to this host alone.
    kafka.broker().refuse_writes = usize::MAX;
    let host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&fire(1, "general"));
    kafka.until(|_| slack.count() == 1).await;
    host.kill().await;
    kafka.broker().refuse_writes = 0;
    assert!(kafka.ledger().is_empty());
    let host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&fire(2, "general"));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 1", "message 2"]);
    assert_eq!(host.metric(&["slack_posts_total", "found"]), 1.0);
    let histories = slack.requests().iter().filter(|r| r.method == "conversations.history").count();
    assert_eq!(histories, 1, "one reading serves all entries of a channel");
}

#[tokio::test]
async fn a_message_that_slack_stores_only_after_the_restart_is_not_posted_again() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    slack.fail_next("chat.postMessage", Fault::ResetAndAcceptLater(Duration::from_millis(60)));
    let mut setup = Setup::default();
    setup.patience.settle = Duration::from_millis(200);
    let host = Host::start(&kafka, &slack, &setup);
    kafka.append(&fire(1, "general"));
    kafka.until(|_| !slack.requests().is_empty()).await;
    host.kill().await;
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.until(Kafka::is_worked_off).await;
    // Slack is certainly done by then.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(slack.count(), 1);
}

#[tokio::test]
async fn after_a_clean_stop_nothing_is_read_back_and_after_a_kill_it_is() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let asked = |method: &str| slack.requests().iter().filter(|r| r.method == method).count();
    let host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&fire(1, "general"));
    kafka.until(Kafka::is_worked_off).await;
    host.stop().await;
    // Decided while nobody delivered.
    kafka.append(&fire(2, "general"));
    let host = Host::start(&kafka, &slack, &Setup::default());
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(asked("conversations.history"), 0);
    host.kill().await;
    kafka.append(&fire(3, "general"));
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(asked("conversations.history"), 1);
    assert_eq!(texts(&slack)["general"], ["message 1", "message 2", "message 3"]);
}

#[tokio::test]
async fn after_a_kill_without_history_the_operators_policy_decides() {
    for (policy, posted) in [(OnAmbiguous::Send, 2), (OnAmbiguous::Drop, 1)] {
        let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
        slack.set_history(false);
        kafka.broker().refuse_writes = usize::MAX;
        let setup = Setup { on_ambiguous: Ambiguity::all(policy), ..Setup::default() };
        let host = Host::start(&kafka, &slack, &setup);
        kafka.append(&fire(1, "general"));
        kafka.until(|_| slack.count() == 1).await;
        host.kill().await;
        kafka.broker().refuse_writes = 0;
        let _host = Host::start(&kafka, &slack, &setup);
        kafka.until(Kafka::is_worked_off).await;
        assert_eq!(slack.count(), posted, "{policy:?}");
    }
}

#[tokio::test]
async fn edits_and_second_fires_survive_kills_too() {
    for run in 0..3_u64 {
        let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
        let mut seed = 1_000 + run;
        let mut n = 0;
        let mut entries = Vec::new();
        for alert in 0..15 {
            let key = format!("host-{alert}");
            for kind in [Kind::Fire, Kind::Fire, Kind::Update, Kind::Update, Kind::Resolve] {
                entries.push(entry(n, "general", kind, Some(&key)));
                n += 1;
            }
        }
        let mut left = entries.iter();
        while !left.as_slice().is_empty() {
            let host = Host::start(&kafka, &slack, &Setup::default());
            for entry in left.by_ref().take(9) {
                kafka.append(entry);
            }
            let life = Duration::from_micros(draw(&mut seed) % 60_000);
            tokio::time::sleep(life).await;
            host.kill().await;
        }
        let _host = Host::start(&kafka, &slack, &Setup::default());
        kafka.until(Kafka::is_worked_off).await;
        // One message for each alert, showing its resolve.
        let last: Vec<String> =
            entries.iter().skip(4).step_by(5).map(|e| e.notification.title.clone()).collect();
        assert_eq!(texts(&slack)["general"], last, "run {run}");
    }
}
