//! What holds for every rule, and for the contract that the crate carries.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use firebell_rule::testing::{Harness, Row};
use firebell_rule::{Config, Derived, Effect, Effects, Emitted, Notification, Record, Rule};
use firebell_rule::{RowEffect, Subscription};

/// Says what it reads.
struct Reads;

impl Rule for Reads {
    fn new(config: Config) -> Result<Self, String> {
        if config.as_json().contains("bad") { Err("no bad ones, please".into()) } else { Ok(Self) }
    }

    fn subscribe(&self) -> Subscription {
        Subscription::new()
            .topic("SYSLOG")
            .text("text", "/text")
            .integer("integer", "/integer")
            .float("float", "/float")
            .boolean("boolean", "/boolean")
            .bytes("bytes", "$value")
            .json("json", "/json")
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        match record.text("text") {
            Some("undeclared") => drop(record.text("hots")),
            Some("misread") => drop(record.text("integer")),
            Some("fail") => return out.fail("told to"),
            Some("emit") => out.emit("COUNTS", Derived::new("k", "v").header("h", "x")),
            Some("whole") => out.emit_whole("COPIES"),
            _ => {}
        }
        out.notify(Notification::fire(format!(
            "{record:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            record.timestamp_ms(),
            record.text("text"),
            record.integer("integer"),
            record.float("float"),
            record.boolean("boolean"),
            record.bytes("bytes"),
            record.json("json"),
        )));
    }
}

firebell_rule::export!(Reads);

fn titles(rows: impl IntoIterator<Item = Row>) -> Vec<String> {
    let outcome = Harness::<Reads>::new("{}").unwrap().evaluate(rows).unwrap();
    outcome.notifications().iter().map(|notification| notification.title.clone()).collect()
}

#[test]
fn the_crate_carries_the_contract_as_it_is() {
    let released = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/0.1.1/rule.wit");
    let carried = concat!(env!("CARGO_MANIFEST_DIR"), "/wit/0.1.1/rule.wit");
    assert_eq!(std::fs::read(released).unwrap(), std::fs::read(carried).unwrap());
}

#[test]
fn fields_are_read_by_name_and_type_and_missing_ones_are_none() {
    let full = Row::new()
        .timestamp_ms(7)
        .set("text", "ü")
        .set("integer", i64::MIN)
        .set("float", -0.5)
        .set("boolean", true)
        .set("bytes", &[0xff, 0][..])
        .set("json", r#"{"a":[1]}"#);
    assert_eq!(
        titles([full.clone(), Row::new(), full]),
        [
            r#"SYSLOG/0/0 Some(7) Some("ü") Some(-9223372036854775808) Some(-0.5) Some(true) Some([255, 0]) Some("{\"a\":[1]}")"#,
            "SYSLOG/0/1 None None None None None None None",
            r#"SYSLOG/0/2 Some(7) Some("ü") Some(-9223372036854775808) Some(-0.5) Some(true) Some([255, 0]) Some("{\"a\":[1]}")"#,
        ]
    );
}

#[test]
fn effects_name_the_row_that_they_are_about() {
    let rule = Harness::<Reads>::new("{}").unwrap();
    let outcome =
        rule.evaluate([Row::new().set("text", "emit"), Row::new().set("text", "whole")]).unwrap();
    assert_eq!(outcome.effects.iter().map(|effect| effect.row).collect::<Vec<_>>(), [0, 0, 1, 1]);
    assert_eq!(outcome.emitted_to(), ["COUNTS", "COPIES"]);
    let whole = Effect::Emit { topic: "COPIES".into(), content: Emitted::Whole };
    assert_eq!(outcome.effects[2], RowEffect { row: 1, effect: whole });
}

#[test]
fn a_failure_fails_the_batch_with_its_reason() {
    let rule = Harness::<Reads>::new("{}").unwrap();
    let rows = [Row::new(), Row::new().set("text", "fail")];
    assert_eq!(rule.evaluate(rows).unwrap_err(), "told to");
}

#[test]
fn a_refused_configuration_says_why() {
    assert_eq!(Harness::<Reads>::new("bad").err().as_deref(), Some("no bad ones, please"));
}

#[test]
#[should_panic(expected = "field `hots` was not declared by subscribe(); declared: text, integer")]
fn reading_an_undeclared_field_is_a_mistake_that_tests_find() {
    titles([Row::new().set("text", "undeclared")]);
}

#[test]
#[should_panic(expected = "was declared as integer and read as text; read it by record.integer()")]
fn reading_a_field_as_another_type_is_a_mistake_that_tests_find() {
    titles([Row::new().set("text", "misread").set("integer", 1)]);
}
