//! Alerts that are told together: waited for, kept up to date, ended, and never lost or told twice.

use std::collections::BTreeSet;
use std::time::Duration;

use super::inhibitions::{policy, under};
use super::world::{Host, Kafka, Setup, entry, slack};
use crate::demo::slack::{Message, SlackStandIn};
use crate::ledger::{Entry as Note, State};
use crate::notification::{Kind, Severity};
use crate::outbox::Entry;
use crate::policy::live::LivePolicy;

mod crashes;
mod held;
mod long;
mod urgency;

/// A policy that groups by host, with these times.
fn grouping(times: &str) -> LivePolicy {
    policy(&format!("[route]\ngroup_by = [\"host\"]\n{times}"))
}

fn setup(times: &str) -> Setup {
    let mut setup = under(&grouping(times));
    setup.patience.edits = Duration::from_millis(60);
    setup
}

/// An alert of a host.
fn of(n: i64, host: &str, kind: Kind, key: Option<&str>) -> Entry {
    let mut entry = entry(n, "general", kind, key);
    entry.notification.labels = vec![("host".into(), host.into())];
    entry
}

fn graded(entry: Entry, severity: Severity) -> Entry {
    let mut entry = entry;
    entry.notification.severity = severity;
    entry
}

fn append(kafka: &Kafka, entries: impl IntoIterator<Item = Entry>) {
    entries.into_iter().for_each(|entry| {
        kafka.append(&entry);
    });
}

/// Without the title of its worst alert: `2 firing: message 7 · host=a` is `2 firing: host=a`.
fn untitled(text: &str) -> String {
    let Some((head, rest)) = text.split_once(": message ") else { return text.to_owned() };
    rest.split_once(" · ")
        .map_or_else(|| head.to_owned(), |(_, labels)| format!("{head}: {labels}"))
}

/// All messages, in order.
fn texts(slack: &SlackStandIn) -> Vec<String> {
    slack.messages().into_iter().map(|message| untitled(&message.text)).collect()
}

fn replies(slack: &SlackStandIn) -> Vec<String> {
    slack.replies().into_iter().map(|message| untitled(&message.text)).collect()
}

/// The alerts of the ledger that groups tell of.
fn members(kafka: &Kafka) -> Vec<Note> {
    kafka.ledger().into_iter().filter(|note| note.member.is_some()).collect()
}

fn closed(kafka: &Kafka) -> usize {
    let groups = kafka.ledger().into_iter().filter_map(|note| note.group);
    groups.filter(|group| group.closed_ms.is_some()).count()
}

async fn until_text(kafka: &Kafka, slack: &SlackStandIn, wanted: &[&str]) {
    kafka.until(|_| texts(slack) == wanted).await;
}

#[tokio::test]
async fn a_group_waits_is_told_once_follows_its_alerts_and_ends() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &setup("group_wait = \"2s\"\n"));
    append(&kafka, [of(0, "a", Kind::Fire, Some("disk")), of(1, "a", Kind::Fire, Some("cpu"))]);
    append(&kafka, [of(2, "b", Kind::Fire, Some("disk b"))]);
    // The ledger has them, and the outbox is done with, before they are told.
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!((members(&kafka).len(), slack.count()), (3, 0));
    kafka.until(|_| slack.count() == 2).await;
    let both: BTreeSet<String> = texts(&slack).into_iter().collect();
    assert_eq!(both, ["🟡 2 firing: host=a", "🟡 1 firing: host=b"].map(String::from).into());
    let message = |slack: &SlackStandIn| -> Message {
        slack.messages().into_iter().find(|message| message.text.contains("host=a")).unwrap()
    };
    let blocks = message(&slack).blocks.to_string();
    assert!(blocks.contains("message 0 · warning, firing"), "{blocks}");
    append(&kafka, [of(3, "a", Kind::Resolve, Some("cpu"))]);
    kafka.until(|_| message(&slack).text == "🟡 1 firing, 1 resolved: message 0 · host=a").await;
    assert!(replies(&slack).is_empty(), "nobody is called for an end of one");
    append(&kafka, [graded(of(4, "a", Kind::Fire, Some("net")), Severity::Critical)]);
    kafka.until(|_| replies(&slack) == ["🚨 message 4"]).await;
    kafka.until(|_| message(&slack).text == "🚨 2 firing, 1 resolved: message 4 · host=a").await;
    append(&kafka, [graded(of(5, "a", Kind::Update, Some("disk")), Severity::Error)]);
    kafka.until(|_| replies(&slack) == ["🚨 message 4", "🔴 message 5"]).await;
    append(
        &kafka,
        [of(6, "a", Kind::Resolve, Some("net")), of(7, "a", Kind::Resolve, Some("disk"))],
    );
    kafka.until(|_| message(&slack).text == "✅ all 3 resolved: host=a").await;
    kafka.until(|kafka| closed(kafka) == 1).await;
    assert_eq!(replies(&slack).last().unwrap(), "✅ all 3 resolved: host=a");
    // It comes again, which is another group.
    append(&kafka, [of(8, "a", Kind::Fire, Some("disk"))]);
    kafka.until(|_| slack.count() == 3).await;
    assert_eq!(texts(&slack)[2], "🟡 1 firing: host=a");
    assert_eq!(host.metric(&["slack_posts_total", "grouped"]), 9.0);
}

#[tokio::test]
async fn a_told_group_is_changed_once_in_its_interval_and_told_again_after_its_repeat() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let times = "group_interval = \"2s\"\nrepeat_interval = \"3s\"\n";
    let _host = Host::start(&kafka, &slack, &setup(times));
    append(&kafka, [of(0, "a", Kind::Fire, Some("first"))]);
    kafka.until(|_| slack.count() == 1).await;
    let edits = || slack.requests().iter().filter(|r| r.method == "chat.update").count();
    append(&kafka, (1..20).map(|n| of(n, "a", Kind::Fire, Some(&n.to_string()))));
    until_text(&kafka, &slack, &["🟡 20 firing: host=a"]).await;
    assert_eq!(edits(), 1);
    kafka.until(|_| replies(&slack) == ["🟡 19 alerts are new or worse: host=a"]).await;
    kafka.until(|_| slack.replies().len() == 2).await;
    let again = slack.replies().pop().unwrap();
    assert_eq!((&*untitled(&again.text), again.broadcast), ("🟡 still 20 firing: host=a", true));
    append(
        &kafka,
        (0..20).map(|n| {
            let key = if n == 0 { "first".to_owned() } else { n.to_string() };
            of(100 + n, "a", Kind::Resolve, Some(&key))
        }),
    );
    until_text(&kafka, &slack, &["✅ all 20 resolved: host=a"]).await;
    assert_eq!(slack.count(), 1);
}

#[tokio::test]
async fn events_share_a_message_and_their_group_closes_when_nothing_comes() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &setup("group_wait = \"50ms\"\n"));
    append(&kafka, (0..30).map(|n| of(n, "a", Kind::Fire, None)));
    until_text(&kafka, &slack, &["🟡 30 events: host=a"]).await;
    let blocks = slack.messages()[0].blocks.to_string();
    assert!(blocks.contains("and 10 more (10 events)"), "{blocks}");
    kafka.until(|kafka| closed(kafka) == 1).await;
    append(&kafka, [of(40, "a", Kind::Fire, None)]);
    until_text(&kafka, &slack, &["🟡 30 events: host=a", "🟡 1 event: host=a"]).await;
    assert_eq!(members(&kafka).len(), 31);
}

#[tokio::test]
async fn what_comes_and_goes_before_its_group_is_told_is_not_told() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &setup("group_wait = \"100ms\"\n"));
    append(&kafka, [of(0, "a", Kind::Fire, Some("k")), of(1, "a", Kind::Resolve, Some("k"))]);
    kafka.until(|kafka| closed(kafka) == 1).await;
    let note = members(&kafka).remove(0);
    assert_eq!(note.state, State::Suppressed);
    assert_eq!(note.why.as_deref(), Some("it ended before its group was told"));
    assert_eq!(slack.count(), 0);
}

#[tokio::test]
async fn a_policy_without_grouping_leaves_open_groups_to_their_alerts() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let live = grouping("");
    let mut setup = under(&live);
    setup.patience.edits = Duration::from_millis(60);
    let host = Host::start(&kafka, &slack, &setup);
    append(&kafka, [of(0, "a", Kind::Fire, Some("one")), of(1, "a", Kind::Fire, Some("two"))]);
    until_text(&kafka, &slack, &["🟡 2 firing: host=a"]).await;
    live.set(crate::policy::Policy::default());
    append(&kafka, [of(2, "a", Kind::Fire, Some("three"))]);
    // An open alert stays where it is told, also when its labels are others.
    append(&kafka, [graded(of(3, "b", Kind::Update, Some("one")), Severity::Critical)]);
    until_text(&kafka, &slack, &["🚨 2 firing: host=a", "🟡 message 2"]).await;
    host.kill().await;
    let _host = Host::start(&kafka, &slack, &setup);
    append(
        &kafka,
        [of(4, "a", Kind::Resolve, Some("one")), of(5, "a", Kind::Resolve, Some("two"))],
    );
    until_text(&kafka, &slack, &["✅ all 2 resolved: host=a", "🟡 message 2"]).await;
    append(&kafka, [of(6, "a", Kind::Fire, Some("one"))]);
    kafka.until(|_| texts(&slack).last().unwrap() == "🟡 message 6").await;
}

#[tokio::test]
async fn an_alert_whose_labels_change_stays_in_its_group_until_it_ends() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &setup(""));
    append(&kafka, [of(0, "a", Kind::Fire, Some("k")), of(1, "b", Kind::Update, Some("k"))]);
    kafka.until(|_| slack.count() == 1).await;
    append(&kafka, [of(2, "b", Kind::Resolve, Some("k"))]);
    until_text(&kafka, &slack, &["✅ resolved: host=a"]).await;
    kafka.until(|kafka| closed(kafka) == 1).await;
    append(&kafka, [of(3, "b", Kind::Fire, Some("k"))]);
    until_text(&kafka, &slack, &["✅ resolved: host=a", "🟡 1 firing: host=b"]).await;
}

#[tokio::test]
async fn a_storm_of_groups_goes_into_a_tally_and_a_group_is_one_message_in_it() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let mut setup = Setup {
        messages_per_second: 20.0,
        burst: 1,
        digest_after: Some(Duration::from_millis(200)),
        ..setup("group_wait = \"200ms\"\n")
    };
    setup.patience.tally_every = Duration::from_millis(30);
    let host = Host::start(&kafka, &slack, &setup);
    // Many alerts, and few groups: no storm.
    append(&kafka, (0..100).map(|n| of(n, if n % 2 == 0 { "a" } else { "b" }, Kind::Fire, None)));
    kafka.until(|_| slack.count() == 2).await;
    assert_eq!(host.metric(&["storms_total"]), 0.0);
    append(&kafka, (100..160).map(|n| of(n, &format!("h{n}"), Kind::Fire, Some(&n.to_string()))));
    kafka.until(Kafka::is_worked_off).await;
    let tallied = |kafka: &Kafka| {
        let told = |note: &Note| note.told_in.is_some() && note.member.is_none();
        kafka.ledger().iter().filter(|note| told(note)).count()
    };
    let in_groups = |kafka: &Kafka| {
        let told = |note: &Note| note.member.as_ref().is_some_and(|member| member.turn.is_some());
        members(kafka).iter().filter(|note| told(note)).count()
    };
    kafka.until(|kafka| tallied(kafka) + in_groups(kafka) == 160).await;
    assert!(tallied(&kafka) >= 40, "{}", tallied(&kafka));
    let count = format!("{} alerts told together", tallied(&kafka));
    kafka.until(|_| texts(&slack).iter().any(|text| text.contains(&count))).await;
    assert_eq!(host.metric(&["storms_total"]), 1.0);
}

#[tokio::test]
async fn a_webhook_tells_the_news_of_a_group_in_messages_of_their_own() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let setup = Setup { webhook: true, ..setup("group_interval = \"200ms\"\n") };
    let _host = Host::start(&kafka, &slack, &setup);
    append(&kafka, [of(0, "a", Kind::Fire, Some("one"))]);
    kafka.until(|_| slack.count() == 1).await;
    append(&kafka, [of(1, "a", Kind::Fire, Some("two"))]);
    kafka.until(|_| slack.count() == 2).await;
    append(
        &kafka,
        [of(2, "a", Kind::Resolve, Some("one")), of(3, "a", Kind::Resolve, Some("two"))],
    );
    kafka.until(|kafka| closed(kafka) == 1).await;
    let wanted = ["🟡 1 firing: host=a", "🟡 2 firing: host=a", "✅ all 2 resolved: host=a"];
    assert_eq!(texts(&slack), wanted);
}
