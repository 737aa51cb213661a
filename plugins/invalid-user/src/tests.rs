//! The rule, called natively.

use super::*;
use firebell_rule::testing::{Harness, Row};

const SEED: &str =
    "2018-03-04 15:14:24 👽 rpi-03 sshd[24150]: Invalid user mini from 192.168.42.42 👽";

fn titles(row: Row) -> Vec<String> {
    let outcome = Harness::<InvalidUser>::new("{}").unwrap().evaluate([row]).unwrap();
    outcome.notifications().iter().map(|notification| notification.title.clone()).collect()
}

#[test]
fn the_connectors_record_reads_as_in_the_log() {
    let row = Row::new()
        .set("host", "rpi-03")
        .set("message", "rpi-03 sshd[24150]: Invalid user mini from 192.168.42.42");
    assert_eq!(titles(row.clone().timestamp_ms(1_520_176_464_000)), [SEED]);
    let ingested_later = row.set("date", 1_520_176_464_000).timestamp_ms(1_795_393_727_384);
    assert_eq!(titles(ingested_later), [SEED]);
}

#[test]
fn a_line_that_was_taken_apart_reads_the_same() {
    let row = Row::new()
        .set("host", "rpi-03")
        .set("message", " Invalid user mini from 192.168.42.42")
        .timestamp_ms(1_520_176_464_000);
    assert_eq!(titles(row.clone().set("app", "sshd").set("pid", "24150")), [SEED]);
    assert_eq!(titles(row.clone().set("app", "sshd")), [SEED.replace("[24150]", "")]);
    assert_eq!(titles(row), [SEED.replace("sshd[24150]: ", "")]);
}

#[test]
fn without_host_or_time_the_text_is_still_shown() {
    assert_eq!(titles(Row::new().set("message", "Invalid user")), ["👽 Invalid user 👽"]);
}

#[test]
fn each_record_is_an_alert_of_its_own_and_goes_whole_where_it_is_told() {
    let rule = Harness::<InvalidUser>::new(r#"{"emit_to": "COPIES"}"#).unwrap();
    let outcome = rule.evaluate([Row::new(), Row::new()]).unwrap();
    assert!(outcome.notifications().iter().all(|notification| notification.key.is_none()));
    assert_eq!(outcome.emitted_to(), ["COPIES", "COPIES"]);
}

#[test]
fn a_host_narrows_the_condition_and_a_misspelt_key_is_refused() {
    let rule = Harness::<InvalidUser>::new(r#"{"host": "a\"b"}"#).unwrap();
    assert_eq!(
        rule.subscription().condition.as_deref(),
        Some(r#"host == "a\"b" && message.contains("Invalid user")"#)
    );
    let error = Harness::<InvalidUser>::new(r#"{"hots": "rpi-03"}"#).err().unwrap();
    assert_eq!(error, "[config] unknown field `hots`, expected `host` or `emit_to`");
}
