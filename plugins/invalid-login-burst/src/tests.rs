//! The rule, called natively.

use super::*;
use firebell_rule::testing::{Harness, Row};
use firebell_rule::{Kind, Severity, Span};

/// 2018-03-21 16:21:00.
const START_MS: i64 = 1_521_649_260_000;

fn attempt(host: &str, seconds: i64) -> Row {
    Row::new()
        .set("host", host)
        .set("message", "Invalid user mini from 192.168.42.42")
        .timestamp_ms(START_MS + seconds * 1000)
}

fn titles(config_json: &str, rows: impl IntoIterator<Item = Row>) -> Vec<String> {
    let outcome = Harness::<InvalidLoginBurst>::new(config_json).unwrap().evaluate(rows).unwrap();
    outcome.notifications().iter().map(|notification| notification.title.clone()).collect()
}

#[test]
fn the_fourth_attempt_in_a_minute_reads_as_the_seed_does() {
    let rule = Harness::<InvalidLoginBurst>::new("{}").unwrap();
    let outcome = rule.evaluate((0..4).map(|second| attempt("rpi-03", second))).unwrap();
    assert_eq!(outcome.effects[0].row, 3);
    let [notification] = outcome.notifications()[..] else { panic!("{outcome:?}") };
    assert_eq!(
        notification.title,
        "2018-03-21 16:21:00: ❗ On rpi-03 there were 4 invalid user login attempts in the last \
         minute (threshold is >=4)"
    );
    assert_eq!(notification.key.as_deref(), Some("rpi-03"));
    assert_eq!(notification.window_start_ms, Some(START_MS));
    assert_eq!((notification.severity, notification.kind), (Severity::Warning, Kind::Fire));
    let records = Span::Text("TEST/0/0, TEST/0/1, TEST/0/2, TEST/0/3".into());
    assert_eq!(notification.fields, [("records".to_owned(), vec![records])]);
}

#[test]
fn a_window_tells_once_however_many_attempts_follow_and_however_they_come() {
    let seeds_counts = [12, 5, 6, 4, 3];
    let rows: Vec<Row> = (0..)
        .zip(seeds_counts)
        .flat_map(|(minute, count)| (0..count).map(move |n| attempt("rpi-03", minute * 60 + n)))
        .collect();
    assert_eq!(titles("{}", rows.clone()).len(), 4);
    let mut rule = Harness::<InvalidLoginBurst>::new("{}").unwrap();
    let mut told = 0;
    for row in rows {
        told += rule.evaluate([row]).unwrap().notifications().len();
        rule.restart();
    }
    assert_eq!(told, 4);
}

#[test]
fn hosts_are_counted_apart() {
    let rows = (0..6).map(|n| attempt(if n % 2 == 0 { "rpi-03" } else { "rpi-04" }, n));
    assert_eq!(titles("{}", rows), [""; 0]);
}

#[test]
fn another_size_and_threshold_are_said() {
    let rows = [attempt("a", 1), attempt("a", 8)];
    assert_eq!(
        titles(r#"{"threshold": 2, "window_seconds": 10}"#, rows),
        ["2018-03-21 16:21:00: ❗ On a there were 2 invalid user login attempts in the last 10 \
          seconds (threshold is >=2)"]
    );
}

#[test]
fn what_can_not_be_counted_is_refused_in_words() {
    let error = |json: &str| Harness::<InvalidLoginBurst>::new(json).err().unwrap();
    assert!(error(r#"{"threshold": 0}"#).contains("threshold: no attempt at all is no burst"));
    assert!(error(r#"{"window_seconds": 0}"#).contains("window_seconds: a window has to last"));
    assert!(error(r#"{"treshold": 4}"#).contains("unknown field `treshold`"));
}

#[test]
fn a_host_narrows_the_condition() {
    let rule = Harness::<InvalidLoginBurst>::new(r#"{"host": "rpi-03"}"#).unwrap();
    assert_eq!(
        rule.subscription().condition.as_deref(),
        Some(r#"host == "rpi-03" && message.contains("Invalid user")"#)
    );
}
