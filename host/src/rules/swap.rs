//! What a swap of rule sets changed, and from which record on.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use tracing::info;

use crate::record::TopicPartition;
use crate::rules::RuleSet;

/// A rule that is not the same in two sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleChange {
    /// The rule.
    pub rule: Arc<str>,
    /// Its version before; `None` = it is new.
    pub old: Option<String>,
    /// Its version from now on; `None` = it is gone.
    pub new: Option<String>,
}

/// One rule of one partition changed between two records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// The rule.
    pub rule: Arc<str>,
    /// The version that saw the records before; `None` = the rule is new, or did not read this topic.
    pub old_version: Option<String>,
    /// The version that sees the records from now on; `None` = no version does.
    pub new_version: Option<String>,
    /// The partition.
    pub partition: TopicPartition,
    /// The first record under the new version, or the next to come.
    pub first_offset: i64,
    /// The new set's generation.
    pub generation: u64,
}

impl RuleSet {
    /// The rules whose version is not the same, by name.
    pub fn differences(old: &Self, new: &Self) -> Vec<RuleChange> {
        let version = |set: &Self, name| set.rules.get(name).map(|rule| rule.version.clone());
        let names: BTreeSet<&Arc<str>> = old.rules.keys().chain(new.rules.keys()).collect();
        let changes = names.into_iter().map(|name| RuleChange {
            rule: Arc::clone(name),
            old: version(old, name),
            new: version(new, name),
        });
        changes.filter(|change| change.old != change.new).collect()
    }

    /// Whether a rule that keeps something is another one in the new set: whoever goes on with that may have
    /// to hand over what was kept, by the version in the old set or by one from before that.
    pub fn hands_over(old: &Self, new: &Self) -> bool {
        let is_same = |name, rule| old.rules.get(name).is_some_and(|old| Arc::ptr_eq(old, rule));
        new.rules.iter().any(|(name, rule)| rule.keeps_state() && !is_same(name, rule))
    }
}

impl Swap {
    /// What a swap means for a worker: `positions` are its partitions, each with the offset of the
    /// first record that it will evaluate under `new`. Partitions that a rule reads in neither version
    /// are left out.
    pub fn of(old: &RuleSet, new: &RuleSet, positions: &[(TopicPartition, i64)]) -> Vec<Self> {
        let reads = |set: &RuleSet, rule: &str, topic: &Arc<str>| {
            set.rules.get(rule).is_some_and(|rule| rule.subscription.topics.contains(topic))
        };
        let mut swaps = vec![];
        for change in RuleSet::differences(old, new) {
            for (partition, first_offset) in positions {
                let was_read = reads(old, &change.rule, &partition.topic);
                let is_read = reads(new, &change.rule, &partition.topic);
                if !was_read && !is_read {
                    continue;
                }
                swaps.push(Self {
                    rule: Arc::clone(&change.rule),
                    old_version: change.old.clone().filter(|_| was_read),
                    new_version: change.new.clone().filter(|_| is_read),
                    partition: partition.clone(),
                    first_offset: *first_offset,
                    generation: new.generation,
                });
            }
        }
        swaps
    }

    /// Tells the operator.
    pub fn log(&self) {
        info!(
            rule = %self.rule,
            old_version = self.old_version.as_deref(),
            new_version = self.new_version.as_deref(),
            topic = %self.partition.topic,
            partition = self.partition.partition,
            first_offset = self.first_offset,
            generation = self.generation,
            "{self}"
        );
    }
}

impl fmt::Display for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, partition, first_offset, .. } = self;
        let what = match (&self.old_version, &self.new_version) {
            (None, _) => "begins",
            (_, None) => "ends",
            (Some(_), Some(_)) => "changes its version",
        };
        write!(f, "rule {rule} {what} at {partition}/{first_offset}")
    }
}

#[cfg(test)]
mod tests;
