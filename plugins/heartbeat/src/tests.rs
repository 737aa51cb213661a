//! The rule, called natively.

use super::*;
use firebell_rule::Kind;
use firebell_rule::testing::{Harness, Outcome, Row};

const MINUTE_MS: i64 = 60_000;

fn rule() -> Harness<Heartbeat> {
    Harness::new("{}").unwrap()
}

fn beat(host: &str, minute: i64) -> Row {
    Row::new().set("host", host).timestamp_ms(minute * MINUTE_MS)
}

fn told(outcome: &Outcome) -> Vec<(Kind, &str)> {
    outcome.notifications().iter().map(|told| (told.kind, told.title.as_str())).collect()
}

const FIRED: (Kind, &str) = (Kind::Fire, "No record of rpi-03 for 10 minutes");
const RESOLVED: (Kind, &str) = (Kind::Resolve, "rpi-03 is back");

#[test]
fn silence_is_told_once_and_resolved_by_the_next_record() {
    let mut rule = rule();
    assert_eq!(told(&rule.evaluate([beat("rpi-03", 0)]).unwrap()), []);
    assert_eq!(told(&rule.advance_to(10 * MINUTE_MS - 1).unwrap()), []);
    let outcome = rule.advance_to(10 * MINUTE_MS).unwrap();
    assert_eq!(told(&outcome), [FIRED]);
    assert_eq!(outcome.notifications()[0].key.as_deref(), Some("rpi-03"));
    assert_eq!(outcome.notifications()[0].severity, Severity::Error);
    assert_eq!(told(&rule.advance_to(50 * MINUTE_MS).unwrap()), []);
    rule.restart();
    assert_eq!(told(&rule.evaluate([beat("rpi-03", 51)]).unwrap()), [RESOLVED]);
    assert_eq!(told(&rule.evaluate([beat("rpi-03", 52)]).unwrap()), []);
}

#[test]
fn one_host_is_missed_while_others_go_on_also_within_a_batch() {
    let mut rows: Vec<Row> = (0..=12).map(|minute| beat("rpi-04", minute)).collect();
    rows.insert(1, beat("rpi-03", 0));
    rows.push(beat("rpi-03", 12));
    let outcome = rule().evaluate(rows).unwrap();
    assert_eq!(told(&outcome), [FIRED, RESOLVED]);
}

#[test]
fn a_host_that_goes_on_is_not_missed() {
    let rows = (0..100).map(|n| beat("rpi-03", n * 9));
    assert_eq!(told(&rule().evaluate(rows).unwrap()), []);
}

#[test]
fn a_record_that_comes_late_does_not_make_the_host_older() {
    let rows = [beat("rpi-03", 20), beat("rpi-03", 1)];
    let rule = rule();
    assert_eq!(told(&rule.evaluate(rows).unwrap()), []);
    assert_eq!(told(&rule.advance_to(30 * MINUTE_MS - 1).unwrap()), []);
    assert_eq!(told(&rule.advance_to(30 * MINUTE_MS).unwrap()), [FIRED]);
}

#[test]
fn a_silence_is_said_in_the_largest_unit_that_fits() {
    assert_eq!(in_words(600), "10 minutes");
    assert_eq!(in_words(60), "1 minute");
    assert_eq!(in_words(7200), "2 hours");
    assert_eq!(in_words(90), "90 seconds");
}

#[test]
fn no_silence_at_all_is_refused_in_words() {
    let error = Harness::<Heartbeat>::new(r#"{"silence_seconds": 0}"#).err().unwrap();
    assert!(error.contains("silence_seconds"), "{error}");
}
