//! Plans that change, and transactions around them.

use super::*;
use crate::{Dropped, Due, StateError};

fn plan_of(windows: Vec<Window>) -> Arc<Plan> {
    Arc::new(Plan { windows, ..Plan::default() })
}

fn burst(size_ms: i64) -> Window {
    window("burst", Shape::Tumbling(size_ms), Aggregate::Count, Crossing::AtLeast(3.0))
}

fn visits() -> Window {
    window("visits", Shape::Session(10), Aggregate::Count, Crossing::Never)
}

/// A state with an entry of `burst` and two of `visits`, and a value.
fn kept() -> RuleState {
    let mut state = RuleState::new(1 << 20);
    state.adopt(plan_of(vec![burst(10), visits()]));
    state.add(0, at(1), &record(1), b"k", 0.0).unwrap();
    state.add(1, at(1), &record(1), b"k", 0.0).unwrap();
    state.add(1, at(1), &record(1), b"l", 0.0).unwrap();
    state.put(1, b"k", b"v", None).unwrap();
    state
}

fn dropped(window: &str, entries: usize, redefined: bool) -> Dropped {
    Dropped { window: window.into(), entries, redefined }
}

#[test]
fn windows_go_on_in_a_plan_of_another_order_and_with_other_thresholds() {
    let mut state = kept();
    let crossing = Crossing::AtLeast(2.0);
    let burst = Window { crossing, closing: Closing::All, grace_ms: 7, ..burst(10) };
    assert_eq!(state.adopt(plan_of(vec![visits(), burst])), []);
    assert_eq!(state.next_notice_ms(), Some(17));
    let crossed = state.add(1, at(2), &record(2), b"k", 0.0).unwrap().crossed;
    assert_eq!((crossed[0].window, crossed[0].count), (1, 2));
    assert_eq!(state.windows(0, at(2), b"l").unwrap()[0].window, 0);
}

#[test]
fn entries_of_windows_that_changed_or_are_gone_are_dropped_by_name() {
    let mut state = kept();
    state.seal(&mut |_, _| {});
    state.committed();
    let gone = state.adopt(plan_of(vec![burst(20)]));
    assert_eq!(gone, [dropped("burst", 1, true), dropped("visits", 2, false)]);
    let mut tombstones = 0;
    state.seal(&mut |_, value| tombstones += usize::from(value.is_none()));
    assert_eq!(tombstones, 3);
    assert_eq!(state.get(1, b"k"), Ok(Some(&b"v"[..])), "values have no window");
    assert_eq!(state.adopt(plan_of(vec![burst(10)])), [], "what is dropped is gone");
}

#[test]
fn a_restored_state_still_knows_the_names_of_windows_that_are_gone() {
    let mut state = kept();
    let mut entries = vec![];
    state.seal(&mut |key, value| entries.extend(value.map(|value| (key, value))));
    let mut restored = restored(entries.iter().map(|(key, value)| (key, value)), None);
    assert_eq!(restored.adopt(plan_of(vec![burst(10)])), [dropped("visits", 2, false)]);
    assert!(restored.is_dirty());
}

#[test]
fn a_plan_that_is_taken_back_within_the_call_loses_nothing() {
    let mut state = kept();
    let before = plan_of(vec![burst(10), visits()]);
    state.begin_call();
    assert_eq!(state.adopt(plan_of(vec![])).len(), 2);
    state.replace_values(vec![]).unwrap();
    state.undo_call();
    assert_eq!(state.adopt(before), []);
    state.begin_call();
    assert!(state == kept());
    assert_eq!(state.open_windows(), 3);
}

#[test]
fn an_abort_behind_a_new_plan_does_not_bring_back_what_it_has_no_place_for() {
    let mut state = kept();
    state.seal(&mut |_, _| {});
    state.committed();
    state.adopt(plan_of(vec![burst(10)]));
    state.seal(&mut |_, _| {});
    state.abort();
    state.begin_call();
    state.undo_call();
    let mut tombstones = 0;
    state.begin_call();
    state.seal(&mut |_, value| tombstones += usize::from(value.is_none()));
    assert_eq!(tombstones, 2);
    let mut names = vec![];
    state.each_window(&mut |name, _, _, _| names.push(name.to_owned()));
    assert_eq!(names, ["burst"]);
}

#[test]
fn without_a_plan_there_are_no_windows_but_values_and_timers() {
    let mut state = RuleState::new(1 << 20);
    let refused = state.add(0, at(0), &record(0), b"k", 0.0);
    assert_eq!(refused, Err(StateError::UnknownWindow { window: 0, windows: 0 }));
    state.put(0, b"k", b"v", None).unwrap();
    state.set_timer(b"k", Due::WallClock(3)).unwrap();
    assert_eq!(state.len(), 2);
    assert!(!state.is_empty());
}

#[test]
fn a_transaction_is_written_while_the_next_is_made_and_both_can_be_aborted() {
    let mut state = kept();
    state.seal(&mut |_, _| {});
    state.committed();
    state.put(1, b"k", b"2", None).unwrap();
    state.seal(&mut |_, _| {});
    assert!(!state.is_dirty());
    state.begin_call();
    state.put(1, b"k", b"3", None).unwrap();
    state.put(1, b"new", b"3", None).unwrap();
    state.begin_call();
    state.delete(b"k").unwrap();
    state.undo_call();
    assert_eq!(state.get(1, b"k"), Ok(Some(&b"3"[..])));
    state.abort();
    assert_eq!(state.get(1, b"k"), Ok(Some(&b"v"[..])));
    assert_eq!(state.get(1, b"new"), Ok(None));
    assert!(!state.is_dirty());
    assert!(state == kept());
}

#[test]
fn what_is_committed_stays_when_the_next_transaction_is_aborted() {
    let mut state = RuleState::new(1 << 20);
    state.put(0, b"k", b"1", None).unwrap();
    state.seal(&mut |_, _| {});
    state.put(0, b"k", b"2", None).unwrap();
    state.delete(b"k").unwrap();
    state.committed();
    assert!(state.is_dirty());
    state.abort();
    assert_eq!(state.get(0, b"k"), Ok(Some(&b"1"[..])));
}

#[test]
fn an_entry_that_came_and_went_is_written_as_gone() {
    let mut state = RuleState::new(1 << 20);
    for _ in 0..3 {
        state.put(0, b"k", b"1", None).unwrap();
        state.delete(b"k").unwrap();
    }
    let mut written = vec![];
    state.seal(&mut |_, value| written.push(value));
    assert_eq!(written, [None]);
    assert_eq!(state.bytes(), 0);
}
