//! A tally: the one message of a storm, which counts the alerts that are not told one by one.
//!
//! A pure core: what the ledger keeps of tallies and of the alerts that are told in them, the sum of
//! those alerts, and the words for it. Unlike a digest, which tells what is old, a tally tells what is
//! new and too much. Its sum comes from the ledger's entries of its alerts, so that none is counted
//! twice, whatever happens in between.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::cut;
use crate::notification::{AlertId, Kind, Notification, Severity, Span};

pub(crate) mod text;

/// The rule that a tally names: none can have this name.
pub const RULE: &str = "$tally";

/// Rules that are named in a tally; the rest is summed.
const RULES_MAX: usize = 5;
/// Alert keys that are named for each rule.
const KEYS_MAX: usize = 5;
/// Bytes of an alert key that are kept and shown.
const KEY_BYTES_MAX: usize = 100;
/// Rules that are named in the title.
const TITLE_RULES_MAX: usize = 2;

/// What the ledger keeps of an alert that has no message of its own: where it was told, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldIn {
    /// The alert id of the tally.
    #[serde(with = "text")]
    pub tally: AlertId,
    /// The alert's rule.
    pub rule: String,
    /// Its key, cut to a hundred bytes; `None` = it is an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How bad it is now.
    #[serde(with = "text")]
    pub severity: Severity,
    /// How often it fired while the tally was open.
    pub fires: u64,
    /// Event time of the first of them, milliseconds since the Unix epoch.
    pub first_ms: i64,
    /// Event time of the last.
    pub last_ms: i64,
}

impl ToldIn {
    /// An alert's first fire in a tally.
    pub fn new(
        tally: AlertId,
        rule: &str,
        notification: &Notification,
        event_time_ms: i64,
    ) -> Self {
        let key = notification.alert_key.clone().map(|mut key| {
            cut(&mut key, KEY_BYTES_MAX);
            key
        });
        let (rule, severity) = (rule.to_owned(), notification.severity);
        Self {
            tally,
            rule,
            key,
            severity,
            fires: 1,
            first_ms: event_time_ms,
            last_ms: event_time_ms,
        }
    }

    /// The same alert, told in the same tally before, fires once more.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        let Some(before) = before.filter(|before| before.tally == self.tally) else { return self };
        Self {
            fires: before.fires.saturating_add(self.fires),
            first_ms: before.first_ms.min(self.first_ms),
            last_ms: before.last_ms.max(self.last_ms),
            ..self
        }
    }
}

/// What the ledger keeps of a tally itself, beside its message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The outbox offset of the first alert that went into it: it makes the tally's intent.
    pub offset: i64,
    /// When it was opened, milliseconds since the Unix epoch.
    pub opened_ms: i64,
    /// When the storm was over; `None` = more may go in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_ms: Option<i64>,
    /// What its message says; `None` = nothing was posted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
}

/// What a tally's message says, as far as that can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// How many fires it counts.
    pub alerts: u64,
    /// How many of its alerts were resolved.
    pub resolved: u64,
    /// The worst of its alerts.
    #[serde(with = "text")]
    pub severity: Severity,
    /// Whether it says that the storm is over.
    pub closed: bool,
}

/// What is counted for one rule, or one key of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Count {
    fires: u64,
    alerts: u64,
    resolved: u64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.fires = self.fires.saturating_add(other.fires);
        self.alerts = self.alerts.saturating_add(other.alerts);
        self.resolved = self.resolved.saturating_add(other.resolved);
    }
}

/// The sum of the alerts of a tally. The same whatever the order in which they are added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sum {
    all: Count,
    worst: Option<Severity>,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    /// By rule, then by key.
    rules: BTreeMap<String, BTreeMap<Option<String>, Count>>,
}

impl Sum {
    /// Adds an alert.
    pub fn add(&mut self, told_in: &ToldIn, is_resolved: bool) {
        let count = Count { fires: told_in.fires, alerts: 1, resolved: u64::from(is_resolved) };
        self.all.add(count);
        self.worst = self.worst.max(Some(told_in.severity));
        let first = self.first_ms.map_or(told_in.first_ms, |first| first.min(told_in.first_ms));
        let last = self.last_ms.map_or(told_in.last_ms, |last| last.max(told_in.last_ms));
        (self.first_ms, self.last_ms) = (Some(first), Some(last));
        let keys = self.rules.entry(told_in.rule.clone()).or_default();
        keys.entry(told_in.key.clone()).or_default().add(count);
    }

    /// Whether it counts nothing.
    pub fn is_empty(&self) -> bool {
        self.all == Count::default()
    }

    /// What a message with this sum says.
    pub fn said(&self, closed: bool) -> Said {
        let severity = self.worst.unwrap_or(Severity::Info);
        Said { alerts: self.all.fires, resolved: self.all.resolved, severity, closed }
    }

    /// Event time of the last, milliseconds since the Unix epoch; -1 = none.
    pub fn last_ms(&self) -> i64 {
        self.last_ms.unwrap_or(-1)
    }

    /// What is said: `place` is where each alert can be looked up.
    pub fn notification(&self, closed: bool, place: &[Span]) -> Notification {
        let is_over = closed && self.all.alerts > 0 && self.all.resolved == self.all.alerts;
        Notification {
            alert_key: None,
            window_start_ms: None,
            severity: self.worst.unwrap_or(Severity::Info),
            kind: if is_over { Kind::Resolve } else { Kind::Update },
            title: self.title(is_over),
            body: self.body(closed, place),
            fields: vec![],
            labels: vec![],
            evidence: vec![],
            excerpt: None,
            channel: None,
        }
    }

    fn title(&self, is_over: bool) -> String {
        let total: Vec<(&String, Count)> = self.by_rule();
        let mut parts: Vec<String> = total
            .iter()
            .take(TITLE_RULES_MAX)
            .map(|(rule, count)| format!("{rule} {}", count.fires))
            .collect();
        if total.len() > TITLE_RULES_MAX {
            let rest = total.iter().skip(TITLE_RULES_MAX).map(|(_, count)| count.fires);
            parts.push(format!(
                "{} more rules {}",
                total.len() - TITLE_RULES_MAX,
                rest.sum::<u64>()
            ));
        }
        let alerts = alerts(self.all.fires);
        let over = if is_over { ", all resolved" } else { "" };
        format!("{alerts} told together{over}: {}", parts.join(", "))
    }

    fn body(&self, closed: bool, place: &[Span]) -> Vec<Span> {
        let mut body = vec![];
        if let (Some(first), Some(last)) = (self.first_ms, self.last_ms) {
            body.push(Span::Text("From ".into()));
            body.push(Span::Timestamp(first));
            body.push(Span::Text(" to ".into()));
            body.push(Span::Timestamp(last));
            body.push(Span::Text(":\n".into()));
        }
        let rules = self.by_rule();
        for (rule, count) in rules.iter().take(RULES_MAX) {
            body.push(Span::Text(format!("• {} of ", counted(*count))));
            body.push(Span::Code((*rule).clone()));
            body.push(Span::Text(self.keys(rule)));
        }
        if rules.len() > RULES_MAX {
            let mut rest = Count::default();
            rules.iter().skip(RULES_MAX).for_each(|(_, count)| rest.add(*count));
            let others = rules.len() - RULES_MAX;
            body.push(Span::Text(format!("• {} of {others} more rules\n", counted(rest))));
        }
        let state = if closed { "The storm is over" } else { "The storm goes on" };
        body.push(Span::Text(format!(
            "{state}: they came faster than this channel is posted to. Critical alerts are posted \
             one by one. Each alert: "
        )));
        body.extend_from_slice(place);
        body
    }

    /// The keys of a rule with the most alerts, as the end of its line.
    fn keys(&self, rule: &str) -> String {
        let Some(keys) = self.rules.get(rule) else { return "\n".into() };
        let mut named: Vec<(&str, u64)> =
            keys.iter().filter_map(|(key, count)| Some((key.as_deref()?, count.fires))).collect();
        if named.is_empty() {
            return "\n".into();
        }
        named.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(other.0)));
        let shown = named.iter().take(KEYS_MAX);
        let mut parts: Vec<String> = shown.map(|(key, fires)| format!("{key} {fires}")).collect();
        if named.len() > KEYS_MAX {
            let rest: u64 = named.iter().skip(KEYS_MAX).map(|(_, fires)| fires).sum();
            parts.push(format!("{} more keys {rest}", named.len() - KEYS_MAX));
        }
        format!(": {}\n", parts.join(", "))
    }

    /// The rules, those with the most alerts first.
    fn by_rule(&self) -> Vec<(&String, Count)> {
        let mut rules: Vec<(&String, Count)> = self
            .rules
            .iter()
            .map(|(rule, keys)| {
                let mut sum = Count::default();
                keys.values().for_each(|count| sum.add(*count));
                (rule, sum)
            })
            .collect();
        rules
            .sort_by(|one, other| other.1.fires.cmp(&one.1.fires).then_with(|| one.0.cmp(other.0)));
        rules
    }
}

fn alerts(count: u64) -> String {
    if count == 1 { "1 alert".into() } else { format!("{count} alerts") }
}

fn counted(count: Count) -> String {
    let alerts = alerts(count.fires);
    if count.resolved > 0 { format!("{alerts} ({} resolved)", count.resolved) } else { alerts }
}

#[cfg(test)]
mod tests;
