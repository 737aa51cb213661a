//! Alerts of groups that may not be told now: silenced, inhibited or muted.

use std::time::Duration;

use super::super::suppressions::silence_what;
use super::*;
use crate::delivery::suppression::Suppression;
use crate::ledger::open::OpenAlerts;
use crate::policy::Policy;
use crate::policy::silence::Silences;

#[tokio::test]
async fn what_is_silenced_is_held_out_of_its_group_until_it_may_be_told() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let (silences, open) = (Silences::default(), OpenAlerts::default());
    silences.set_ready();
    silence_what(&silences, "severity = critical");
    let suppression = Suppression::new(grouping(""), silences.clone(), open);
    let setup = Setup { suppression, ..setup("") };
    let host = Host::start(&kafka, &slack, &setup);
    let critical = |n, kind, key| graded(of(n, "a", kind, Some(key)), Severity::Critical);
    append(&kafka, [critical(0, Kind::Fire, "held"), critical(1, Kind::Fire, "ends")]);
    kafka.until(|kafka| members(kafka).iter().filter(|note| note.is_held()).count() == 2).await;
    append(&kafka, [critical(2, Kind::Resolve, "ends")]);
    append(&kafka, [graded(of(3, "a", Kind::Fire, None), Severity::Critical)]);
    append(&kafka, [of(4, "a", Kind::Fire, Some("told"))]);
    until_text(&kafka, &slack, &["🟡 1 firing: host=a"]).await;
    host.kill().await;
    let _host = Host::start(&kafka, &slack, &setup);
    let over = |note: &Note| note.state == State::Suppressed && note.labels.is_none();
    kafka.until(|kafka| members(kafka).iter().filter(|note| over(note)).count() == 2).await;
    assert!(members(&kafka).iter().filter(|note| over(note)).all(|note| note.why.is_some()));
    silences.set("s", None);
    until_text(&kafka, &slack, &["🚨 2 firing: host=a"]).await;
    kafka.until(|_| replies(&slack) == ["🚨 message 0"]).await;
    assert!(!slack.messages()[0].blocks.to_string().contains("message 3"), "an event was over");
    // What ended untold and goes on after all is news.
    append(&kafka, [critical(5, Kind::Update, "ends")]);
    kafka.until(|_| replies(&slack) == ["🚨 message 0", "🚨 message 5"]).await;
    until_text(&kafka, &slack, &["🚨 3 firing: host=a"]).await;
    // And so is what was told as over and came again while it could not be told.
    append(&kafka, [critical(6, Kind::Resolve, "held")]);
    until_text(&kafka, &slack, &["🚨 2 firing, 1 resolved: host=a"]).await;
    silence_what(&silences, "severity = critical");
    append(&kafka, [critical(7, Kind::Fire, "held")]);
    kafka.until(|kafka| members(kafka).iter().any(Note::is_held)).await;
    silences.set("s", None);
    kafka.until(|_| replies(&slack).last().is_some_and(|last| last == "🚨 message 7")).await;
}

#[tokio::test]
async fn a_source_that_comes_within_the_wait_of_a_group_inhibits_it() {
    let (kafka, slack) = (Kafka::default(), slack(&["general", "ops"]).await);
    let policy = policy(
        "[route]\ngroup_by = [\"host\"]\ngroup_wait = \"300ms\"\n[[inhibit_rules]]\n\
         source_matchers = ['site = down']\ntarget_matchers = ['site = \"\"']\n",
    );
    let mut setup = under(&policy);
    setup.patience.edits = Duration::from_millis(60);
    let _host = Host::start(&kafka, &slack, &setup);
    let source = |n, kind| {
        let mut entry = entry(n, "ops", kind, Some("site"));
        entry.notification.labels = vec![("site".into(), "down".into())];
        entry
    };
    append(&kafka, [of(0, "a", Kind::Fire, Some("disk")), source(1, Kind::Fire)]);
    kafka.until(|_| slack.count() == 1).await;
    kafka.until(|kafka| members(kafka).iter().any(Note::is_held)).await;
    assert_eq!(slack.messages()[0].channel, "ops");
    append(&kafka, [source(2, Kind::Resolve)]);
    kafka.until(|_| slack.count() == 2).await;
    assert_eq!(texts(&slack)[1], "🟡 1 firing: host=a");
}

/// As [`grouping`], muted at all times or never.
fn muting(is_muted: bool) -> String {
    let muted = if is_muted { "mute_time_intervals = [\"now\"]\n" } else { "" };
    format!(
        "[route]\ngroup_by = [\"host\"]\n[[route.routes]]\nmatchers = ['severity = critical']\n{muted}\
         [time_intervals.now]\n[[time_intervals.now.intervals]]\nyears = [\"1970:9999\"]\n"
    )
}

#[tokio::test]
async fn what_is_muted_is_held_out_of_its_group_until_its_time_and_events_are_over() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let live = policy(&muting(true));
    let mut setup = under(&live);
    setup.patience.edits = Duration::from_millis(60);
    let host = Host::start(&kafka, &slack, &setup);
    let critical = |n, kind, key| graded(of(n, "a", kind, key), Severity::Critical);
    append(&kafka, [critical(0, Kind::Fire, Some("held")), critical(1, Kind::Fire, None)]);
    append(&kafka, [critical(2, Kind::Fire, Some("ends"))]);
    kafka.until(|kafka| members(kafka).iter().filter(|note| note.is_held()).count() == 2).await;
    append(
        &kafka,
        [critical(3, Kind::Resolve, Some("ends")), of(4, "a", Kind::Fire, Some("told"))],
    );
    until_text(&kafka, &slack, &["🟡 1 firing: host=a"]).await;
    let over = |note: &Note| note.state == State::Suppressed && !note.is_held();
    kafka.until(|kafka| members(kafka).iter().filter(|note| over(note)).count() == 2).await;
    let why = |note: &Note| note.why.as_deref() == Some("time interval now");
    assert_eq!(members(&kafka).iter().filter(|note| why(note)).count(), 3);
    assert!(host.metric(&["suppressed_total", "time_interval"]) >= 3.0);
    let is_said = |note: &Note| note.group.as_ref().is_some_and(|group| group.said.is_some());
    kafka.until(|kafka| kafka.ledger().iter().any(is_said)).await;
    host.kill().await;
    let _host = Host::start(&kafka, &slack, &setup);
    // What was told is kept true while it is muted, and nobody is called.
    append(&kafka, [critical(5, Kind::Update, Some("told"))]);
    until_text(&kafka, &slack, &["🚨 1 firing: host=a"]).await;
    let waits = |note: &&Note| note.member.as_ref().unwrap().is_news;
    kafka.until(|kafka| members(kafka).iter().filter(waits).all(Note::is_held)).await;
    assert!(replies(&slack).is_empty());
    live.set(Policy::parse(std::path::Path::new("p.toml"), &muting(false)).unwrap());
    until_text(&kafka, &slack, &["🚨 2 firing: host=a"]).await;
    kafka.until(|_| replies(&slack) == ["🚨 message 0"]).await;
    let blocks = slack.messages()[0].blocks.to_string();
    assert!(!blocks.contains("message 1") && !blocks.contains("message 2"), "{blocks}");
}

#[tokio::test]
async fn what_was_held_is_told_by_a_host_that_has_no_policy_any_more() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let (silences, open) = (Silences::default(), OpenAlerts::default());
    silences.set_ready();
    silence_what(&silences, "channel = general");
    let suppression = Suppression::new(grouping(""), silences.clone(), open);
    let setup = Setup { suppression, ..setup("") };
    let host = Host::start(&kafka, &slack, &setup);
    append(&kafka, [of(0, "a", Kind::Fire, Some("one")), of(1, "a", Kind::Fire, Some("two"))]);
    append(&kafka, [of(2, "a", Kind::Fire, Some("ends"))]);
    kafka.until(|kafka| members(kafka).iter().filter(|note| note.is_held()).count() == 3).await;
    host.kill().await;
    let suppression =
        Suppression::new(LivePolicy::default(), silences.clone(), OpenAlerts::default());
    let _host = Host::start(&kafka, &slack, &Setup { suppression, ..setup });
    append(&kafka, [of(3, "a", Kind::Update, Some("one")), of(4, "a", Kind::Fire, Some("two"))]);
    append(&kafka, [of(5, "a", Kind::Resolve, Some("ends"))]);
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(slack.count(), 0);
    silences.set("s", None);
    until_text(&kafka, &slack, &["🟡 2 firing: host=a"]).await;
    let blocks = slack.messages()[0].blocks.to_string();
    assert!(blocks.contains("message 3") && blocks.contains("message 4"), "{blocks}");
}
