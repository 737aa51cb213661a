//! A courier's round through the entries of one channel: each is delivered, or waits until it may be
//! told, or is written down as over.
//!
//! What changes a message that was changed a moment ago waits too (`edits.rs`); a silence is looked at
//! when its turn comes.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::attempt::{Courier, Job, Outcome};
use super::common::{Common, Ending, Stopped, now_ms};
use super::edits::{Edits, together};
use super::partition::Finish;
use super::ports::{OutboxRecord, Ports};
use super::suppression::{Waiting, can_end};
use crate::notification::Kind;

/// Between two looks whether the silences were read.
const SILENCES_LOOK: Duration = Duration::from_millis(20);

/// One channel's courier, and what waits.
pub(super) struct Round<P> {
    courier: Courier<P>,
    waiting: Waiting,
    edits: Edits,
    finish: Finish,
}

/// How an entry comes to its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It was just read.
    First,
    /// It waited, and is off the count of what is in memory.
    Waited,
}

impl<P: Ports> Round<P> {
    /// A round on which nothing waits; a message is changed once in `edits`, and `finish` hears of what
    /// is finished.
    pub(super) fn new(courier: Courier<P>, edits: Duration, finish: Finish) -> Self {
        Self { courier, waiting: Waiting::default(), edits: Edits::new(edits), finish }
    }

    /// Works until there is nothing more, or work on the partition ends.
    ///
    /// # Errors
    /// When an entry was not finished; it stays in the outbox.
    pub(super) async fn run(
        mut self,
        mut jobs: mpsc::Receiver<Job>,
        common: &Common<P>,
        ending: &Ending,
    ) -> Result<(), Stopped> {
        while !common.suppression.is_ready() {
            if ending.idle(sleep(SILENCES_LOOK)).await.is_err() {
                return Ok(());
            }
        }
        let mut look = interval(common.patience.suppressed);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.edits.next();
            tokio::select! {
                biased;
                () = ending.stop.cancelled() => return Ok(()),
                _ = look.tick(), if !self.waiting.is_empty() => self.look().await?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.change().await?;
                }
                job = jobs.recv(), if !self.edits.is_full() => match job {
                    Some(job) if self.edits.has(&job.entry.alert) => self.line_up(job).await?,
                    Some(job) => self.take(job, Turn::First).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Takes an entry: delivers it, or lets it wait, or writes down that it is over.
    async fn take(&mut self, job: Job, turn: Turn) -> Result<(), Stopped> {
        let alert = job.entry.alert;
        if self.waiting.has(&alert) {
            if job.entry.notification.kind == Kind::Resolve {
                // It came and went while nobody wanted to know.
                self.courier.suppress(&job).await?;
                for waited in self.waiting.end(&alert) {
                    self.finish.waited(&waited.record).await;
                }
                self.finished(&job.record, turn).await;
            } else {
                self.wait(job, turn).await;
            }
            return Ok(());
        }
        match self.courier.suppressed(&job) {
            None if turn == Turn::First && self.due(&job).is_some() => self.line_up(job).await?,
            None => {
                self.deliver(&job).await?;
                self.finished(&job.record, turn).await;
            }
            Some(reason) if can_end(&job.entry) => {
                let (channel, rule) = (&job.entry.channel, &job.entry.intent.rule);
                tracing::info!(channel, rule, %alert, "an alert waits: {reason}");
                self.wait(job, turn).await;
            }
            Some(_) => {
                self.courier.suppress(&job).await?;
                self.finished(&job.record, turn).await;
            }
        }
        Ok(())
    }

    /// Delivers an entry, and remembers when it changed a message.
    async fn deliver(&mut self, job: &Job) -> Result<Outcome, Stopped> {
        let place = self.courier.changes(job);
        let outcome = self.courier.deliver(job).await?;
        if let (Some(place), Outcome::Updated) = (place, outcome) {
            self.edits.changed(&place.ts, Instant::now());
        }
        Ok(outcome)
    }

    async fn finished(&self, record: &OutboxRecord, turn: Turn) {
        match turn {
            Turn::First => self.finish.say(record).await,
            Turn::Waited => self.finish.waited(record).await,
        }
    }

    /// Until when an entry must not change its message; `None` = it need not wait.
    fn due(&self, job: &Job) -> Option<Instant> {
        self.edits.due(&self.courier.changes(job)?.ts, Instant::now())
    }

    /// Lets an entry wait until its message may be changed again. That it got worse is said at once.
    async fn line_up(&mut self, job: Job) -> Result<(), Stopped> {
        if !self.edits.has_end(&job.entry.alert) {
            if self.courier.is_duplicate(&job) {
                self.courier.deliver(&job).await?;
                self.finish.say(&job.record).await;
                return Ok(());
            }
            self.courier.warn(&job).await?;
        }
        self.finish.waits(&job.record).await;
        let due = self.due(&job).unwrap_or_else(Instant::now);
        if let Some(superseded) = self.edits.push(job, due) {
            self.courier.tell(&superseded.entry, Outcome::Superseded);
            self.finish.waited(&superseded.record).await;
        }
        Ok(())
    }

    /// Tells what waited to change messages that may be changed now, and what stands behind it.
    async fn change(&mut self) -> Result<(), Stopped> {
        while let Some(mut jobs) = self.edits.take(Instant::now()) {
            while let Some(first) = jobs.front() {
                if let Some(due) = self.due(first) {
                    self.edits.put_back(jobs, due);
                    break;
                }
                match together(&mut jobs) {
                    Some((job, within)) if !within.is_empty() => self.add_up(job, within).await?,
                    Some((job, _)) => self.take(job, Turn::Waited).await?,
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Tells a digest with those that are in it. They are finished after it: what they count is nowhere
    /// else.
    async fn add_up(&mut self, job: Job, within: Vec<Job>) -> Result<(), Stopped> {
        let refused = self.deliver(&job).await? == Outcome::DeadLetter;
        for one in within {
            if refused {
                self.courier.bury_with(&one, &job.record).await?;
            } else {
                self.courier.tell(&one.entry, Outcome::Superseded);
            }
            self.finish.waited(&one.record).await;
        }
        self.finish.waited(&job.record).await;
        Ok(())
    }

    async fn wait(&mut self, job: Job, turn: Turn) {
        if turn == Turn::First {
            self.finish.waits(&job.record).await;
        }
        if let Some(superfluous) = self.waiting.push(job) {
            self.finish.waited(&superfluous.record).await;
        }
    }

    /// Delivers what waited and may be told now.
    async fn look(&mut self) -> Result<(), Stopped> {
        loop {
            let (courier, now_ms) = (&self.courier, now_ms());
            let Some(jobs) = self.waiting.take(|entry| courier.is_suppressed(entry, now_ms)) else {
                return Ok(());
            };
            for job in jobs {
                self.deliver(&job).await?;
                self.finish.waited(&job.record).await;
            }
        }
    }
}
