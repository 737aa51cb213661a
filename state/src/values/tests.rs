use std::sync::Arc;

use super::*;
use crate::limits::KEY_BYTES_MAX;
use crate::moment::Firing;
use crate::plan::Plan;

fn state() -> RuleState {
    RuleState::new(1 << 20)
}

#[test]
fn a_value_expires_exactly_at_its_time_whether_or_not_it_was_removed() {
    let mut state = state();
    state.put(100, b"k", b"v", Some(10)).unwrap();
    assert_eq!(state.get(109, b"k"), Ok(Some(&b"v"[..])));
    assert_eq!(state.get(110, b"k"), Ok(None));
    state.expire(109);
    assert_eq!(state.len(), 1);
    state.expire(110);
    assert_eq!(state.len(), 0);
    state.put(i64::MAX - 1, b"k", b"v", Some(u64::MAX)).unwrap();
    assert_eq!(state.get(i64::MAX - 1, b"k"), Ok(Some(&b"v"[..])));
}

#[test]
fn insert_puts_only_where_nothing_is() {
    let mut state = state();
    assert_eq!(state.insert(0, b"k", b"1", Some(10)), Ok(true));
    assert_eq!(state.insert(5, b"k", b"2", Some(10)), Ok(false));
    assert_eq!(state.get(9, b"k"), Ok(Some(&b"1"[..])), "it keeps its value");
    assert_eq!(state.get(10, b"k"), Ok(None), "and its expiry");
    assert_eq!(state.insert(10, b"k", b"3", None), Ok(true));
    state.delete(b"k").unwrap();
    assert_eq!(state.get(10, b"k"), Ok(None));
}

#[test]
fn deleting_what_is_not_there_changes_nothing() {
    let mut state = state();
    state.delete(b"k").unwrap();
    state.clear_timer(b"k");
    assert!(!state.is_dirty());
}

#[test]
fn keys_and_values_have_limits() {
    let mut state = state();
    let (key, value) = (vec![0; KEY_BYTES_MAX + 1], vec![0; VALUE_BYTES_MAX + 1]);
    let long = Err(StateError::Key { bytes: key.len() });
    assert_eq!(state.put(0, &key, b"", None), long);
    assert_eq!(state.delete(&key), long);
    assert_eq!(state.set_timer(&key, Due::EventTime(0)), long);
    assert_eq!(state.get(0, &key), Err(StateError::Key { bytes: key.len() }));
    let large = StateError::Value { bytes: value.len() };
    assert_eq!(state.put(0, b"k", &value, None), Err(large.clone()));
    assert_eq!(state.insert(0, b"k", &value, None), Err(large));
    // Under a limit of 1 MiB with what an entry costs besides.
    let refused = state.put(0, b"k", &value[1..], None).unwrap_err();
    assert!(matches!(refused, StateError::Full { bytes: 0, .. }), "{refused}");
    assert_eq!(state.len(), 0);
}

#[test]
fn a_full_state_takes_a_smaller_value_for_a_key_that_is_there() {
    let mut state = RuleState::new(1_000);
    state.put(0, b"k", &[0; 700], None).unwrap();
    let (bytes, bytes_max) = (state.bytes(), 1_000);
    let full = StateError::Full { bytes, wanted: bytes + 100, bytes_max };
    assert_eq!(state.put(0, b"k", &[1; 800], None), Err(full));
    assert_eq!(state.get(0, b"k"), Ok(Some(&[0; 700][..])));
    state.put(0, b"k", &[2; 600], None).unwrap();
    assert_eq!(state.bytes(), bytes - 100);
}

#[test]
fn timers_fire_once_in_the_order_of_their_times_one_time_after_the_other() {
    let mut state = state();
    for (key, due_ms) in [(b"b", 5), (b"a", 5), (b"c", 9), (b"d", -3), (b"e", 20)] {
        state.set_timer(key, Due::EventTime(due_ms)).unwrap();
    }
    state.set_timer(b"c", Due::EventTime(7)).unwrap();
    state.clear_timer(b"d");
    assert_eq!(state.next_notice_ms(), Some(5));
    assert_eq!(state.fire(4), None);
    let timer = |key: &[u8], due| Firing::Timer { key: key.to_vec(), due: Due::EventTime(due) };
    assert_eq!(state.fire(10), Some((5, vec![timer(b"a", 5), timer(b"b", 5)])));
    assert_eq!(state.fire(10), Some((7, vec![timer(b"c", 7)])));
    assert_eq!(state.fire(10), None);
    assert_eq!(state.next_notice_ms(), Some(20));
    assert_eq!(state.next_wall_ms(), None);
}

#[test]
fn timers_by_the_wall_clock_are_apart_from_those_by_event_time() {
    let mut state = state();
    state.set_timer(b"b", Due::WallClock(5)).unwrap();
    state.set_timer(b"a", Due::WallClock(9)).unwrap();
    state.set_timer(b"c", Due::WallClock(10)).unwrap();
    assert_eq!((state.next_notice_ms(), state.next_wall_ms()), (None, Some(5)));
    let keys: Vec<_> = state.fire_wall(9).into_iter().collect();
    let timer = |key: &[u8], due| Firing::Timer { key: key.to_vec(), due: Due::WallClock(due) };
    assert_eq!(keys, [timer(b"b", 5), timer(b"a", 9)]);
    // Set anew by event time, it leaves the wall clock.
    state.set_timer(b"c", Due::EventTime(1)).unwrap();
    assert_eq!((state.next_notice_ms(), state.next_wall_ms()), (Some(1), None));
}

#[test]
fn a_migration_replaces_all_values_and_keeps_the_expiry_of_keys_that_stay() {
    let mut state = state();
    state.advance(0);
    state.put(0, b"gone", b"1", None).unwrap();
    state.put(0, b"stays", b"1", Some(10)).unwrap();
    state.put(0, b"over", b"1", Some(1)).unwrap();
    state.set_timer(b"gone", Due::EventTime(3)).unwrap();
    state.advance(5);
    let pair = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
    assert_eq!(state.entries_for_migration(), [pair(b"gone", b"1"), pair(b"stays", b"1")]);
    state.seal(&mut |_, _| {});
    state.committed();
    state
        .replace_values(vec![pair(b"over", b"2"), pair(b"stays", b"2"), pair(b"new", b"2")])
        .unwrap();
    let mut seen = vec![];
    state.each_value(&mut |key, value, expires_ms| {
        seen.push((key.to_vec(), value.to_vec(), expires_ms));
    });
    let value = |key: &[u8], expires_ms| (key.to_vec(), b"2".to_vec(), expires_ms);
    assert_eq!(seen, [value(b"new", None), value(b"over", None), value(b"stays", Some(10))]);
    assert_eq!(state.next_notice_ms(), Some(3), "timers are not values");
    let mut changed = 0;
    state.seal(&mut |_, _| changed += 1);
    assert_eq!(changed, 4);
}

#[test]
fn values_that_are_put_back_are_as_they_were_and_that_is_a_change_that_is_written() {
    let mut state = state();
    state.advance(0);
    state.put(0, b"gone", b"1", Some(10)).unwrap();
    state.put(0, b"stays", b"1", None).unwrap();
    state.put(0, b"changed", b"1", Some(7)).unwrap();
    state.set_timer(b"gone", Due::EventTime(3)).unwrap();
    state.seal(&mut |_, _| {});
    state.committed();
    let before = state.values();
    let pair = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
    state
        .replace_values(vec![pair(b"changed", b"2"), pair(b"new", b"2"), pair(b"stays", b"1")])
        .unwrap();
    state.seal(&mut |_, _| {});
    state.committed();
    state.begin_call();
    state.put_values_back(&before);
    let mut seen = vec![];
    state.each_value(&mut |key, value, expires_ms| {
        seen.push((key.to_vec(), value.to_vec(), expires_ms));
    });
    let value = |key: &[u8], expires_ms| (key.to_vec(), b"1".to_vec(), expires_ms);
    let wanted = [value(b"changed", Some(7)), value(b"gone", Some(10)), value(b"stays", None)];
    assert_eq!(seen, wanted);
    assert_eq!(state.next_notice_ms(), Some(3), "timers are not values");
    let mut written = vec![];
    state.seal(&mut |_, value| written.push(value.is_some()));
    assert_eq!(written, [true, true, false], "what stayed is not written again");
}

#[test]
fn a_migration_that_gives_too_much_changes_nothing() {
    let mut state = RuleState::new(1_000);
    state.put(0, b"k", b"1", None).unwrap();
    let large = vec![(b"a".to_vec(), vec![0; 500]), (b"b".to_vec(), vec![0; 500])];
    assert!(matches!(state.replace_values(large), Err(StateError::Full { .. })));
    let long = vec![(vec![0; KEY_BYTES_MAX + 1], vec![])];
    assert!(matches!(state.replace_values(long), Err(StateError::Key { .. })));
    assert_eq!(state.entries_for_migration(), [(b"k".to_vec(), b"1".to_vec())]);
}

#[test]
fn versions_and_stream_time_are_entries_and_stream_time_never_goes_back() {
    let mut state = state();
    assert_eq!((state.stored_version(), state.stream_ms()), (None, None));
    assert_eq!(state.adopt(Arc::new(Plan::default())), []);
    assert!(!state.is_dirty(), "an empty plan is nothing to write down");
    state.set_version(3);
    state.advance(-7);
    state.begin_call();
    state.advance(10);
    state.advance(9);
    assert_eq!((state.stored_version(), state.stream_ms()), (Some(3), Some(10)));
    state.undo_call();
    assert_eq!(state.stream_ms(), Some(-7));
    let mut written = 0;
    state.seal(&mut |_, _| written += 1);
    assert_eq!(written, 1);
    state.advance(-7);
    state.set_version(3);
    assert!(!state.is_dirty());
}
