//! `kill -9` of a host that has groups: each has one message, and its news are told once.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::crashes::draw;
use super::*;
use crate::config::{Ambiguity, OnAmbiguous};
use crate::demo::slack::{Fault, RandomFaults};

#[tokio::test]
async fn killed_at_random_with_faults_at_random_every_group_is_one_message_and_its_news_are_told_once()
 {
    for run in 0..3_u64 {
        let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
        slack.fail_at_random(Some(RandomFaults {
            seed: run,
            per_mille: 120,
            methods: vec![],
            faults: vec![
                Fault::StatusAfterAccept(500),
                Fault::ResetAfterAccept,
                Fault::ResetBefore,
                Fault::NotJsonAfterAccept,
                Fault::RateLimited { retry_after: 0 },
                Fault::OkFalseAfterAccept("fatal_error"),
            ],
        }));
        let (mut n, mut entries) = (0, Vec::new());
        for kind in [Kind::Fire, Kind::Fire, Kind::Update, Kind::Resolve] {
            for alert in 0..40 {
                let (host, key) = (format!("host-{}", alert % 4), format!("key-{alert}"));
                entries.push(of(n, &host, kind, Some(&key)));
                n += 1;
            }
        }
        let setup = setup("group_wait = \"30ms\"\ngroup_interval = \"80ms\"\n");
        let fires: Vec<Entry> = entries.iter().take(40).cloned().collect();
        let mut left = entries.iter();
        let mut seed = 500 + run;
        while !left.as_slice().is_empty() {
            let host = Host::start(&kafka, &slack, &setup);
            append(&kafka, left.by_ref().take(7).cloned());
            tokio::time::sleep(Duration::from_micros(draw(&mut seed) % 150_000)).await;
            host.kill().await;
        }
        let _host = Host::start(&kafka, &slack, &setup);
        kafka.until(Kafka::is_worked_off).await;
        kafka.until(|_| texts(&slack).iter().all(|text| text.starts_with('✅'))).await;
        kafka.until(|kafka| kafka.ledger().iter().all(|note| !note.is_open_group())).await;
        // Every alert is accounted for, in a group that was told.
        let told = members(&kafka);
        assert_eq!(told.len(), 40, "run {run}");
        assert!(told.iter().all(|note| !note.member.as_ref().unwrap().is_news), "run {run}");
        let untold = told.iter().filter(|note| note.member.as_ref().unwrap().turn.is_none());
        assert!(untold.into_iter().all(|note| note.state == State::Suppressed), "run {run}");
        let alerts: BTreeSet<_> = fires.iter().map(|entry| entry.alert).collect();
        assert_eq!(alerts, told.iter().map(|note| note.alert).collect(), "run {run}");
        let groups: BTreeSet<String> = kafka
            .ledger()
            .iter()
            .filter(|note| note.group.as_ref().is_some_and(|group| group.said.is_some()))
            .map(|note| note.alert.to_string())
            .collect();
        // Each group has one message, and no reply was said twice.
        let payload = |message: &Message, member: &str| {
            message.metadata["event_payload"][member].as_str().unwrap().to_owned()
        };
        let ids: Vec<String> = slack.messages().iter().map(|m| payload(m, "id")).collect();
        assert_eq!(ids.len(), groups.len(), "run {run}: {ids:?}");
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), groups, "run {run}");
        let said: Vec<String> = slack.replies().iter().map(|m| payload(m, "intent")).collect();
        let once: BTreeSet<&String> = said.iter().collect();
        assert_eq!(once.len(), said.len(), "run {run}: {said:?}");
    }
}

#[tokio::test]
async fn killed_between_a_change_and_its_reply_who_is_to_be_notified_still_is_and_once() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let setup = setup("");
    let host = Host::start(&kafka, &slack, &setup);
    append(&kafka, [of(0, "a", Kind::Fire, Some("one"))]);
    until_text(&kafka, &slack, &["🟡 1 firing: host=a"]).await;
    // Slack has not got it.
    slack.fail_next("chat.postMessage", Fault::Slow(Duration::from_secs(30)));
    append(&kafka, [of(1, "a", Kind::Fire, Some("1"))]);
    until_text(&kafka, &slack, &["🟡 2 firing: host=a"]).await;
    let posts = || slack.requests().iter().filter(|r| r.method == "chat.postMessage").count();
    kafka.until(|_| posts() == 2).await;
    assert!(replies(&slack).is_empty());
    host.kill().await;
    let host = Host::start(&kafka, &slack, &setup);
    kafka.until(|_| replies(&slack) == ["🟡 message 1"]).await;
    let news = || members(&kafka).iter().filter_map(|note| note.member.clone()).collect::<Vec<_>>();
    kafka.until(|_| news().iter().all(|member| !member.is_news)).await;
    // Slack has it, and nobody heard of that.
    slack.fail_next("chat.postMessage", Fault::HangAfterAccept);
    append(&kafka, [of(2, "a", Kind::Fire, Some("two"))]);
    kafka.until(|_| replies(&slack).len() == 2).await;
    host.kill().await;
    let _host = Host::start(&kafka, &slack, &setup);
    append(&kafka, [of(3, "a", Kind::Fire, Some("three"))]);
    kafka.until(|_| replies(&slack).len() >= 3).await;
    assert_eq!(replies(&slack), ["🟡 message 1", "🟡 message 2", "🟡 message 3"]);
    assert_eq!(slack.count(), 1);
}

#[tokio::test]
async fn what_slack_said_and_the_ledger_does_not_know_is_found_and_not_said_again() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let setup = setup("repeat_interval = \"2s\"\n");
    let host = Host::start(&kafka, &slack, &setup);
    append(&kafka, [of(0, "a", Kind::Fire, Some("one"))]);
    until_text(&kafka, &slack, &["🟡 1 firing: host=a"]).await;
    host.kill().await;
    // As if the ledger had not taken what Slack said.
    let is_told = |value: &Option<Vec<u8>>| {
        let note = value.as_deref().map(|value| Note::from_bytes(value).unwrap());
        note.is_some_and(|note| note.group.is_some() && note.place.is_some())
    };
    kafka.broker().ledger.retain(|(_, _, value)| !is_told(value));
    let host = Host::start(&kafka, &slack, &setup);
    append(&kafka, [of(1, "a", Kind::Fire, Some("two"))]);
    until_text(&kafka, &slack, &["🟡 2 firing: host=a"]).await;
    kafka.until(|_| slack.replies().iter().any(|reply| reply.broadcast)).await;
    host.kill().await;
    let last = kafka.broker().ledger.iter().rposition(|(_, _, value)| is_told(value)).unwrap();
    let note = Note::from_bytes(kafka.broker().ledger[last].2.as_deref().unwrap()).unwrap();
    let said = note.group.and_then(|group| group.said).unwrap();
    if said.notified_ms != said.told_ms {
        // That it was told again is forgotten.
        kafka.broker().ledger.remove(last);
    }
    let _host = Host::start(&kafka, &slack, &setup);
    append(&kafka, [of(2, "a", Kind::Fire, Some("three"))]);
    until_text(&kafka, &slack, &["🟡 3 firing: host=a"]).await;
    kafka.until(|_| replies(&slack).contains(&"🟡 message 2".to_owned())).await;
    let intent = |message: Message| message.metadata["event_payload"]["intent"].to_string();
    let said: Vec<String> = slack.replies().into_iter().map(intent).collect();
    let once: BTreeSet<&String> = said.iter().collect();
    assert_eq!(once.len(), said.len(), "{said:?}");
}

#[tokio::test]
async fn without_history_a_group_is_dropped_only_where_somebody_may_have_told_it() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    slack.set_history(false);
    let on_ambiguous = Ambiguity::all(OnAmbiguous::Drop);
    let setup = Setup { on_ambiguous, ..setup("group_wait = \"500ms\"\n") };
    let host = Host::start(&kafka, &slack, &setup);
    append(&kafka, [of(0, "a", Kind::Fire, Some("one"))]);
    kafka.until(Kafka::is_worked_off).await;
    host.stop().await;
    let host = Host::start(&kafka, &slack, &setup);
    until_text(&kafka, &slack, &["🟡 1 firing: host=a"]).await;
    // Nothing of it was written down as about to be told: a kill changes nothing.
    append(&kafka, [of(1, "b", Kind::Fire, Some("two"))]);
    kafka.until(|kafka| members(kafka).len() == 2).await;
    host.kill().await;
    let host = Host::start(&kafka, &slack, &setup);
    until_text(&kafka, &slack, &["🟡 1 firing: host=a", "🟡 1 firing: host=b"]).await;
    kafka
        .until(|kafka| members(kafka).iter().all(|note| !note.member.as_ref().unwrap().is_news))
        .await;
    // Slack has it, and the ledger only that it was to be told.
    kafka.broker().last_write = Some(|record| {
        let note = record.value.as_deref().map(Note::from_bytes);
        let member = note.and_then(Result::ok).and_then(|note| note.member);
        member.is_some_and(|member| member.turn.is_some())
    });
    append(&kafka, [of(2, "c", Kind::Fire, Some("three"))]);
    kafka.until(|_| slack.count() == 3).await;
    host.kill().await;
    kafka.broker().refuse_writes = 0;
    // A stop before it was looked up leaves it as unclear as it was.
    let mut patient = setup.clone();
    patient.patience.settle = Duration::from_secs(600);
    let host = Host::start(&kafka, &slack, &patient);
    kafka.broker().released.clear();
    host.stop().await;
    let partition = crate::outbox::partition_of("general", super::super::world::PARTITIONS);
    let released = kafka.broker().released.clone();
    assert!(released.iter().any(|one| one.partition == partition && !one.clean), "{released:?}");
    let host = Host::start(&kafka, &slack, &setup);
    kafka.until(|_| host.metric(&["slack_posts_total", "dropped"]) == 1.0).await;
    assert_eq!(slack.count(), 3);
}
