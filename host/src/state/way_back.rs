//! What a rule kept before it was migrated, until the version that it was migrated for has worked once.
//!
//! That version may fail on its first records, or another partition's state may be beyond it: then the
//! version before it runs again, and cannot read what it did not write.

use std::sync::Arc;

use firebell_state::{RuleState, Values};

use super::States;
use crate::record::TopicPartition;
use crate::rules::Rule;

/// Keys and values of a rule and partition before they were migrated.
#[derive(Debug)]
pub(super) struct WayBack {
    /// What version they are of.
    version: u32,
    values: Values,
    /// What they were migrated for.
    to: Arc<Rule>,
}

impl States {
    /// Keeps what was there, by version and values, before a rule took it over.
    pub fn keep_way_back(
        &mut self,
        partition: &TopicPartition,
        rule: &Arc<Rule>,
        (version, values): (u32, Values),
    ) {
        let way_back = WayBack { version, values, to: Arc::clone(rule) };
        self.ways_back.insert((partition.clone(), Arc::clone(&rule.name)), way_back);
    }

    /// Takes a migration back that was made from the version of this rule, if nothing was done with it;
    /// whether that was so.
    pub fn goes_back(
        &mut self,
        partition: &TopicPartition,
        rule: &Rule,
        state: &mut RuleState,
    ) -> bool {
        let way_back = self.ways_back.get(&(partition.clone(), Arc::clone(&rule.name)));
        let way_back = way_back.filter(|way_back| way_back.version == rule.plan.version);
        let Some(way_back) = way_back.filter(|way_back| !way_back.to.health.has_worked()) else {
            return false;
        };
        state.begin_call();
        state.put_values_back(&way_back.values);
        state.set_version(way_back.version);
        true
    }

    /// A call of the rule that has the state now went well: what was there before it is of no use.
    pub fn forget_way_back(&mut self, partition: &TopicPartition, rule: &Rule) {
        if !self.ways_back.is_empty() && rule.health.has_worked() {
            self.ways_back.retain(|(of, name), way_back| {
                of != partition || *name != rule.name || way_back.version == rule.plan.version
            });
        }
    }

    /// Forgets what nobody goes back to any more; called when nothing is left of what came before the
    /// last transaction.
    pub(super) fn forget_ways_back(&mut self) {
        if self.ways_back.is_empty() {
            return;
        }
        let mut ways_back = std::mem::take(&mut self.ways_back);
        ways_back.retain(|(partition, rule), way_back| {
            let was_taken = self.get(partition, rule).is_none_or(|state| {
                state.stored_version() == Some(way_back.version) && !state.is_dirty()
            });
            !was_taken && !way_back.to.health.has_worked()
        });
        self.ways_back = ways_back;
    }
}
