//! A courier's round through the entries of one channel: each is delivered, or waits until it may be
//! told, or is written down as over.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::attempt::{Courier, Job};
use super::common::{Common, Ending, Stopped, now_ms};
use super::partition::Finish;
use super::ports::Ports;
use super::suppression::{Waiting, can_end};
use crate::history::What;
use crate::notification::Kind;

/// Between two looks whether the silences were read.
const SILENCES_LOOK: Duration = Duration::from_millis(20);

/// One channel's courier, and what waits.
pub(super) struct Round<P> {
    courier: Courier<P>,
    waiting: Waiting,
    finish: Finish,
}

impl<P: Ports> Round<P> {
    /// A round on which nothing waits; `finish` hears of what is finished.
    pub(super) fn new(courier: Courier<P>, finish: Finish) -> Self {
        Self { courier, waiting: Waiting::default(), finish }
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
            tokio::select! {
                biased;
                _ = look.tick(), if !self.waiting.is_empty() => self.look().await?,
                job = ending.idle(jobs.recv()) => match job {
                    Ok(Some(job)) => self.take(job).await?,
                    Ok(None) | Err(_) => return Ok(()),
                },
            }
        }
    }

    /// Takes an entry: delivers it, or lets it wait, or writes down that it is over.
    async fn take(&mut self, job: Job) -> Result<(), Stopped> {
        let alert = job.entry.alert;
        self.courier.note_down(&job, What::taken_up(&job.entry));
        if self.waiting.has(&alert) {
            if job.entry.notification.kind == Kind::Resolve {
                // It came and went while nobody wanted to know.
                self.courier.suppress(&job, "it ended while it waited").await?;
                for waited in self.waiting.end(&alert) {
                    self.finish.waited(&waited.record).await;
                }
                self.finish.say(&job.record).await;
            } else {
                self.wait(job).await;
            }
            return Ok(());
        }
        match self.courier.suppressed(&job) {
            None => {
                self.courier.deliver(&job).await?;
                self.finish.say(&job.record).await;
            }
            Some(reason) if can_end(&job.entry) => {
                let (channel, rule) = (&job.entry.channel, &job.entry.intent.rule);
                tracing::info!(channel, rule, %alert, "an alert waits: {reason}");
                let why = reason.to_string();
                self.courier.note_down(&job, What::Waits { why });
                self.wait(job).await;
            }
            Some(reason) => {
                self.courier.suppress(&job, &reason.to_string()).await?;
                self.finish.say(&job.record).await;
            }
        }
        Ok(())
    }

    async fn wait(&mut self, job: Job) {
        self.finish.waits(&job.record).await;
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
                self.courier.deliver(&job).await?;
                self.finish.waited(&job.record).await;
            }
        }
    }
}
