//! The groups of a channel that are open, and when each is told. A pure core; the caller's clock.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::notification::{AlertId, Severity};

/// Groups that take alerts.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_labels: HashMap<BTreeMap<String, String>, AlertId>,
    open: HashMap<AlertId, Slot>,
    /// When they were looked through last.
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Slot {
    labels: BTreeMap<String, String>,
    /// When there is something to do; `None` = nothing, until something comes.
    due: Option<Instant>,
    worst: Severity,
}

impl Groups {
    /// The group with these labels.
    pub(super) fn of(&self, labels: &BTreeMap<String, String>) -> Option<AlertId> {
        self.by_labels.get(labels).copied()
    }

    /// A group is open.
    pub(super) fn open(&mut self, group: AlertId, labels: BTreeMap<String, String>) {
        self.by_labels.insert(labels.clone(), group);
        self.open.insert(group, Slot { labels, due: None, worst: Severity::Info });
    }

    /// Something came that is so bad: the group is due then, or before.
    pub(super) fn came(&mut self, group: &AlertId, severity: Severity, due: Instant) {
        let Some(slot) = self.open.get_mut(group) else { return };
        slot.worst = slot.worst.max(severity);
        slot.due = Some(slot.due.map_or(due, |before| before.min(due)));
    }

    /// A group was told, is as bad as that, and is due then.
    pub(super) fn told(&mut self, group: &AlertId, worst: Severity, due: Option<Instant>) {
        if let Some(slot) = self.open.get_mut(group) {
            (slot.worst, slot.due) = (worst, due);
        }
    }

    /// A group was not told, and is due then.
    pub(super) fn wait(&mut self, group: &AlertId, due: Instant) {
        if let Some(slot) = self.open.get_mut(group) {
            slot.due = Some(due);
        }
    }

    /// Forgets the groups that are not to be kept any more; looks once in `every`.
    pub(super) fn tidy(&mut self, every: Duration, now: Instant, keep: impl Fn(&AlertId) -> bool) {
        if self.looked.is_some_and(|looked| now < looked + every) {
            return;
        }
        self.looked = Some(now);
        self.open.retain(|group, _| keep(group));
        let open = &self.open;
        self.by_labels.retain(|_, group| open.contains_key(group));
    }

    /// When they are looked through next.
    pub(super) fn tidied_at(&self, every: Duration) -> Option<Instant> {
        self.looked.filter(|_| !self.open.is_empty()).map(|looked| looked + every)
    }

    /// A group is over.
    pub(super) fn close(&mut self, group: &AlertId) {
        let Some(slot) = self.open.remove(group) else { return };
        if self.by_labels.get(&slot.labels) == Some(group) {
            self.by_labels.remove(&slot.labels);
        }
    }

    /// The group that is to be told now, the worst first, then the one that is due longest.
    pub(super) fn turn(&self, now: Instant) -> Option<(AlertId, Severity)> {
        let due = self.due(now);
        let first = due.max_by_key(|(_, slot)| (slot.worst, std::cmp::Reverse(slot.due)));
        first.map(|(group, slot)| (*group, slot.worst))
    }

    /// The groups that are to be told now, with how bad each is.
    pub(super) fn waiting(&self, now: Instant) -> Vec<(AlertId, Severity)> {
        self.due(now).map(|(group, slot)| (*group, slot.worst)).collect()
    }

    fn due(&self, now: Instant) -> impl Iterator<Item = (&AlertId, &Slot)> {
        self.open.iter().filter(move |(_, slot)| slot.due.is_some_and(|due| due <= now))
    }

    /// When the next one is due that is not due now.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.open.values().filter_map(|slot| slot.due).filter(|due| *due > now).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_worst_that_is_due_is_told_first_and_a_group_is_found_until_it_is_over() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let id = |n: u128| format!("{n:032x}").parse::<AlertId>().unwrap();
        let labels = |host: &str| BTreeMap::from([("host".to_owned(), host.to_owned())]);
        let mut groups = Groups::default();
        for (n, host) in [(1, "a"), (2, "b"), (3, "c")] {
            groups.open(id(n), labels(host));
        }
        assert_eq!((groups.of(&labels("b")), groups.turn(now)), (Some(id(2)), None));
        groups.came(&id(1), Severity::Info, now);
        groups.came(&id(2), Severity::Error, now);
        groups.came(&id(2), Severity::Info, now + second);
        groups.came(&id(3), Severity::Critical, now + second);
        assert_eq!(groups.turn(now), Some((id(2), Severity::Error)));
        assert_eq!(groups.next(now), Some(now + second));
        assert_eq!(groups.turn(now + second), Some((id(3), Severity::Critical)));
        assert_eq!(groups.waiting(now).len(), 2);
        groups.told(&id(2), Severity::Info, None);
        groups.wait(&id(1), now + second * 2);
        assert_eq!((groups.turn(now), groups.next(now + second)), (None, Some(now + second * 2)));
        groups.close(&id(3));
        assert_eq!(groups.of(&labels("c")), None);
        // Another one took its labels before it was over.
        groups.open(id(4), labels("a"));
        groups.close(&id(1));
        assert_eq!(groups.of(&labels("a")), Some(id(4)));
    }

    #[test]
    fn groups_that_are_not_to_be_kept_are_forgotten_once_in_a_while() {
        let (now, every) = (Instant::now(), Duration::from_secs(300));
        let id = |n: u128| format!("{n:032x}").parse::<AlertId>().unwrap();
        let labels = |host: &str| BTreeMap::from([("host".to_owned(), host.to_owned())]);
        let mut groups = Groups::default();
        for (n, host) in [(1, "a"), (2, "b"), (3, "a")] {
            groups.open(id(n), labels(host));
        }
        let of = |groups: &Groups| (groups.open.len(), groups.by_labels.len());
        groups.tidy(every, now, |_| true);
        assert_eq!(of(&groups), (3, 2));
        groups.tidy(every, now + every / 2, |_| false);
        assert_eq!((of(&groups), groups.tidied_at(every)), ((3, 2), Some(now + every)));
        groups.tidy(every, now + every, |group| *group == id(2));
        assert_eq!((of(&groups), groups.of(&labels("b"))), ((1, 1), Some(id(2))));
        groups.tidy(every, now + every * 2, |_| false);
        assert_eq!((of(&groups), groups.tidied_at(every)), ((0, 0), None));
    }
}
