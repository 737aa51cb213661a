//! Whether an alert may be told now: silences, inhibition and mute times. What may not waits, or is over.
//!
//! In: an entry that would make a message. Out: why not now. Changes of messages that stand are no news
//! to anybody and are never suppressed. Pure but for the live handles that it asks.

use std::collections::VecDeque;

use super::attempt::Job;
use crate::canary::is_its;
use crate::ledger::State;
use crate::ledger::open::OpenAlerts;
use crate::notification::{AlertId, Kind};
use crate::outbox::Entry;
use crate::policy::live::LivePolicy;
use crate::policy::silence::Silences;
use crate::policy::{Labels, Manner};

/// Why an alert is not told now, in the words of logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A silence, by its id.
    Silence(String),
    /// Another alert that is open.
    Inhibited(AlertId),
    /// A time interval of its route, by its name.
    MuteTime(String),
}

impl Reason {
    /// The label `reason` of metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Silence(_) => "silence",
            Self::Inhibited(_) => "inhibition",
            Self::MuteTime(_) => "time_interval",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silence(id) => write!(f, "silence {id}"),
            Self::Inhibited(by) => write!(f, "inhibited by alert {by}"),
            Self::MuteTime(name) => write!(f, "time interval {name}"),
        }
    }
}

/// What suppresses alerts. The default suppresses nothing.
#[derive(Debug, Clone, Default)]
pub struct Suppression {
    policy: LivePolicy,
    /// `None` = there are none, and none to wait for.
    silences: Option<Silences>,
    /// Those that inhibit others.
    open: OpenAlerts,
}

impl Suppression {
    /// Suppresses as the policy, the silences and the open alerts say that hold at each moment.
    pub fn new(policy: LivePolicy, silences: Silences, open: OpenAlerts) -> Self {
        Self { policy, silences: Some(silences), open }
    }

    /// Whether silences and open alerts were read; who tells before may tell what is suppressed.
    pub fn is_ready(&self) -> bool {
        let inhibits = || self.policy.current().is_some_and(|one| !one.inhibit_rules().is_empty());
        self.silences.as_ref().is_none_or(Silences::is_ready)
            && (!inhibits() || self.open.is_read())
    }

    /// The open alerts of the group.
    pub fn open(&self) -> &OpenAlerts {
        &self.open
    }

    /// Why an entry is not told at `now_ms`, milliseconds since the Unix epoch; `None` = it may be told.
    pub fn of(&self, entry: &Entry, now_ms: i64) -> Option<Reason> {
        let labels = Labels::of(entry);
        if is_its(entry) {
            // A canary goes past the policy.
            return self.of_silences(&labels, now_ms);
        }
        self.of_labels((&entry.alert, &labels), &entry.channel, now_ms)
    }

    fn of_silences(&self, labels: &Labels, now_ms: i64) -> Option<Reason> {
        let silence = self.silences.as_ref()?.silencing(labels, now_ms)?;
        Some(Reason::Silence(silence.id.clone()))
    }

    /// The same of an alert with these labels, at a target.
    pub fn of_labels(
        &self,
        (alert, labels): (&AlertId, &Labels),
        target: &str,
        now_ms: i64,
    ) -> Option<Reason> {
        if let Some(silenced) = self.of_silences(labels, now_ms) {
            return Some(silenced);
        }
        let policy = self.policy.current()?;
        if let Some(by) = self.open.inhibitor(&policy, (alert, labels)) {
            return Some(Reason::Inhibited(by));
        }
        let manner = policy.manner(labels, target);
        manner.muted(now_ms).map(|name| Reason::MuteTime(name.to_owned()))
    }

    /// The group in which an entry's alert is told, with how that is told; `None` = it is told alone.
    pub fn group(&self, entry: &Entry) -> Option<(Labels, Manner)> {
        let policy = self.policy.current()?;
        let labels = Labels::of(entry);
        let manner = policy.manner(&labels, &entry.channel);
        Some((manner.group(&labels)?, manner))
    }

    /// Whether an entry's alert inhibits others while it is open.
    pub fn inhibits(&self, entry: &Entry) -> bool {
        let Some(policy) = self.policy.current().filter(|_| !is_its(entry)) else { return false };
        let rules = policy.inhibit_rules();
        !rules.is_empty() && rules.iter().any(|rule| rule.is_source(&Labels::of(entry)))
    }
}

/// The labels that the ledger keeps of an alert that an entry leaves in a state: while it is open and can
/// end.
pub(super) fn open_labels(entry: &Entry, after: State) -> Option<Labels> {
    let is_alert = can_end(entry) && entry.digest.is_none() && !is_its(entry);
    (is_alert && after != State::Resolved).then(|| Labels::of(entry))
}

/// Whether an alert can end: one without a key is an event, which is over when it is told.
pub(super) fn can_end(entry: &Entry) -> bool {
    entry.notification.alert_key.is_some()
}

/// Alerts of one target that are open and not told, each with what is to be said: how it began and what
/// came last.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    alerts: VecDeque<Vec<Job>>,
}

impl Waiting {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.alerts.is_empty()
    }

    /// Whether an alert waits.
    pub(super) fn has(&self, alert: &AlertId) -> bool {
        self.alerts.iter().any(|jobs| is_of(jobs, alert))
    }

    /// Lets a job wait; returns the one that it makes superfluous.
    pub(super) fn push(&mut self, job: Job) -> Option<Job> {
        let Some(jobs) = self.alerts.iter_mut().find(|jobs| is_of(jobs, &job.entry.alert)) else {
            self.alerts.push_back(vec![job]);
            return None;
        };
        // An open alert is not fired again, and of its changes the last one says all.
        let superfluous = match job.entry.notification.kind {
            Kind::Fire => return Some(job),
            Kind::Update | Kind::Resolve if jobs.len() > 1 => jobs.pop(),
            Kind::Update | Kind::Resolve => None,
        };
        jobs.push(job);
        superfluous
    }

    /// Takes an alert's jobs out: it has ended.
    pub(super) fn end(&mut self, alert: &AlertId) -> Vec<Job> {
        let at = self.alerts.iter().position(|jobs| is_of(jobs, alert));
        at.and_then(|at| self.alerts.remove(at)).unwrap_or_default()
    }

    /// Takes the first alert out that may be told.
    pub(super) fn take(&mut self, is_suppressed: impl Fn(&Entry) -> bool) -> Option<Vec<Job>> {
        let may = |jobs: &Vec<Job>| jobs.last().is_some_and(|job| !is_suppressed(&job.entry));
        let at = self.alerts.iter().position(may)?;
        self.alerts.remove(at)
    }
}

fn is_of(jobs: &[Job], alert: &AlertId) -> bool {
    jobs.first().is_some_and(|job| job.entry.alert == *alert)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::ports::OutboxRecord;
    use crate::delivery::tests::world::entry;

    fn job(offset: i64, kind: Kind, key: &str) -> Job {
        let record = OutboxRecord { partition: 0, offset, timestamp_ms: 0, key: None, value: None };
        Job::new(record, entry(offset, "general", kind, Some(key)), false)
    }

    fn offsets(jobs: &[Job]) -> Vec<i64> {
        jobs.iter().map(|job| job.record.offset).collect()
    }

    #[test]
    fn of_each_alert_the_beginning_and_the_last_change_wait() {
        let mut waiting = Waiting::default();
        let pushes = [
            (0, Kind::Fire, "a"),
            (1, Kind::Fire, "b"),
            (2, Kind::Update, "a"),
            (3, Kind::Fire, "a"),
            (4, Kind::Update, "a"),
        ];
        let over = pushes.map(|(offset, kind, key)| waiting.push(job(offset, kind, key)));
        let over: Vec<i64> = over.into_iter().flatten().map(|job| job.record.offset).collect();
        assert_eq!(over, [3, 2]);
        let (a, b) = (job(9, Kind::Resolve, "a"), job(9, Kind::Resolve, "b"));
        assert!(waiting.has(&a.entry.alert) && waiting.has(&b.entry.alert));
        assert!(waiting.take(|_| true).is_none());
        let taken = waiting.take(|entry| entry.alert == b.entry.alert).unwrap();
        assert_eq!(offsets(&taken), [0, 4]);
        assert_eq!(offsets(&waiting.end(&b.entry.alert)), [1]);
        assert!(waiting.is_empty() && waiting.end(&a.entry.alert).is_empty());
    }
}
