//! What is said in threads: that an alert got worse, that it is over. Once, whatever happens.

use std::time::Duration;

use serde_json::json;

use super::crashes::draw;
use super::suppressions::{silence, silenced};
use super::world::{Host, Kafka, Setup, entry, slack, texts};
use crate::config::{Ambiguity, OnAmbiguous};
use crate::demo::slack::{Fault, RandomFaults, SlackStandIn};
use crate::ledger::State;
use crate::notification::{Kind, Severity, Span};
use crate::outbox::Entry;

const KEY: Option<&str> = Some("rpi-03");
const MINUTE_MS: i64 = 60_000;

/// An entry of the alert, `n` minutes after its beginning.
fn at(n: i64, kind: Kind, severity: Severity) -> Entry {
    let mut entry = entry(n, "general", kind, KEY);
    entry.event_time_ms = 1_520_176_464_000 + n * MINUTE_MS;
    entry.notification.severity = severity;
    entry
}

fn replies(slack: &SlackStandIn) -> Vec<String> {
    slack.replies().into_iter().map(|reply| reply.text).collect()
}

fn asked(slack: &SlackStandIn, method: &str) -> usize {
    slack.requests().iter().filter(|request| request.method == method).count()
}

#[tokio::test]
async fn what_gets_worse_and_what_ends_is_said_in_the_thread() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    for entry in [
        at(0, Kind::Fire, Severity::Warning),
        at(1, Kind::Update, Severity::Warning),
        at(2, Kind::Update, Severity::Critical),
        at(3, Kind::Update, Severity::Critical),
        at(4, Kind::Update, Severity::Info),
        at(5, Kind::Update, Severity::Error),
        at(12, Kind::Resolve, Severity::Error),
        at(13, Kind::Resolve, Severity::Error),
    ] {
        kafka.append(&entry);
        kafka.until(Kafka::is_worked_off).await;
    }
    let expected = [
        "🚨 critical, was warning: message 2",
        "🔴 error, was info: message 5",
        "✅ Resolved after 12 min 0 s: message 12",
    ];
    assert_eq!(replies(&slack), expected);
    let (message, replies) = (&slack.messages()[0], slack.replies());
    // The second end says nothing new.
    assert_eq!(message.text, "✅ message 12");
    assert!(message.blocks.to_string().contains("error · resolved after 12 min 0 s"));
    for reply in &replies {
        assert_eq!((reply.thread_ts.as_ref(), reply.broadcast), (Some(&message.ts), false));
        assert_eq!(reply.metadata["event_type"], "firebell_reply");
    }
    let payload = &replies[0].metadata["event_payload"];
    assert_eq!(payload["intent"], "SYSLOG/0/2#invalid-user#0");
    assert_eq!(payload["reply"], "worse");
    let note = &kafka.ledger()[0];
    assert_eq!(note.last_reply.as_deref(), Some("SYSLOG/0/12#invalid-user#0"));
    let told = note.told.as_ref().unwrap();
    assert_eq!((told.opened_ms, told.severity), (1_520_176_464_000, Severity::Error));
    assert_eq!((told.rule.as_str(), told.title.as_str()), ("invalid-user", "message 12"));
}

#[tokio::test]
async fn a_worsening_is_shown_in_the_channel_if_the_operator_wants_it_and_is_no_message_of_its_own()
{
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let setup = Setup { broadcast_worsening: true, ..Setup::default() };
    kafka.append(&at(0, Kind::Fire, Severity::Info));
    let host = Host::start(&kafka, &slack, &setup);
    kafka.until(Kafka::is_worked_off).await;
    kafka.append(&at(1, Kind::Update, Severity::Critical));
    kafka.append(&at(2, Kind::Resolve, Severity::Critical));
    kafka.until(Kafka::is_worked_off).await;
    let broadcast: Vec<bool> = slack.replies().iter().map(|reply| reply.broadcast).collect();
    assert_eq!(broadcast, [true, false]);
    host.kill().await;
    // The ledger is lost: all is read back.
    kafka.broker().ledger.clear();
    kafka.broker().committed.insert(crate::outbox::partition_of("general", 3), (0, false));
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!((slack.count(), slack.replies().len()), (1, 2));
}

#[tokio::test]
async fn a_kill_between_the_change_and_its_reply_loses_and_repeats_nothing() {
    for (fault, found) in [(Fault::Hang, 0), (Fault::HangAfterAccept, 1)] {
        let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
        let setup = Setup { request_timeout: Duration::from_secs(30), ..Setup::default() };
        let host = Host::start(&kafka, &slack, &setup);
        kafka.append(&at(0, Kind::Fire, Severity::Error));
        kafka.until(Kafka::is_worked_off).await;
        slack.fail_next("chat.postMessage", fault.clone());
        kafka.append(&at(7, Kind::Resolve, Severity::Error));
        kafka.until(|_| slack.faults_left() == 0 && slack.replies().len() == found).await;
        assert_eq!(slack.messages()[0].text, "✅ message 7");
        host.kill().await;
        assert_eq!(kafka.ledger()[0].state, State::Open);
        let _host = Host::start(&kafka, &slack, &Setup::default());
        kafka.until(Kafka::is_worked_off).await;
        assert_eq!(replies(&slack), ["✅ Resolved after 7 min 0 s: message 7"], "{fault:?}");
        assert_eq!(asked(&slack, "conversations.replies"), 1);
        assert_eq!(kafka.ledger()[0].state, State::Resolved);
    }
}

#[tokio::test]
async fn a_kill_between_a_reply_and_the_ledger_is_read_back() {
    for kind in [Kind::Update, Kind::Resolve] {
        let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
        let host = Host::start(&kafka, &slack, &Setup::default());
        kafka.append(&at(0, Kind::Fire, Severity::Info));
        kafka.until(Kafka::is_worked_off).await;
        kafka.broker().refuse_writes = usize::MAX;
        kafka.append(&at(1, kind, Severity::Critical));
        kafka.until(|_| slack.replies().len() == 1).await;
        host.kill().await;
        kafka.broker().refuse_writes = 0;
        let _host = Host::start(&kafka, &slack, &Setup::default());
        kafka.until(Kafka::is_worked_off).await;
        assert_eq!((slack.count(), slack.replies().len()), (1, 1), "{kind:?}");
        let last = kafka.ledger()[0].last_reply.clone();
        assert_eq!(last.as_deref(), Some("SYSLOG/0/1#invalid-user#0"));
    }
}

#[tokio::test]
async fn an_unclear_answer_to_a_reply_is_looked_up_in_the_thread() {
    for (fault, lookups) in [
        (Fault::StatusAfterAccept(500), 1),
        (Fault::ResetAfterAccept, 1),
        (Fault::ResetBefore, 1),
        (Fault::NotJsonAfterAccept, 1),
        (Fault::OkFalseAfterAccept("fatal_error"), 1),
        (Fault::StatusBeforeAccept(503), 0),
        (Fault::RateLimited { retry_after: 0 }, 0),
    ] {
        let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
        let _host = Host::start(&kafka, &slack, &Setup::default());
        kafka.append(&at(0, Kind::Fire, Severity::Info));
        kafka.until(Kafka::is_worked_off).await;
        slack.fail_next("chat.postMessage", fault.clone());
        kafka.append(&at(1, Kind::Update, Severity::Critical));
        kafka.until(Kafka::is_worked_off).await;
        assert_eq!(replies(&slack), ["🚨 critical, was info: message 1"], "{fault:?}");
        assert_eq!(asked(&slack, "conversations.replies"), lookups, "{fault:?}");
        assert_eq!(asked(&slack, "conversations.history"), 0);
    }
}

#[tokio::test]
async fn without_history_the_operators_policy_decides_about_a_reply_and_the_message_is_changed() {
    for (policy, told) in [(OnAmbiguous::Send, 2), (OnAmbiguous::Drop, 1)] {
        let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
        let setup = Setup { on_ambiguous: Ambiguity::all(policy), ..Setup::default() };
        let _host = Host::start(&kafka, &slack, &setup);
        kafka.append(&at(0, Kind::Fire, Severity::Info));
        kafka.until(Kafka::is_worked_off).await;
        slack.set_history(false);
        slack.fail_next("chat.postMessage", Fault::ResetAfterAccept);
        kafka.append(&at(1, Kind::Resolve, Severity::Info));
        kafka.until(Kafka::is_worked_off).await;
        assert_eq!(slack.replies().len(), told, "{policy:?}");
        assert_eq!(slack.messages()[0].text, "✅ message 1");
        assert_eq!(kafka.ledger()[0].state, State::Resolved);
    }
}

#[tokio::test]
async fn killed_at_random_moments_with_faults_at_random_each_reply_is_told_once() {
    for run in 0..3_u64 {
        let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
        slack.fail_at_random(Some(RandomFaults {
            seed: run,
            per_mille: 80,
            methods: vec![],
            faults: vec![
                Fault::StatusAfterAccept(500),
                Fault::ResetAfterAccept,
                Fault::ResetBefore,
                Fault::StatusBeforeAccept(503),
            ],
        }));
        let (mut seed, mut entries, mut expected) = (2_000 + run, Vec::new(), Vec::new());
        for alert in 0..12 {
            let key = format!("host-{alert}");
            for (kind, severity) in [
                (Kind::Fire, Severity::Info),
                (Kind::Update, Severity::Error),
                (Kind::Update, Severity::Warning),
                (Kind::Update, Severity::Critical),
                (Kind::Resolve, Severity::Critical),
            ] {
                let n = i64::try_from(entries.len()).unwrap();
                let mut entry = entry(n, "general", kind, Some(&key));
                entry.notification.severity = severity;
                entries.push(entry);
            }
            expected.extend([1, 3, 4].map(|n| entries[alert * 5 + n].intent.to_string()));
        }
        let mut left = entries.iter();
        while !left.as_slice().is_empty() {
            let host = Host::start(&kafka, &slack, &Setup::default());
            for entry in left.by_ref().take(7) {
                kafka.append(entry);
            }
            tokio::time::sleep(Duration::from_micros(draw(&mut seed) % 80_000)).await;
            host.kill().await;
        }
        let _host = Host::start(&kafka, &slack, &Setup::default());
        kafka.until(Kafka::is_worked_off).await;
        let of = |reply: &crate::demo::slack::Message| {
            reply.metadata["event_payload"]["intent"].as_str().unwrap().to_owned()
        };
        let mut told: Vec<String> = slack.replies().iter().map(of).collect();
        told.sort();
        expected.sort();
        assert_eq!(told, expected, "run {run}");
        assert_eq!(slack.count(), 12);
        assert!(slack.messages().iter().all(|message| message.text.starts_with('✅')));
    }
}

#[tokio::test]
async fn what_is_silenced_changes_its_message_and_says_nothing() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let (silences, setup) = silenced("nowhere");
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.append(&at(0, Kind::Fire, Severity::Info));
    kafka.until(Kafka::is_worked_off).await;
    silence(&silences, "general");
    kafka.append(&at(1, Kind::Update, Severity::Critical));
    kafka.append(&at(2, Kind::Resolve, Severity::Critical));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(replies(&slack), Vec::<String>::new());
    assert_eq!(slack.messages()[0].text, "✅ message 2");
}

#[tokio::test]
async fn what_is_old_is_no_news_in_a_thread() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&at(0, Kind::Fire, Severity::Info));
    let stale = |n, kind| Entry { is_stale: true, ..at(n, kind, Severity::Critical) };
    kafka.append(&stale(1, Kind::Update));
    kafka.append(&stale(2, Kind::Resolve));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!((slack.messages()[0].text.as_str(), slack.replies().len()), ("✅ message 2", 0));
}

#[tokio::test]
async fn a_webhook_has_no_threads() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let setup = Setup { webhook: true, ..Setup::default() };
    let _host = Host::start(&kafka, &slack, &setup);
    kafka.append(&at(0, Kind::Fire, Severity::Info));
    kafka.append(&at(1, Kind::Update, Severity::Critical));
    kafka.append(&at(2, Kind::Resolve, Severity::Critical));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 0", "message 1", "message 2"]);
    assert!(slack.messages()[2].blocks.to_string().contains("resolved after 2 min 0 s"));
    assert!(slack.requests().iter().all(|request| request.arguments["thread_ts"].is_null()));
}

#[tokio::test]
async fn a_message_that_somebody_deleted_is_posted_anew_only_while_its_alert_fires() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &Setup::default());
    let delete = || {
        let message = slack.messages().pop().unwrap();
        assert!(slack.delete(&message.channel_id, &message.ts));
    };
    kafka.append(&at(0, Kind::Fire, Severity::Info));
    kafka.until(Kafka::is_worked_off).await;
    delete();
    // It still fires: a message of its own says all, with the time when it began.
    kafka.append(&at(1, Kind::Update, Severity::Critical));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(
        (texts(&slack)["general"].clone(), slack.replies().len()),
        (vec!["message 1".into()], 0)
    );
    assert_eq!(kafka.ledger()[0].told.as_ref().unwrap().opened_ms, 1_520_176_464_000);
    delete();
    for (n, kind) in [(2, Kind::Resolve), (3, Kind::Update)] {
        kafka.append(&at(n, kind, Severity::Critical));
        kafka.until(Kafka::is_worked_off).await;
        assert_eq!((slack.count(), slack.replies().len()), (0, 0), "{kind:?}");
        let note = &kafka.ledger()[0];
        assert_eq!(
            (note.state, note.last_intent.clone()),
            (State::Resolved, format!("SYSLOG/0/{n}#invalid-user#0"))
        );
    }
    assert_eq!(host.metric(&["slack_posts_total", "gone"]), 2.0);
    kafka.append(&at(5, Kind::Fire, Severity::Info));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 5"]);
}

#[tokio::test]
async fn a_message_that_stands_and_cannot_be_changed_is_resolved_in_its_thread() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&at(0, Kind::Fire, Severity::Info));
    slack.fail_next("chat.update", Fault::OkFalse("edit_window_closed"));
    kafka.append(&at(3, Kind::Resolve, Severity::Info));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["message 0"]);
    assert_eq!(replies(&slack), ["✅ Resolved after 3 min 0 s: message 3"]);
    assert_eq!(kafka.ledger()[0].state, State::Resolved);
}

#[tokio::test]
async fn a_reply_that_slack_refuses_for_good_is_given_up_and_its_message_is_changed() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&at(0, Kind::Fire, Severity::Info));
    kafka.until(Kafka::is_worked_off).await;
    for code in ["invalid_blocks", "invalid_blocks"] {
        slack.fail_next("chat.postMessage", Fault::OkFalse(code));
    }
    kafka.append(&at(1, Kind::Update, Severity::Critical));
    kafka.until(Kafka::is_worked_off).await;
    slack.fail_next("chat.postMessage", Fault::OkFalse("thread_not_found"));
    kafka.append(&at(2, Kind::Resolve, Severity::Critical));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!((slack.replies().len(), slack.faults_left()), (0, 0));
    assert_eq!(slack.messages()[0].text, "✅ message 2");
    assert!(kafka.broker().dead_letters.is_empty());
}

#[tokio::test]
async fn a_reply_is_as_safe_as_a_message() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let _host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&at(0, Kind::Fire, Severity::Info));
    kafka.append(&at(1, Kind::Resolve, Severity::Info));
    kafka.until(Kafka::is_worked_off).await;
    let arguments = &slack.replies()[0].arguments;
    for (name, safe) in [
        ("parse", json!("none")),
        ("link_names", json!(false)),
        ("unfurl_links", json!(false)),
        ("unfurl_media", json!(false)),
        ("mrkdwn", json!(false)),
    ] {
        assert_eq!(arguments[name], safe, "{name}");
    }
}

#[tokio::test]
async fn what_nobody_sends_on_purpose_is_told_all_the_same() {
    const YEAR_60000_MS: i64 = 1_831_300_000_000_000;
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    let host = Host::start(&kafka, &slack, &Setup::default());
    let spoil = |mut entry: Entry, event_time_ms: i64| {
        entry.event_time_ms = event_time_ms;
        let notification = &mut entry.notification;
        notification.title = " ".into();
        notification.body = vec![
            Span::Text("<!channel> ".repeat(90_000)),
            Span::Mention("nobody-of-that-name".into()),
            Span::Timestamp(YEAR_60000_MS),
        ];
        let field = |n| (format!("field {n}"), vec![Span::Code("<@U1>".into())]);
        notification.fields = (0..10_000).map(field).collect();
        entry
    };
    // The end of something that nobody was told of.
    kafka.append(&spoil(at(0, Kind::Resolve, Severity::Info), YEAR_60000_MS));
    kafka.append(&spoil(at(1, Kind::Fire, Severity::Info), YEAR_60000_MS));
    kafka.append(&spoil(at(2, Kind::Update, Severity::Critical), -1));
    kafka.append(&spoil(at(3, Kind::Resolve, Severity::Critical), i64::MAX));
    kafka.append(&spoil(at(4, Kind::Update, Severity::Critical), i64::MIN));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack)["general"], ["invalid-user"]);
    assert_eq!(slack.replies().len(), 2);
    assert_eq!(host.metric(&["slack_posts_total", "untold"]), 1.0);
    assert_eq!(host.metric(&["slack_errors"]), 0.0, "Slack refused nothing of it");
    assert!(kafka.broker().dead_letters.is_empty());
}
