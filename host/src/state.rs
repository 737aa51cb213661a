//! The state of rules in one worker: for every input partition and rule, what the host keeps.
//!
//! Owned by the worker's thread and nobody else; it moves from one rule set to the next. What a
//! transaction has not committed can be taken back whole. Knows neither Kafka nor a clock; `kafka.rs`
//! restores it from the changelog topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use firebell_state::{Plan, RuleState, WireError};

use crate::record::{OutgoingRecord, TopicPartition};
use crate::rules::Rule;

pub mod kafka;
pub mod query;
mod stale;
mod way_back;
pub mod wire;

use way_back::WayBack;
use wire::EntryKey;

/// State of a partition's rules, and how far its time has come.
#[derive(Debug, Default)]
struct Partition {
    /// The largest record timestamp seen; moved on by the wall clock where it is idle.
    stream_ms: Option<i64>,
    rules: BTreeMap<Arc<str>, Kept>,
}

/// The state of one rule and partition.
#[derive(Debug)]
struct Kept {
    state: RuleState,
    /// What the state was taken up for; `None` = restored, and nobody asked for it yet.
    plan: Option<Arc<Plan>>,
}

/// What was dropped when a rule took up its state under another plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Windows whose definition changed or that are gone: name, and how many there were.
    pub dropped: Vec<(String, usize)>,
}

/// State that is in use by a call, outside of the map.
#[derive(Debug)]
pub struct Lent {
    /// The state, with the rule's plan taken up.
    pub state: RuleState,
    /// What that changed, when the plan is another than before.
    pub adopted: Option<Adopted>,
}

/// All state of one worker.
#[derive(Debug, Default)]
pub struct States {
    partitions: BTreeMap<TopicPartition, Partition>,
    /// By partition and rule.
    ways_back: BTreeMap<(TopicPartition, Arc<str>), WayBack>,
}

impl States {
    /// Stream time of a partition, milliseconds since the Unix epoch; `None` = it has none yet.
    pub fn stream_ms(&self, partition: &TopicPartition) -> Option<i64> {
        self.partitions.get(partition)?.stream_ms
    }

    /// Sets stream time of a partition, as when it is taken over or records are read again.
    pub fn set_stream_ms(&mut self, partition: &TopicPartition, stream_ms: Option<i64>) {
        if stream_ms.is_some() || self.partitions.contains_key(partition) {
            self.partitions.entry(partition.clone()).or_default().stream_ms = stream_ms;
        }
    }

    /// Whether nothing happens to the state of a rule that gets no record while its partition's time
    /// comes to `stream_ms`.
    pub fn rests(&self, partition: &TopicPartition, rule: &Rule, stream_ms: Option<i64>) -> bool {
        let kept = self.partitions.get(partition).and_then(|one| one.rules.get(&rule.name));
        let Some(Kept { state, plan }) = kept else { return true };
        let same = plan.as_ref().is_some_and(|plan| Arc::ptr_eq(plan, &rule.plan));
        // A time of its own stands still.
        let due = if rule.has_own_time() { None } else { state.next_ms() };
        same && due.is_none_or(|due_ms| Some(due_ms) > stream_ms)
    }

    /// Takes the state of a rule out, to be given back after the call; a new one where there is none.
    pub fn lend(&mut self, partition: &TopicPartition, rule: &Rule) -> Lent {
        let kept = self
            .partitions
            .get_mut(partition)
            .and_then(|partition| partition.rules.remove(&rule.name))
            .unwrap_or_else(|| Kept { state: RuleState::new(usize::MAX), plan: None });
        let Kept { mut state, plan } = kept;
        state.set_bytes_max(rule.limits.state_bytes());
        let same = plan.is_some_and(|plan| Arc::ptr_eq(&plan, &rule.plan) || plan == rule.plan);
        let adopted = (!same).then(|| {
            let dropped = state.adopt(Arc::clone(&rule.plan));
            let dropped = dropped.into_iter().map(|dropped| (dropped.window, dropped.entries));
            Adopted { dropped: dropped.collect() }
        });
        Lent { state, adopted }
    }

    /// Takes the state of a rule out if its keys and values are of another version, to be given back
    /// when they were migrated, or not: the state and the version. Nothing is taken up by it.
    pub fn take_outdated(
        &mut self,
        partition: &TopicPartition,
        rule: &Rule,
    ) -> Option<(RuleState, u32)> {
        let rules = &mut self.partitions.get_mut(partition)?.rules;
        let stored = rules.get(&rule.name)?.state.stored_version()?;
        if stored == rule.plan.version {
            return None;
        }
        let mut state = rules.remove(&rule.name)?.state;
        state.set_bytes_max(rule.limits.state_bytes());
        Some((state, stored))
    }

    /// Takes the state of a rule out while it is restored, to be given back untouched; a new one where
    /// there is none.
    pub fn take_restored(&mut self, partition: &TopicPartition, rule: &str) -> RuleState {
        let kept = self.partitions.get_mut(partition).and_then(|one| one.rules.remove(rule));
        kept.map_or_else(|| RuleState::new(usize::MAX), |kept| kept.state)
    }

    /// Undoes what was done to the state of a rule since its last call began.
    pub fn undo_call(&mut self, partition: &TopicPartition, rule: &str) {
        let found = self.partitions.get_mut(partition).and_then(|one| one.rules.get_mut(rule));
        if let Some(kept) = found {
            kept.state.undo_call();
            kept.plan = None;
        }
    }

    /// The state of a rule.
    pub fn get(&self, partition: &TopicPartition, rule: &str) -> Option<&RuleState> {
        self.partitions.get(partition)?.rules.get(rule).map(|kept| &kept.state)
    }

    /// Gives the state of a rule back.
    pub fn give_back(&mut self, partition: &TopicPartition, rule: &Rule, state: RuleState) {
        let kept = Kept { state, plan: Some(Arc::clone(&rule.plan)) };
        let partition = self.partitions.entry(partition.clone()).or_default();
        partition.rules.insert(Arc::clone(&rule.name), kept);
    }

    /// Gives state back that its rule could not take up: whoever asks next takes it up anew.
    pub fn give_back_untouched(
        &mut self,
        partition: &TopicPartition,
        rule: &Arc<str>,
        state: RuleState,
    ) {
        let partition = self.partitions.entry(partition.clone()).or_default();
        partition.rules.insert(Arc::clone(rule), Kept { state, plan: None });
    }

    /// Whether something changed since the last [`seal`](Self::seal).
    pub fn is_dirty(&self) -> bool {
        self.all().any(RuleState::is_dirty)
    }

    /// Everything that changed since the last call, as records for the changelog topic of
    /// `partitions` partitions; they go into the transaction that begins now.
    pub fn seal(&mut self, changelog: &Arc<str>, partitions: i32) -> Vec<OutgoingRecord> {
        let mut records = Vec::new();
        for (input, partition) in &mut self.partitions {
            let to = wire::partition_of(input, partitions);
            for (rule, kept) in &mut partition.rules {
                kept.state.seal(&mut |key, value| {
                    let key = EntryKey { input, rule, key: &key }.to_bytes();
                    records.push(OutgoingRecord {
                        topic: Arc::clone(changelog),
                        partition: Some(to),
                        key: Some(key),
                        value,
                        headers: Vec::new(),
                        timestamp_ms: None,
                    });
                });
            }
        }
        records
    }

    /// What was sealed last is committed.
    pub fn committed(&mut self) {
        self.all_mut().for_each(RuleState::committed);
        self.forget_ways_back();
    }

    /// Everything is as it was committed last; stream time is for the caller to set back.
    pub fn abort(&mut self) {
        for kept in self.partitions.values_mut().flat_map(|one| one.rules.values_mut()) {
            kept.state.abort();
            // What was dropped when the plan was taken up may be back.
            kept.plan = None;
        }
    }

    /// Forgets a partition that is given up.
    pub fn revoke(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
        self.ways_back.retain(|(of, _), _| of != partition);
    }

    /// Takes an entry of the changelog in; `value` is `None` for a tombstone.
    ///
    /// # Errors
    ///
    /// It was written by another version, or is broken.
    pub fn restore(
        &mut self,
        input: &TopicPartition,
        rule: &str,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), WireError> {
        let known = self.partitions.get_mut(input).and_then(|one| one.rules.get_mut(rule));
        if let Some(kept) = known {
            return kept.state.restore(key, value);
        }
        let partition = self.partitions.entry(input.clone()).or_default();
        let new = || Kept { state: RuleState::new(usize::MAX), plan: None };
        partition.rules.entry(rule.into()).or_insert_with(new).state.restore(key, value)
    }

    /// Calls `each` with every partition, rule and state.
    pub fn each(&self, mut each: impl FnMut(&TopicPartition, &Arc<str>, &RuleState)) {
        for (input, partition) in &self.partitions {
            for (rule, kept) in &partition.rules {
                each(input, rule, &kept.state);
            }
        }
    }

    /// The partitions that have state or time.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.keys()
    }

    fn all(&self) -> impl Iterator<Item = &RuleState> {
        self.partitions.values().flat_map(|one| one.rules.values()).map(|kept| &kept.state)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut RuleState> {
        let partitions = self.partitions.values_mut();
        partitions.flat_map(|one| one.rules.values_mut()).map(|kept| &mut kept.state)
    }
}
