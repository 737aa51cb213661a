//! The open alerts of the whole group, by what the ledger says of them: they inhibit others, whichever
//! host has them, and their ends are told where they are open.
//!
//! In: what this host writes into the partitions of the ledger that are its own, at once, and what
//! others write into all partitions, by way of `kafka.rs`. Out: which open alert inhibits another one, and
//! where one is open.
//! Pure but for `kafka.rs`.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::{Entry, State as Stands, wire};
use crate::notification::AlertId;
use crate::policy::{Labels, Policy, Sources};

pub mod kafka;

/// Between two looks whether the topic was read.
const READ_LOOK: Duration = Duration::from_millis(5);

/// An entry of the ledger: its partition and its key.
type Name = (i32, Vec<u8>);

/// The open alerts; clones share them.
#[derive(Debug, Clone, Default)]
pub struct OpenAlerts {
    state: Arc<Mutex<State>>,
    is_read: Arc<AtomicBool>,
    followed: Arc<OnceLock<Instant>>,
    tenures: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    /// Whose rules the alerts are sorted by.
    policy: Arc<Policy>,
    /// Partitions that are this host's own, and which time of having them this is.
    ours: BTreeMap<i32, u64>,
    /// What this host wrote there.
    own: Sources<Name, AlertId>,
    /// What was read, of all partitions.
    read: Sources<Name, AlertId>,
    /// Of both, the alerts that their channel took nothing of.
    untold: [HashSet<Name>; 2],
}

const OWN: usize = 0;
const READ: usize = 1;

/// A partition of the ledger while it is this host's own: what it says of it counts at once.
#[derive(Debug)]
pub struct Tenure {
    open: OpenAlerts,
    partition: i32,
    number: u64,
}

impl OpenAlerts {
    /// A partition becomes this host's own, with these entries.
    pub fn take_over<'a>(
        &self,
        partition: i32,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Tenure {
        let number = self.tenures.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        state.forget_own(partition);
        state.ours.insert(partition, number);
        drop(state);
        let tenure = Tenure { open: self.clone(), partition, number };
        entries.into_iter().for_each(|entry| tenure.note(entry));
        tenure
    }

    /// Whether a partition is this host's own.
    pub fn has(&self, partition: i32) -> bool {
        self.lock().ours.contains_key(&partition)
    }

    /// An entry was read, of any partition; `None` = its key is forgotten.
    pub fn read(&self, partition: i32, key: &[u8], entry: Option<&Entry>) {
        let mut state = self.lock();
        let policy = Arc::clone(&state.policy);
        let name = (partition, key.to_vec());
        state.note_untold(READ, &name, entry);
        state.read.set(&name, entry.and_then(open), policy.inhibit_rules());
    }

    /// The entries that were read and are open.
    pub fn names(&self) -> Vec<(i32, Vec<u8>)> {
        self.lock().read.names().cloned().collect()
    }

    /// The topic was read to its end, or nobody reads it any more, and what was read is forgotten.
    pub fn set_read(&self, is_read: bool) {
        if !is_read {
            let mut state = self.lock();
            let policy = Arc::clone(&state.policy);
            state.read.keep(|_| false, policy.inhibit_rules());
            state.untold[READ].clear();
        }
        self.is_read.store(is_read, Ordering::Release);
    }

    /// Somebody is about to read the topic, and then goes on.
    pub fn set_followed(&self) {
        self.followed.get_or_init(Instant::now);
    }

    /// Waits until the topic was read to its end, if anybody reads it, but not longer than `most` after that
    /// began; returns whether that is so. Blocks.
    pub fn await_read(&self, most: Duration) -> bool {
        while let Some(begin) = self.followed.get()
            && !self.is_read()
        {
            if begin.elapsed() >= most {
                return false;
            }
            std::thread::sleep(READ_LOOK);
        }
        true
    }

    /// Whether the topic was read to its end.
    pub fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Acquire)
    }

    /// The channels in which an alert is open, as far as the ledger was read or is this host's own, each
    /// with whether anybody was told of it there.
    pub fn places(&self, alert: &AlertId) -> BTreeMap<String, bool> {
        let state = &*self.lock();
        let of_others = state.read.names_of(alert).filter(|name| !state.ours.contains_key(&name.0));
        let names = state.own.names_of(alert).map(|name| (OWN, name));
        let mut places = BTreeMap::new();
        for (of, name) in names.chain(of_others.map(|name| (READ, name))) {
            if let Some(channel) = wire::channel_of(&name.1) {
                // Twice where the outbox had another number of partitions once.
                *places.entry(channel.to_owned()).or_default() |= !state.untold[of].contains(name);
            }
        }
        places
    }

    /// Which open alert inhibits one, by the policy's rules.
    pub fn inhibitor(
        &self,
        policy: &Arc<Policy>,
        (alert, labels): (&AlertId, &Labels),
    ) -> Option<AlertId> {
        let rules = policy.inhibit_rules();
        if !rules.iter().any(|rule| rule.is_target(labels)) {
            return None;
        }
        let mut state = self.lock();
        if !Arc::ptr_eq(&state.policy, policy) {
            state.policy = Arc::clone(policy);
            state.own.hold(rules);
            state.read.hold(rules);
        }
        let one = (alert, labels);
        let own = state.own.inhibitor(one, rules, |_| true);
        own.or_else(|| {
            let of_others = |name: &Name| !state.ours.contains_key(&name.0);
            state.read.inhibitor(one, rules, of_others)
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_own(&mut self, partition: i32) {
        let policy = Arc::clone(&self.policy);
        self.own.keep(|name| name.0 != partition, policy.inhibit_rules());
        self.untold[OWN].retain(|name| name.0 != partition);
    }

    fn note_untold(&mut self, of: usize, name: &Name, entry: Option<&Entry>) {
        if entry.is_some_and(|entry| entry.state == Stands::Abandoned) {
            self.untold[of].insert(name.clone());
        } else {
            self.untold[of].remove(name);
        }
    }
}

impl Tenure {
    /// An entry was written.
    pub fn note(&self, entry: &Entry) {
        self.set(entry.key(), Some(entry));
    }

    /// An entry is forgotten.
    pub fn forget(&self, key: &[u8]) {
        self.set(key.to_vec(), None);
    }

    fn set(&self, key: Vec<u8>, entry: Option<&Entry>) {
        let mut state = self.open.lock();
        if state.ours.get(&self.partition) == Some(&self.number) {
            let policy = Arc::clone(&state.policy);
            let name = (self.partition, key);
            state.note_untold(OWN, &name, entry);
            state.own.set(&name, entry.and_then(open), policy.inhibit_rules());
        }
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        let mut state = self.open.lock();
        if state.ours.get(&self.partition) == Some(&self.number) {
            state.ours.remove(&self.partition);
            state.forget_own(self.partition);
        }
    }
}

fn open(entry: &Entry) -> Option<(AlertId, Labels)> {
    Some((entry.alert, entry.labels.clone()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    const A: &str = "00000000000000000000000000000001";
    const B: &str = "00000000000000000000000000000002";

    fn entry(alert: &str, labels: Option<&[(&str, &str)]>) -> Entry {
        let new = Entry::new(alert.parse().unwrap(), "general", String::new(), Stands::Open);
        Entry { labels: labels.map(|labels| labels.iter().copied().collect()), ..new }
    }

    fn policy() -> Arc<Policy> {
        let text = "[[inhibit_rules]]\nsource_matchers = ['rule = site-down']\n\
                    target_matchers = ['rule = host-down']\nequal = ['site']\n";
        Arc::new(Policy::parse(std::path::Path::new("policy.toml"), text).unwrap())
    }

    #[test]
    fn what_is_ours_counts_at_once_and_what_others_have_when_it_was_read() {
        let (open, policy) = (OpenAlerts::default(), policy());
        let source = [("rule", "site-down"), ("site", "b")];
        let target: Labels = [("rule", "host-down"), ("site", "b")].into_iter().collect();
        let (target, by) = ((B.parse().unwrap(), target), Some(A.parse().unwrap()));
        let asked = || open.inhibitor(&policy, (&target.0, &target.1));
        assert_eq!(asked(), None);
        let (fired, ended) = (entry(A, Some(&source)), entry(A, None));
        open.read(1, &fired.key(), Some(&fired));
        assert_eq!(asked(), by);
        // The partition is taken over with an alert that has ended: what was read of it counts no more.
        let tenure = open.take_over(1, [&ended]);
        assert_eq!(asked(), None);
        tenure.note(&fired);
        assert_eq!(asked(), by);
        tenure.forget(&fired.key());
        assert_eq!(asked(), None);
        // It comes anew before the old tenure ends.
        let again = open.take_over(1, [&fired]);
        drop(tenure);
        assert_eq!(asked(), by);
        again.note(&ended);
        open.read(1, &ended.key(), Some(&ended));
        drop(again);
        assert_eq!(asked(), None);
        open.read(2, &fired.key(), Some(&fired));
        assert_eq!((asked(), open.names().len()), (by, 1));
        let elsewhere = Entry { channel: "webhook:x".into(), ..fired.clone() };
        let tenure = open.take_over(3, [&elsewhere]);
        let places = || open.places(&fired.alert);
        let told = |at: &[(&str, bool)]| {
            at.iter().map(|(at, told)| ((*at).to_owned(), *told)).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(places(), told(&[("general", true), ("webhook:x", true)]));
        tenure.note(&Entry { state: Stands::Abandoned, ..elsewhere.clone() });
        assert_eq!(places(), told(&[("general", true), ("webhook:x", false)]));
        tenure.note(&elsewhere);
        tenure.note(&Entry { labels: None, ..elsewhere });
        assert_eq!(places(), told(&[("general", true)]));
        open.read(2, &fired.key(), None);
        assert_eq!((asked(), places()), (None, BTreeMap::new()));
    }

    #[test]
    fn a_policy_that_changes_sorts_what_is_open_anew() {
        let open = OpenAlerts::default();
        let source = entry(A, Some(&[("rule", "site-down"), ("site", "b")]));
        let _tenure = open.take_over(0, [&source]);
        let (id, labels) = (B.parse().unwrap(), [("rule", "host-down"), ("site", "b")]);
        let target = (&id, &labels.into_iter().collect());
        assert_eq!(open.inhibitor(&Arc::default(), target), None);
        assert!(open.inhibitor(&policy(), target).is_some());
        assert_eq!(open.inhibitor(&Arc::default(), target), None);
    }
}
