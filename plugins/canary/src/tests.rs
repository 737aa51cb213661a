//! The rule, called natively.

use super::*;
use firebell_rule::Kind;
use firebell_rule::testing::{Harness, Outcome, Row};

const CONFIG: &str = r#"{"group":"g","interval_seconds":60}"#;

fn rule() -> Harness<Canary> {
    Harness::new(CONFIG).unwrap()
}

fn sent(second: i64) -> Row {
    Row::new().set("key", "$firebell-canary/g").timestamp_ms(second * 1000)
}

fn told(outcome: &Outcome) -> Vec<(Kind, &str, Option<&str>)> {
    let all = outcome.notifications().into_iter();
    all.map(|told| (told.kind, told.title.as_str(), told.key.as_deref())).collect()
}

const SEEN: (Kind, &str, Option<&str>) = (Kind::Update, "firebell g: canary", Some("g"));

#[test]
fn each_moment_changes_the_one_message_once_however_many_hosts_send() {
    let mut rule = rule();
    let outcome = rule.evaluate([sent(60), sent(60), sent(61)]).unwrap();
    assert_eq!(told(&outcome), [SEEN]);
    rule.restart();
    // The clock of another host is a little behind.
    assert_eq!(told(&rule.evaluate([sent(59), sent(119)]).unwrap()), []);
    let outcome = rule.evaluate([sent(120), sent(120)]).unwrap();
    assert_eq!(told(&outcome), [SEEN]);
}

#[test]
fn a_clock_that_was_far_ahead_does_not_hide_what_comes() {
    let rule = rule();
    let ahead = sent(86_400);
    let outcome = rule.evaluate([ahead, sent(60), sent(120), sent(121)]).unwrap();
    assert_eq!(told(&outcome), [SEEN; 3]);
}

#[test]
fn records_of_others_are_left_alone_and_the_interval_is_checked() {
    let rule = rule();
    let condition = &rule.subscription().condition;
    assert_eq!(condition.as_deref(), Some(r#"key == "$firebell-canary/g""#));
    let error = Harness::<Canary>::new(r#"{"group":"g","interval_seconds":0}"#).err().unwrap();
    assert!(error.contains("interval_seconds"), "{error}");
}
