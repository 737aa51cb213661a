//! What waits for a channel, in lanes: the worst first, of equals the oldest, and the entries of one
//! alert always in their order. A pure core.
//!
//! An entry that is worse than one of its alert before it pulls that one along: the alert cannot be
//! told backwards, and what is urgent must not wait for what is not.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::attempt::Job;
use crate::notification::{AlertId, Severity};

/// The lanes, worst first.
const SEVERITIES: [Severity; 4] =
    [Severity::Critical, Severity::Error, Severity::Warning, Severity::Info];

/// An entry in the lanes.
#[derive(Debug)]
pub(super) struct Queued {
    /// What is to be done.
    pub(super) job: Job,
    /// That it came is written down for people.
    pub(super) noted: bool,
    /// It was silenced or muted before, and was taken off the count of entries in memory then.
    pub(super) waited: bool,
    /// What it waited for is over: it is told with what came last, however it looks by itself.
    pub(super) freed: bool,
    /// It lay aside, and is counted there until it is finished.
    pub(super) aside: bool,
    /// It was handed to a target that may have it: it is handed over again, whatever came meanwhile.
    pub(super) tried: bool,
    /// It was looked at: it changes a message, which costs no post and cannot be put into a tally.
    pub(super) stays: bool,
}

impl Queued {
    /// An entry that just came.
    pub(super) fn new(job: Job) -> Self {
        Self {
            job,
            noted: false,
            waited: false,
            freed: false,
            aside: false,
            tried: false,
            stays: false,
        }
    }

    /// The same, looked at.
    pub(super) fn staying(self) -> Self {
        Self { stays: true, ..self }
    }
}

/// All lanes of a channel.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// By alert, each in the order of the outbox.
    alerts: HashMap<AlertId, BTreeMap<i64, Queued>>,
    /// Entries by their own severity. One that left by another's turn is passed over.
    lanes: [VecDeque<(AlertId, i64)>; 4],
    /// Alerts with an entry that stays.
    staying: HashSet<AlertId>,
}

impl Lanes {
    /// How many alerts wait for a message: each needs one, however many entries it has.
    pub(super) fn alerts(&self) -> usize {
        self.alerts.len() - self.staying.len()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.alerts.is_empty()
    }

    /// Whether something of an alert waits: what comes after it waits behind it.
    pub(super) fn has(&self, alert: &AlertId) -> bool {
        self.alerts.contains_key(alert)
    }

    /// Lets an entry wait.
    pub(super) fn push(&mut self, queued: Queued) {
        let (alert, offset) = (queued.job.entry.alert, queued.job.record.offset);
        if queued.stays {
            self.staying.insert(alert);
        }
        self.lanes[lane(severity(&queued))].push_back((alert, offset));
        self.alerts.entry(alert).or_default().insert(offset, queued);
    }

    /// The entry whose turn it is, and the severity for which it is served.
    pub(super) fn first(&mut self) -> Option<(&Job, Severity)> {
        let (alert, severity) = self.turn()?;
        let (_, queued) = self.alerts.get(&alert)?.first_key_value()?;
        Some((&queued.job, severity))
    }

    /// Takes the entry out whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Queued> {
        let (alert, _) = self.turn()?;
        let waiting = self.alerts.get_mut(&alert)?;
        let (_, queued) = waiting.pop_first()?;
        if queued.stays && !waiting.values().any(|queued| queued.stays) {
            self.staying.remove(&alert);
        }
        if waiting.is_empty() {
            self.alerts.remove(&alert);
        }
        Some(queued)
    }

    /// The alert whose turn it is, and in which lane.
    fn turn(&mut self) -> Option<(AlertId, Severity)> {
        for severity in SEVERITIES {
            let lane = &mut self.lanes[lane(severity)];
            while let Some((alert, offset)) = lane.front() {
                let waits = self.alerts.get(alert).is_some_and(|all| all.contains_key(offset));
                if waits {
                    return Some((*alert, severity));
                }
                lane.pop_front();
            }
        }
        None
    }

    /// The least severity of the alerts that wait, if it is less than `below`; an alert is as bad as
    /// its worst entry.
    pub(super) fn least(&self, below: Severity) -> Option<Severity> {
        let waiting = self.alerts.iter().filter(|(alert, _)| !self.staying.contains(alert));
        waiting.map(|(_, all)| worst(all)).min().filter(|severity| *severity < below)
    }

    /// Takes out all alerts that are not worse than `most` and have no entry that stays: their entries
    /// in the order of the outbox.
    pub(super) fn take(&mut self, most: Severity) -> Vec<Queued> {
        let staying = &self.staying;
        let taken = self
            .alerts
            .extract_if(|alert, waiting| !staying.contains(alert) && worst(waiting) <= most);
        let mut taken: Vec<Queued> = taken.flat_map(|(_, waiting)| waiting.into_values()).collect();
        taken.sort_by_key(|queued| queued.job.record.offset);
        if !taken.is_empty() {
            for lane in &mut self.lanes {
                let alerts = &self.alerts;
                lane.retain(|(alert, _)| alerts.contains_key(alert));
            }
        }
        taken
    }
}

fn lane(severity: Severity) -> usize {
    SEVERITIES.iter().position(|of| *of == severity).unwrap_or(0)
}

fn severity(queued: &Queued) -> Severity {
    queued.job.entry.notification.severity
}

fn worst(waiting: &BTreeMap<i64, Queued>) -> Severity {
    waiting.values().map(severity).max().unwrap_or(Severity::Info)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::delivery::ports::OutboxRecord;
    use crate::delivery::tests::world::entry;
    use crate::notification::Kind;
    use Severity::{Critical, Error, Info, Warning};

    fn queued(offset: i64, key: &str, severity: Severity) -> Queued {
        let record = OutboxRecord { partition: 0, offset, timestamp_ms: 0, key: None, value: None };
        let mut entry = entry(offset, "general", Kind::Update, Some(key));
        entry.notification.severity = severity;
        Queued::new(Job::new(record, entry, false))
    }

    fn lanes(all: &[(&str, Severity)]) -> Lanes {
        let mut lanes = Lanes::default();
        for (offset, (key, severity)) in (0..).zip(all) {
            lanes.push(queued(offset, key, *severity));
        }
        lanes
    }

    fn offsets(lanes: &mut Lanes) -> Vec<i64> {
        std::iter::from_fn(|| lanes.pop()).map(|queued| queued.job.record.offset).collect()
    }

    #[test]
    fn the_worst_is_first_and_equals_keep_their_order() {
        let mut lanes = lanes(&[
            ("a", Info),
            ("b", Critical),
            ("c", Warning),
            ("d", Info),
            ("e", Critical),
            ("f", Error),
        ]);
        assert_eq!(
            lanes.first().map(|(job, severity)| (job.record.offset, severity)),
            Some((1, Critical))
        );
        assert_eq!(offsets(&mut lanes), [1, 4, 5, 2, 0, 3]);
        assert!(lanes.first().is_none());
    }

    #[test]
    fn an_alert_that_becomes_worse_overtakes_with_all_that_is_before_it() {
        let mut lanes = lanes(&[
            ("x", Info),
            ("a", Info),
            ("b", Error),
            ("a", Warning),
            ("a", Critical),
            ("a", Info),
        ]);
        assert_eq!(lanes.alerts(), 3);
        assert_eq!(offsets(&mut lanes), [1, 3, 4, 2, 0, 5]);
    }

    #[test]
    fn what_waited_comes_before_what_came_later() {
        let mut lanes = lanes(&[("a", Info)]);
        let later = lanes.pop().unwrap();
        lanes.push(queued(7, "a", Info));
        lanes.push(Queued { waited: true, ..later });
        assert_eq!(offsets(&mut lanes), [0, 7]);
    }

    #[test]
    fn whole_alerts_are_taken_and_the_worse_ones_stay() {
        let mut lanes = lanes(&[
            ("a", Info),
            ("b", Warning),
            ("a", Critical),
            ("c", Info),
            ("b", Info),
            ("d", Error),
        ]);
        assert_eq!(lanes.least(Critical), Some(Info));
        assert_eq!(lanes.least(Info), None);
        let taken = lanes.take(Warning);
        let taken: Vec<i64> = taken.into_iter().map(|queued| queued.job.record.offset).collect();
        assert_eq!(taken, [1, 3, 4]);
        assert_eq!(lanes.least(Critical), Some(Error));
        assert_eq!(offsets(&mut lanes), [0, 2, 5]);
        assert!(lanes.take(Critical).is_empty() && lanes.least(Critical).is_none());
    }

    #[test]
    fn what_stays_is_not_taken_again_and_counts_as_nobody() {
        let mut lanes = lanes(&[("a", Info), ("b", Info), ("a", Info)]);
        let taken = lanes.take(Info);
        taken.into_iter().for_each(|queued| {
            let is_a = queued.job.record.offset != 1;
            lanes.push(if is_a { queued.staying() } else { queued });
        });
        assert_eq!((lanes.alerts(), lanes.least(Critical)), (1, Some(Info)));
        lanes.push(queued(3, "a", Info));
        assert_eq!(lanes.take(Critical).len(), 1);
        assert_eq!((lanes.alerts(), lanes.least(Critical)), (0, None));
        assert!(lanes.take(Critical).is_empty());
        lanes.pop();
        assert_eq!(lanes.alerts(), 0, "more of it stays");
        lanes.pop();
        assert_eq!(lanes.alerts(), 1);
        assert_eq!(offsets(&mut lanes), [3]);
    }

    proptest! {
        #[test]
        fn everything_comes_out_once_and_each_alert_in_its_order(
            all in proptest::collection::vec((0..6_usize, 0..4_usize, any::<bool>()), 1..60),
        ) {
            let (mut lanes, mut out) = (Lanes::default(), Vec::new());
            for (offset, (alert, severity, pop)) in (0..).zip(&all) {
                lanes.push(queued(offset, &alert.to_string(), SEVERITIES[*severity]));
                if *pop {
                    out.extend(lanes.pop());
                }
            }
            out.extend(std::iter::from_fn(|| lanes.pop()));
            prop_assert_eq!(out.len(), all.len());
            for alert in 0..6 {
                let of: Vec<i64> = out.iter().map(|queued| &queued.job)
                    .filter(|job| job.entry.notification.alert_key.as_deref() == Some(&*alert.to_string()))
                    .map(|job| job.record.offset).collect();
                prop_assert!(of.is_sorted(), "{:?}", of);
            }
        }
    }
}
