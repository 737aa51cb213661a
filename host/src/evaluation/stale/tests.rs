use std::time::Duration;

use super::*;
use crate::evaluation::tests::{NOTIFY, evaluated, partition, rule, worker};
use crate::rules::{Mode, Rule};

fn old(rule: &mut Rule) {
    rule.stale_after = Some(Duration::from_millis(10));
}

/// Evaluates records as a worker does; that of offset `n` is of the time 1,000 + `n`.
fn caught_up(worker: &mut WorkerSet, offsets: std::ops::Range<i64>, now_ms: i64) -> Evaluation {
    let mut out = evaluated(worker, offsets);
    worker.sort_out_stale(&partition(), now_ms, 0, &mut out);
    out
}

fn digests(worker: &mut WorkerSet, now_ms: i64) -> Vec<Entry> {
    let mut out = Evaluation::default();
    worker.take_digests(&partition(), 99, now_ms, &mut out);
    out.entries
}

#[test]
fn old_alerts_are_counted_and_news_are_posted() {
    let (a, b) = (rule("a", NOTIFY, old), rule("b", NOTIFY, |_| {}));
    let mut worker = worker(&[&a, &b]);
    // 1,000 to 1,003 are older than 10 ms; the record at 6 has no time.
    let out = caught_up(&mut worker, 0..7, 1_014);
    let of = |rule: &str| {
        let entries = out.entries.iter().filter(|entry| entry.intent.rule == rule);
        entries.map(|entry| entry.intent.record.offset).collect::<Vec<_>>()
    };
    assert_eq!(of("a"), [4, 5, 6]);
    assert_eq!(of("b"), [0, 1, 2, 3, 4, 5, 6], "`off` posts them all");
    assert!(out.entries.iter().all(|entry| !entry.is_stale));
    assert_eq!(out.stale, [("a".into(), 4)]);
    assert!(worker.states().is_dirty(), "it goes into the transaction");
    assert_eq!(worker.states().stale_inputs(), [partition()]);
}

#[test]
fn counts_become_one_entry_for_a_rule_and_channel() {
    // The first asks for the rule's first channel, all later ones for another.
    let asks = format!("{NOTIFY} (global.set $named (i32.const 1)) {NOTIFY}");
    let a = rule("a", &asks, |rule| {
        old(rule);
        rule.channels.push("derived".into());
    });
    let mut worker = worker(&[&a, &rule("b", NOTIFY, old)]);
    caught_up(&mut worker, 0..3, 2_000);
    caught_up(&mut worker, 3..5, 2_000);
    let entries = digests(&mut worker, 2_000);
    let told = entries.iter().map(|entry| {
        let digest = entry.digest.as_ref().unwrap();
        let to = (entry.intent.rule.as_str(), entry.channel.as_str());
        (to, digest.count, digest.first_ms, digest.last_ms)
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (("a", "derived"), 9, 1_000, 1_004),
            (("a", "general"), 1, 1_000, 1_000),
            (("b", "general"), 5, 1_000, 1_004),
        ]
    );
    assert_eq!(digests(&mut worker, 2_000), [], "told once");
    let last = &entries[2];
    assert_eq!(last.intent.to_string(), "SYSLOG/2/99#b#4294967295");
    assert_eq!((last.notification.kind, last.is_stale), (Kind::Update, false));
    assert_eq!((last.rule_version.as_str(), last.generation), ("version of b", 7));
}

#[test]
fn a_day_is_one_alert_from_wherever_it_comes() {
    const DAY_MS: i64 = 86_400_000;
    let mut worker = worker(&[&rule("a", NOTIFY, old)]);
    let mut at = |now_ms| {
        caught_up(&mut worker, 0..2, now_ms);
        digests(&mut worker, now_ms).pop().unwrap()
    };
    let (morning, evening, tomorrow) = (at(DAY_MS), at(2 * DAY_MS - 1), at(2 * DAY_MS));
    assert_eq!(morning.notification.alert_key.as_deref(), Some("$digest 1970-01-02"));
    assert_eq!(morning.alert, evening.alert);
    assert_ne!(morning.alert, tomorrow.alert);
}

#[test]
fn a_change_of_an_old_alert_goes_on_with_a_mark() {
    let mut worker = worker(&[&rule("a", NOTIFY, old)]);
    let mut out = evaluated(&mut worker, 0..2);
    for (entry, kind) in out.entries.iter_mut().zip([Kind::Update, Kind::Resolve]) {
        entry.notification.kind = kind;
    }
    worker.sort_out_stale(&partition(), 2_000, 0, &mut out);
    assert_eq!(out.entries.iter().map(|entry| entry.is_stale).collect::<Vec<_>>(), [true, true]);
    assert_eq!(out.stale, []);
}

#[test]
fn an_aborted_batch_is_counted_once_when_it_is_read_again() {
    let mut worker = worker(&[&rule("a", NOTIFY, old)]);
    caught_up(&mut worker, 0..3, 2_000);
    worker.states().abort();
    assert_eq!(worker.states().stale_inputs(), []);
    caught_up(&mut worker, 0..3, 2_000);
    let told = digests(&mut worker, 2_000).into_iter();
    assert_eq!(told.filter_map(|e| Some(e.digest?.count)).collect::<Vec<_>>(), [3]);
}

#[test]
fn what_a_shadow_rule_asks_for_is_not_told_late_either() {
    let shadow = rule("shadow", NOTIFY, |rule| {
        old(rule);
        rule.mode = Mode::Shadow;
    });
    let mut worker = worker(&[&shadow]);
    let out = caught_up(&mut worker, 0..3, 2_000);
    assert_eq!((out.stale.len(), out.rules[0].notifications[0]), (0, 3));
    assert_eq!(digests(&mut worker, 2_000), []);
}

#[test]
fn entries_of_other_partitions_are_left_alone() {
    let mut worker = worker(&[&rule("a", NOTIFY, old)]);
    let mut out = evaluated(&mut worker, 0..2);
    let before = out.entries.len();
    worker.sort_out_stale(&partition(), 2_000, before, &mut out);
    assert_eq!((out.entries.len(), out.stale.len()), (2, 0));
}
