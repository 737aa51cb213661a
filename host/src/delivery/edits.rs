//! Changes of messages that wait: a message is changed at most once in a while, and of several changes
//! the last one is told.
//!
//! In: entries that would change a message too soon. Out: each alert's line of them, in order, once its
//! message may be changed again. What waits holds the outbox's offset, so that a crash or a stop loses
//! nothing. A pure core; the caller's clock.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::Job;
use crate::notification::{AlertId, Kind};

/// Entries of one alert that wait: more than that flaps, and the channel waits for it.
const LINE_MAX: usize = 32;
/// Alerts whose changes wait; Slack takes fifty changes a minute.
const LINES_MAX: usize = 1_000;

/// When messages were changed, and what waits to change them.
#[derive(Debug)]
pub(super) struct Edits {
    every: Duration,
    /// When each message was last changed, by its `ts`.
    changed: HashMap<String, Instant>,
    lines: Vec<Line>,
}

/// What waits of one alert.
#[derive(Debug)]
struct Line {
    alert: AlertId,
    due: Instant,
    jobs: VecDeque<Job>,
}

impl Edits {
    /// Nothing waits; a message may be changed once in `every`.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, changed: HashMap::new(), lines: Vec::new() }
    }

    /// Notes that the message `ts` was changed.
    pub(super) fn changed(&mut self, ts: &str, now: Instant) {
        let every = self.every;
        self.changed.retain(|_, at| *at + every > now);
        self.changed.insert(ts.to_owned(), now);
    }

    /// Until when the message `ts` is not to be changed; `None` = it may be changed now.
    pub(super) fn due(&self, ts: &str, now: Instant) -> Option<Instant> {
        let due = *self.changed.get(ts)? + self.every;
        (due > now).then_some(due)
    }

    /// Whether something of an alert waits: what comes after it waits behind it.
    pub(super) fn has(&self, alert: &AlertId) -> bool {
        self.line(alert).is_some()
    }

    /// Whether the end of an alert waits.
    pub(super) fn has_end(&self, alert: &AlertId) -> bool {
        let is_end = |job: &Job| job.entry.notification.kind == Kind::Resolve;
        self.line(alert).is_some_and(|line| line.jobs.iter().any(is_end))
    }

    /// Whether so much waits that nothing more is to be taken up.
    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= LINES_MAX || self.lines.iter().any(|line| line.jobs.len() >= LINE_MAX)
    }

    /// Lets a job wait at the end of its alert's line, which is `due` then where it is a new one. Returns
    /// the job that it makes superfluous.
    pub(super) fn push(&mut self, job: Job, due: Instant) -> Option<Job> {
        let alert = job.entry.alert;
        let Some(line) = self.lines.iter_mut().find(|line| line.alert == alert) else {
            self.lines.push(Line { alert, due, jobs: VecDeque::from([job]) });
            return None;
        };
        let superseded = line.jobs.pop_back_if(|last| supersedes(&job, last));
        line.jobs.push_back(job);
        superseded
    }

    /// When the first line is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.lines.iter().map(|line| line.due).min()
    }

    /// Takes a line out that is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<VecDeque<Job>> {
        let at = self.lines.iter().position(|line| line.due <= now)?;
        Some(self.lines.swap_remove(at).jobs)
    }

    /// Puts back what is left of a line, which must wait again.
    pub(super) fn put_back(&mut self, jobs: VecDeque<Job>, due: Instant) {
        let Some(alert) = jobs.front().map(|job| job.entry.alert) else { return };
        self.lines.push(Line { alert, due, jobs });
    }

    fn line(&self, alert: &AlertId) -> Option<&Line> {
        self.lines.iter().find(|line| line.alert == *alert)
    }
}

/// Whether a job says all that one before it would have said. The end of an alert is told whatever comes
/// after it, and digests add up.
pub(super) fn supersedes(job: &Job, before: &Job) -> bool {
    let (new, old) = (&job.entry, &before.entry);
    let alike = old.digest.is_none() && new.digest.is_none() && old.is_stale == new.is_stale;
    alike
        && match (old.notification.kind, new.notification.kind) {
            (Kind::Update, Kind::Update | Kind::Resolve) => true,
            (Kind::Resolve, Kind::Resolve) => true,
            (Kind::Fire, _) | (_, Kind::Fire) | (Kind::Resolve, Kind::Update) => false,
        }
}

/// Takes the first job of a line, together with the digests right behind it that one change of their
/// message tells with it.
pub(super) fn together(jobs: &mut VecDeque<Job>) -> Option<Job> {
    let mut job = jobs.pop_front()?;
    if !job.within.is_empty() {
        // It was to be told with others already, and is tried again.
        return Some(job);
    }
    let mut within = Vec::new();
    while let Some(sum) = &job.entry.digest
        && let Some(own) = jobs.front().and_then(|next| next.entry.digest.clone())
        && let Some(mut next) = jobs.pop_front()
    {
        let mut sum = sum.clone();
        sum.add(own);
        next.entry.digest = Some(sum);
        // Of several that may have been told before, one that may is enough.
        next.unclear |= job.unclear;
        within.push(std::mem::replace(&mut job, next));
    }
    Some(Job { within: within.into(), ..job })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::ports::OutboxRecord;
    use crate::delivery::tests::world::entry;
    use crate::digest::Digest;

    const EVERY: Duration = Duration::from_secs(5);

    fn job(offset: i64, kind: Kind, key: &str) -> Job {
        let record = OutboxRecord { partition: 0, offset, timestamp_ms: 0, key: None, value: None };
        Job::new(record, entry(offset, "general", kind, Some(key)), false)
    }

    fn offsets(jobs: &VecDeque<Job>) -> Vec<i64> {
        jobs.iter().map(|job| job.record.offset).collect()
    }

    #[test]
    fn a_message_may_be_changed_again_after_a_while() {
        let (mut edits, now) = (Edits::new(EVERY), Instant::now());
        assert_eq!(edits.due("1", now), None);
        edits.changed("1", now);
        assert_eq!(edits.due("1", now), Some(now + EVERY));
        assert_eq!(edits.due("2", now), None);
        assert_eq!(edits.due("1", now + EVERY), None);
        edits.changed("2", now + EVERY);
        assert_eq!(edits.changed.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn of_changes_the_last_waits_and_an_end_is_never_superseded_by_a_change() {
        use Kind::{Fire, Resolve, Update};
        for (kinds, left) in [
            (&[Update, Update, Update][..], &[2][..]),
            (&[Update, Update, Resolve], &[2]),
            (&[Resolve, Resolve], &[1]),
            (&[Resolve, Update, Update], &[0, 2]),
            (&[Update, Resolve, Fire, Update, Update, Resolve], &[1, 2, 5]),
        ] {
            let (mut edits, now) = (Edits::new(EVERY), Instant::now());
            let mut superseded = 0;
            for (offset, kind) in (0..).zip(kinds) {
                superseded += usize::from(edits.push(job(offset, *kind, "a"), now).is_some());
            }
            assert_eq!(offsets(&edits.take(now).unwrap()), left, "{kinds:?}");
            assert_eq!(superseded + left.len(), kinds.len());
            assert!(edits.next().is_none());
        }
    }

    #[test]
    fn what_is_stale_supersedes_nothing_that_is_news() {
        let (mut edits, now) = (Edits::new(EVERY), Instant::now());
        edits.push(job(0, Kind::Update, "a"), now);
        let mut stale = job(1, Kind::Update, "a");
        stale.entry.is_stale = true;
        assert!(edits.push(stale, now).is_none());
    }

    #[test]
    fn a_line_is_due_when_its_first_job_was() {
        let (mut edits, now) = (Edits::new(EVERY), Instant::now());
        edits.push(job(0, Kind::Update, "a"), now + EVERY);
        edits.push(job(1, Kind::Update, "b"), now + EVERY * 2);
        edits.push(job(2, Kind::Resolve, "a"), now + EVERY * 2);
        assert_eq!(edits.next(), Some(now + EVERY));
        assert!(edits.take(now).is_none());
        let (a, b) = (job(0, Kind::Fire, "a").entry.alert, job(0, Kind::Fire, "b").entry.alert);
        assert!(edits.has(&a) && edits.has_end(&a) && edits.has(&b) && !edits.has_end(&b));
        let line = edits.take(now + EVERY).unwrap();
        assert_eq!(offsets(&line), [2]);
        edits.put_back(line, now + EVERY * 3);
        assert_eq!(edits.next(), Some(now + EVERY * 2));
    }

    #[test]
    fn an_alert_that_flaps_holds_its_channel_up() {
        let (mut edits, now) = (Edits::new(EVERY), Instant::now());
        for offset in 0..32 {
            assert!(!edits.is_full());
            let kind = if offset % 2 == 0 { Kind::Resolve } else { Kind::Fire };
            edits.push(job(offset, kind, "a"), now);
        }
        assert!(edits.is_full());
    }

    #[test]
    fn digests_are_told_together_with_their_sum() {
        let digest = |offset, count| {
            let mut job = job(offset, Kind::Update, "$digest");
            let sum = Digest { count, first_ms: offset, last_ms: offset, samples: vec![] };
            job.entry.digest = Some(sum);
            job
        };
        let (mut edits, now) = (Edits::new(EVERY), Instant::now());
        for job in [digest(1, 30), digest(2, 5), digest(3, 2)] {
            assert!(edits.push(job, now).is_none(), "digests add up");
        }
        let mut line = edits.take(now).unwrap();
        let job = together(&mut line).unwrap();
        let within: Vec<i64> = job.within.iter().map(|job| job.record.offset).collect();
        let sum = job.entry.digest.unwrap();
        assert_eq!((job.record.offset, within, sum.count), (3, vec![1, 2], 37));
        assert_eq!((sum.first_ms, sum.last_ms), (1, 3));
        let mut plain = VecDeque::from([self::job(4, Kind::Update, "a"), digest(5, 1)]);
        assert!(together(&mut plain).unwrap().within.is_empty());
    }
}
