//! Policy: who is told of which alert, when, and when not, in Alertmanager's words.
//!
//! In: an alert's labels. Out: its targets (routing), the manners of one target (grouping, times),
//! what inhibits or silences it. It reads `policy.toml` as text and is pure otherwise: it knows
//! neither Kafka nor a clock; the time is handed in.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::notification::{Kind, Severity};
use crate::outbox::Entry;

mod inhibit;
mod interval;
mod labels;
pub mod live;
mod manner;
mod matcher;
mod reader;
pub mod reload;
mod route;
pub mod silence;
mod sources;
mod zone;

pub use inhibit::InhibitRule;
pub use interval::TimeInterval;
pub use labels::Labels;
pub use manner::{GroupBy, Manner};
pub use matcher::{InvalidMatcher, Matcher, Matchers, Operator};
pub use reader::{KEYS, parse_duration};
pub use route::{Receiver, Route};
pub use sources::Sources;

/// Everything that `policy.toml` says. The default is no policy: every alert goes where its rule
/// says, alone and at once.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    route: Route,
    receivers: BTreeMap<Arc<str>, Receiver>,
    inhibit_rules: Vec<InhibitRule>,
}

/// Severities from worst to harmless.
pub(crate) const SEVERITIES: [Severity; 4] =
    [Severity::Critical, Severity::Error, Severity::Warning, Severity::Info];

impl Policy {
    /// Whether `group_wait` or `repeat_interval` are given where alerts are told alone, so that they do
    /// nothing.
    pub fn has_idle_times(&self) -> bool {
        self.route.has_idle_times()
    }

    /// All that routes and inhibition ask of labels.
    pub fn matchers(&self) -> impl Iterator<Item = &Matcher> {
        let inhibiting = self.inhibit_rules.iter();
        let inhibiting = inhibiting.flat_map(|rule| rule.source.0.iter().chain(&rule.target.0));
        self.route.matchers().into_iter().chain(inhibiting)
    }

    /// The targets of a notification, in the order of the routes, each once; never empty.
    ///
    /// `chosen` is the channel that the rule chose, which a route without any receiver means. A
    /// `resolve` has the targets of all severities: who was told of the alert when it was worse is
    /// told of its end.
    pub fn targets(&self, labels: &Labels, chosen: &str, kind: Kind) -> Vec<Arc<str>> {
        let mut targets = Vec::new();
        match kind {
            Kind::Fire | Kind::Update => self.add_targets(labels, chosen, &mut targets),
            Kind::Resolve => {
                for severity in SEVERITIES {
                    self.add_targets(&labels.with_severity(severity), chosen, &mut targets);
                }
            }
        }
        targets
    }

    fn add_targets(&self, labels: &Labels, chosen: &str, targets: &mut Vec<Arc<str>>) {
        for route in self.route.matching(labels) {
            match self.receiver_of(route) {
                Some(receiver) => {
                    for target in &receiver.targets {
                        if !targets.contains(target) {
                            targets.push(Arc::clone(target));
                        }
                    }
                }
                None if targets.iter().any(|target| **target == *chosen) => {}
                None => targets.push(chosen.into()),
            }
        }
    }

    /// How an alert is told to one target: what the first route says that leads there, or the default
    /// when none does any more.
    pub fn manner(&self, labels: &Labels, target: &str) -> Manner {
        let leads_there = |route: &&Route| match self.receiver_of(route) {
            Some(receiver) => receiver.targets.iter().any(|one| **one == *target),
            None => labels.get("channel") == target,
        };
        let route = self.route.matching(labels).into_iter().find(leads_there);
        route.map(|route| route.manner.clone()).unwrap_or_default()
    }

    /// The rules of inhibition, in the order of the file.
    pub fn inhibit_rules(&self) -> &[InhibitRule] {
        &self.inhibit_rules
    }

    /// The receivers by name.
    pub fn receivers(&self) -> impl Iterator<Item = (&str, &Receiver)> {
        self.receivers.iter().map(|(name, receiver)| (&**name, receiver))
    }

    /// Turns an entry that a rule caused into one for each of its targets.
    ///
    /// The intent and the alert stay the same. What the rule chose is kept as the notification's
    /// channel, so that [`Labels::of`] gives the same labels for every target. An end is told also where
    /// its alert is `open_at`, wherever the routes lead now; where nobody was told of it, as one that is stale,
    /// which ends it quietly.
    pub fn route(&self, entry: Entry, open_at: &BTreeMap<String, bool>) -> Vec<Entry> {
        let labels = Labels::of(&entry);
        let mut targets = self.targets(&labels, &entry.channel, entry.notification.kind);
        let others = open_at.keys().filter(|at| !targets.iter().any(|of| **of == ***at));
        let others: Vec<Arc<str>> = others.map(|at| at.as_str().into()).collect();
        let chosen_now = targets.len();
        targets.extend(others);
        let to = |(at, target): (usize, Arc<str>)| {
            let mut entry = entry.clone();
            entry.is_stale |= at >= chosen_now && open_at.get(&*target) == Some(&false);
            if *target != *entry.channel {
                let chosen = std::mem::replace(&mut entry.channel, target.to_string());
                entry.notification.channel = Some(chosen);
            }
            entry
        };
        targets.into_iter().enumerate().map(to).collect()
    }

    fn receiver_of(&self, route: &Route) -> Option<&Receiver> {
        self.receivers.get(route.receiver.as_ref()?)
    }
}

#[cfg(test)]
mod tests;
