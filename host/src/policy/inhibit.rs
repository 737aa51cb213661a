//! Alerts that need not be told while others are open.

use super::labels::Labels;
use super::matcher::Matchers;

/// While a source is open, targets that have the same values of some labels are not told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InhibitRule {
    /// What inhibits.
    pub source: Matchers,
    /// What is inhibited.
    pub target: Matchers,
    /// Labels that must be the same in both; a missing one is empty.
    pub equal: Vec<String>,
}

impl InhibitRule {
    /// Whether an alert may be inhibited.
    pub fn is_target(&self, labels: &Labels) -> bool {
        self.target.matches(labels)
    }

    /// Whether an alert may inhibit others.
    pub fn is_source(&self, labels: &Labels) -> bool {
        self.source.matches(labels)
    }

    /// Whether `source` inhibits `target`, two different alerts. A target that is a source as well is
    /// not inhibited by one that is both, or two would inhibit each other.
    pub fn inhibits(&self, source: &Labels, target: &Labels) -> bool {
        let is_both = |labels| self.is_source(labels) && self.is_target(labels);
        self.is_source(source)
            && self.is_target(target)
            && self.equal.iter().all(|name| source.get(name) == target.get(name))
            && !(is_both(source) && is_both(target))
    }
}
