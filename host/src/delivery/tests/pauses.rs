//! Waiting: pace, "too fast", a refused token, a stop.

use std::time::{Duration, Instant};

use super::world::{Host, Kafka, Setup, fire, once, slack, texts};
use crate::delivery::dispatch::Ended;
use crate::demo::slack::{Fault, Options, SlackStandIn};
use crate::outbox::Entry;

#[tokio::test]
async fn a_channel_is_posted_to_at_its_pace_and_others_do_not_wait() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let setup = Setup { messages_per_second: 20.0, burst: 2, ..Setup::default() };
    let _host = Host::start(&kafka, &slack, &setup);
    for n in 0..6 {
        kafka.append(&fire(n, "general"));
    }
    kafka.append(&fire(6, "ops"));
    kafka.until(Kafka::is_worked_off).await;
    let messages = slack.messages();
    let at: Vec<Instant> =
        messages.iter().filter(|m| m.channel == "general").map(|m| m.arrived).collect();
    assert_eq!(at.len(), 6);
    // Two at once, then one every 50 ms from the first take, which was before the first arrival.
    assert!(at[5].duration_since(at[0]) >= Duration::from_millis(150), "{at:?}");
    let other = messages.iter().position(|m| m.channel == "ops").unwrap();
    assert!(other < 5, "the other channel went ahead");
}

#[tokio::test]
async fn too_fast_is_obeyed_and_is_no_attempt() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&fire(0, "general"));
    kafka.until(Kafka::is_worked_off).await;
    slack.fail_next("chat.postMessage", Fault::RateLimited { retry_after: 1 });
    let start = Instant::now();
    kafka.append(&fire(1, "general"));
    kafka.until(|_| slack.faults_left() == 0).await;
    // The limit is the method's: another channel waits as well.
    kafka.append(&fire(2, "ops"));
    kafka.until(Kafka::is_worked_off).await;
    let waited = slack.messages().iter().skip(1).map(|m| m.arrived.duration_since(start)).min();
    assert!(waited.unwrap() >= Duration::from_millis(990), "{waited:?}");
    assert_eq!(slack.count(), 3);
}

#[tokio::test]
async fn with_slacks_own_limit_everything_arrives_in_order() {
    let options = Options { messages_per_second: Some(20.0), burst: 1, ..Options::default() };
    let slack = SlackStandIn::start(options).await.unwrap();
    let kafka = Kafka::default();
    let setup = Setup { messages_per_second: 20.0, burst: 1, ..Setup::default() };
    let _host = Host::start(&kafka, &slack, &setup);
    let entries: Vec<Entry> = (0..20).map(|n| fire(n, "general")).collect();
    entries.iter().for_each(|entry| {
        kafka.append(entry);
    });
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack), once(&entries));
}

#[tokio::test]
async fn a_refused_token_pauses_everything_and_a_new_one_in_its_file_ends_that() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "xoxb-old\n").unwrap();
    let setup =
        Setup { token: "xoxb-old".into(), token_file: Some(file.clone()), ..Setup::default() };
    let host = Host::start(&kafka, &slack, &setup);
    let entries: Vec<Entry> =
        (0..6).map(|n| fire(n, ["general", "ops"][usize::try_from(n).unwrap() % 2])).collect();
    entries.iter().for_each(|entry| {
        kafka.append(entry);
    });
    let probes = || slack.requests().iter().filter(|r| r.method == "auth.test").count();
    kafka.until(|_| probes() >= 3).await;
    let posts = slack.requests().iter().filter(|r| r.method == "chat.postMessage").count();
    assert!(posts <= 2, "one refusal for each channel at most, then silence: {posts}");
    let why = format!("{:?}", host.readiness.snapshot());
    assert!(why.contains("invalid_auth") && !why.contains("xoxb"), "{why}");
    assert_eq!(host.metric(&["firebell_delivery_paused"]), 1.0);
    assert!(kafka.broker().dead_letters.is_empty());
    std::fs::write(&file, format!("{}\n", Options::default().token)).unwrap();
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack), once(&entries));
    assert!(host.readiness.snapshot().is_ready());
    assert_eq!(host.metric(&["firebell_delivery_paused"]), 0.0);
}

#[tokio::test]
async fn a_webhook_that_is_refused_is_told_again_at_the_address_that_its_file_has_then() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("webhook");
    std::fs::write(&file, "no address").unwrap();
    let wrong = format!("{}-revoked", slack.webhook_url());
    let token_file = Some(file.clone());
    let setup = Setup { webhook: true, token: wrong, token_file, ..Setup::default() };
    let host = Host::start(&kafka, &slack, &setup);
    kafka.append(&fire(1, "general"));
    let asked = || slack.requests().len();
    kafka.until(|_| asked() >= 2).await;
    assert!(!host.readiness.snapshot().is_ready() && slack.count() == 0);
    std::fs::write(&file, format!("{}\n", slack.webhook_url())).unwrap();
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(slack.count(), 1);
    assert!(host.readiness.snapshot().is_ready() && kafka.broker().dead_letters.is_empty());
}

#[tokio::test]
async fn a_token_that_is_taken_again_needs_no_file() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let setup = Setup::default();
    slack.set_token("xoxb-other");
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.append(&fire(1, "general"));
    kafka.until(|_| slack.requests().iter().any(|r| r.method == "auth.test")).await;
    slack.set_token(&setup.token);
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(slack.count(), 1);
}

#[tokio::test]
async fn a_stop_first_sends_what_is_there() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &Setup::default());
    let entries: Vec<Entry> = (0..50).map(|n| fire(n, "general")).collect();
    entries.iter().for_each(|entry| {
        kafka.append(entry);
    });
    assert_eq!(host.stop().await, Ended::Stopped);
    assert_eq!(texts(&slack), once(&entries));
    assert!(kafka.is_worked_off());
}

#[tokio::test]
async fn a_stop_is_bounded_and_what_is_not_sent_stays_in_the_outbox() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let mut setup = Setup { messages_per_second: 5.0, burst: 1, ..Setup::default() };
    setup.patience.drain = Duration::from_millis(300);
    let host = Host::start(&kafka, &slack, &setup);
    let entries: Vec<Entry> = (0..12).map(|n| fire(n, "general")).collect();
    entries.iter().for_each(|entry| {
        kafka.append(entry);
    });
    kafka.until(|_| slack.count() == 1).await;
    let start = Instant::now();
    assert_eq!(host.stop().await, Ended::Stopped);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(slack.count() < 12);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack), once(&entries));
}

#[tokio::test]
async fn a_stop_waits_for_the_request_that_is_under_way() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let mut setup = Setup::default();
    setup.patience.drain = Duration::from_millis(10);
    slack.fail_next("chat.postMessage", Fault::Slow(Duration::from_millis(150)));
    let host = Host::start(&kafka, &slack, &setup);
    kafka.append(&fire(1, "general"));
    kafka.until(|_| !slack.requests().is_empty()).await;
    host.stop().await;
    assert_eq!((slack.count(), kafka.ledger().len()), (1, 1));
    assert!(kafka.is_worked_off());
}
