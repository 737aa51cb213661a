//! Changes of messages on a courier's round: a message is changed once in a while.

use std::time::Duration;

use tokio::time::Instant;

use super::Round;
use crate::delivery::attempt::{Delivered, Fold, Job, Outcome};
use crate::delivery::common::Stopped;
use crate::delivery::edits::together;
use crate::delivery::lanes::Queued;
use crate::delivery::ports::Ports;

/// Between two attempts to change a message, and two looks whether Slack takes changes again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

impl<P: Ports> Round<P> {
    /// Delivers an entry, and remembers when it changed a message.
    pub(super) async fn deliver(&mut self, job: &Job) -> Result<Delivered, Stopped> {
        let place = self.courier.changes(job);
        let delivered = self.courier.deliver(job).await?;
        if let (Some(place), Delivered::Over(Outcome::Updated)) = (place, delivered) {
            self.edits.changed(&place.ts, Instant::now());
        }
        Ok(delivered)
    }

    /// Until when an entry must not change its message; `None` = it need not wait.
    pub(super) fn due(&self, job: &Job) -> Option<Instant> {
        let (place, now) = (self.courier.changes(job)?, Instant::now());
        let held = || self.courier.is_update_held().then(|| now + AGAIN);
        self.edits.due(&place.ts, now).or_else(held)
    }

    /// Lets an entry wait until its message may be changed again. That it got worse is said at once.
    pub(super) async fn line_up(&mut self, queued: Queued) -> Result<(), Stopped> {
        let due = self.due(&queued.job).unwrap_or_else(Instant::now);
        self.line_up_until(queued, due).await
    }

    /// The same, until then: its message could not be changed now.
    pub(super) async fn line_up_until(
        &mut self,
        queued: Queued,
        due: Instant,
    ) -> Result<(), Stopped> {
        let job = &queued.job;
        if !self.edits.has_end(&job.entry.alert) {
            if self.courier.is_duplicate(job) {
                self.courier.deliver(job).await?;
                self.finished(&queued).await;
                return Ok(());
            }
            self.courier.warn(job).await?;
        }
        if !queued.waited {
            self.finish.waits(&job.record).await;
        }
        if let Some(superseded) = self.edits.push(queued.job, due) {
            self.courier.tell(&superseded.entry, Outcome::Superseded, "");
            self.finish.waited(&superseded.record).await;
        }
        Ok(())
    }

    /// Tells the first that waited to change a message that may be changed now: one, so that what is
    /// urgent comes between. What stands behind it and makes a message goes to the lanes, with all that
    /// follows.
    pub(super) async fn change(&mut self) -> Result<(), Stopped> {
        let Some(mut jobs) = self.edits.take(Instant::now()) else { return Ok(()) };
        let Some(first) = jobs.front() else { return Ok(()) };
        if let Some(due) = self.due(first) {
            self.edits.put_back(jobs, due);
            return Ok(());
        }
        if matches!(self.courier.fold(first), Fold::New | Fold::Within(_) | Fold::Grouped) {
            for job in jobs {
                self.lanes.push(Queued { waited: true, ..Queued::new(job) });
            }
            return Ok(());
        }
        match together(&mut jobs) {
            Some(job) if !job.within.is_empty() => {
                if let Some((job, wait)) = self.add_up(job).await? {
                    jobs.push_front(job);
                    self.edits.put_back(jobs, later(wait));
                    return Ok(());
                }
            }
            Some(job) => {
                let queued = Queued { waited: true, ..Queued::new(job) };
                if let Some(queued) = self.withhold(queued).await? {
                    if let Delivered::Later { wait } = self.deliver(&queued.job).await? {
                        jobs.push_front(queued.job);
                        self.edits.put_back(jobs, later(wait));
                        return Ok(());
                    }
                    self.finished(&queued).await;
                }
            }
            None => {}
        }
        self.edits.put_back(jobs, Instant::now());
        Ok(())
    }

    /// Tells a digest with those that are in it. They are finished after it: what they count is nowhere
    /// else. Returns it when it is to be told later, and after how long.
    async fn add_up(&mut self, job: Job) -> Result<Option<(Job, Duration)>, Stopped> {
        let outcome = match self.deliver(&job).await? {
            Delivered::Over(outcome) => outcome,
            Delivered::Later { wait } => return Ok(Some((job, wait))),
        };
        for one in &*job.within {
            if outcome != Outcome::DeadLetter {
                self.courier.tell(&one.entry, Outcome::Superseded, "");
            }
            self.finish.waited(&one.record).await;
        }
        self.finish.waited(&job.record).await;
        Ok(None)
    }
}

/// When to try again what could not be done now.
pub(super) fn later(wait: Duration) -> Instant {
    Instant::now() + wait.max(AGAIN)
}
