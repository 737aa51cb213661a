//! A group: alerts of one target that have the same values of some labels, and are told in one message.
//!
//! A pure core: what the ledger keeps of groups and of their alerts, and what there is to say of them.
//! As with a tally, what is said comes from the ledger's entries of the alerts, so that none is told
//! twice, whatever happens in between.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::notification::{AlertId, Severity};
use crate::tally;

/// The rule that a group names: none can have this name.
pub const RULE: &str = "$group";
/// The rule that a reply names which tells a group again.
pub const REPEAT: &str = "$group-again";
/// The rule that a reply names which tells the end of a group.
pub const OVER: &str = "$group-over";

/// Alerts that are over and are kept one by one, those that had news last; of the others only the number
/// is told. As many resolved ones, and as many events.
const KEPT_MAX: usize = 20;

/// Whether a name is one that only groups have.
pub fn is_groups(rule: &str) -> bool {
    [RULE, REPEAT, OVER].contains(&rule)
}

/// What the ledger keeps of an alert that is told in a group's message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The alert id of the group.
    #[serde(with = "tally::text")]
    pub group: AlertId,
    /// Its key, cut to a hundred bytes; `None` = it is an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its labels, by which it may be silenced before it is told.
    pub labels: BTreeMap<String, String>,
    /// Event time of its last news, milliseconds since the Unix epoch; -1 = none.
    pub last_ms: i64,
    /// The telling of its group that told it last as news; `None` = it was not told yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<u32>,
    /// It fired, or got worse, and nobody was notified of that yet.
    pub is_news: bool,
    /// It is over, that was told, and it is only counted: its labels are gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_folded: bool,
}

/// What the ledger keeps of a group itself, beside its message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// What its alerts have in common.
    pub labels: BTreeMap<String, String>,
    /// The outbox offset of the first alert that went into it: it makes the group's intent.
    pub offset: i64,
    /// When it was opened, milliseconds since the Unix epoch.
    pub opened_ms: i64,
    /// How long it waits for more before it is told.
    pub wait_ms: i64,
    /// How long it waits with news after it was told.
    pub interval_ms: i64,
    /// After how long it is told again; `None` = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_ms: Option<i64>,
    /// When all had ended; `None` = more may go in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_ms: Option<i64>,
    /// What was told; `None` = nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
}

/// What a group's message says, and when that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The last telling that had news.
    pub turn: u32,
    /// A digest of what the message shows.
    pub shows: String,
    /// When the message was posted or changed last, milliseconds since the Unix epoch.
    pub told_ms: i64,
    /// When somebody was notified last: by a post or a reply.
    pub notified_ms: i64,
}

impl Group {
    /// The number of the telling that comes next.
    pub fn next_turn(&self) -> u32 {
        self.said.as_ref().map_or(1, |said| said.turn.saturating_add(1))
    }

    /// When its news may be told, `least_ms` after the last telling, milliseconds since the Unix epoch.
    pub fn due_ms(&self, least_ms: i64) -> i64 {
        match &self.said {
            None => self.opened_ms.saturating_add(self.wait_ms),
            Some(said) => said.told_ms.saturating_add(self.interval_ms.max(least_ms)),
        }
    }

    /// When it is told again if it is still open; `None` = never.
    pub fn again_ms(&self) -> Option<i64> {
        Some(self.said.as_ref()?.notified_ms.saturating_add(self.repeat_ms?))
    }
}

/// How an alert of a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stands {
    /// It is open.
    Fires,
    /// It is an event, which is over.
    Event,
    /// It was resolved.
    Ended,
}

/// An alert of a group as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The alert.
    pub alert: AlertId,
    /// Its title.
    pub title: String,
    /// How bad it is, or was.
    pub severity: Severity,
    /// How it stands.
    pub stands: Stands,
    /// When it began, milliseconds since the Unix epoch.
    pub opened_ms: i64,
    /// Event time of its last news; -1 = none.
    pub last_ms: i64,
    /// The telling that told it last as news.
    pub turn: u32,
}

/// How many alerts of a group are only counted, by how they stand and how bad they are or were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Folded {
    ended: [usize; 4],
    events: [usize; 4],
}

/// The severities in the order of what is counted.
const SEVERITIES: [Severity; 4] =
    [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];

impl Folded {
    /// Counts one more; what fires is never only counted.
    pub fn add(&mut self, stands: Stands, severity: Severity) {
        let count = self.of_mut(stands, severity);
        count.into_iter().for_each(|count| *count += 1);
    }

    /// Counts one less.
    pub fn remove(&mut self, stands: Stands, severity: Severity) {
        let count = self.of_mut(stands, severity);
        count.into_iter().for_each(|count| *count = count.saturating_sub(1));
    }

    fn of_mut(&mut self, stands: Stands, severity: Severity) -> Option<&mut usize> {
        let counts = match stands {
            Stands::Fires => return None,
            Stands::Event => &mut self.events,
            Stands::Ended => &mut self.ended,
        };
        let at = SEVERITIES.iter().position(|of| *of == severity)?;
        counts.get_mut(at)
    }

    fn of(&self, stands: Stands) -> [usize; 4] {
        match stands {
            Stands::Fires => [0; 4],
            Stands::Event => self.events,
            Stands::Ended => self.ended,
        }
    }

    fn count(&self, stands: Stands) -> usize {
        self.of(stands).iter().sum()
    }

    fn worst(&self, stands: Stands) -> Option<Severity> {
        let of = SEVERITIES.into_iter().zip(self.of(stands));
        of.filter(|(_, count)| *count > 0).map(|(severity, _)| severity).max()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The alerts that a group's message tells of: those that fire first, the worst first, then the oldest;
/// and those that are only counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    lines: Vec<Line>,
    folded: Folded,
}

impl Lines {
    /// The same whatever the order in which they are given.
    pub fn new(mut lines: Vec<Line>, folded: Folded) -> Self {
        lines.sort_by(|one, other| {
            let order =
                |line: &Line| (line.stands == Stands::Ended, std::cmp::Reverse(line.severity));
            let age = |line: &Line| (line.opened_ms, line.alert);
            order(one).cmp(&order(other)).then_with(|| age(one).cmp(&age(other)))
        });
        Self { lines, folded }
    }

    /// Those that have lines, in the order in which they are told.
    pub fn iter(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    /// As a message tells them: what is over and had its news long ago is only counted, whether the ledger
    /// only counts it already or not.
    #[must_use]
    pub fn told(&self) -> Self {
        let mut told = self.clone();
        for stands in [Stands::Ended, Stands::Event] {
            let mut ages: Vec<_> =
                self.iter().filter(|line| line.stands == stands).map(Line::age).collect();
            let Some(past) = ages.len().checked_sub(KEPT_MAX).filter(|past| *past > 0) else {
                continue;
            };
            let (_, first, _) = ages.select_nth_unstable(past);
            let first = *first;
            for line in told.lines.extract_if(.., |of| of.stands == stands && of.age() < first) {
                told.folded.add(stands, line.severity);
            }
        }
        told
    }

    /// What is left after the first `n`.
    #[must_use]
    pub fn rest(&self, n: usize) -> Self {
        Self { lines: self.iter().skip(n).cloned().collect(), folded: self.folded }
    }

    /// Those that a telling told as news and that have not ended.
    pub fn news(&self, turn: u32) -> Self {
        let is_new = |line: &&Line| line.turn == turn && line.stands != Stands::Ended;
        self.only(is_new)
    }

    /// Those that fire.
    pub fn firing(&self) -> Self {
        self.only(|line| line.stands == Stands::Fires)
    }

    fn only(&self, is: impl Fn(&&Line) -> bool) -> Self {
        Self { lines: self.iter().filter(is).cloned().collect(), folded: Folded::default() }
    }

    /// How many stand so.
    pub fn count(&self, stands: Stands) -> usize {
        let lines = self.iter().filter(|line| line.stands == stands).count();
        lines + self.folded.count(stands)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        [Stands::Fires, Stands::Event, Stands::Ended].map(|stands| self.count(stands)).iter().sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.folded.is_empty()
    }

    /// The worst of those that have not ended; of all, when all have.
    pub fn worst(&self) -> Severity {
        let of = |is_ended: bool| {
            let lines = self.iter().filter(move |line| (line.stands == Stands::Ended) == is_ended);
            let counted = self.folded.worst(if is_ended { Stands::Ended } else { Stands::Event });
            lines.map(|line| line.severity).chain(counted).max()
        };
        of(false).or_else(|| of(true)).unwrap_or(Severity::Info)
    }

    /// Event time of the last news; -1 = none.
    pub fn last_ms(&self) -> i64 {
        self.iter().map(|line| line.last_ms).max().unwrap_or(-1)
    }

    /// What a message with these lines shows, as a digest.
    pub fn shows(&self) -> String {
        let told = self.told();
        let mut hash = Sha256::new();
        for line in told.iter() {
            let stands = line.stands as u8;
            let head = format!("{} {stands} {} ", line.alert, line.severity.as_str());
            hash.update(format!("{head}{} {}\n", line.title.len(), line.title));
        }
        if !told.folded.is_empty() {
            hash.update(format!("{:?} {:?}", told.folded.ended, told.folded.events));
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Line {
    /// By what it is known which had news last.
    fn age(&self) -> (i64, AlertId) {
        (self.last_ms, self.alert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: u8, severity: Severity, stands: Stands, turn: u32) -> Line {
        Line {
            alert: format!("{n:032x}").parse().unwrap(),
            title: format!("alert {n}"),
            severity,
            stands,
            opened_ms: i64::from(n),
            last_ms: i64::from(n) * 10,
            turn,
        }
    }

    #[test]
    fn what_fires_is_first_the_worst_first_and_the_order_of_giving_changes_nothing() {
        use Severity::{Critical, Error, Info};
        let all = vec![
            line(1, Critical, Stands::Ended, 1),
            line(2, Info, Stands::Fires, 1),
            line(3, Error, Stands::Event, 2),
            line(4, Error, Stands::Fires, 2),
        ];
        let mut turned = all.clone();
        turned.reverse();
        let none = Folded::default();
        let (lines, turned) = (Lines::new(all, none), Lines::new(turned, none));
        assert_eq!((&lines, lines.shows()), (&turned, turned.shows()));
        let order: Vec<i64> = lines.iter().map(|line| line.opened_ms).collect();
        assert_eq!(order, [3, 4, 2, 1]);
        assert_eq!((lines.worst(), lines.last_ms(), lines.len()), (Error, 40, 4));
        assert_eq!((lines.news(2).len(), lines.news(1).len(), lines.firing().len()), (2, 1, 2));
        let ended = Lines::new(vec![line(1, Critical, Stands::Ended, 1)], none);
        assert_eq!((ended.worst(), ended.count(Stands::Ended)), (Critical, 1));
        let fires = Lines::new(vec![line(1, Critical, Stands::Fires, 1)], none);
        assert_ne!(ended.shows(), fires.shows());
    }

    #[test]
    fn what_is_over_for_long_is_counted_and_a_message_shows_the_same_whoever_counts() {
        use Severity::{Critical, Info, Warning};
        let mut all = vec![line(200, Info, Stands::Fires, 1)];
        all.extend((0..30).map(|n| line(n, Warning, Stands::Ended, 1)));
        all.extend((100..125).map(|n| line(n, Critical, Stands::Event, 1)));
        let lines = Lines::new(all.clone(), Folded::default());
        let told = lines.told();
        assert_eq!((told.iter().count(), told.len(), lines.len()), (41, 56, 56));
        let kept = |stands| told.iter().filter(move |line| line.stands == stands);
        assert!(kept(Stands::Ended).all(|line| line.last_ms >= 100), "the last ones");
        assert_eq!((told.count(Stands::Ended), told.count(Stands::Event)), (30, 25));
        assert_eq!((told.worst(), told.news(1).len(), lines.news(1).len()), (Critical, 21, 26));
        // Now the ledger counts some of them.
        let mut folded = Folded::default();
        for line in all.extract_if(.., |line| line.last_ms < 50) {
            folded.add(line.stands, line.severity);
        }
        let counted = Lines::new(all, folded);
        assert_eq!((counted.told(), counted.shows()), (told, lines.shows()));
        folded.remove(Stands::Ended, Warning);
        let fewer = Lines::new(counted.iter().cloned().collect(), folded);
        assert_ne!(fewer.shows(), lines.shows());
        assert_eq!(fewer.rest(1).len(), 54);
    }

    #[test]
    fn a_group_is_due_after_its_wait_then_after_its_interval_and_again_after_its_repeat() {
        let group = Group {
            labels: BTreeMap::new(),
            offset: 0,
            opened_ms: 1_000,
            wait_ms: 30,
            interval_ms: 300,
            repeat_ms: Some(4_000),
            closed_ms: None,
            said: None,
        };
        assert_eq!((group.next_turn(), group.due_ms(5), group.again_ms()), (1, 1_030, None));
        let said = Said { turn: 3, shows: String::new(), told_ms: 2_000, notified_ms: 1_500 };
        let told = Group { said: Some(said), ..group };
        assert_eq!((told.next_turn(), told.due_ms(5), told.again_ms()), (4, 2_300, Some(5_500)));
        assert_eq!(told.due_ms(500), 2_500, "a message is not changed more often");
        assert_eq!(Group { repeat_ms: None, ..told }.again_ms(), None);
    }
}
