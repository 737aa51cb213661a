//! A message is changed at most once in a while; the last change wins, and none is lost.

use std::time::Duration;

use super::world::{Host, Kafka, Setup, entry, fire, slack, texts};
use crate::demo::slack::{Fault, RandomFaults, Request, SlackStandIn};
use crate::digest::{Digest, key_of_day};
use crate::ledger::State;
use crate::notification::{AlertId, Kind, Severity};
use crate::outbox::Entry;

const KEY: Option<&str> = Some("rpi-03");
const EVERY: Duration = Duration::from_millis(1_500);

fn setup() -> Setup {
    let mut setup = Setup::default();
    setup.patience.edits = EVERY;
    setup
}

/// The time between each two changes.
fn gaps(slack: &SlackStandIn) -> Vec<Duration> {
    let requests = slack.requests();
    let edits: Vec<_> = requests.iter().filter(|one| one.method == "chat.update").collect();
    edits.windows(2).map(|two| two[1].arrived - two[0].arrived).collect()
}

#[tokio::test]
async fn many_changes_become_one_and_the_last_one_wins() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &setup());
    kafka.append(&entry(0, "general", Kind::Fire, KEY));
    kafka.append(&entry(1, "general", Kind::Update, KEY));
    kafka.until(|_| slack.messages().first().is_some_and(|first| first.edits == 1)).await;
    for n in 2..30 {
        kafka.append(&entry(n, "general", Kind::Update, KEY));
        // Another alert does not wait for it.
        kafka.append(&fire(1_000 + n, "general"));
    }
    kafka.until(|_| slack.count() == 29).await;
    assert_eq!(slack.messages()[0].text, "🟡 message 1");
    kafka.append(&entry(30, "general", Kind::Fire, KEY));
    kafka.append(&entry(31, "general", Kind::Update, KEY));
    kafka.until(Kafka::is_worked_off).await;
    let message = &slack.messages()[0];
    assert_eq!((message.text.as_str(), message.edits), ("🟡 message 31", 2));
    assert!(gaps(&slack).iter().all(|gap| *gap >= EVERY), "{:?}", gaps(&slack));
    assert_eq!(host.metric(&["slack_posts_total", "superseded"]), 28.0);
    assert_eq!(host.metric(&["slack_posts_total", "duplicate"]), 1.0);
    let note = kafka.ledger().into_iter().find(|note| note.last_intent.contains("/31#"));
    assert_eq!(note.unwrap().state, State::Open);
    // The offsets are lost; the ledger says that all of them are done.
    host.stop().await;
    kafka.broker().committed.clear();
    let host = Host::start(&kafka, &slack, &setup());
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!((slack.count(), slack.messages()[0].edits), (29, 2));
    assert_eq!(host.metric(&["slack_posts_total", "repeated"]), 60.0);
}

#[tokio::test]
async fn an_end_is_neither_lost_nor_late_and_what_comes_after_it_is_told_after_it() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &setup());
    for (n, kind) in (0..).zip([
        Kind::Fire,
        Kind::Update,
        Kind::Update,
        Kind::Resolve,
        Kind::Update,
        Kind::Fire,
        Kind::Update,
        Kind::Resolve,
    ]) {
        kafka.append(&entry(n, "general", kind, KEY));
    }
    kafka.until(|_| slack.replies().len() == 1).await;
    assert_eq!(texts(&slack)["general"], ["message 3"]);
    kafka.until(Kafka::is_worked_off).await;
    let said: Vec<String> = slack.messages().into_iter().map(|message| message.text).collect();
    assert_eq!(said, ["✅ message 4", "✅ message 7"]);
    let replies: Vec<String> = slack.replies().into_iter().map(|reply| reply.text).collect();
    assert_eq!(replies.len(), 2, "{replies:?}");
    let first = &slack.messages()[0];
    assert!(first.blocks.to_string().contains("resolved · updated"), "{}", first.blocks);
    let gaps = gaps(&slack);
    assert!(gaps[0] >= EVERY && gaps[0] < EVERY * 2, "{gaps:?}");
}

#[tokio::test]
async fn a_worsening_does_not_wait() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let mut setup = setup();
    setup.patience.edits = Duration::from_secs(30);
    let host = Host::start(&kafka, &slack, &setup);
    kafka.append(&entry(0, "general", Kind::Fire, KEY));
    kafka.append(&entry(1, "general", Kind::Update, KEY));
    let mut worse = entry(2, "general", Kind::Update, KEY);
    worse.notification.severity = Severity::Critical;
    kafka.append(&worse);
    kafka.append(&entry(3, "general", Kind::Update, KEY));
    kafka.until(|_| slack.replies().len() == 1).await;
    assert_eq!(slack.replies()[0].text, "🚨 critical, was warning: message 2");
    kafka.until(|kafka| kafka.ledger()[0].last_reply.is_some()).await;
    assert_eq!(slack.messages()[0].text, "🟡 message 1");
    // The reply is in the ledger, the change is in the outbox.
    host.kill().await;
    setup.patience.edits = Duration::from_millis(20);
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!((slack.messages()[0].text.as_str(), slack.replies().len()), ("🟡 message 3", 1));
}

#[tokio::test]
async fn what_waits_at_a_stop_or_a_kill_is_told_by_the_next_host() {
    for is_killed in [false, true] {
        let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
        let mut setup = setup();
        setup.patience.edits = Duration::from_secs(30);
        let host = Host::start(&kafka, &slack, &setup);
        kafka.append(&entry(0, "general", Kind::Fire, KEY));
        kafka.append(&entry(1, "general", Kind::Update, KEY));
        kafka.append(&entry(2, "general", Kind::Update, KEY));
        let (partition, held) = kafka.append(&entry(3, "general", Kind::Resolve, KEY));
        kafka.append(&fire(4, "general"));
        kafka.until(|_| slack.count() == 2 && host.metric(&["superseded"]) == 1.0).await;
        if is_killed {
            host.kill().await;
        } else {
            host.stop().await;
            assert_eq!(kafka.broker().committed[&partition], (held, true), "clean, and held");
        }
        assert!(kafka.broker().committed[&partition].0 <= held);
        assert_eq!(texts(&slack)["general"], ["message 1", "message 4"]);
        setup.patience.edits = Duration::from_millis(20);
        let _host = Host::start(&kafka, &slack, &setup);
        kafka.until(Kafka::is_worked_off).await;
        assert_eq!(texts(&slack)["general"], ["message 3", "message 4"]);
        assert_eq!((slack.messages()[0].text.as_str(), slack.replies().len()), ("✅ message 3", 1));
    }
}

#[tokio::test]
async fn digests_that_wait_are_told_with_their_sum_through_a_kill() {
    const DAY_MS: i64 = 1_520_121_600_000;
    let digest = |n: i64, count: u64| {
        let mut sum = Digest::of(DAY_MS + n * 60_000, &format!("sample {n}"));
        sum.count = count;
        let base = entry(n, "general", Kind::Update, None);
        let notification = sum.notification(&base.intent.rule, key_of_day(DAY_MS));
        let alert = AlertId::of(&base.intent, 0, &notification);
        Entry { alert, notification, digest: Some(sum), ..base }
    };
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &setup());
    for n in 1..=6 {
        kafka.append(&digest(n, 10));
    }
    // The first is posted, the second changes it, the others wait.
    kafka
        .until(|kafka| {
            kafka.ledger().iter().any(|one| one.digest.as_ref().is_some_and(|d| d.count == 20))
        })
        .await;
    host.kill().await;
    let host = Host::start(&kafka, &slack, &setup());
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(kafka.ledger()[0].digest.as_ref().unwrap().count, 60);
    assert!(
        slack.messages()[0].text.starts_with("🔵 60 older alerts"),
        "{}",
        slack.messages()[0].text
    );
    assert!(slack.messages()[0].edits <= 3, "{}", slack.messages()[0].edits);
    assert!(host.metric(&["superseded"]) >= 2.0);
}

#[tokio::test]
async fn a_change_that_slack_does_not_take_now_holds_no_post_up() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &Setup::default());
    let change = |fault: Option<Fault>| {
        slack.fail_at_random(fault.map(|fault| RandomFaults {
            seed: 1,
            per_mille: 1_000,
            methods: vec!["chat.update".into()],
            faults: vec![fault],
        }));
    };
    kafka.append(&entry(0, "general", Kind::Fire, KEY));
    kafka.until(Kafka::is_worked_off).await;
    let edits = || slack.messages()[0].edits;
    let asked = || slack.requests().iter().filter(|one| one.method == "chat.update").count();
    for (n, fault) in (1_u32..).zip([
        Fault::StatusBeforeAccept(500),
        Fault::OkFalse("fatal_error"),
        Fault::ResetBefore,
        Fault::RateLimited { retry_after: 2 },
    ]) {
        change(Some(fault));
        let before = asked();
        kafka.append(&entry((2 * n).into(), "general", Kind::Update, KEY));
        kafka.until(|_| asked() > before).await;
        let mut critical = fire((2 * n + 1).into(), "general");
        critical.notification.severity = Severity::Critical;
        kafka.append(&critical);
        kafka.until(|_| slack.count() > usize::try_from(n).unwrap()).await;
        assert_eq!(edits(), n - 1, "it is not changed yet");
        change(None);
        kafka.until(|_| edits() == n).await;
    }
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(slack.messages()[0].text, "🟡 message 8");
    assert_eq!(host.metric(&["slack_posts_total", "updated"]), 4.0);
}

#[tokio::test]
async fn all_changes_together_keep_to_slacks_rate_and_the_worst_is_first() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup { changes: (0.5, 1), ..Setup::default() });
    let keys = ["a", "b", "c", "d"];
    let say = |n: i64, kind, key: &str| {
        let mut entry = entry(n, "general", kind, Some(key));
        if key == "d" {
            entry.notification.severity = Severity::Critical;
        }
        kafka.append(&entry);
    };
    (0..).zip(keys).for_each(|(n, key)| say(n, Kind::Fire, key));
    kafka.until(|_| slack.count() == 4).await;
    (10..).zip(keys).for_each(|(n, key)| say(n, Kind::Update, key));
    kafka.until(Kafka::is_worked_off).await;
    // Each asks again within a second.
    let least = Duration::from_millis(1_900);
    assert!(gaps(&slack).iter().all(|gap| *gap >= least), "{:?}", gaps(&slack));
    let requests = slack.requests();
    let of_worst = |one: &&Request| one.arguments.to_string().contains("message 13");
    let edits = requests.iter().filter(|one| one.method == "chat.update");
    let at = edits.take_while(|one| !of_worst(one)).count();
    assert!(at <= 1, "the critical one was changed after {at} others");
}
