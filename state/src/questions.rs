//! Questions of people to a rule's state, and its figures.

use crate::entry::{Definitions, Entry};
use crate::key::Kind;
use crate::moment::{Due, WindowState};
use crate::plan::Shape;
use crate::sliding::Reach;
use crate::state::RuleState;
use crate::values::lives;

impl RuleState {
    /// Shows every window that is retained: the name, the window as it stands, whether it is
    /// closed and whether it crossed. In the order of the plan, the keys and the starts. A sliding
    /// window is shown as of its newest record; whether it crossed is whether it was past the
    /// threshold at the last look.
    pub fn each_window(&self, each: &mut dyn FnMut(&str, WindowState, bool, bool)) {
        let stored;
        // Who reads what is kept without its rule has no plan.
        let definitions = match (self.plan(), self.meta()) {
            (None, Some(meta)) => {
                stored = Definitions::of_meta(meta);
                &stored
            }
            _ => &*self.definitions,
        };
        let mut entries = self.store.sorted(Kind::is_window);
        let position = |fingerprint| definitions.find(fingerprint).map(|found| found.position);
        entries.sort_by_key(|(key, _)| position(key.definition));
        let stream_ms = self.stream_ms();
        let passed = |closes_ms| stream_ms.is_some_and(|stream_ms| closes_ms <= stream_ms);
        for (key, entry) in entries {
            let Some(definition) = definitions.find(key.definition) else { continue };
            let window = &definition.window;
            match entry {
                Entry::Tally(tally) => {
                    let state = tally.state(definition.position, &key.bytes, key.start_ms);
                    let closed = tally.told || passed(window.closes_ms(tally.end_ms));
                    each(&window.name, state, closed, tally.crossed);
                }
                Entry::Sliding(sliding) => {
                    let Shape::Sliding(size_ms) = window.shape else { continue };
                    let Some(last_ms) = sliding.last_ms() else { continue };
                    let closed = passed(window.closes_ms(last_ms.saturating_add(size_ms)));
                    let reach = Reach { size_ms, end_ms: last_ms, horizon_ms: i64::MIN };
                    let named = (definition.position, window);
                    if let Some(state) = sliding.state(named, &key.bytes, reach) {
                        each(&window.name, state, closed, sliding.above);
                    }
                }
                Entry::Meta(_) | Entry::Value { .. } | Entry::Timer(_) => {}
            }
        }
    }

    /// Shows every value that has not expired: key, value and the stream time at which it
    /// expires, in the order of the keys.
    pub fn each_value(&self, each: &mut impl FnMut(&[u8], &[u8], Option<i64>)) {
        let stream_ms = self.stream_ms();
        for (key, entry) in self.store.sorted(|kind| kind == Kind::Value) {
            if let Entry::Value { bytes, expires_ms } = entry
                && stream_ms.is_none_or(|stream_ms| lives(*expires_ms, stream_ms))
            {
                each(&key.bytes, bytes, *expires_ms);
            }
        }
    }

    /// Shows every timer, in the order of the keys.
    pub fn each_timer(&self, each: &mut dyn FnMut(&[u8], Due)) {
        for (key, entry) in self.store.sorted(|kind| kind == Kind::Timer) {
            if let Entry::Timer(due) = entry {
                each(&key.bytes, *due);
            }
        }
    }

    /// About how many bytes the entries take; the same entries always count the same.
    pub fn bytes(&self) -> usize {
        self.store.bytes()
    }

    /// Number of entries, of all kinds.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether there are no entries at all.
    pub fn is_empty(&self) -> bool {
        self.store.len() == 0
    }

    /// Number of windows of keys that still take records at the rule's stream time. It looks at
    /// every entry.
    pub fn open_windows(&self) -> usize {
        let stream_ms = self.stream_ms();
        let open = |closes_ms| stream_ms.is_none_or(|stream_ms| stream_ms < closes_ms);
        let windows = self.store.iter().filter(|(key, entry)| {
            let definition = self.definitions.find(key.definition);
            match (entry, definition.map(|definition| &definition.window)) {
                (Entry::Tally(tally), Some(window)) => {
                    !tally.told && open(window.closes_ms(tally.end_ms))
                }
                (Entry::Sliding(_), Some(_)) => {
                    entry.deadlines(definition).expiry_ms.is_some_and(open)
                }
                _ => false,
            }
        });
        windows.count()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Aggregate, Closing, Crossing, Evidence, Moment, Plan, Window};

    #[test]
    fn what_is_restored_can_be_asked_without_the_rule() {
        let window = Window {
            name: "attempts".into(),
            shape: Shape::Tumbling(60_000),
            aggregate: Aggregate::Count,
            grace_ms: 0,
            crossing: Crossing::AtLeast(2.0),
            closing: Closing::None,
            evidence: 1,
        };
        let plan = Arc::new(Plan { windows: vec![window], ..Plan::default() });
        let mut state = RuleState::new(usize::MAX);
        state.adopt(plan);
        let record = Evidence { topic: "T".into(), partition: 0, offset: 7, timestamp_ms: 5 };
        for _ in 0..2 {
            let at = Moment { event_ms: 5, stream_ms: 5 };
            assert!(state.add(0, at, &record, b"rpi-03", 1.0).is_ok());
        }
        let mut restored = RuleState::new(usize::MAX);
        state.seal(&mut |key, value| assert!(restored.restore(&key, value.as_deref()).is_ok()));
        let mut found = vec![];
        restored.each_window(&mut |name, window, closed, crossed| {
            found.push((name.to_owned(), window.count, window.end_ms, closed, crossed));
        });
        assert_eq!(found, [("attempts".to_owned(), 2, 60_000, false, true)]);
    }
}
