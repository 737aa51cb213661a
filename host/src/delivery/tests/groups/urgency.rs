//! What is told first of several groups: the worst, whatever it costs.

use std::time::Duration;

use super::super::world::{Host, Kafka, Setup, slack};
use super::*;

/// The texts of what was posted or changed, in order.
fn asked(slack: &SlackStandIn, method: &str) -> Vec<String> {
    let all = slack.requests().into_iter().filter(|request| request.method == method);
    all.map(|request| request.arguments["text"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn of_groups_whose_messages_wait_to_be_changed_the_critical_one_is_first_in_whatever_channel()
{
    let quiet = ["one", "two", "three", "four", "five"];
    let mut channels = quiet.to_vec();
    channels.push("general");
    let (kafka, slack) = (Kafka::default(), slack(&channels).await);
    let setup = Setup { changes: (0.4, 1), ..setup("") };
    let _host = Host::start(&kafka, &slack, &setup);
    let news = |n, channel: &str, kind, severity| {
        graded(Entry { channel: channel.into(), ..of(n, channel, kind, Some("k")) }, severity)
    };
    for (n, channel) in (0..).zip(&channels) {
        append(&kafka, [news(n, channel, Kind::Fire, Severity::Info)]);
    }
    kafka.until(|_| slack.count() == channels.len()).await;
    kafka
        .until(|kafka| members(kafka).iter().all(|note| !note.member.as_ref().unwrap().is_news))
        .await;
    let changes = || asked(&slack, "chat.update").len();
    // The one change that may be made at once.
    append(&kafka, [news(10, "one", Kind::Update, Severity::Warning)]);
    kafka.until(|_| changes() == 1).await;
    // The next is made two and a half seconds later; all ask once a second, the critical one last before.
    tokio::time::sleep(Duration::from_millis(350)).await;
    append(&kafka, [news(30, "general", Kind::Update, Severity::Critical)]);
    for (n, channel) in (20..).zip(&quiet[1..]) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        append(&kafka, [news(n, channel, Kind::Update, Severity::Warning)]);
    }
    kafka.until(|_| changes() >= 3).await;
    let changed = asked(&slack, "chat.update");
    assert!(changed[1].starts_with('🚨'), "{changed:?}");
}

#[tokio::test]
async fn a_critical_alert_does_not_wait_for_the_replies_of_groups() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let policy = policy(
        "[[route.routes]]\nmatchers = ['host =~ \".+\"']\ngroup_by = [\"host\"]\ngroup_wait = \"300ms\"\n",
    );
    let mut setup = Setup { messages_per_second: 4.0, burst: 10, ..under(&policy) };
    setup.patience.edits = Duration::from_millis(60);
    let _host = Host::start(&kafka, &slack, &setup);
    let hosts: Vec<String> = (0..10).map(|n| format!("h{n}")).collect();
    let fire = |n, host: &str| of(n, host, Kind::Fire, Some(&n.to_string()));
    append(&kafka, (0..).zip(&hosts).map(|(n, host)| fire(n, host)));
    kafka.until(|_| slack.count() == 10).await;
    kafka
        .until(|kafka| members(kafka).iter().all(|note| !note.member.as_ref().unwrap().is_news))
        .await;
    append(&kafka, (20..).zip(&hosts).map(|(n, host)| fire(n, host)));
    kafka.until(|_| !slack.replies().is_empty()).await;
    append(&kafka, [graded(entry(40, "general", Kind::Fire, None), Severity::Critical)]);
    kafka.until(|_| slack.messages().len() == 11).await;
    let told = slack.replies().len();
    assert!(told <= 5, "{told} replies were before it");
    kafka.until(|_| slack.replies().len() == 10).await;
}
