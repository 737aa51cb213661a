//! What a target beside Slack's channels did not take: when each alert is tried again, and how long the
//! target is left in peace.
//!
//! In: entries that were not taken, and what became of others. Out: each alert's entries, in order, when
//! their time has come. What is never taken holds up its own alert, and nobody else. A pure core; the
//! caller's clock.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::backlog::Load;
use super::edits::supersedes;
use super::lanes::Queued;
use crate::backoff::Backoff;
use crate::notification::{AlertId, Severity};

/// The alerts that wait, and the target.
#[derive(Debug)]
pub(super) struct Retries {
    /// The waits of an alert that was not refused before.
    fresh: Backoff,
    /// How often each alert was not taken: kept while it is tried, until it is taken or given up.
    tries: HashMap<AlertId, Backoff>,
    lines: HashMap<AlertId, Line>,
    /// The target's own: it grows while nothing is taken, whatever it is asked.
    target: Backoff,
    rests_until: Option<Instant>,
    /// The alert that was released last and was not tried since, and how bad it is.
    out: Option<(AlertId, Severity)>,
    /// Whether what was tried last had been tried before: something else is tried next.
    was_again: bool,
    /// What lies here or was released and is not finished, of that which is not counted elsewhere.
    aside: Load,
}

/// What may lie aside of one target, beside what it holds in memory: what is never taken leaves the others
/// their room.
const ASIDE_MOST: Load = Load { entries: 1_000, bytes: 3 << 20 };

/// What waits of one alert.
#[derive(Debug)]
struct Line {
    due: Instant,
    entries: Vec<Queued>,
}

impl Retries {
    /// Nothing waits.
    pub(super) fn new(fresh: Backoff) -> Self {
        Self {
            target: fresh.clone(),
            fresh,
            tries: HashMap::new(),
            lines: HashMap::new(),
            rests_until: None,
            out: None,
            was_again: false,
            aside: Load::default(),
        }
    }

    /// An entry is about to be tried.
    pub(super) fn tries(&mut self, queued: &Queued) {
        self.was_again = queued.tried;
        self.out = self.out.filter(|(out, _)| *out != queued.job.entry.alert);
    }

    /// How many entries lie here that are not counted elsewhere.
    pub(super) fn aside(&self) -> usize {
        self.aside.entries
    }

    /// Whether there is room for something that then need not be counted elsewhere.
    pub(super) fn has_room(&self) -> bool {
        self.aside.entries < ASIDE_MOST.entries && self.aside.bytes < ASIDE_MOST.bytes
    }

    /// An entry was not taken; the target asks to wait for `wait`.
    pub(super) fn not_taken(&mut self, queued: Queued, wait: Duration, now: Instant) {
        let alert = queued.job.entry.alert;
        let queued = self.count(queued);
        let rest = self.target.failed().max(wait);
        self.rests_until = Some(now + rest);
        let tries = self.tries.entry(alert).or_insert_with(|| self.fresh.clone());
        // Longer than the target rests: between the two the others have their turn.
        let due = now + rest + tries.failed();
        self.lines.insert(alert, Line { due, entries: vec![queued] });
    }

    /// The target took something of an alert.
    pub(super) fn taken(&mut self, alert: &AlertId) {
        self.tries.remove(alert);
        self.target.succeeded();
    }

    /// An entry of an alert is not tried any more.
    pub(super) fn given_up(&mut self, alert: &AlertId) {
        self.tries.remove(alert);
    }

    /// Lets an entry wait behind what waits of its alert; returns the one that it makes superfluous. The first
    /// stays, since its target may have it.
    pub(super) fn stand_behind(&mut self, queued: Queued) -> Option<Queued> {
        if !self.has(&queued.job.entry.alert) {
            return None;
        }
        let queued = self.count(queued);
        let line = self.lines.get_mut(&queued.job.entry.alert)?;
        let last = line.entries.len() - 1;
        let superfluous = line.entries.pop_if(|of| last > 0 && supersedes(&queued.job, &of.job));
        line.entries.push(queued);
        superfluous
    }

    /// Counts an entry that is laid aside and not counted elsewhere.
    fn count(&mut self, queued: Queued) -> Queued {
        if queued.aside || !queued.waited {
            return queued;
        }
        self.aside.add(load(&queued));
        Queued { aside: true, ..queued }
    }

    /// An entry is finished.
    pub(super) fn finished(&mut self, queued: &Queued) {
        if queued.aside {
            self.aside.sub(load(queued));
        }
    }

    /// Whether something of an alert waits.
    pub(super) fn has(&self, alert: &AlertId) -> bool {
        self.lines.contains_key(alert)
    }

    /// Whether the target is left in peace.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| until > now)
    }

    /// When the target may be asked again, else when the next alert is due. One that is due already waits
    /// for others, and not for time.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let rest = self.rests_until.filter(|until| *until > now);
        let due = self.lines.values().map(|line| line.due).filter(|due| *due > now);
        rest.or_else(|| due.min())
    }

    /// Takes out the worst alert that is due, of equals the first; where `nobody_else` waits for the target
    /// also before its time. One at a time, but for a worse one, and never two without something between that
    /// was not tried before.
    pub(super) fn release(&mut self, nobody_else: bool, now: Instant) -> Vec<Queued> {
        if self.rests(now) || self.was_again && !nobody_else {
            return Vec::new();
        }
        let due = self.lines.iter().filter(|(_, line)| nobody_else || line.due <= now);
        let first = due.max_by_key(|(_, line)| (line.severity(), Reverse(line.due)));
        let Some((alert, severity)) = first.map(|(alert, line)| (*alert, line.severity())) else {
            return Vec::new();
        };
        if self.out.is_some_and(|(_, out)| severity <= out) {
            return Vec::new();
        }
        self.out = Some((alert, severity));
        self.lines.remove(&alert).map_or_else(Vec::new, |line| line.entries)
    }
}

impl Line {
    fn severity(&self) -> Severity {
        let severities = self.entries.iter().map(|queued| queued.job.entry.notification.severity);
        severities.max().unwrap_or(Severity::Info)
    }
}

fn load(queued: &Queued) -> Load {
    Load { entries: 1, bytes: queued.job.record.bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::attempt::Job;
    use crate::delivery::ports::OutboxRecord;
    use crate::delivery::tests::world::entry;
    use crate::notification::Kind;

    const LEAST: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_secs(60);

    fn queued(offset: i64, key: &str) -> Queued {
        let value = Some(vec![0; 4_000]);
        let record = OutboxRecord { partition: 0, offset, timestamp_ms: 0, key: None, value };
        let entry = entry(offset, "webhook:oncall", Kind::Update, Some(key));
        Queued::new(Job::new(record, entry, false))
    }

    fn retries() -> Retries {
        Retries::new(Backoff::new(LEAST, MOST, 1))
    }

    /// Tries one, which is not taken.
    fn fails(retries: &mut Retries, queued: Queued, now: Instant) {
        retries.tries(&queued);
        retries.not_taken(Queued { tried: true, ..queued }, Duration::ZERO, now);
    }

    fn offsets(released: &[Queued]) -> Vec<i64> {
        released.iter().map(|queued| queued.job.record.offset).collect()
    }

    #[test]
    fn an_alert_waits_with_all_that_follows_and_longer_than_its_target_rests() {
        let (mut retries, mut now) = (retries(), Instant::now());
        let alert = queued(0, "a").job.entry.alert;
        for _ in 0..20 {
            fails(&mut retries, queued(0, "a"), now);
            assert!(retries.stand_behind(queued(1, "a")).is_none());
            assert!(retries.has(&alert) && retries.rests(now));
            let rested = retries.next(now).unwrap();
            assert!(retries.release(false, rested).is_empty() && !retries.rests(rested));
            now = retries.next(rested).unwrap();
            assert!(now >= rested + LEAST / 2);
            assert_eq!(offsets(&retries.release(false, now)), [0, 1]);
            assert!(!retries.has(&alert) && retries.next(now).is_none());
        }
    }

    #[test]
    fn a_target_that_takes_others_is_asked_again_soon_and_what_it_does_not_take_seldom() {
        let mut retries = retries();
        let (mut now, other) = (Instant::now(), queued(0, "b").job.entry.alert);
        for _ in 0..10 {
            fails(&mut retries, queued(0, "a"), now);
            let rested = retries.next(now).unwrap();
            assert!(rested <= now + LEAST);
            retries.taken(&other);
            now = retries.next(rested).unwrap();
            retries.release(false, now);
        }
        fails(&mut retries, queued(0, "a"), now);
        let rested = retries.next(now).unwrap();
        assert!(retries.next(rested).unwrap() >= rested + MOST / 2);
        // Once it was taken or given up, what comes next of it is new.
        retries.release(false, rested + MOST * 2);
        retries.given_up(&queued(0, "a").job.entry.alert);
        retries.taken(&other);
        now = rested + MOST * 2;
        fails(&mut retries, queued(1, "a"), now);
        assert!(retries.next(now + LEAST).unwrap() <= now + LEAST * 2);
    }

    #[test]
    fn where_nobody_else_waits_the_first_goes_when_its_target_has_rested() {
        let (mut retries, now) = (retries(), Instant::now());
        assert!(retries.release(true, now).is_empty());
        fails(&mut retries, queued(0, "a"), now);
        fails(&mut retries, queued(1, "b"), now + LEAST);
        assert!(retries.release(true, now + LEAST).is_empty(), "it rests");
        let rested = now + LEAST * 4;
        let first = retries.release(true, rested);
        assert_eq!(offsets(&first), [0]);
        assert!(retries.release(true, rested).is_empty(), "one at a time");
        retries.tries(&first[0]);
        assert_eq!(offsets(&retries.release(true, rested)), [1]);
    }

    #[test]
    fn of_changes_that_wait_the_last_one_is_told() {
        let (mut retries, now) = (retries(), Instant::now());
        let waits = |n| Queued { waited: true, ..queued(n, "a") };
        fails(&mut retries, waits(0), now);
        assert!(retries.stand_behind(waits(1)).is_none(), "its target may have the first");
        let superfluous: Vec<_> = (2..500).filter_map(|n| retries.stand_behind(waits(n))).collect();
        superfluous.iter().for_each(|queued| retries.finished(queued));
        assert_eq!((superfluous.len(), retries.aside()), (498, 2));
        let released = retries.release(true, now + MOST);
        assert_eq!((offsets(&released), retries.aside()), (vec![0, 499], 2));
        // The first is not taken again, the other waits behind it, and both are counted once.
        let mut released = released.into_iter();
        fails(&mut retries, released.next().unwrap(), now);
        assert!(retries.stand_behind(released.next().unwrap()).is_none());
        assert_eq!(retries.aside(), 2);
        retries.release(true, now + MOST * 9).iter().for_each(|queued| retries.finished(queued));
        assert_eq!(retries.aside, Load::default());
    }

    #[test]
    fn what_is_worse_is_tried_again_first_and_passes_what_is_not() {
        let (mut retries, now) = (retries(), Instant::now());
        for (n, severity) in [(0, Severity::Info), (1, Severity::Critical), (2, Severity::Error)] {
            let mut queued = queued(n, &n.to_string());
            queued.job.entry.notification.severity = severity;
            fails(&mut retries, queued, now);
        }
        let later = now + MOST * 3;
        let first = retries.next(now).unwrap();
        assert!(retries.rests(now) && retries.next(first) > Some(first), "no time that has passed");
        retries.tries(&queued(9, "new"));
        assert_eq!(offsets(&retries.release(false, later)), [1]);
        retries.out = Some((queued(0, "x").job.entry.alert, Severity::Warning));
        assert_eq!(offsets(&retries.release(false, later)), [2], "a worse one passes");
        assert!(retries.release(false, later).is_empty());
    }

    #[test]
    fn what_was_not_tried_before_goes_between_two_that_were() {
        let (mut retries, now) = (retries(), Instant::now());
        for (n, key) in [(0, "a"), (1, "b"), (2, "c")] {
            fails(&mut retries, queued(n, key), now);
        }
        let later = now + MOST * 3;
        let mut order = Vec::new();
        for n in 10..13 {
            let again = retries.release(false, later).remove(0);
            retries.tries(&again);
            order.push(again.job.record.offset);
            assert!(retries.release(false, later).is_empty());
            retries.tries(&queued(n, "new"));
        }
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2]);
    }

    #[test]
    fn what_is_never_taken_leaves_the_others_their_room() {
        let (mut retries, now) = (retries(), Instant::now());
        let waits = |n| Queued { waited: true, ..queued(n, "a") };
        fails(&mut retries, waits(0), now);
        let mut n = 0;
        while retries.has_room() {
            n += 1;
            let fire = |queued: &mut Queued| queued.job.entry.notification.kind = Kind::Fire;
            let mut one = waits(n);
            fire(&mut one);
            assert!(retries.stand_behind(one).is_none());
        }
        assert!((700..800).contains(&n), "{n} of 4,000 bytes");
        assert!(retries.stand_behind(queued(n + 1, "a")).is_none());
        retries.release(true, now + MOST).iter().for_each(|queued| retries.finished(queued));
        assert_eq!((retries.aside, retries.has_room()), (Load::default(), true));
    }

    #[test]
    fn who_asks_for_time_gets_it() {
        let (mut retries, now, wait) = (retries(), Instant::now(), Duration::from_secs(300));
        retries.not_taken(queued(0, "a"), wait, now);
        assert!(retries.rests(now + wait - LEAST) && !retries.rests(now + wait));
    }
}
