//! Times of which a record's author can make anything.

use proptest::prelude::*;

use super::*;
use crate::Due;

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        (-3..3_i64).prop_map(|near| i64::MAX.saturating_add(near)),
        (-3..3_i64).prop_map(|near| i64::MIN.saturating_add(near)),
        -100..100_i64,
        // The year 60000.
        Just(1_831_324_982_400_000),
    ]
}

fn size() -> impl Strategy<Value = i64> {
    prop_oneof![1..100_i64, Just(i64::MAX), Just(i64::MAX / 2)]
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        size().prop_map(Shape::Tumbling),
        size().prop_map(Shape::Sliding),
        size().prop_map(Shape::Session),
        (size(), 1..20_i64).prop_map(|(size_ms, parts)| Shape::Hopping {
            size_ms,
            advance_ms: (size_ms / parts).max(1),
        }),
    ]
}

proptest! {
    #[test]
    fn no_time_makes_it_panic_or_lose_count(
        (shape, grace_ms, distinct) in (shape(), 0..1_000_i64, any::<bool>()),
        rows in proptest::collection::vec((time(), time(), 0..6_u8), 0..30),
    ) {
        let aggregate = if distinct { Aggregate::Distinct } else { Aggregate::Sum };
        let closing = match shape {
            Shape::Sliding(_) => Closing::None,
            _ => Closing::All,
        };
        let window = window("w", shape, aggregate, Crossing::AtLeast(2.0));
        let window = Window { grace_ms, closing, evidence: 2, ..window };
        let mut state = state_of(Plan { windows: vec![window], ..Plan::default() });
        for (event_ms, stream_ms, what) in rows {
            // A stream time that goes back is the host's fault, but no reason to panic.
            let at = Moment { event_ms, stream_ms };
            if distinct {
                state.add_item(0, at, &record(0), b"k", &[what]).unwrap();
            } else {
                state.add(0, at, &record(0), b"k", 1.0).unwrap();
            }
            state.windows(0, at, b"k").unwrap();
            state.put(stream_ms, b"k", b"v", Some(event_ms.unsigned_abs())).unwrap();
            state.set_timer(b"k", Due::EventTime(event_ms)).unwrap();
            match what {
                0 => state.expire(stream_ms),
                1 => drop(state.fire(stream_ms)),
                2 => state.advance(stream_ms),
                3 => state.undo_call(),
                _ => state.begin_call(),
            }
            state.each_window(&mut |_, _, _, _| {});
            prop_assert!(state.open_windows() <= state.len());
        }
        state.abort();
        prop_assert_eq!((state.len(), state.bytes()), (0, 0));
        prop_assert_eq!(state.next_notice_ms(), None);
    }
}
