//! A group that never closes: what is over and was told is only counted.

use super::*;

/// How many alerts of the ledger are only counted by their group.
fn folded(kafka: &Kafka) -> usize {
    members(kafka).iter().filter(|note| note.member.as_ref().unwrap().is_folded).count()
}

#[tokio::test]
async fn of_what_is_over_the_last_have_lines_and_the_others_are_counted_through_a_crash() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let setup = setup("group_wait = \"300ms\"\ngroup_interval = \"300ms\"\n");
    let host = Host::start(&kafka, &slack, &setup);
    let late = |entry: Entry, ms| Entry { event_time_ms: ms, ..entry };
    append(&kafka, [of(0, "a", Kind::Fire, Some("stays"))]);
    for n in 1..=30 {
        append(&kafka, [late(of(n, "a", Kind::Fire, Some(&n.to_string())), n)]);
        append(&kafka, [late(of(100 + n, "a", Kind::Fire, None), n)]);
    }
    until_text(&kafka, &slack, &["🟡 31 firing, 30 events: host=a"]).await;
    append(
        &kafka,
        (1..=30).map(|n| late(of(200 + n, "a", Kind::Resolve, Some(&n.to_string())), 100 + n)),
    );
    let stands = "🟡 1 firing, 30 events, 30 resolved: host=a";
    until_text(&kafka, &slack, &[stands]).await;
    kafka.until(|kafka| folded(kafka) == 20).await;
    let counted = |note: &&Note| note.member.as_ref().unwrap().is_folded;
    let notes = members(&kafka);
    assert!(
        notes.iter().filter(counted).all(|note| note.member.as_ref().unwrap().labels.is_empty())
    );
    host.kill().await;
    // Nothing new is to be said: the message says the same, whoever counts.
    let host = Host::start(&kafka, &slack, &setup);
    let edits = slack.messages()[0].edits;
    // One that was only counted comes again, and goes.
    append(&kafka, [late(of(300, "a", Kind::Fire, Some("1")), 300)]);
    until_text(&kafka, &slack, &["🟡 2 firing, 30 events, 29 resolved: host=a"]).await;
    assert_eq!(slack.messages()[0].edits, edits + 1);
    kafka.until(|_| replies(&slack).last().is_some_and(|last| last == "🟡 message 300")).await;
    let blocks = slack.messages()[0].blocks.to_string();
    assert!(blocks.contains("and 41 more (1 firing, 11 events, 29 resolved)"), "{blocks}");
    append(&kafka, [late(of(301, "a", Kind::Resolve, Some("1")), 301)]);
    until_text(&kafka, &slack, &[stands]).await;
    host.kill().await;
    let _host = Host::start(&kafka, &slack, &setup);
    append(&kafka, [of(302, "a", Kind::Resolve, Some("stays"))]);
    until_text(&kafka, &slack, &["✅ all 31 resolved: host=a"]).await;
    kafka.until(|kafka| closed(kafka) == 1).await;
}
