//! What a workspace takes of all its channels together: one bucket, from which the worst is served
//! first, and of equals who waits longest.
//!
//! A channel waits with one message at a time and goes to the back of the line when it was served, so
//! that channels take turns.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::pace::Pace;
use crate::notification::{AlertId, Severity};

/// Who asks for a token and gets none asks again sooner than that, or wants none any more.
const ASKED_AGAIN: Duration = Duration::from_secs(3);

/// The shared bucket.
#[derive(Debug)]
pub struct Budget {
    line: Mutex<Line>,
    /// Somebody was served, came, or left.
    changed: Notify,
}

#[derive(Debug)]
struct Line {
    pace: Pace,
    waiting: BTreeSet<Place>,
    asking: Asking,
    last: u64,
}

/// Those who do not wait in line, but ask again and again.
#[derive(Debug, Default)]
struct Asking {
    /// The place of each, and until when it is kept.
    places: HashMap<AlertId, (Place, Instant)>,
    order: BTreeSet<(Place, AlertId)>,
}

impl Asking {
    fn take(&mut self, who: &AlertId) -> Option<Place> {
        let (place, _) = self.places.remove(who)?;
        self.order.remove(&(place, *who));
        Some(place)
    }

    fn put(&mut self, who: AlertId, place: Place, until: Instant) {
        self.places.insert(who, (place, until));
        self.order.insert((place, who));
    }

    /// The first of those who still want one.
    fn first(&mut self, now: Instant) -> Option<Place> {
        loop {
            let (place, who) = *self.order.first()?;
            if self.places.get(&who).is_some_and(|(_, until)| *until > now) {
                return Some(place);
            }
            self.take(&who);
        }
    }
}

/// Who is first: the worst, then the lowest number.
type Place = (Reverse<Severity>, u64);

/// A number in the line. It is kept when what waits becomes something else, so that a channel to which
/// more and more comes is not last for ever.
#[derive(Debug, Default)]
pub struct Ticket(Option<u64>);

/// Leaves the line when the wait is given up.
struct InLine<'a> {
    budget: &'a Budget,
    place: Place,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.budget.line().waiting.remove(&self.place);
        self.budget.changed.notify_waiters();
    }
}

impl Budget {
    /// A full bucket.
    pub fn new(per_second: f64, burst: u32) -> Self {
        let pace = Pace::new(per_second, burst);
        let line = Line { pace, waiting: BTreeSet::new(), asking: Asking::default(), last: 0 };
        Self { line: Mutex::new(line), changed: Notify::new() }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a token and takes it. Nothing is taken when the wait is given up.
    pub async fn take(&self, severity: Severity, ticket: &mut Ticket) {
        let number = match ticket.0 {
            Some(number) => number,
            None => {
                let mut line = self.line();
                line.last += 1;
                *ticket.0.insert(line.last)
            }
        };
        let place = (Reverse(severity), number);
        self.line().waiting.insert(place);
        let in_line = InLine { budget: self, place };
        // Who was first until now may be second.
        self.changed.notify_waiters();
        loop {
            // Made before looking, so that no change is missed.
            let changed = self.changed.notified();
            match self.wait_of(place) {
                Some(Duration::ZERO) => break,
                Some(wait) => {
                    // Time, or somebody worse.
                    let _sooner = tokio::time::timeout(wait, changed).await.is_ok();
                }
                None => changed.await,
            }
        }
        ticket.0 = None;
        drop(in_line);
    }

    /// How long the first in line must wait, zero when its token was taken; `None` = others are before it.
    fn wait_of(&self, place: Place) -> Option<Duration> {
        let mut line = self.line();
        if line.waiting.first() != Some(&place) {
            return None;
        }
        let now = Instant::now();
        let wait = line.pace.ready_in(now);
        if wait.is_zero() {
            line.pace.take(now);
        }
        Some(wait)
    }

    /// Takes a token for `who` if there is one, and nobody has a better right to it: who is worse, or as bad
    /// and asked before. Who gets none keeps its place by asking again within `ASKED_AGAIN`.
    pub fn ask(&self, who: AlertId, severity: Severity, now: Instant) -> bool {
        let mut line = self.line();
        line.last += 1;
        let last = line.last;
        let before = line.asking.take(&who);
        let place = (Reverse(severity), before.map_or(last, |(_, number)| number));
        let is_first =
            line.waiting.is_empty() && line.asking.first(now).is_none_or(|of| place < of);
        let is_served = is_first && line.pace.ready_in(now).is_zero();
        if is_served {
            line.pace.take(now);
        } else {
            line.asking.put(who, place, now + ASKED_AGAIN);
        }
        is_served
    }

    /// From now on this host does `ours` of `all` parts of the work, and has as large a part of the rate: all
    /// hosts together keep to the whole of it.
    pub fn have_part(&self, ours: usize, all: usize) {
        let part = ours.max(1) as f64 / all.max(ours).max(1) as f64;
        self.line().pace.share(part, Instant::now());
        self.changed.notify_waiters();
    }

    /// Puts back a token that was not used.
    pub fn give_back(&self) {
        self.line().pace.give_back();
        self.changed.notify_waiters();
    }

    /// How many messages one of those who wait now can expect to send within `time`.
    pub fn share(&self, time: Duration) -> f64 {
        let line = self.line();
        line.pace.within(time) / line.waiting.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use Severity::{Critical, Info, Warning};

    /// Each name takes so many, one after the other; who was served when.
    async fn served(
        budget: Budget,
        all: &[(&'static str, Severity, usize)],
    ) -> Vec<(&'static str, u128)> {
        let (budget, begin) = (Arc::new(budget), Instant::now());
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, severity, count) in all.iter().copied() {
            let (budget, log) = (Arc::clone(&budget), Arc::clone(&log));
            tasks.push(tokio::spawn(async move {
                let mut ticket = Ticket::default();
                for _ in 0..count {
                    budget.take(severity, &mut ticket).await;
                    let at = begin.elapsed().as_millis();
                    log.lock().unwrap().push((name, at));
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let log = log.lock().unwrap();
        log.clone()
    }

    #[tokio::test]
    async fn channels_take_turns() {
        let served =
            served(Budget::new(50.0, 1), &[("a", Info, 3), ("b", Info, 2), ("c", Info, 1)]);
        let names: Vec<&str> = served.await.into_iter().map(|(name, _)| name).collect();
        // The first took a token that was there, and was the first in line when the others came.
        assert_eq!(names, ["a", "a", "b", "c", "a", "b"]);
    }

    #[tokio::test]
    async fn the_worst_is_first_and_the_pace_is_kept() {
        let all = [("info", Info, 4), ("critical", Critical, 2), ("warning", Warning, 1)];
        let served = served(Budget::new(50.0, 2), &all).await;
        // The first two were there at once; then one every 20 ms.
        assert!(served[6].1 >= 95, "{served:?}");
        let names: Vec<&str> = served.iter().map(|(name, _)| *name).skip(2).collect();
        assert_eq!(names, ["critical", "critical", "warning", "info", "info"]);
    }

    #[tokio::test]
    async fn who_gives_up_takes_nothing_and_keeps_its_number() {
        let budget = Arc::new(Budget::new(10.0, 1));
        let mut ticket = Ticket::default();
        budget.take(Info, &mut ticket).await;
        let early = Duration::from_millis(20);
        assert!(tokio::time::timeout(early, budget.take(Info, &mut ticket)).await.is_err());
        let other = Arc::clone(&budget);
        let other = tokio::spawn(async move {
            other.take(Info, &mut Ticket::default()).await;
            Instant::now()
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        budget.take(Info, &mut ticket).await;
        let mine = Instant::now();
        assert!(other.await.unwrap().duration_since(mine) >= Duration::from_millis(90));
        let now = Instant::now();
        assert!(!budget.ask(id(1), Info, now));
        budget.give_back();
        assert!(budget.ask(id(1), Info, now));
    }

    #[tokio::test]
    async fn a_host_keeps_to_its_part() {
        let budget = Budget::new(100.0, 100);
        let second = Duration::from_secs(1);
        assert_eq!(budget.share(second), 200.0);
        for (ours, all, shared) in [(1, 4, 50.0), (0, 4, 50.0), (4, 4, 200.0), (8, 4, 200.0)] {
            budget.have_part(ours, all);
            assert_eq!(budget.share(second), shared, "{ours} of {all}");
        }
        budget.have_part(1, 10);
        let served = served(budget, &[("a", Info, 15)]).await;
        // Ten at once, then ten a second.
        assert!(served[14].1 >= 450, "{served:?}");
    }

    fn id(n: u128) -> AlertId {
        format!("{n:032x}").parse().unwrap()
    }

    #[test]
    fn of_those_who_ask_again_and_again_the_worst_is_served_first() {
        let (budget, second) = (Budget::new(1.0, 1), Duration::from_secs(1));
        let mut now = Instant::now();
        let ask = |n: u128, severity, now| budget.ask(id(n), severity, now);
        assert!(ask(1, Info, now));
        assert!(!ask(2, Info, now) && !ask(3, Warning, now));
        assert!(!ask(4, Critical, now) && !ask(5, Critical, now));
        now += second;
        assert!(!ask(2, Info, now) && !ask(3, Warning, now) && !ask(5, Critical, now));
        assert!(ask(4, Critical, now), "it is as bad, and asked before");
        now += second;
        assert!(!ask(3, Warning, now) && ask(5, Critical, now));
        now += second;
        assert!(!ask(2, Info, now) && ask(3, Warning, now));
        // Who does not ask again wants nothing any more.
        assert!(!ask(6, Critical, now));
        now += second;
        assert!(!ask(2, Info, now));
        now += ASKED_AGAIN;
        assert!(ask(2, Info, now));
    }
}
