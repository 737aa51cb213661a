//! Whether it storms in a channel: its queue is longer than it can be sent in time, and what goes into
//! a tally until that is over. A pure core; the caller's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::notification::{AlertId, Severity};

/// A channel's weather.
#[derive(Debug)]
pub(super) struct Storm {
    /// A queue may take so long to send; a storm lasts at least as long.
    after: Duration,
    /// The worst severity that goes into a tally; `None` = it does not storm.
    most: Option<Severity>,
    /// Since when alerts are counted.
    since: Instant,
    /// Alerts that went into a tally since then.
    came: usize,
}

impl Storm {
    /// Calm.
    pub(super) fn new(after: Duration, now: Instant) -> Self {
        Self { after, most: None, since: now, came: 0 }
    }

    /// How long a storm lasts at least.
    pub(super) fn period(&self) -> Duration {
        self.after
    }

    /// What goes into a tally: everything that is not worse. `None` = nothing.
    pub(super) fn most(&self) -> Option<Severity> {
        self.most
    }

    /// It begins, or gets worse. True when it begins.
    pub(super) fn raise(&mut self, severity: Severity, now: Instant) -> bool {
        let begins = self.most.is_none();
        if begins {
            (self.since, self.came) = (now, 0);
        }
        self.most = self.most.max(Some(severity));
        begins
    }

    /// So many alerts went into the tally.
    pub(super) fn came(&mut self, alerts: usize) {
        self.came = self.came.saturating_add(alerts);
    }

    /// When to ask next whether it is over.
    pub(super) fn looked_at(&self) -> Option<Instant> {
        self.most.map(|_| self.since + self.after)
    }

    /// Whether it is over: in the time that a queue may take, half as many alerts came as can be told
    /// one by one. True once.
    pub(super) fn is_over(&mut self, room: usize, now: Instant) -> bool {
        if self.looked_at().is_none_or(|at| now < at) {
            return false;
        }
        let is_over = self.came <= room / 2;
        (self.since, self.came) = (now, 0);
        if is_over {
            self.most = None;
        }
        is_over
    }
}

/// The tallies of a channel whose messages do not say what they must, and when they are told.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    /// The one that takes alerts.
    pub(super) open: Option<AlertId>,
    due: BTreeMap<AlertId, Instant>,
    told: BTreeMap<AlertId, Instant>,
}

impl Tallies {
    /// A tally changed: it is to be told, `every` after it was told last.
    pub(super) fn changed(&mut self, tally: AlertId, every: Duration, now: Instant) {
        let due = self.told.get(&tally).map_or(now, |told| (*told + every).max(now));
        self.due.entry(tally).or_insert(due);
    }

    /// A tally is to be told, not before `due`.
    pub(super) fn wait(&mut self, tally: AlertId, due: Instant) {
        self.due.insert(tally, due);
    }

    /// The tally that is to be told first, and when.
    pub(super) fn first(&self) -> Option<(AlertId, Instant)> {
        self.due.iter().map(|(tally, due)| (*tally, *due)).min_by_key(|(_, due)| *due)
    }

    /// A tally is told now.
    pub(super) fn told(&mut self, tally: AlertId, every: Duration, now: Instant) {
        self.due.remove(&tally);
        // What was told long ago may be told at once.
        self.told.retain(|_, told| *told + every > now);
        self.told.insert(tally, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Severity::{Error, Info, Warning};

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_storm_gets_worse_and_ends_when_few_came_for_a_while() {
        let mut now = Instant::now();
        let mut storm = Storm::new(MINUTE, now);
        assert_eq!((storm.most(), storm.looked_at()), (None, None));
        assert!(storm.raise(Info, now) && !storm.raise(Error, now) && !storm.raise(Warning, now));
        assert_eq!(storm.most(), Some(Error));
        storm.came(31);
        now += Duration::from_secs(59);
        assert!(!storm.is_over(60, now));
        now += Duration::from_secs(1);
        assert!(!storm.is_over(60, now), "too many came");
        storm.came(30);
        assert_eq!(storm.looked_at(), Some(now + MINUTE));
        now += MINUTE;
        assert!(storm.is_over(60, now) && !storm.is_over(60, now + MINUTE));
        assert_eq!(storm.most(), None);
        assert!(storm.raise(Info, now), "the next is another one");
        assert_eq!(storm.most(), Some(Info));
    }

    #[test]
    fn a_tally_is_told_once_a_while_and_the_first_is_the_one_that_waits_longest() {
        let every = Duration::from_secs(5);
        let now = Instant::now();
        let id = |n: u128| format!("{n:032x}").parse::<AlertId>().unwrap();
        let mut tallies = Tallies::default();
        tallies.changed(id(1), every, now);
        assert_eq!(tallies.first(), Some((id(1), now)));
        tallies.told(id(1), every, now);
        assert_eq!(tallies.first(), None);
        let second = now + Duration::from_secs(1);
        tallies.changed(id(1), every, second);
        tallies.changed(id(1), every, now + Duration::from_secs(3));
        assert_eq!(tallies.first(), Some((id(1), now + every)));
        tallies.changed(id(2), every, second);
        assert_eq!(tallies.first(), Some((id(2), second)));
        tallies.wait(id(2), now + MINUTE);
        assert_eq!(tallies.first(), Some((id(1), now + every)));
    }
}
