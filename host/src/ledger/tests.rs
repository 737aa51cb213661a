//! The ledger in memory and on the wire.

use std::collections::BTreeMap;

use super::*;

pub(super) fn entry(alert: &str, channel: &str, updated_ms: i64) -> Entry {
    let opened_by = "SYSLOG/0/42#invalid-user#0".to_owned();
    Entry {
        place: Some(Place { channel_id: "C1".into(), ts: "1520176464.000100".into() }),
        last_intent: "SYSLOG/0/43#invalid-user#0".into(),
        outbox_offset: 17,
        updated_ms,
        ..Entry::new(alert.parse().unwrap(), channel, opened_by, State::Open)
    }
}

const A: &str = "00000000000000000000000000000001";
const B: &str = "00000000000000000000000000000002";

#[test]
fn one_alert_in_two_channels_is_two_entries() {
    let mut ledger = Ledger::default();
    ledger.put(entry(A, "general", 1));
    ledger.put(entry(A, "ops", 2));
    assert_eq!(ledger.len(), 2);
    assert_eq!(ledger.get(&A.parse().unwrap(), "ops").unwrap().updated_ms, 2);
    assert!(ledger.get(&B.parse().unwrap(), "ops").is_none());
}

#[test]
fn a_ledger_is_restored_by_its_records_in_order() {
    let mut ledger = Ledger::default();
    let (first, second) = (entry(A, "general", 1), entry(B, "general", 2));
    for entry in [&first, &second] {
        ledger.restore(&entry.key(), Some(&entry.to_bytes())).unwrap();
    }
    ledger.restore(&first.key(), None).unwrap();
    assert!(ledger.get(&first.alert, "general").is_none());
    assert_eq!(ledger.get(&second.alert, "general"), Some(&second));
    assert!(ledger.restore(b"x", Some(b"{")).is_err());
    assert_eq!(ledger.len(), 1);
}

#[test]
fn what_is_old_is_forgotten_and_named_for_tombstones() {
    let mut ledger = Ledger::default();
    ledger.put(entry(A, "general", 1_000));
    ledger.put(entry(B, "general", 2_000));
    assert_eq!(ledger.expire(2_000, i64::MAX), [entry(A, "general", 0).key()]);
    assert_eq!(ledger.len(), 1);
    assert!(ledger.expire(2_000, i64::MAX).is_empty());
    // What the outbox is still read from is told again when it is forgotten.
    let mut again = Ledger::default();
    again.put(Entry { outbox_offset: 7, ..entry(A, "general", 1_000) });
    assert!(again.expire(2_000, 7).is_empty());
    assert_eq!(again.expire(2_000, 8).len(), 1);
}

#[test]
fn a_tally_has_the_sum_of_the_alerts_that_are_told_in_it() {
    let tally = Tally { offset: 3, opened_ms: 1, closed_ms: None, said: None };
    let of = |told_in: &Option<ToldIn>, n: usize, state| Entry {
        told_in: told_in.clone(),
        state,
        ..entry(&format!("{n:032x}"), "general", 1)
    };
    let mut ledger = Ledger::default();
    let alert = A.parse().unwrap();
    ledger.put(Entry { tally: Some(tally.clone()), ..entry(A, "general", 1) });
    let told_in = ToldIn {
        tally: alert,
        rule: "r".into(),
        key: None,
        severity: Severity::Info,
        fires: 2,
        first_ms: 1,
        last_ms: 2,
    };
    ledger.put(of(&Some(told_in.clone()), 7, State::Open));
    ledger.put(of(&Some(told_in.clone()), 8, State::Resolved));
    // Again: the same alert is not counted twice.
    ledger.put(of(&Some(told_in), 8, State::Resolved));
    ledger.put(of(&None, 9, State::Open));
    let tallies = ledger.tallies("general");
    assert_eq!(tallies[0].1, ledger.sum(&alert));
    assert_eq!(ledger.channels_of_many(), ["general".to_owned()].into());
    assert_eq!(tallies.len(), 1);
    let said = tallies[0].1.said(false);
    assert_eq!((said.alerts, said.resolved), (4, 1));
}

#[test]
fn offsets_of_an_outbox_that_was_made_anew_are_forgotten() {
    let mut ledger = Ledger::default();
    ledger.put(entry(A, "general", 1));
    assert!(!ledger.outbox_ends_at(18));
    assert!(ledger.outbox_ends_at(17));
    assert_eq!(ledger.get(&A.parse().unwrap(), "general").unwrap().outbox_offset, -1);
}

#[test]
fn what_waits_in_a_group_to_be_told_is_not_forgotten_and_neither_is_its_group() {
    let group: AlertId = B.parse().unwrap();
    let member = |alert: &str, state, is_news| Entry {
        member: Some(Member {
            group,
            key: Some("k".into()),
            labels: BTreeMap::new(),
            last_ms: 0,
            turn: None,
            is_news,
            is_folded: false,
        }),
        labels: Some(Labels::default()),
        ..Entry::new(alert.parse().unwrap(), "general", String::new(), state)
    };
    let group = Entry {
        group: Some(Group {
            labels: BTreeMap::new(),
            offset: 0,
            opened_ms: 0,
            wait_ms: 0,
            interval_ms: 0,
            repeat_ms: None,
            closed_ms: None,
            said: None,
        }),
        ..Entry::new(group, "general", String::new(), State::Open)
    };
    let held = member(A, State::Suppressed, false);
    let mut ledger = Ledger::default();
    [group.clone(), held.clone()].into_iter().for_each(|entry| ledger.put(entry));
    assert!(ledger.expire(1, i64::MAX).is_empty());
    ledger.put(member(A, State::Open, true));
    assert!(ledger.expire(1, i64::MAX).is_empty());
    ledger.put(member(A, State::Open, false));
    let mut forgotten = ledger.expire(1, i64::MAX);
    forgotten.sort();
    assert_eq!(forgotten, [held.key(), group.key()]);
}
