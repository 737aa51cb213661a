use std::sync::Arc;

use super::*;
use crate::moment::Firing;
use crate::plan::{Closing, Plan, Window};

mod sessions;
mod sliding;

/// A state with one window, and the stream time of what is added to it.
struct Scene {
    state: RuleState,
    stream_ms: i64,
    offset: i64,
}

fn window(shape: Shape, aggregate: Aggregate, crossing: Crossing) -> Window {
    let (grace_ms, closing, evidence) = (0, Closing::None, 2);
    Window { name: "w".into(), shape, aggregate, grace_ms, crossing, closing, evidence }
}

fn count(shape: Shape, threshold: f64) -> Window {
    window(shape, Aggregate::Count, Crossing::AtLeast(threshold))
}

fn record(offset: i64) -> Evidence {
    Evidence { topic: "T".into(), partition: 0, offset, timestamp_ms: -1 }
}

impl Scene {
    fn new(window: Window) -> Self {
        let mut state = RuleState::new(64 << 20);
        let plan = Plan { windows: vec![window], ..Plan::default() };
        plan.check().unwrap();
        state.adopt(Arc::new(plan));
        Self { state, stream_ms: i64::MIN, offset: 0 }
    }

    fn at(&mut self, event_ms: i64) -> Moment {
        self.stream_ms = self.stream_ms.max(event_ms);
        Moment { event_ms, stream_ms: self.stream_ms }
    }

    fn add(&mut self, event_ms: i64, value: f64) -> Added {
        let at = self.at(event_ms);
        self.offset += 1;
        self.state.add(0, at, &record(self.offset), b"k", value).unwrap()
    }

    fn add_item(&mut self, event_ms: i64, item: &str) -> Added {
        let at = self.at(event_ms);
        self.offset += 1;
        self.state.add_item(0, at, &record(self.offset), b"k", item.as_bytes()).unwrap()
    }

    /// Adds a record that must not be late; the starts and values of what crossed.
    fn crossed(&mut self, event_ms: i64, value: f64) -> Vec<(i64, f64)> {
        let added = self.add(event_ms, value);
        assert_eq!(added.late, None);
        added.crossed.into_iter().map(|state| (state.start_ms, state.value)).collect()
    }

    /// Starts, ends and values of the windows that a time lies in.
    fn windows(&self, event_ms: i64) -> Vec<(i64, i64, f64)> {
        let at = Moment { event_ms, stream_ms: self.stream_ms.max(event_ms) };
        let windows = self.state.windows(0, at, b"k").unwrap().into_iter();
        windows.map(|state| (state.start_ms, state.end_ms, state.value)).collect()
    }
}

#[test]
fn a_tumbling_window_tells_once_that_it_crossed() {
    let mut scene = Scene::new(count(Shape::Tumbling(10), 2.0));
    assert_eq!(scene.crossed(0, 0.0), []);
    assert_eq!(scene.crossed(9, 0.0), [(0, 2.0)]);
    assert_eq!(scene.crossed(9, 0.0), []);
    // A record at the end is not in the window.
    assert_eq!(scene.crossed(10, 0.0), []);
    assert_eq!(scene.crossed(11, 0.0), [(10, 2.0)]);
}

#[test]
fn what_crossed_carries_the_first_records_and_the_extent() {
    let mut scene = Scene::new(count(Shape::Tumbling(10), 3.0));
    scene.add(-3, 0.0);
    scene.add(-10, 0.0);
    let added = scene.add(-1, 0.0);
    let state = WindowState {
        window: 0,
        key: b"k".to_vec(),
        start_ms: -10,
        end_ms: 0,
        value: 3.0,
        count: 3,
        evidence: vec![record(1), record(2)],
    };
    assert_eq!(added.crossed, [state]);
}

#[test]
fn a_record_is_late_from_exactly_end_and_grace_on() {
    let window = Window { grace_ms: 5, ..count(Shape::Tumbling(10), 2.0) };
    let mut scene = Scene::new(window);
    scene.add(3, 0.0);
    scene.add(14, 0.0);
    // Stream time 14 < 10 + 5.
    assert_eq!(scene.crossed(9, 0.0), [(0, 2.0)]);
    scene.add(15, 0.0);
    let late = scene.add(9, 0.0);
    assert_eq!(late.late, Some(Late { would_cross: false, windows: 1 }));
    assert_eq!(late.crossed, []);
    assert_eq!(scene.windows(9), []);
}

#[test]
fn a_late_record_says_whether_it_would_have_crossed() {
    let mut scene = Scene::new(count(Shape::Tumbling(10), 2.0));
    scene.add(3, 0.0);
    scene.add(50, 0.0);
    // One more in [0, 10) makes two; [20, 30) was never there.
    assert_eq!(scene.add(4, 0.0).late, Some(Late { would_cross: true, windows: 1 }));
    // It did not change the closed window.
    assert_eq!(scene.add(4, 0.0).late, Some(Late { would_cross: true, windows: 1 }));
    assert_eq!(scene.add(25, 0.0).late, Some(Late { would_cross: false, windows: 1 }));
    // What is no longer retained is empty.
    scene.add(10 + RETENTION_MS, 0.0);
    assert_eq!(scene.add(4, 0.0).late, Some(Late { would_cross: false, windows: 1 }));
}

#[test]
fn of_hopping_windows_those_that_are_open_take_a_record_that_is_late_for_others() {
    let shape = Shape::Hopping { size_ms: 10, advance_ms: 5 };
    let mut scene = Scene::new(count(shape, 2.0));
    scene.add(12, 0.0);
    assert_eq!(scene.windows(12), [(5, 15, 1.0), (10, 20, 1.0)]);
    scene.add(16, 0.0);
    let added = scene.add(13, 0.0);
    assert_eq!(added.late, Some(Late { would_cross: true, windows: 1 }));
    assert_eq!(added.crossed, []);
    assert_eq!(scene.windows(13), [(10, 20, 3.0)]);
}

#[test]
fn hopping_windows_cross_each_by_itself_in_the_order_of_their_starts() {
    let shape = Shape::Hopping { size_ms: 10, advance_ms: 5 };
    let mut scene = Scene::new(count(shape, 2.0));
    assert_eq!(scene.crossed(6, 0.0), []);
    assert_eq!(scene.crossed(7, 0.0), [(0, 2.0), (5, 2.0)]);
    assert_eq!(scene.crossed(11, 0.0), []);
    assert_eq!(scene.crossed(12, 0.0), [(10, 2.0)]);
}

#[test]
fn every_aggregate_has_its_value() {
    let never = Crossing::Never;
    let cases = [
        (Aggregate::Sum, 4.5),
        (Aggregate::Min, -2.0),
        (Aggregate::Max, 5.0),
        (Aggregate::Count, 3.0),
    ];
    for shape in [Shape::Tumbling(10), Shape::Sliding(10), Shape::Session(10)] {
        for (aggregate, value) in cases {
            let mut scene = Scene::new(window(shape, aggregate, never));
            for number in [1.5, -2.0, 5.0] {
                scene.add(5, number);
            }
            let found = scene.windows(5);
            assert_eq!((found.len(), found[0].2), (1, value), "{shape:?} {aggregate:?}");
        }
        let mut scene = Scene::new(window(shape, Aggregate::Distinct, never));
        for item in ["a", "b", "a", ""] {
            scene.add_item(5, item);
        }
        assert_eq!(scene.windows(5)[0].2, 3.0, "{shape:?}");
    }
}

#[test]
fn a_minimum_below_the_threshold_crosses_once() {
    let below = window(Shape::Tumbling(10), Aggregate::Min, Crossing::AtMost(1.0));
    let mut scene = Scene::new(below);
    assert_eq!(scene.crossed(1, 1.5), []);
    assert_eq!(scene.crossed(2, 1.0), [(0, 1.0)]);
    assert_eq!(scene.crossed(2, 0.5), []);
}

#[test]
fn what_a_window_cannot_take_is_refused_and_changes_nothing() {
    let never = Crossing::Never;
    let at = Moment { event_ms: 0, stream_ms: 0 };
    let long = vec![0; KEY_BYTES_MAX + 1];
    let mut scene = Scene::new(window(Shape::Tumbling(10), Aggregate::Sum, never));
    let before = scene.state.bytes();
    let state = &mut scene.state;
    let refused = state.add(0, at, &record(0), b"k", f64::NAN).unwrap_err();
    assert!(matches!(refused, StateError::Number { .. }));
    let refused = state.add(0, at, &record(0), &long, 1.0);
    assert_eq!(refused, Err(StateError::Key { bytes: KEY_BYTES_MAX + 1 }));
    let refused = state.add(1, at, &record(0), b"k", 1.0);
    assert_eq!(refused, Err(StateError::UnknownWindow { window: 1, windows: 1 }));
    let refused = state.add_item(0, at, &record(0), b"k", b"i");
    assert_eq!(refused, Err(StateError::WantsNumbers { window: "w".into() }));
    assert_eq!(state.bytes(), before);

    let mut scene = Scene::new(window(Shape::Tumbling(10), Aggregate::Distinct, never));
    let refused = scene.state.add(0, at, &record(0), b"k", 1.0);
    assert_eq!(refused, Err(StateError::WantsItems { window: "w".into() }));
    let refused = scene.state.add_item(0, at, &record(0), b"k", &long).unwrap_err();
    assert!(matches!(refused, StateError::Item { .. }));
}

#[test]
fn a_full_state_refuses_what_would_grow_it_and_takes_the_rest() {
    for shape in [
        Shape::Tumbling(1_000),
        Shape::Hopping { size_ms: 1_000, advance_ms: 250 },
        Shape::Session(1_000),
    ] {
        let mut scene = Scene::new(Window { evidence: 0, ..count(shape, 9.0) });
        scene.add(0, 0.0);
        let room = scene.state.bytes();
        let mut full = RuleState::new(room);
        full.adopt(Arc::clone(scene.state.plan().unwrap()));
        let at = Moment { event_ms: 0, stream_ms: 0 };
        full.add(0, at, &record(0), b"k", 0.0).unwrap();
        full.add(0, at, &record(0), b"k", 0.0).unwrap();
        full.begin_call();
        let refused = full.add(0, at, &record(0), b"l", 0.0).unwrap_err();
        assert!(matches!(refused, StateError::Full { .. }), "{shape:?}");
        assert!(refused.to_string().contains("state_mib"));
        assert_eq!(full.bytes(), room);
        assert_eq!(full.windows(0, at, b"l").unwrap(), []);
    }
}

#[test]
fn an_entry_that_would_be_too_large_for_the_changelog_is_refused() {
    let big = "x".repeat(KEY_BYTES_MAX - 10);
    for shape in [Shape::Tumbling(1_000), Shape::Sliding(1_000), Shape::Session(1_000)] {
        let mut scene = Scene::new(window(shape, Aggregate::Distinct, Crossing::Never));
        let at = Moment { event_ms: 5, stream_ms: 5 };
        let refused = (0..100).find_map(|n| {
            let item = format!("{n:03}{big}");
            scene.state.add_item(0, at, &record(n), b"k", item.as_bytes()).err()
        });
        assert!(matches!(refused, Some(StateError::Entry { .. })), "{shape:?}");
        assert!(scene.state.bytes() <= ENTRY_BYTES_MAX + 1_000);
        scene.state.seal(&mut |_, value| {
            assert!(value.is_some_and(|value| value.len() < crate::WIRE_BYTES_MAX));
        });
    }
}

#[test]
fn windows_that_close_are_told_once_at_end_and_grace() {
    for (closing, told) in [(Closing::None, 0), (Closing::Crossed, 1), (Closing::All, 2)] {
        let window = Window { closing, grace_ms: 5, ..count(Shape::Tumbling(10), 2.0) };
        let mut scene = Scene::new(window);
        scene.add(1, 0.0);
        scene.add(11, 0.0);
        scene.add(12, 0.0);
        let mut closed = vec![];
        while let Some((due_ms, firings)) = scene.state.fire(1_000) {
            for firing in firings {
                let Firing::Closed(state) = firing else { panic!("{firing:?}") };
                assert_eq!(due_ms, state.end_ms + 5);
                closed.push(state.start_ms);
            }
        }
        let expected: &[i64] = if closing == Closing::Crossed { &[10] } else { &[0, 10][..told] };
        assert_eq!(closed, expected, "{closing:?}");
        assert_eq!(scene.state.next_notice_ms(), None);
    }
}

#[test]
fn a_window_that_was_told_closed_stays_closed_when_the_grace_is_made_longer() {
    let window = Window { closing: Closing::All, ..count(Shape::Tumbling(10), 2.0) };
    let mut scene = Scene::new(window.clone());
    scene.add(1, 0.0);
    scene.add(10, 0.0);
    assert_eq!(scene.state.fire(10).map(|(due_ms, closed)| (due_ms, closed.len())), Some((10, 1)));
    let longer = Plan { windows: vec![Window { grace_ms: 100, ..window }], ..Plan::default() };
    assert_eq!(scene.state.adopt(Arc::new(longer)), []);
    assert_eq!(scene.add(2, 0.0).late, Some(Late { would_cross: true, windows: 1 }));
    // The other one takes up the longer grace.
    assert_eq!(scene.state.next_notice_ms(), Some(120));
}

#[test]
fn closed_windows_are_retained_for_questions_and_go_silently() {
    let window = Window { grace_ms: 5, ..count(Shape::Tumbling(10), 1.0) };
    let mut scene = Scene::new(window);
    scene.add(1, 0.0);
    scene.state.advance(15);
    let seen = |state: &RuleState| {
        let mut seen = vec![];
        state.each_window(&mut |name, window, closed, crossed| {
            seen.push((name.to_owned(), window.start_ms, closed, crossed));
        });
        seen
    };
    assert_eq!(seen(&scene.state), [("w".to_owned(), 0, true, true)]);
    assert_eq!(scene.state.open_windows(), 0);
    scene.state.expire(15 + RETENTION_MS - 1);
    assert_eq!(seen(&scene.state).len(), 1);
    scene.state.expire(15 + RETENTION_MS);
    assert_eq!(seen(&scene.state), []);
}

#[test]
fn what_the_rule_is_still_to_be_told_does_not_expire() {
    let window = Window { closing: Closing::All, ..count(Shape::Tumbling(10), 1.0) };
    let mut scene = Scene::new(window);
    scene.add(1, 0.0);
    scene.state.expire(i64::MAX);
    assert_eq!(scene.state.next_notice_ms(), Some(10));
    assert!(scene.state.fire(i64::MAX).is_some());
    scene.state.expire(i64::MAX);
    assert_eq!(scene.state.len(), 1, "only the entry about the state itself is left");
}

#[test]
fn closed_windows_are_told_by_key_then_start_then_place() {
    let window = |name: &str, grace_ms| Window {
        name: name.into(),
        closing: Closing::All,
        grace_ms,
        ..count(Shape::Tumbling(10), 9.0)
    };
    let plan = Plan { windows: vec![window("z", 10), window("a", 0)], ..Plan::default() };
    let mut state = RuleState::new(1 << 20);
    state.adopt(Arc::new(plan));
    for (window, event_ms, key) in [(1, 10, b"b"), (0, 0, b"b"), (1, 10, b"a"), (0, 0, b"a")] {
        let at = Moment { event_ms, stream_ms: event_ms };
        state.add(window, at, &record(0), key, 0.0).unwrap();
    }
    state.set_timer(b"z", crate::Due::EventTime(20)).unwrap();
    let (due_ms, firings) = state.fire(20).unwrap();
    let told = firings.into_iter().map(|firing| match firing {
        Firing::Timer { key, .. } => (key, 0, 0),
        Firing::Closed(state) => (state.key, state.start_ms, state.window),
    });
    let (a, b) = (b"a".to_vec(), b"b".to_vec());
    let expected =
        [(b"z".to_vec(), 0, 0), (a.clone(), 0, 0), (a, 10, 1), (b.clone(), 0, 0), (b, 10, 1)];
    assert_eq!((due_ms, told.collect::<Vec<_>>()), (20, expected.to_vec()));
}
