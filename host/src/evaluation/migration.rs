//! Keys and values of another version are handed to their rule, or taken back to what they were.

use std::sync::Arc;

use firebell_state::RuleState;

use super::slot::Slot;
use super::{RollBack, WorkerSet};
use crate::record::TopicPartition;
use crate::state::States;

/// What became of state of other versions.
#[derive(Debug, Default)]
struct Migrated {
    /// Partitions and rules whose keys and values are of the present version now.
    done: Vec<(TopicPartition, Arc<str>)>,
    /// Versions that cannot read what is there.
    failed: Vec<RollBack>,
}

impl WorkerSet {
    /// Tries whether this set's rules can take over what those of `running` keep, and leaves it as it is:
    /// the versions that cannot. Rules that do not run there are not among them: they have nothing to go
    /// back to. Nor are versions that run there.
    pub fn try_out(&mut self, running: &mut Self) -> Vec<RollBack> {
        self.take_states(running);
        let Migrated { done, mut failed } = self.migrate_all(None);
        done.iter().for_each(|(input, rule)| self.states.undo_call(input, rule));
        running.take_states(self);
        // Where this version runs already, it is not this set that is at fault.
        failed.retain(|failed| {
            let runs = running.set.rules.get(&failed.rule);
            runs.is_some_and(|rule| rule.version != failed.version)
        });
        failed
    }

    /// Hands the keys and values of rules whose state has another version to them, in all partitions or
    /// those given. The state of a rule that fails is as it was in all of them; with its next record it is
    /// tried again, in each by itself.
    pub fn migrate(&mut self, only: Option<&[TopicPartition]>) -> Vec<RollBack> {
        self.migrate_all(only).failed
    }

    fn migrate_all(&mut self, only: Option<&[TopicPartition]>) -> Migrated {
        let mut migrated = Migrated::default();
        let partitions: Vec<TopicPartition> = self.states.partitions().cloned().collect();
        let partitions = partitions.iter().filter(|one| only.is_none_or(|only| only.contains(one)));
        for slot in self.slots.iter_mut().filter(|slot| slot.rule.keeps_state()) {
            let before = migrated.done.len();
            for input in partitions.clone() {
                let rule = Arc::clone(&slot.rule.name);
                match slot.take_over(&mut self.states, input) {
                    None => {}
                    Some(Ok(())) => migrated.done.push((input.clone(), rule)),
                    Some(Err(reason)) => {
                        migrated.failed.push(RollBack::of(&slot.rule, reason));
                        let done = migrated.done.drain(before..);
                        done.for_each(|(input, rule)| self.states.undo_call(&input, &rule));
                        break;
                    }
                }
            }
        }
        migrated
    }
}

impl Slot {
    /// Takes up keys and values that are of another version; `None` = they are not. On an error, for
    /// people, they are as they were.
    pub(super) fn take_over(
        &mut self,
        states: &mut States,
        input: &TopicPartition,
    ) -> Option<Result<(), String>> {
        let rule = Arc::clone(&self.rule);
        let (mut state, stored) = states.take_outdated(input, &rule)?;
        let taken = if states.goes_back(input, &rule, &mut state) {
            Ok(())
        } else {
            let before = state.values();
            let migrated = self.migrate(stored, &mut state);
            if migrated.is_ok() {
                states.keep_way_back(input, &rule, (stored, before));
            }
            migrated
        };
        states.give_back_untouched(input, &rule.name, state);
        Some(taken)
    }

    /// Hands keys and values of version `from` over, and puts what they became into `state`; on an
    /// error, for people, it is as it was.
    fn migrate(&mut self, from: u32, state: &mut RuleState) -> Result<(), String> {
        state.begin_call();
        let entries = state.entries_for_migration();
        let migrated = self.prepare().and_then(|instance| instance.migrate(from, &entries));
        let replaced = match migrated {
            Ok(entries) => state.replace_values(entries).map_err(|error| error.to_string()),
            Err(failure) => {
                self.instance = None;
                Err(failure.message)
            }
        };
        let version = self.rule.plan.version;
        match replaced {
            Ok(()) => {
                state.set_version(version);
                Ok(())
            }
            Err(message) => {
                state.undo_call();
                Err(format!("state of version {from} cannot become version {version}: {message}"))
            }
        }
    }
}
