//! Open alerts as they inhibit others, found by what must be the same in source and target. Pure.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use super::inhibit::InhibitRule;
use super::labels::Labels;

/// Open alerts by name, and those of them that inhibit, by rule and by the values of its equal labels.
///
/// One alert may be open under several names: at each of its targets.
#[derive(Debug)]
pub struct Sources<N, A> {
    open: HashMap<N, (A, Labels)>,
    names: HashMap<A, BTreeSet<N>>,
    rules: Vec<HashMap<Vec<String>, BTreeSet<N>>>,
}

impl<N, A> Default for Sources<N, A> {
    fn default() -> Self {
        Self { open: HashMap::new(), names: HashMap::new(), rules: Vec::new() }
    }
}

impl<N: Clone + Ord + Hash, A: Copy + Eq + Hash> Sources<N, A> {
    /// From now on these rules hold.
    pub fn hold(&mut self, rules: &[InhibitRule]) {
        self.rules = vec![HashMap::new(); rules.len()];
        for (name, (_, labels)) in &self.open {
            enter(&mut self.rules, rules, name, labels);
        }
    }

    /// An alert is open, or `None` = it is not; `rules` are those that hold.
    pub fn set(&mut self, name: &N, open: Option<(A, Labels)>, rules: &[InhibitRule]) {
        if self.open.get(name) == open.as_ref() {
            return;
        }
        if let Some((alert, labels)) = self.open.remove(name) {
            if let Some(names) = self.names.get_mut(&alert)
                && names.remove(name)
                && names.is_empty()
            {
                self.names.remove(&alert);
            }
            for (by_value, rule) in self.rules.iter_mut().zip(rules) {
                let values = values(rule, &labels);
                if let Some(names) = by_value.get_mut(&values)
                    && names.remove(name)
                    && names.is_empty()
                {
                    by_value.remove(&values);
                }
            }
        }
        if let Some((alert, labels)) = open {
            enter(&mut self.rules, rules, name, &labels);
            self.names.entry(alert).or_default().insert(name.clone());
            self.open.insert(name.clone(), (alert, labels));
        }
    }

    /// Which open alert inhibits this one, if any does; of those under names that `count`. An alert
    /// never inhibits itself.
    pub fn inhibitor(
        &self,
        (alert, labels): (&A, &Labels),
        rules: &[InhibitRule],
        counts: impl Fn(&N) -> bool,
    ) -> Option<A> {
        let targeted = self.rules.iter().zip(rules).filter(|(_, rule)| rule.is_target(labels));
        for (by_value, rule) in targeted {
            let alike = by_value.get(&values(rule, labels)).into_iter().flatten();
            let others = alike
                .filter(|name| counts(name))
                .filter_map(|name| self.open.get(name))
                .filter(|(other, _)| other != alert);
            for (other, source) in others {
                if rule.inhibits(source, labels) {
                    return Some(*other);
                }
            }
        }
        None
    }

    /// Forgets the alerts whose names are not to be kept.
    pub fn keep(&mut self, keep: impl Fn(&N) -> bool, rules: &[InhibitRule]) {
        let gone: Vec<N> = self.open.keys().filter(|name| !keep(name)).cloned().collect();
        gone.iter().for_each(|name| self.set(name, None, rules));
    }

    /// The names under which an alert is open.
    pub fn names_of(&self, alert: &A) -> impl Iterator<Item = &N> {
        self.names.get(alert).into_iter().flatten()
    }

    /// The names of all open alerts.
    pub fn names(&self) -> impl Iterator<Item = &N> {
        self.open.keys()
    }
}

fn enter<N: Clone + Ord>(
    index: &mut [HashMap<Vec<String>, BTreeSet<N>>],
    rules: &[InhibitRule],
    name: &N,
    labels: &Labels,
) {
    for (by_value, rule) in index.iter_mut().zip(rules) {
        if rule.is_source(labels) {
            by_value.entry(values(rule, labels)).or_default().insert(name.clone());
        }
    }
}

fn values(rule: &InhibitRule, labels: &Labels) -> Vec<String> {
    rule.equal.iter().map(|name| labels.get(name).to_owned()).collect()
}
