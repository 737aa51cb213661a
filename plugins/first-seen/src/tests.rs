//! The rule, called natively.

use super::*;
use firebell_rule::testing::{Harness, Row};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn seen(value: &str, day: i64) -> Row {
    Row::new().set("value", value).timestamp_ms(day * DAY_MS)
}

fn titles(config_json: &str, rows: impl IntoIterator<Item = Row>) -> Vec<String> {
    let mut rule = Harness::<FirstSeen>::new(config_json).unwrap();
    let mut titles = vec![];
    for row in rows {
        let outcome = rule.evaluate([row]).unwrap();
        titles.extend(outcome.notifications().iter().map(|told| told.title.clone()));
        rule.restart();
    }
    titles
}

#[test]
fn each_value_is_told_once() {
    let rows = [seen("rpi-03", 0), seen("rpi-03", 0), seen("rpi-04", 1), seen("rpi-03", 2)];
    let told = ["rpi-03 is new as host", "rpi-04 is new as host"];
    assert_eq!(titles("{}", rows.clone()), told);
    let outcome = Harness::<FirstSeen>::new("{}").unwrap().evaluate(rows).unwrap();
    assert_eq!(outcome.effects.iter().map(|effect| effect.row).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn a_value_that_stays_away_is_new_again_and_one_that_comes_is_not() {
    let rows = || (0..10).map(|n| seen("rpi-03", n * 20)).chain([seen("rpi-03", 211)]);
    assert_eq!(titles("{}", rows()).len(), 2);
    assert_eq!(titles(r#"{"ttl_days": 0}"#, rows()).len(), 1);
}

#[test]
fn the_field_is_chosen_and_a_record_without_it_is_passed_over() {
    let rule = Harness::<FirstSeen>::new(r#"{"field": "/remote_address"}"#).unwrap();
    assert_eq!(rule.subscription().fields[0].source, "/remote_address");
    let outcome = rule.evaluate([Row::new(), seen("10.0.0.1", 0)]).unwrap();
    assert_eq!(outcome.notifications()[0].title, "10.0.0.1 is new as remote_address");
}

#[test]
fn a_field_that_is_no_pointer_is_refused_with_the_cure() {
    let error = Harness::<FirstSeen>::new(r#"{"field": "host"}"#).err().unwrap();
    assert!(error.contains("`/host`"), "{error}");
}
