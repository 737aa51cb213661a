//! Compiled guests that misbehave, beside one that does not, in evaluation without Kafka.

use std::fs;
use std::sync::Arc;

use firebell::dead_letter::Stage;
use firebell::engine::{DescribeError, Described, Engine, FailureReason};
use firebell::evaluation::{Evaluation, Health, WorkerSet};
use firebell::limits::Limits;
use firebell::record::{Record, TopicPartition};
use firebell::rules::{Mode, Rule, RuleSet};
use firebell::subscription::Format;
use firebell::tables::TableSet;
use firebell_tests::guests::{guest, shipped};

/// Enough for a guest to reach another limit than fuel.
const MUCH_FUEL: Limits = Limits { fuel_per_record: 1_000_000_000, ..Limits::DEFAULT };

fn rule(engine: &Engine, name: &str, config: &str, limits: Limits) -> Arc<Rule> {
    let component = engine.compile(&fs::read(guest(name)).unwrap()).unwrap();
    let name: Arc<str> = name.into();
    let mut instance = component.instantiate(&name, &limits).unwrap();
    let Described { subscription: described, plan } = instance.describe(config).unwrap();
    let mut subscription = described.clone();
    subscription.topics = vec!["SYSLOG".into()];
    Arc::new(Rule {
        version: component.hash().to_owned(),
        name,
        component,
        config_json: config.into(),
        conditions: subscription.condition.iter().cloned().collect(),
        described,
        plan: Arc::new(plan),
        keyed: false,
        tables: TableSet::default(),
        subscription,
        format: Format::Json,
        channels: vec!["general".into()],
        emit: vec!["OUT".into()],
        mode: Mode::Active,
        stale_after: None,
        limits,
        health: Health::default(),
    })
}

fn evaluate(rules: &[&Arc<Rule>], messages: &[&str]) -> Evaluation {
    let set = RuleSet::new(1, rules.iter().map(|rule| Arc::clone(rule))).unwrap();
    let mut worker = WorkerSet::new(Arc::new(set));
    assert_eq!(worker.failures(), []);
    let values: Vec<String> = messages
        .iter()
        .map(|message| serde_json::json!({"host": "rpi-03", "message": message}).to_string())
        .collect();
    let records: Vec<Record<'_>> = values
        .iter()
        .zip(0_i64..)
        .map(|(value, offset)| Record {
            offset,
            timestamp_ms: 1_000,
            key: None,
            value: Some(value.as_bytes()),
            headers: &(),
        })
        .collect();
    let mut out = Evaluation::default();
    worker.evaluate(&TopicPartition::new("SYSLOG", 0), &records, &mut out);
    out
}

/// The titles of a rule's notifications.
fn titles<'a>(out: &'a Evaluation, rule: &str) -> Vec<&'a str> {
    let of_rule = out.entries.iter().filter(|entry| entry.intent.rule == rule);
    of_rule.map(|entry| entry.notification.title.as_str()).collect()
}

#[test]
fn a_guest_that_misbehaves_loses_one_record_and_hurts_nobody() {
    const HOSTILE: [(&str, &str, FailureReason, &str); 9] = [
        ("trap", "a trap", FailureReason::Trap, "unreachable"),
        ("panic-text", "a panic", FailureReason::Panic, "cannot read the message: a panic"),
        ("endless-loop", "a loop", FailureReason::OutOfFuel, "`fuel_per_record` is 2000000"),
        ("memory-hog", "a hog", FailureReason::MemoryLimit, "more than 64 MiB (`memory_mib`)"),
        ("huge-output", "huge", FailureReason::OutputLimit, "more than 1048576 (`output_bytes`)"),
        ("huge-output", "enormous", FailureReason::OutputLimit, "1048576 bytes (`output_bytes`)"),
        (
            "many-notifications",
            "many",
            FailureReason::NotificationLimit,
            "more than 16 notifications (`notifications_per_record`)",
        ),
        ("returns-error", "an error", FailureReason::Refused, "cannot judge: an error"),
        ("bad-row", "a row", FailureReason::InvalidEffect, "but the batch has 1"),
    ];
    let engine = Engine::new(None).unwrap();
    let good = rule(&engine, "v1", "{}", Limits::DEFAULT);
    for (name, message, reason, text) in HOSTILE {
        let limits = if name == "endless-loop" { Limits::DEFAULT } else { MUCH_FUEL };
        let hostile = rule(&engine, name, "{}", limits);
        let out = evaluate(&[&hostile, &good], &["before", message, "after"]);
        assert_eq!(titles(&out, name), ["before", "after"], "{name}");
        let all = ["v1: before", &format!("v1: {message}"), "v1: after"];
        assert_eq!(titles(&out, "v1"), all, "{name}");
        let [letter] = out.dead_letters.as_slice() else {
            panic!("{name}: {:?}", out.dead_letters)
        };
        assert_eq!(letter.record.offset, 1, "{name}");
        assert_eq!((letter.stage, letter.reason), (Stage::Evaluate, reason.as_str()), "{name}");
        assert!(letter.message.contains(text), "{name}: {}", letter.message);
        assert_eq!(&*letter.rule.as_ref().unwrap().name, name);
    }
}

#[test]
fn a_flood_of_log_lines_is_cut_and_counted() {
    let flood = rule(&Engine::new(None).unwrap(), "log-flood", "{}", MUCH_FUEL);
    let out = evaluate(&[&flood], &["a flood"]);
    assert_eq!(titles(&out, "log-flood"), ["a flood"], "{:?}", out.dead_letters);
    let logs = &out.rules[0].logs;
    assert_eq!(logs.lines.len(), 100);
    assert_eq!(logs.dropped, 1_001 - 100);
    assert!(logs.lines.iter().all(|line| line.message.len() <= 2_048));
}

#[test]
fn a_derived_record_is_emitted_with_its_header() {
    let emits = rule(&Engine::new(None).unwrap(), "emits", r#"{"topic":"OUT"}"#, Limits::DEFAULT);
    let out = evaluate(&[&emits], &["a=b"]);
    let [record] = out.emitted.as_slice() else { panic!("{:?}", out.emitted) };
    assert_eq!(&*record.topic, "OUT");
    assert_eq!(record.key.as_deref(), Some(b"a".as_slice()));
    assert_eq!(record.value.as_deref(), Some(b"b".as_slice()));
    assert_eq!(record.headers.len(), 1);
    assert_eq!(record.timestamp_ms, Some(1_000));
}

#[test]
fn a_file_that_is_no_rule_is_refused_with_its_cure() {
    const REFUSED: [(&str, &str, &str); 5] = [
        ("foreign-imports", "`wasi:clocks/", "build for wasm32-unknown-unknown"),
        ("foreign-env", "`env`", "may import only `firebell:rule/*`"),
        ("wrong-world", "not `firebell:rule/guest@0.1.0`", "build it for the world"),
        ("newer-contract", "`firebell:rule/guest@0.9.0`", "upgrade the host, or build against 0.1"),
        ("no-interface", "without Firebell's interface", "build it with the crate `firebell-rule`"),
    ];
    let engine = Engine::new(None).unwrap();
    for (name, what, cure) in REFUSED {
        let error = engine.compile(&fs::read(guest(name)).unwrap()).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains(cure), "{name}: {error}");
    }
}

#[test]
fn a_half_written_rule_is_told_as_such_wherever_it_ends() {
    let engine = Engine::new(None).unwrap();
    let whole = fs::read(shipped("invalid-user")).unwrap();
    assert!(engine.compile(&whole).is_ok());
    for part in 1..40 {
        let bytes = &whole[..whole.len() * part / 40];
        let error = engine.compile(bytes).unwrap_err().to_string();
        assert!(error.contains("half-written"), "{} bytes: {error}", bytes.len());
    }
}

#[test]
fn a_core_module_runs_as_its_component_does() {
    let engine = Engine::new(None).unwrap();
    let core = guest("v1").with_extension("core.wasm");
    let component = engine.compile(&fs::read(core).unwrap()).unwrap();
    let mut instance = component.instantiate(&"v1".into(), &Limits::default()).unwrap();
    let described = rule(&engine, "v1", "{}", Limits::DEFAULT).described.clone();
    assert_eq!(instance.describe("{}").unwrap().subscription, described);
}

#[test]
fn a_rule_that_refuses_its_configuration_or_describes_itself_anew_is_not_loaded() {
    let engine = Engine::new(None).unwrap();
    let describe = |name: &str| {
        let component = engine.compile(&fs::read(guest(name)).unwrap()).unwrap();
        component.instantiate(&name.into(), &Limits::default()).unwrap().describe("{}")
    };
    assert!(matches!(describe("refuses-config"), Err(DescribeError::Refused(_))));
    assert_eq!(describe("unstable-describe"), Err(DescribeError::Unstable));
}
