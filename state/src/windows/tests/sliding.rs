use super::*;

#[test]
fn a_sliding_window_holds_what_is_less_than_its_size_ago() {
    let mut scene = Scene::new(count(Shape::Sliding(10), 3.0));
    assert_eq!(scene.crossed(0, 0.0), []);
    assert_eq!(scene.crossed(5, 0.0), []);
    // At 10 the record at 0 is out.
    assert_eq!(scene.crossed(10, 0.0), []);
    assert_eq!(scene.crossed(14, 0.0), [(4, 3.0)]);
    assert_eq!(scene.windows(14), [(4, 14, 3.0)]);
    assert_eq!(scene.windows(24), []);
}

#[test]
fn it_is_told_again_only_after_it_was_found_below() {
    let mut scene = Scene::new(count(Shape::Sliding(10), 2.0));
    assert_eq!(scene.crossed(0, 0.0), []);
    assert_eq!(scene.crossed(1, 0.0), [(-9, 2.0)]);
    assert_eq!(scene.crossed(2, 0.0), []);
    // Alone in its window: armed again.
    assert_eq!(scene.crossed(12, 0.0), []);
    assert_eq!(scene.crossed(13, 0.0), [(3, 2.0)]);
}

#[test]
fn after_silence_it_is_a_new_situation_whether_or_not_it_was_removed() {
    for expires in [false, true] {
        let mut scene = Scene::new(count(Shape::Sliding(10), 1.0));
        assert_eq!(scene.crossed(0, 0.0), [(-10, 1.0)]);
        assert_eq!(scene.crossed(9, 0.0), []);
        if expires {
            scene.state.expire(18);
            assert_eq!(scene.state.open_windows(), 1);
            scene.state.expire(19);
            assert_eq!(scene.state.open_windows(), 0);
        }
        assert_eq!(scene.crossed(19, 0.0), [(9, 1.0)]);
    }
}

#[test]
fn a_record_out_of_order_counts_by_its_own_time() {
    let window = Window { grace_ms: 10, evidence: 9, ..count(Shape::Sliding(10), 9.0) };
    let mut scene = Scene::new(window);
    for event_ms in [10, 12, 4] {
        scene.add(event_ms, 0.0);
    }
    assert_eq!(scene.windows(4), [(-6, 4, 1.0)]);
    assert_eq!(scene.windows(12), [(2, 12, 3.0)]);
    let at = Moment { event_ms: 12, stream_ms: 12 };
    let state = scene.state.windows(0, at, b"k").unwrap().remove(0);
    let offsets: Vec<i64> = state.evidence.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [3, 1, 2], "in the order of their times");
}

#[test]
fn a_record_out_of_order_does_not_arm_it_again() {
    let mut scene = Scene::new(count(Shape::Sliding(10), 2.0));
    scene.add(10, 0.0);
    assert_eq!(scene.crossed(11, 0.0), [(1, 2.0)]);
    assert_eq!(scene.crossed(3, 0.0), []);
    assert_eq!(scene.crossed(12, 0.0), []);
}

#[test]
fn a_record_is_late_from_exactly_size_and_grace_ago_on() {
    let mut scene = Scene::new(Window { grace_ms: 5, ..count(Shape::Sliding(10), 1.0) });
    scene.add(20, 0.0);
    assert_eq!(scene.add(6, 0.0).late, None);
    assert_eq!(scene.add(5, 0.0).late, Some(Late { would_cross: true, windows: 1 }));
}

#[test]
fn different_items_are_counted_over_the_window_alone() {
    let distinct = window(Shape::Sliding(10), Aggregate::Distinct, Crossing::AtLeast(3.0));
    let mut scene = Scene::new(Window { grace_ms: 10, ..distinct });
    assert_eq!(scene.add_item(0, "a").crossed, []);
    assert_eq!(scene.add_item(5, "b").crossed, []);
    assert_eq!(scene.add_item(8, "a").crossed, []);
    // At 12 the first a is out, the second is in.
    let crossed = scene.add_item(12, "c").crossed;
    assert_eq!((crossed[0].value, crossed[0].count), (3.0, 3));
    // Out of order, between: at 5 there are a and b, at 9 a, b and the new d.
    scene.add_item(9, "d");
    scene.add_item(3, "b");
    assert_eq!(scene.windows(5), [(-5, 5, 2.0)]);
    assert_eq!(scene.windows(9), [(-1, 9, 3.0)]);
    assert_eq!(scene.windows(12), [(2, 12, 4.0)]);
}

#[test]
fn what_is_too_old_is_forgotten() {
    let mut scene = Scene::new(window(Shape::Sliding(10), Aggregate::Sum, Crossing::Never));
    scene.add(0, 1.0);
    let one = scene.state.bytes();
    for event_ms in 1..1_000 {
        scene.add(event_ms, 1.0);
    }
    assert_eq!(scene.windows(999), [(989, 999, 10.0)]);
    assert!(scene.state.bytes() < one + 10 * 100);
}

#[test]
fn records_of_before_the_plan_kept_evidence_have_none() {
    let before = Window { evidence: 0, ..count(Shape::Sliding(10), 9.0) };
    let mut scene = Scene::new(before.clone());
    scene.add(0, 0.0);
    let plan = Plan { windows: vec![Window { evidence: 5, ..before }], ..Plan::default() };
    assert_eq!(scene.state.adopt(Arc::new(plan)), []);
    scene.add(1, 0.0);
    let at = Moment { event_ms: 1, stream_ms: 1 };
    let state = scene.state.windows(0, at, b"k").unwrap().remove(0);
    assert_eq!((state.count, state.evidence.len()), (2, 1));
}
