use super::*;

/// All sessions: start, end, count and whether they crossed.
fn sessions(scene: &Scene) -> Vec<(i64, i64, u64, bool)> {
    let mut all = vec![];
    scene.state.each_window(&mut |_, state, _, crossed| {
        all.push((state.start_ms, state.end_ms, state.count, crossed));
    });
    all
}

#[test]
fn a_gap_of_exactly_the_length_parts_two_sessions() {
    let mut scene = Scene::new(count(Shape::Session(10), 9.0));
    for event_ms in [0, 9, 19] {
        scene.add(event_ms, 0.0);
    }
    assert_eq!(sessions(&scene), [(0, 19, 2, false), (19, 29, 1, false)]);
    assert_eq!(scene.windows(28), [(19, 29, 1.0)]);
    assert_eq!(scene.windows(29), []);
}

#[test]
fn a_record_between_joins_two_sessions_to_one_of_three() {
    let window = Window { grace_ms: 100, evidence: 3, ..count(Shape::Session(10), 5.0) };
    let mut scene = Scene::new(window);
    for event_ms in [0, 2, 20, 21] {
        assert_eq!(scene.crossed(event_ms, 0.0), []);
    }
    assert_eq!(sessions(&scene).len(), 2);
    let added = scene.add(11, 0.0);
    let offsets: Vec<i64> = added.crossed[0].evidence.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [1, 2, 3]);
    assert_eq!((added.crossed[0].start_ms, added.crossed[0].end_ms), (0, 31));
    assert_eq!(sessions(&scene), [(0, 31, 5, true)]);
}

#[test]
fn what_was_told_of_a_session_stays_told_when_it_joins_others() {
    let window = Window { grace_ms: 100, ..count(Shape::Session(10), 2.0) };
    let mut scene = Scene::new(window);
    assert_eq!(scene.crossed(20, 0.0), []);
    assert_eq!(scene.crossed(21, 0.0), [(20, 2.0)]);
    assert_eq!(scene.crossed(0, 0.0), []);
    assert_eq!(scene.crossed(11, 0.0), []);
    assert_eq!(scene.crossed(9, 0.0), []);
    assert_eq!(sessions(&scene), [(0, 31, 5, true)]);
}

#[test]
fn a_record_before_a_session_moves_its_start() {
    let window = Window { grace_ms: 100, closing: Closing::All, ..count(Shape::Session(10), 9.0) };
    let mut scene = Scene::new(window);
    scene.add(20, 0.0);
    scene.add(11, 0.0);
    assert_eq!(sessions(&scene), [(11, 30, 2, false)]);
    assert_eq!(scene.state.next_notice_ms(), Some(130));
}

#[test]
fn joined_sessions_have_the_aggregate_of_all_their_records() {
    for (aggregate, value) in [(Aggregate::Sum, 9.0), (Aggregate::Min, 2.0), (Aggregate::Max, 4.0)]
    {
        let window =
            Window { grace_ms: 100, ..window(Shape::Session(10), aggregate, Crossing::Never) };
        let mut scene = Scene::new(window);
        for (event_ms, number) in [(0, 4.0), (18, 3.0), (9, 2.0)] {
            scene.add(event_ms, number);
        }
        assert_eq!(scene.windows(18), [(0, 28, value)], "{aggregate:?}");
    }
    let distinct = window(Shape::Session(10), Aggregate::Distinct, Crossing::AtLeast(3.0));
    let mut scene = Scene::new(Window { grace_ms: 100, ..distinct });
    scene.add_item(0, "a");
    scene.add_item(18, "b");
    scene.add_item(18, "a");
    let crossed = scene.add_item(9, "c").crossed;
    assert_eq!((crossed[0].value, crossed[0].count), (3.0, 4));
}

#[test]
fn a_session_is_closed_when_its_end_and_grace_are_over() {
    let window = Window { grace_ms: 5, ..count(Shape::Session(10), 3.0) };
    let mut scene = Scene::new(window);
    scene.add(0, 0.0);
    scene.add(14, 0.0);
    // Stream time 14 < 10 + 5: it still joins both.
    scene.add(9, 0.0);
    assert_eq!(sessions(&scene), [(0, 24, 3, true)]);
    scene.add(100, 0.0);
    // In the closed session; out of reach of any; and in reach of the open one.
    assert_eq!(scene.add(23, 0.0).late, Some(Late { would_cross: false, windows: 1 }));
    assert_eq!(scene.add(50, 0.0).late, Some(Late { would_cross: false, windows: 1 }));
    assert_eq!(scene.add(91, 0.0).late, None);
    assert_eq!(sessions(&scene), [(0, 24, 3, true), (91, 110, 2, false)]);
}

#[test]
fn a_late_record_would_have_crossed_the_closed_session_that_it_lies_in() {
    let mut scene = Scene::new(count(Shape::Session(10), 2.0));
    scene.add(0, 0.0);
    scene.add(10, 0.0);
    assert_eq!(scene.add(9, 0.0).late, Some(Late { would_cross: true, windows: 1 }));
    assert_eq!(sessions(&scene), [(0, 10, 1, false), (10, 20, 1, false)]);
}

#[test]
fn a_record_that_is_old_by_itself_is_taken_by_the_open_session_around_it() {
    let mut scene = Scene::new(count(Shape::Session(10), 9.0));
    for event_ms in [0, 9, 18, 27] {
        scene.add(event_ms, 0.0);
    }
    assert_eq!(scene.add(1, 0.0).late, None);
    assert_eq!(sessions(&scene), [(0, 37, 5, false)]);
}

#[test]
fn a_session_that_is_no_longer_retained_holds_nothing_back_whether_or_not_it_was_removed() {
    for expires in [false, true] {
        let gap_ms = 3 * RETENTION_MS;
        let mut scene = Scene::new(count(Shape::Session(gap_ms), 9.0));
        scene.add(0, 0.0);
        scene.stream_ms = gap_ms + RETENTION_MS - 1;
        assert!(scene.add(gap_ms - 1, 0.0).late.is_some());
        scene.stream_ms += 1;
        if expires {
            scene.state.expire(scene.stream_ms);
        }
        assert_eq!(scene.add(gap_ms - 1, 0.0).late, None);
        assert_eq!(scene.windows(gap_ms), [(gap_ms - 1, 2 * gap_ms - 1, 1.0)]);
    }
}
