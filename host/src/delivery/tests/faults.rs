//! Whatever Slack answers: every notification is posted once, in the order of its channel.

use std::path::Path;
use std::time::Duration;

use super::world::{Host, Kafka, Setup, entry, fire, once, slack, texts};
use crate::config::{Ambiguity, Config, Environment, OnAmbiguous};
use crate::demo::slack::{Fault, RandomFaults};
use crate::notification::{Kind, Severity};
use crate::outbox::Entry;

/// Faults after which a message must be there exactly once.
fn faults() -> Vec<Fault> {
    vec![
        Fault::RateLimited { retry_after: 0 },
        Fault::RatelimitedBody,
        Fault::OkFalse("service_unavailable"),
        Fault::OkFalse("fatal_error"),
        Fault::OkFalseAfterAccept("fatal_error"),
        Fault::OkFalse("internal_error"),
        Fault::OkFalseAfterAccept("internal_error"),
        Fault::StatusBeforeAccept(500),
        Fault::StatusAfterAccept(500),
        Fault::StatusBeforeAccept(502),
        Fault::StatusAfterAccept(504),
        Fault::StatusBeforeAccept(503),
        Fault::StatusBeforeAccept(404),
        Fault::ResetBefore,
        Fault::ResetAfterAccept,
        Fault::ResetAndAcceptLater(Duration::from_millis(5)),
        Fault::Hang,
        Fault::HangAfterAccept,
        Fault::NotJson,
        Fault::NotJsonAfterAccept,
        Fault::Slow(Duration::from_millis(50)),
        Fault::OkFalse("a_code_of_tomorrow"),
        Fault::OkFalse("invalid_auth"),
    ]
}

#[tokio::test]
async fn each_fault_alone_loses_nothing_and_repeats_nothing() {
    for fault in faults() {
        let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
        let host = Host::start(&kafka, &slack, &Setup::default());
        let entries: Vec<Entry> = (0..4).map(|n| fire(n, "general")).collect();
        // The second of four, so that there is something before and something behind it.
        kafka.append(&entries[0]);
        kafka.until(Kafka::is_worked_off).await;
        slack.fail_next("chat.postMessage", fault.clone());
        entries[1..].iter().for_each(|entry| {
            kafka.append(entry);
        });
        kafka.until(Kafka::is_worked_off).await;
        assert_eq!(texts(&slack), once(&entries), "{fault:?}");
        assert_eq!((slack.faults_left(), kafka.ledger().len()), (0, 4), "{fault:?}");
        assert!(kafka.broker().dead_letters.is_empty(), "{fault:?}");
        host.kill().await;
    }
}

#[tokio::test]
async fn all_faults_at_random_in_all_methods_lose_nothing_and_repeat_nothing() {
    for seed in 0..3 {
        let channels = ["general", "ops", "team-a", "team-b"];
        let (kafka, slack) = (Kafka::default(), slack(&channels).await);
        let faults =
            faults().into_iter().filter(|fault| *fault != Fault::OkFalse("a_code_of_tomorrow"));
        slack.fail_at_random(Some(RandomFaults {
            seed,
            per_mille: 250,
            methods: vec![],
            faults: faults.collect(),
        }));
        let host = Host::start(&kafka, &slack, &Setup::default());
        let entries: Vec<Entry> =
            (0..80).map(|n| fire(n, channels[usize::try_from(n).unwrap() % 4])).collect();
        entries.iter().for_each(|entry| {
            kafka.append(entry);
        });
        kafka.until(Kafka::is_worked_off).await;
        assert_eq!(texts(&slack), once(&entries), "seed {seed}");
        assert_eq!(kafka.ledger().len(), 80);
        assert!(kafka.broker().dead_letters.is_empty());
        host.kill().await;
    }
}

#[tokio::test]
async fn a_fault_while_reading_back_is_no_reason_to_post_again() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    slack.fail_next("chat.postMessage", Fault::StatusAfterAccept(500));
    for fault in [
        Fault::RateLimited { retry_after: 0 },
        Fault::StatusBeforeAccept(500),
        Fault::ResetBefore,
        Fault::NotJson,
        Fault::Hang,
    ] {
        slack.fail_next("conversations.history", fault);
    }
    let host = Host::start(&kafka, &slack, &Setup::default());
    kafka.append(&fire(1, "general"));
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!((slack.count(), slack.faults_left()), (1, 0));
    assert_eq!(host.metric(&["slack_posts_total", "found"]), 1.0);
}

#[tokio::test]
async fn without_history_the_operators_policy_decides() {
    for (policy, posted, outcome) in
        [(OnAmbiguous::Send, 2, "posted"), (OnAmbiguous::Drop, 1, "dropped")]
    {
        let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
        slack.set_history(false);
        slack.fail_next("chat.postMessage", Fault::StatusAfterAccept(500));
        let setup = Setup { on_ambiguous: Ambiguity::all(policy), ..Setup::default() };
        let host = Host::start(&kafka, &slack, &setup);
        kafka.append(&fire(1, "general"));
        kafka.until(Kafka::is_worked_off).await;
        assert_eq!(slack.count(), posted, "{policy:?}");
        assert_eq!(host.metric(&["slack_posts_total", outcome]), 1.0, "{policy:?}");
        assert!(host.readiness.snapshot().is_ready(), "a missing scope is no wrong token");
        host.kill().await;
    }
}

#[tokio::test]
async fn without_history_the_policy_of_the_severity_decides_about_posts_and_replies_and_is_counted()
{
    let text = "[kafka]\nbootstrap_servers = \"k:1\"\n[slack]\ntoken_env = \"T\"\n\
                default_channel = \"general\"\n\
                on_ambiguous = { critical = \"send\", info = \"drop\", warning = \"drop\" }\n";
    let environment = Environment::of("here", 1, [("T", "xoxb-1")]);
    let config = Config::parse(Path::new("f.toml"), text, &environment).unwrap();
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    slack.set_history(false);
    let on_ambiguous = config.slack.unwrap().on_ambiguous;
    let host = Host::start(&kafka, &slack, &Setup { on_ambiguous, ..Setup::default() });
    let say = async |n: i64, kind, key: &str, severity| {
        let mut entry = entry(n, "general", kind, Some(key));
        entry.notification.severity = severity;
        kafka.append(&entry);
        kafka.until(Kafka::is_worked_off).await;
    };
    let unclear =
        |severity: &str, decision: &str| host.metric(&["slack_unclear_total", severity, decision]);
    for (n, severity, posts) in [(0, Severity::Critical, 2), (1, Severity::Info, 1)] {
        let before = slack.count();
        slack.fail_next("chat.postMessage", Fault::StatusAfterAccept(500));
        say(n, Kind::Fire, &n.to_string(), severity).await;
        assert_eq!(slack.count() - before, posts, "{severity:?}");
    }
    assert_eq!((unclear("critical", "send"), unclear("info", "drop")), (1.0, 1.0));
    // In the thread of one that was told.
    say(2, Kind::Fire, "told", Severity::Info).await;
    for (n, severity, replies) in [(3, Severity::Warning, 1), (4, Severity::Critical, 2)] {
        let before = slack.replies().len();
        slack.fail_next("chat.postMessage", Fault::StatusAfterAccept(500));
        say(n, Kind::Update, "told", severity).await;
        assert_eq!(slack.replies().len() - before, replies, "{severity:?}");
    }
    assert_eq!((unclear("warning", "drop"), unclear("critical", "send")), (1.0, 2.0));
}

#[tokio::test]
async fn a_kafka_that_does_not_take_the_ledger_delays_and_repeats_nothing() {
    let (kafka, slack) = (Kafka::default(), slack(&["general"]).await);
    kafka.broker().refuse_writes = 5;
    let _host = Host::start(&kafka, &slack, &Setup::default());
    let entries: Vec<Entry> = (0..3).map(|n| fire(n, "general")).collect();
    entries.iter().for_each(|entry| {
        kafka.append(entry);
    });
    kafka.until(Kafka::is_worked_off).await;
    assert_eq!(texts(&slack), once(&entries));
    assert_eq!(kafka.ledger().len(), 3);
}
