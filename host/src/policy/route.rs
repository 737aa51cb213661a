//! The tree of routes.

use std::sync::Arc;

use super::labels::Labels;
use super::manner::{GroupBy, Manner};
use super::matcher::{Matcher, Matchers};

/// Where alerts are told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receiver {
    /// Slack channels by name, or `webhook:NAME`, `kafka:NAME`, `alertmanager:NAME`; never empty.
    pub targets: Vec<Arc<str>>,
}

/// A node of the tree; what it does not say, it has from its parent.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// What it takes.
    pub matchers: Matchers,
    /// Who is told; `None` = the channel that the rule chose.
    pub receiver: Option<Arc<str>>,
    /// Whether the siblings after it are asked as well.
    pub goes_on: bool,
    /// How they are told.
    pub manner: Manner,
    /// Its children.
    pub routes: Vec<Route>,
}

impl Route {
    /// The routes that an alert takes: the deepest that match, in their order. At each node the first
    /// child that matches has it, and the next ones only behind a `continue`; a node that matches and
    /// has no child that does is taken itself.
    pub fn matching(&self, labels: &Labels) -> Vec<&Self> {
        let mut found = Vec::new();
        self.collect(labels, &mut found);
        found
    }

    /// Whether it, or a route below it, says how groups are told where there are none.
    pub(super) fn has_idle_times(&self) -> bool {
        let manner = &self.manner;
        let has_times = !manner.group_wait.is_zero() || manner.repeat_interval.is_some();
        has_times && !self.groups() || self.routes.iter().any(Self::has_idle_times)
    }

    fn groups(&self) -> bool {
        self.manner.group_by != GroupBy::Alone || self.routes.iter().any(Self::groups)
    }

    /// What it and the routes below it ask of labels, in their order.
    pub(super) fn matchers(&self) -> Vec<&Matcher> {
        let below = self.routes.iter().flat_map(Self::matchers);
        self.matchers.0.iter().chain(below).collect()
    }

    fn collect<'r>(&'r self, labels: &Labels, found: &mut Vec<&'r Self>) {
        if !self.matchers.matches(labels) {
            return;
        }
        let before = found.len();
        for child in &self.routes {
            let before = found.len();
            child.collect(labels, found);
            if found.len() > before && !child.goes_on {
                break;
            }
        }
        if found.len() == before {
            found.push(self);
        }
    }
}
