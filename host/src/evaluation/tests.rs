//! Rules beside each other: order, failures, quarantine, what is allowed.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::dead_letter::Stage;
use crate::engine::testing::guest;
use crate::engine::{Engine, FailureReason};
use crate::limits::Limits;
use crate::notification::AlertId;
use crate::rules::Rule;
use crate::subscription::Format;
use crate::tables::TableSet;

pub(super) const NOTIFY: &str = "(call $notify (local.get $row))";
const TRAP_AT_3: &str = "(if (i64.eq (local.get $offset) (i64.const 3)) (then unreachable))
    (call $notify (local.get $row))";

/// A rule that reads `SYSLOG` and does `each_row`; `change` makes it special.
pub(super) fn rule(name: &str, each_row: &str, change: impl FnOnce(&mut Rule)) -> Arc<Rule> {
    let component = Engine::new(None).unwrap().compile(&guest(each_row)).unwrap();
    let name: Arc<str> = name.into();
    let limits = Limits::default();
    let described = component.instantiate(&name, &limits).unwrap().describe("{}").unwrap();
    let described = described.subscription;
    let mut subscription = described.clone();
    subscription.topics.push("SYSLOG".into());
    let mut rule = Rule {
        version: format!("version of {name}"),
        name,
        component,
        config_json: "{}".into(),
        described,
        plan: Arc::default(),
        keyed: false,
        tables: TableSet::default(),
        subscription,
        conditions: vec![],
        format: Format::Json,
        channels: vec!["general".into(), "#other".into()],
        emit: vec!["derived".into()],
        mode: Mode::Active,
        stale_after: None,
        limits,
        health: Health::default(),
    };
    change(&mut rule);
    Arc::new(rule)
}

pub(super) fn worker(rules: &[&Arc<Rule>]) -> WorkerSet {
    let rules = rules.iter().map(|rule| Arc::clone(rule));
    WorkerSet::new(Arc::new(RuleSet::new(7, rules).unwrap()))
}

pub(super) fn partition() -> TopicPartition {
    TopicPartition::new("SYSLOG", 2)
}

/// A record with `offset`; every fifth has a header, every seventh no key and no timestamp.
fn evaluate(worker: &mut WorkerSet, offsets: std::ops::Range<i64>, out: &mut Evaluation) {
    let headers = vec![("trace".to_owned(), Some(b"1".to_vec()))];
    let values: Vec<String> =
        offsets.clone().map(|offset| format!("{{\"host\":\"rpi-{offset:02}\"}}")).collect();
    let records: Vec<Record<'_>> = offsets
        .zip(&values)
        .map(|(offset, value)| Record {
            offset,
            timestamp_ms: if offset % 7 == 6 { -1 } else { 1_000 + offset },
            key: (offset % 7 != 6).then_some(b"key".as_slice()),
            value: Some(value.as_bytes()),
            headers: if offset % 5 == 4 { &headers } else { &() },
        })
        .collect();
    worker.evaluate(&partition(), &records, out);
}

pub(super) fn evaluated(worker: &mut WorkerSet, offsets: std::ops::Range<i64>) -> Evaluation {
    let mut out = Evaluation::default();
    evaluate(worker, offsets, &mut out);
    out
}

fn offsets_of(entries: &[Entry]) -> Vec<(i64, &str)> {
    entries.iter().map(|e| (e.intent.record.offset, e.intent.rule.as_str())).collect()
}

#[test]
fn entries_are_complete_and_ordered_by_record_then_rule() {
    let (b, a) = (rule("b", NOTIFY, |_| {}), rule("a", NOTIFY, |_| {}));
    let out = evaluated(&mut worker(&[&b, &a]), 5..7);
    assert_eq!(offsets_of(&out.entries), [(5, "a"), (5, "b"), (6, "a"), (6, "b")]);
    let entry = &out.entries[1];
    assert_eq!(entry.intent.to_string(), "SYSLOG/2/5#b#0");
    let alert = AlertId::of(&entry.intent, entry.event_time_ms, &entry.notification);
    assert_eq!(entry.alert, alert);
    assert_eq!(entry.channel, "general");
    assert_eq!(entry.event_time_ms, 1_005);
    assert_eq!(out.entries[3].event_time_ms, -1);
    assert_eq!((entry.rule_version.as_str(), entry.generation), ("version of b", 7));
    let report = &out.rules[0];
    assert_eq!((&*report.rule, &*report.topic, report.matched), ("a", "SYSLOG", 2));
    assert_eq!(report.notifications, [2, 0, 0, 0]);
    assert_eq!(report.calls.len(), 1);
    assert_eq!((report.calls[0].rows, report.calls[0].failure), (2, None));
    assert_eq!(report.calls[0].duration, None, "nobody gave a clock");
    assert_eq!(out.batches[0].records, 2);
}

#[test]
fn several_effects_of_a_record_are_numbered() {
    let twice = rule("twice", &format!("{NOTIFY} (call $emit (local.get $row)) {NOTIFY}"), |_| {});
    let out = evaluated(&mut worker(&[&twice]), 0..2);
    let indices: Vec<u32> = out.entries.iter().map(|entry| entry.intent.index).collect();
    assert_eq!(indices, [0, 2, 0, 2]);
}

#[test]
fn a_record_that_traps_is_lost_for_that_rule_alone() {
    let (bad, good) = (rule("bad", TRAP_AT_3, |_| {}), rule("good", NOTIFY, |_| {}));
    let out = evaluated(&mut worker(&[&bad, &good]), 2..5);
    assert_eq!(
        offsets_of(&out.entries),
        [(2, "bad"), (2, "good"), (3, "good"), (4, "bad"), (4, "good")]
    );
    let [letter] = out.dead_letters.as_slice() else { panic!("{:?}", out.dead_letters) };
    assert_eq!(letter.record.offset, 3);
    assert_eq!((letter.stage, letter.reason), (Stage::Evaluate, "trap"));
    assert_eq!(&*letter.rule.as_ref().unwrap().name, "bad");
    assert_eq!(letter.value.as_deref(), Some(b"{\"host\":\"rpi-03\"}".as_slice()));
    assert_eq!(letter.generation, 7);
    let failed: Vec<_> = out.rules[0].calls.iter().map(|call| (call.rows, call.failure)).collect();
    let trap = Some(FailureReason::Trap);
    assert_eq!(failed, [(3, trap), (1, None), (1, trap), (1, None)]);
    assert_eq!(bad.health.state(), health::State::Healthy, "its last record went well");
    assert_eq!(bad.health.failed(), 1);
}

#[test]
fn a_rule_that_only_fails_is_quarantined_and_its_records_are_kept_for_it() {
    let change = |rule: &mut Rule| rule.limits.quarantine_after = 3;
    let bad = rule("bad", "unreachable", change);
    let good = rule("good", NOTIFY, |_| {});
    let mut worker = worker(&[&bad, &good]);
    let out = evaluated(&mut worker, 0..5);
    let reasons: Vec<_> = out.dead_letters.iter().map(|d| (d.record.offset, d.reason)).collect();
    assert_eq!(
        reasons,
        [(0, "trap"), (1, "trap"), (2, "trap"), (3, "quarantined"), (4, "quarantined")]
    );
    assert!(out.dead_letters[4].message.contains("after 3 failed records in a row"));
    assert!(out.dead_letters[4].message.contains("last SYSLOG/2/2"));
    assert!(out.rules[0].quarantined);
    assert_eq!(out.entries.len(), 5);
    assert_eq!(bad.health.state(), health::State::Quarantined);
    let later = evaluated(&mut worker, 5..7);
    assert_eq!(later.dead_letters.len(), 2);
    assert!(later.rules[0].calls.is_empty(), "it is not called any more");
    assert!(!later.rules[0].quarantined, "told once");
}

#[test]
fn a_channel_that_is_not_allowed_becomes_one_dead_letter_with_the_cure() {
    let asks = format!("(global.set $named (i32.const 1)) {NOTIFY} {NOTIFY}");
    let refused = rule("refused", &asks, |_| {});
    let out = evaluated(&mut worker(&[&refused]), 0..1);
    assert_eq!(out.entries, []);
    let [letter] = out.dead_letters.as_slice() else { panic!("{:?}", out.dead_letters) };
    assert_eq!((letter.stage, letter.reason), (Stage::Channel, "channel_not_allowed"));
    assert_eq!(
        letter.message,
        "rule `refused` may not post to channel `derived` (allowed: general, #other); add it to \
         `channels` in refused.toml"
    );
    let allowed = rule("allowed", &asks, |rule| rule.channels.push("#derived".into()));
    let out = evaluated(&mut worker(&[&allowed]), 0..1);
    assert_eq!(out.entries.iter().map(|e| e.channel.as_str()).collect::<Vec<_>>(), ["derived"; 2]);
    assert_eq!(out.dead_letters, []);
}

#[test]
fn a_whole_record_is_emitted_as_it_is_and_only_to_allowed_topics() {
    let emits = rule("emits", "(call $emit (local.get $row))", |_| {});
    let out = evaluated(&mut worker(&[&emits]), 4..7);
    let first = &out.emitted[0];
    assert_eq!(&*first.topic, "derived");
    assert_eq!(first.key.as_deref(), Some(b"key".as_slice()));
    assert_eq!(first.value.as_deref(), Some(b"{\"host\":\"rpi-04\"}".as_slice()));
    assert_eq!(first.headers, [("trace".to_owned(), Some(b"1".to_vec()))]);
    assert_eq!((first.timestamp_ms, first.partition), (Some(1_004), None));
    assert_eq!((&out.emitted[2].key, out.emitted[2].timestamp_ms), (&None, None));
    assert_eq!(out.rules[0].emitted, [("derived".to_owned(), 3)]);

    let refused = rule("refused", "(call $emit (local.get $row))", |rule| rule.emit.clear());
    let out = evaluated(&mut worker(&[&refused]), 0..1);
    assert_eq!(out.emitted, []);
    assert_eq!(out.dead_letters[0].stage, Stage::Emit);
    assert!(out.dead_letters[0].message.contains("(none is allowed); add it to `emit`"));
}

#[test]
fn shadow_is_counted_and_goes_nowhere_and_paused_is_not_called() {
    let each = format!("{TRAP_AT_3} (call $emit (local.get $row))");
    let shadow = rule("shadow", &each, |rule| rule.mode = Mode::Shadow);
    let paused = rule("paused", NOTIFY, |rule| rule.mode = Mode::Paused);
    let out = evaluated(&mut worker(&[&shadow, &paused]), 0..5);
    assert!(!out.has_effects());
    let [report] = out.rules.as_slice() else { panic!("{:?}", out.rules) };
    assert_eq!((&*report.rule, report.notifications[0]), ("shadow", 4));
    assert_eq!(report.emitted, [("derived".to_owned(), 4)]);
}

#[test]
fn a_record_that_cannot_be_decoded_is_one_dead_letter_whatever_the_number_of_rules() {
    let (a, b) = (rule("a", NOTIFY, |_| {}), rule("b", NOTIFY, |_| {}));
    let value = |offset, value| Record {
        offset,
        timestamp_ms: 0,
        key: None,
        value: Some(value),
        headers: &(),
    };
    let records = [value(0, b"{\"host\":\"a\"}".as_slice()), value(1, b"not json".as_slice())];
    let mut out = Evaluation::default();
    worker(&[&a, &b]).evaluate(&partition(), &records, &mut out);
    let [letter] = out.dead_letters.as_slice() else { panic!("{:?}", out.dead_letters) };
    assert_eq!((letter.record.offset, letter.stage), (1, Stage::Decode));
    assert_eq!(letter.reason, "undecodable");
    assert_eq!(letter.rule, None);
    assert_eq!(out.batches[0].undecodable, 1);
    assert_eq!(offsets_of(&out.entries), [(0, "a"), (0, "b")]);
}

#[test]
fn records_of_a_topic_that_no_rule_reads_give_nothing() {
    let a = rule("a", NOTIFY, |_| {});
    let record = Record { offset: 0, timestamp_ms: 0, key: None, value: Some(b"{}"), headers: &() };
    let mut out = Evaluation::default();
    worker(&[&a]).evaluate(&TopicPartition::new("OTHER", 0), &[record], &mut out);
    assert!(!out.has_effects() && out.rules.is_empty());
}

#[test]
fn a_batch_that_is_too_much_where_its_records_are_not_loses_nothing() {
    let change = |rule: &mut Rule| rule.limits.output_bytes = 100;
    let small = rule("small", NOTIFY, change);
    let mut worker = worker(&[&small]);
    let out = evaluated(&mut worker, 0..20);
    assert_eq!(out.entries.len(), 20);
    assert_eq!(out.dead_letters, []);
    assert_eq!(small.health.failed(), 0);
    evaluated(&mut worker, 20..40);
    evaluated(&mut worker, 40..60);
    let later = evaluated(&mut worker, 60..80);
    assert_eq!(later.entries.len(), 20);
    assert!(
        later.rules[0].calls.iter().all(|call| call.failure.is_none()),
        "calls became small enough: {:?}",
        later.rules[0].calls
    );
}

#[test]
fn an_instance_that_grew_fat_is_replaced_between_batches() {
    // A megabyte for every record, never given back.
    let each = format!("(call $grow (i32.const 16)) {NOTIFY}");
    let fat = rule("fat", &each, |rule| rule.limits.memory_mib = 8);
    let mut worker = worker(&[&fat]);
    for first in 0..50 {
        let out = evaluated(&mut worker, first..first + 1);
        assert_eq!(out.rules[0].calls[0].failure, None, "record {first}");
    }
}

#[test]
fn a_rule_that_does_not_describe_itself_as_before_is_not_shown_records() {
    let change = |rule: &mut Rule| rule.described.condition = Some("host == 'a'".into());
    let unstable = rule("unstable", NOTIFY, change);
    let mut worker = worker(&[&unstable]);
    assert_eq!(worker.failures()[0].1.reason, FailureReason::UnstableDescribe);
    let out = evaluated(&mut worker, 0..1);
    assert_eq!(out.entries, []);
    assert_eq!(out.dead_letters[0].reason, "unstable_describe");
    assert!(out.dead_letters[0].message.contains("must answer the same"));
}

#[test]
fn durations_are_reported_when_there_is_a_clock() {
    let a = rule("a", NOTIFY, |_| {});
    let time = std::cell::Cell::new(Duration::ZERO);
    let mut worker = worker(&[&a]).with_clock(Box::new(move || {
        time.set(time.get() + Duration::from_millis(3));
        time.get()
    }));
    let out = evaluated(&mut worker, 0..1);
    assert_eq!(out.rules[0].calls[0].duration, Some(Duration::from_millis(3)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_same_records_in_other_batches_give_the_same_bytes(
        cuts in proptest::collection::btree_set(1_i64..12, 0..6),
    ) {
        let emits = rule("a", "(call $emit (local.get $row)) (call $notify (local.get $row))", |_| {});
        let traps = rule("b", TRAP_AT_3, |_| {});
        let whole = evaluated(&mut worker(&[&emits, &traps]), 0..12);
        let mut parts = Evaluation::default();
        let mut worker = worker(&[&emits, &traps]);
        let mut from = 0;
        for to in cuts.into_iter().chain([12]) {
            evaluate(&mut worker, from..to, &mut parts);
            from = to;
        }
        prop_assert_eq!(whole.entries, parts.entries);
        prop_assert_eq!(whole.emitted, parts.emitted);
        prop_assert_eq!(whole.dead_letters, parts.dead_letters);
    }
}
