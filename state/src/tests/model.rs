//! Random operations, cut into calls and transactions at random, undone and restored at random.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::naive::{Answer, Naive, Op, Record};
use super::*;
use crate::Due;

/// What happens; times are relative to the rule's stream time.
#[derive(Debug, Clone)]
enum Step {
    Add { window: u32, key: u8, since_ms: i64, number: i8, item: u8 },
    Put { key: u8, value: u8, ttl_ms: Option<u64> },
    Insert { key: u8, value: u8, ttl_ms: Option<u64> },
    Delete { key: u8 },
    SetTimer { key: u8, in_ms: i64, wall: bool },
    ClearTimer { key: u8 },
    Fire,
    FireWall { now_ms: i64 },
    Expire,
}

/// Where operations are cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Begin,
    Undo,
    Seal,
    Committed,
    Abort,
    Restore,
}

/// Operations, most of them on one of these two windows and on one key: what happens between
/// records of one window is what is hard.
fn operation([one, other]: [u32; 2]) -> impl Strategy<Value = Step> {
    let since_ms = prop_oneof![
        12 => -12..12_i64,
        4 => -45..25_i64,
        1 => RETENTION_MS - 60..RETENTION_MS + 60,
    ];
    let window = prop_oneof![6 => Just(one), 3 => Just(other), 1 => 0..9_u32];
    let key = prop_oneof![4 => Just(0_u8), 1 => Just(1)];
    let add = (window, key, since_ms, -3..6_i8, 0..3_u8);
    let value = || (0..3_u8, any::<u8>(), proptest::option::of(0..60_u64));
    prop_oneof![
        20 => add.prop_map(|(window, key, since_ms, number, item)| Step::Add {
            window,
            key,
            since_ms,
            number,
            item,
        }),
        2 => value().prop_map(|(key, value, ttl_ms)| Step::Put { key, value, ttl_ms }),
        2 => value().prop_map(|(key, value, ttl_ms)| Step::Insert { key, value, ttl_ms }),
        1 => (0..3_u8).prop_map(|key| Step::Delete { key }),
        2 => (0..3_u8, -20..60_i64, any::<bool>())
            .prop_map(|(key, in_ms, wall)| Step::SetTimer { key, in_ms, wall }),
        1 => (0..3_u8).prop_map(|key| Step::ClearTimer { key }),
        2 => Just(Step::Fire),
        1 => (0..60_i64).prop_map(|now_ms| Step::FireWall { now_ms }),
        2 => Just(Step::Expire),
    ]
}

/// Operations on two windows, with what `beside` gives.
fn steps<S: Strategy>(
    beside: impl Fn() -> S,
    most: usize,
) -> impl Strategy<Value = Vec<(Step, S::Value)>> {
    let windows = [0..9_u32, 0..9_u32];
    windows.prop_flat_map(move |windows| {
        proptest::collection::vec((operation(windows), beside()), 0..most)
    })
}

fn cut() -> impl Strategy<Value = Cut> {
    prop_oneof![
        6 => Just(Cut::Begin),
        3 => Just(Cut::Undo),
        3 => Just(Cut::Seal),
        2 => Just(Cut::Committed),
        1 => Just(Cut::Abort),
        1 => Just(Cut::Restore),
    ]
}

impl Step {
    /// What is done by it at a stream time.
    fn ops(&self, stream_ms: i64, offset: i64) -> Vec<Op> {
        vec![match *self {
            Self::Add { window, key, since_ms, number, item } => {
                let event_ms = stream_ms + since_ms;
                let stream_ms = stream_ms.max(event_ms);
                let at = Moment { event_ms, stream_ms };
                let number = f64::from(number);
                let record = Record { window, at, key, number, item, offset };
                return vec![Op::Advance { stream_ms }, Op::Add(record)];
            }
            Self::Put { key, value, ttl_ms } => Op::Put { stream_ms, key, value, ttl_ms },
            Self::Insert { key, value, ttl_ms } => Op::Insert { stream_ms, key, value, ttl_ms },
            Self::Delete { key } => Op::Delete { key },
            Self::SetTimer { key, in_ms, wall: true } => {
                Op::SetTimer { key, due: Due::WallClock(in_ms) }
            }
            Self::SetTimer { key, in_ms, wall: false } => {
                Op::SetTimer { key, due: Due::EventTime(stream_ms + in_ms) }
            }
            Self::ClearTimer { key } => Op::ClearTimer { key },
            Self::Fire => Op::Fire { until_ms: stream_ms },
            Self::FireWall { now_ms } => Op::FireWall { now_ms },
            Self::Expire => Op::Expire { stream_ms },
        }]
    }
}

fn apply(state: &mut RuleState, op: &Op) -> Answer {
    match op {
        Op::Add(add) => {
            let (record, key) = (record(add.offset), &[add.key]);
            let distinct = plan().windows[add.window as usize].aggregate == Aggregate::Distinct;
            let added = if distinct {
                state.add_item(add.window, add.at, &record, key, &[add.item])
            } else {
                state.add(add.window, add.at, &record, key, add.number)
            };
            return Answer::Added(added.unwrap());
        }
        Op::Put { stream_ms, key, value, ttl_ms } => {
            state.put(*stream_ms, &[*key], &[*value], *ttl_ms).unwrap();
        }
        Op::Insert { stream_ms, key, value, ttl_ms } => {
            let inserted = state.insert(*stream_ms, &[*key], &[*value], *ttl_ms);
            return Answer::Inserted(inserted.unwrap());
        }
        Op::Delete { key } => state.delete(&[*key]).unwrap(),
        Op::SetTimer { key, due } => state.set_timer(&[*key], *due).unwrap(),
        Op::ClearTimer { key } => state.clear_timer(&[*key]),
        Op::Fire { until_ms } => {
            return Answer::Fired(std::iter::from_fn(|| state.fire(*until_ms)).collect());
        }
        Op::FireWall { now_ms } => {
            return Answer::Fired(vec![(*now_ms, state.fire_wall(*now_ms))]);
        }
        Op::Expire { stream_ms } => state.expire(*stream_ms),
        Op::Advance { stream_ms } => state.advance(*stream_ms),
    }
    Answer::Nothing
}

/// The state beside the list of what was done and is not undone.
struct Pair {
    plan: Arc<Plan>,
    state: RuleState,
    ops: Vec<Op>,
    /// Numbers of operations that are committed, sealed, and before the call.
    committed: usize,
    sealed: usize,
    call: usize,
    /// The committed changelog, and what was sealed since.
    changelog: BTreeMap<Vec<u8>, Vec<u8>>,
    pending: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Pair {
    fn new() -> Self {
        Self {
            plan: Arc::new(plan()),
            state: state_of(plan()),
            ops: vec![],
            committed: 0,
            sealed: 0,
            call: 0,
            changelog: BTreeMap::new(),
            pending: vec![],
        }
    }

    fn cut(&mut self, cut: Cut) {
        match cut {
            Cut::Begin => {
                self.state.begin_call();
                self.call = self.ops.len();
            }
            Cut::Undo => {
                self.state.undo_call();
                self.ops.truncate(self.call);
            }
            Cut::Seal => {
                let pending = &mut self.pending;
                let before = pending.len();
                self.state.seal(&mut |key, value| pending.push((key, value)));
                let mut keys = pending[before..].iter().map(|(key, _)| key);
                let mut known = std::collections::BTreeSet::new();
                assert!(keys.all(|key| known.insert(key)), "an entry is written once");
                assert!(!self.state.is_dirty());
                (self.sealed, self.call) = (self.ops.len(), self.ops.len());
            }
            Cut::Committed => {
                self.state.committed();
                self.committed = self.sealed;
                for (key, value) in self.pending.drain(..) {
                    match value {
                        Some(value) => drop(self.changelog.insert(key, value)),
                        None => drop(self.changelog.remove(&key)),
                    }
                }
            }
            Cut::Abort | Cut::Restore => {
                self.state.abort();
                self.pending.clear();
                self.ops.truncate(self.committed);
                (self.sealed, self.call) = (self.committed, self.committed);
                assert!(!self.state.is_dirty());
                let mut restored = restored(&self.changelog, Some(&self.plan));
                self.state.begin_call();
                restored.begin_call();
                same(&self.state, &restored);
                if matches!(cut, Cut::Restore) {
                    self.state = restored;
                }
            }
        }
    }

    fn check(&self) {
        let (naive, _) = Naive::replay(&self.plan, &self.ops);
        let state = &self.state;
        assert_eq!(state.stream_ms(), naive.stream_ms);
        assert_eq!(state.next_notice_ms(), naive.next_notice_ms());
        let stream_ms = naive.stream_ms.unwrap_or(0);
        for key in 0..3 {
            let value = state.get(stream_ms, &[key]).unwrap().map(|value| value[0]);
            assert_eq!(value, naive.get(key, stream_ms));
        }
        let mut timers = BTreeMap::new();
        state.each_timer(&mut |key, due| timers.extend([(key[0], due)]));
        assert_eq!(timers, naive.timers);
        for number in 0..9 {
            let at = Moment { event_ms: stream_ms - 3, stream_ms };
            for key in 0..2 {
                let windows = state.windows(number, at, &[key]).unwrap();
                assert_eq!(windows, naive.windows(number, at, key), "window {number}");
            }
        }
        let expected = naive.retained();
        let mut windows = vec![];
        state.each_window(&mut |_, it, closed, crossed| {
            let window = &self.plan.windows[it.window as usize];
            let retained = it.end_ms + window.grace_ms + RETENTION_MS > stream_ms;
            let it = (it, closed, crossed);
            // What is over may be there until it is removed.
            if !matches!(window.shape, Shape::Sliding(_)) && (retained || expected.contains(&it)) {
                windows.push(it);
            }
        });
        assert_eq!(windows, expected);
    }
}

/// Whether two states hold the same and will do the same.
fn same(one: &RuleState, other: &RuleState) {
    assert!(one == other, "{one:#?}\n\n{other:#?}");
    assert_eq!(one.bytes(), other.bytes());
    assert_eq!(one.store.indices(), other.store.indices());
    assert_eq!(one.store.by_definition(), other.store.by_definition());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_undone_and_restored_the_state_is_that_of_what_was_done(
        steps in steps(|| proptest::option::weighted(0.3, cut()), 80),
    ) {
        let mut pair = Pair::new();
        for ((step, cut), offset) in steps.iter().zip(0..) {
            for op in step.ops(pair.state.stream_ms().unwrap_or(0), offset) {
                let answer = apply(&mut pair.state, &op);
                pair.ops.push(op);
                let (_, expected) = Naive::replay(&pair.plan, &pair.ops);
                prop_assert_eq!(answer, expected, "{:?}", step);
            }
            pair.check();
            if let Some(cut) = cut {
                pair.cut(*cut);
                pair.check();
            }
        }
    }

    #[test]
    fn it_is_all_the_same_how_operations_are_cut_into_calls_and_transactions(
        steps in steps(|| 0..6_u8, 60),
    ) {
        let mut whole = state_of(plan());
        let mut cut = state_of(plan());
        let mut changelog = BTreeMap::new();
        for ((step, cuts), offset) in steps.iter().zip(0..) {
            for op in step.ops(whole.stream_ms().unwrap_or(0), offset) {
                prop_assert_eq!(apply(&mut whole, &op), apply(&mut cut, &op));
            }
            match cuts {
                0..3 => cut.begin_call(),
                3 => cut.seal(&mut |key, value| drop(changelog.insert(key, value))),
                4 => cut.committed(),
                _ => {}
            }
        }
        same(&whole, &cut);
        cut.seal(&mut |key, value| drop(changelog.insert(key, value)));
        let mut compacted = RuleState::new(64 << 20);
        for (key, value) in &changelog {
            compacted.restore(key, value.as_deref()).unwrap();
        }
        compacted.adopt(Arc::clone(whole.plan().unwrap()));
        same(&whole, &compacted);
        prop_assert!(!compacted.is_dirty());
        let mut written = BTreeMap::new();
        whole.seal(&mut |key, value| drop(written.insert(key, value)));
        changelog.retain(|_, value| value.is_some());
        written.retain(|_, value| value.is_some());
        prop_assert_eq!(written, changelog);
    }
}
