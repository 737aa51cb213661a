//! A courier's round through the entries of one channel: each is delivered when its turn comes, or
//! waits until it may be told, or is written down as over, or goes into the tally of a storm.
//!
//! What changes a message that was changed a moment ago waits too (`edits.rs`); a silence is looked at
//! when its turn comes.
//!
//! What is delivered next is decided when a message may be posted, not before: until then something
//! worse may come.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::attempt::{Courier, Delivered, Fold, Job};
use super::common::{Common, Ending, Stopped, now_ms};
use super::edits::Edits;
use super::groups::Groups;
use super::lanes::{Lanes, Queued};
use super::partition::Finish;
use super::patience::Patience;
use super::ports::Ports;
use super::retries::Retries;
use super::storm::{Storm, Tallies};
use super::suppression::{Reason, Waiting, can_end};
use crate::history::What;
use crate::notification::{AlertId, Kind, Severity};

mod changes;
mod grouping;
mod relief;
mod retrying;

use changes::later;

/// Between two looks whether the silences were read.
const SILENCES_LOOK: Duration = Duration::from_millis(20);
/// Entries that are looked at together when they come.
const JOBS_MAX: usize = 1_000;

/// One channel's courier, and what waits.
pub(super) struct Round<P> {
    courier: Courier<P>,
    lanes: Lanes,
    waiting: Waiting,
    edits: Edits,
    storm: Storm,
    tallies: Tallies,
    groups: Groups,
    retries: Retries,
    finish: Finish,
    patience: Patience,
}

impl<P: Ports> Round<P> {
    /// A round on which nothing waits; `finish` hears of what is finished.
    pub(super) fn new(courier: Courier<P>, common: &Common<P>, finish: Finish) -> Self {
        let after = common.digest_after.unwrap_or_default();
        Self {
            courier,
            lanes: Lanes::default(),
            waiting: Waiting::default(),
            edits: Edits::new(common.patience.edits),
            storm: Storm::new(after, Instant::now()),
            tallies: Tallies::default(),
            groups: Groups::default(),
            retries: Retries::new(common.backoff()),
            finish,
            patience: common.patience.clone(),
        }
    }

    /// Works until there is nothing more, or work on the partition ends.
    ///
    /// # Errors
    /// When an entry was not finished; it stays in the outbox.
    pub(super) async fn run(
        mut self,
        jobs: mpsc::Receiver<Job>,
        common: &Common<P>,
        ending: &Ending,
    ) -> Result<(), Stopped> {
        let worked = self.work(jobs, common, ending).await;
        self.courier.leave().and(worked)
    }

    async fn work(
        &mut self,
        mut jobs: mpsc::Receiver<Job>,
        common: &Common<P>,
        ending: &Ending,
    ) -> Result<(), Stopped> {
        // Before anything else: what they may have said is unclear until it is looked up.
        self.resume();
        self.resume_groups();
        while !common.suppression.is_ready() {
            if ending.idle(sleep(SILENCES_LOOK)).await.is_err() {
                return Ok(());
            }
        }
        let mut look = interval(self.patience.suppressed);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut new = Vec::new();
            while !self.edits.is_full()
                && new.len() < JOBS_MAX
                && let Ok(job) = jobs.try_recv()
            {
                new.push(job);
            }
            self.take_in(new).await?;
            self.relieve().await?;
            let now = Instant::now();
            self.retry(now);
            self.forget_groups(now);
            let (turn, later) = (self.turn(now), self.later(now));
            let due = self.edits.next();
            tokio::select! {
                biased;
                () = ending.stop.cancelled() => return Ok(()),
                _ = look.tick(), if !self.waiting.is_empty() => self.look(),
                () = ready(&mut self.courier, turn), if turn.is_some() => {
                    self.take_turn(turn).await?;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.change().await?;
                }
                job = jobs.recv(), if !self.edits.is_full() => match job {
                    Some(job) => self.take_in(vec![job]).await?,
                    None => return Ok(()),
                },
                () = sleep_until(later.unwrap_or_else(Instant::now)), if later.is_some() => {}
            }
        }
    }

    /// What is to be done next.
    fn turn(&mut self, now: Instant) -> Option<Turn> {
        if self.retries.rests(now) {
            return None;
        }
        if let Some((tally, due)) = self.tallies.first()
            && due <= now
        {
            // A storm's one post goes before everything else, and its changes cost nobody a post.
            let is_post = self.courier.is_post(&tally);
            return Some(Turn {
                what: Next::Tally(tally),
                severity: is_post.then_some(Severity::Critical),
            });
        }
        let group = self.groups.turn(now).map(|(group, severity)| {
            let is_post =
                self.courier.is_group_post(&group) || self.courier.has_group_reply(&group);
            Turn { what: Next::Group(group), severity: is_post.then_some(severity) }
        });
        let Some((job, severity)) = self.lanes.first() else {
            if group.is_none_or(|group| group.severity.is_none()) {
                self.courier.step_back();
            }
            return group;
        };
        let is_new = self.courier.is_slacks()
            && !self.waiting.has(&job.entry.alert)
            && !self.edits.has(&job.entry.alert)
            && matches!(self.courier.fold(job), Fold::New)
            && self.courier.suppressed(job).is_none();
        let entry = Turn { what: Next::Entry, severity: is_new.then_some(severity) };
        // What costs no post goes first, then what is worse.
        let goes_first = |group: &Turn| match (group.severity, entry.severity) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(group), Some(entry)) => group >= entry,
        };
        Some(group.filter(goes_first).unwrap_or(entry))
    }

    async fn take_turn(&mut self, turn: Option<Turn>) -> Result<(), Stopped> {
        match turn.map(|turn| turn.what) {
            Some(Next::Tally(tally)) => self.tell(tally).await,
            Some(Next::Group(group)) => self.tell_group(group).await,
            Some(Next::Entry) | None => match self.lanes.pop() {
                Some(queued) => self.take(queued).await,
                None => Ok(()),
            },
        }
    }

    /// Takes an entry: delivers it, or lets it wait, or writes down that it is over.
    async fn take(&mut self, queued: Queued) -> Result<(), Stopped> {
        if self.edits.has(&queued.job.entry.alert) {
            return self.line_up(queued).await;
        }
        let Some(queued) = self.stand_behind(queued).await else { return Ok(()) };
        self.end_wait(&queued).await;
        let is_waiting = self.waiting.has(&queued.job.entry.alert);
        if !is_waiting && matches!(self.courier.fold(&queued.job), Fold::Within(_)) {
            return self.fold(vec![queued]).await;
        }
        if !is_waiting && self.courier.fold(&queued.job).is_grouped() {
            return self.group(vec![queued]).await;
        }
        let Some(queued) = self.withhold(queued).await? else { return Ok(()) };
        if self.due(&queued.job).is_some() {
            return self.line_up(queued).await;
        }
        if !self.courier.is_slacks() {
            return self.hand_over(queued).await;
        }
        match self.deliver(&queued.job).await? {
            Delivered::Over(_) => {
                self.finished(&queued).await;
                Ok(())
            }
            Delivered::Later { wait } => self.line_up_until(queued, later(wait)).await,
        }
    }

    /// An alert that was told ends: what waits of it need not be told any more, and its end is.
    async fn end_wait(&mut self, queued: &Queued) {
        let alert = queued.job.entry.alert;
        if self.waiting.has(&alert) && self.courier.ends_what_was_told(&queued.job) {
            for waited in self.waiting.end(&alert) {
                self.finish.waited(&waited.record).await;
            }
        }
    }

    /// Lets an entry wait, or writes down that it is over, where it may not be told now; else returns it.
    async fn withhold(&mut self, queued: Queued) -> Result<Option<Queued>, Stopped> {
        if queued.tried {
            return Ok(Some(queued));
        }
        let (job, alert) = (&queued.job, queued.job.entry.alert);
        self.take_up(&queued);
        if self.waiting.has(&alert) {
            if job.entry.notification.kind == Kind::Resolve {
                // It came and went while nobody wanted to know.
                let why = self.courier.waits_for(job);
                let why = why.map_or_else(String::new, |why| format!(": {why}"));
                self.courier.suppress(job, &format!("it ended while it waited{why}")).await?;
                for waited in self.waiting.end(&alert) {
                    self.finish.waited(&waited.record).await;
                }
                self.finished(&queued).await;
            } else {
                self.wait(queued, None).await?;
            }
            return Ok(None);
        }
        match self.why_not(&queued) {
            None => Ok(Some(queued)),
            Some(reason) => self.keep_back(queued, &reason).await.map(|()| None),
        }
    }

    /// Writes down for people that an entry is looked at for the first time.
    fn take_up(&self, queued: &Queued) {
        if !queued.waited && !queued.noted {
            self.courier.note_down(&queued.job, What::taken_up(&queued.job.entry));
        }
    }

    /// Why an entry may not be told now.
    fn why_not(&self, queued: &Queued) -> Option<Reason> {
        if queued.freed { None } else { self.courier.suppressed(&queued.job) }
    }

    /// Lets an entry wait that may not be told now, or writes down that it is over.
    async fn keep_back(&mut self, queued: Queued, reason: &Reason) -> Result<(), Stopped> {
        let job = &queued.job;
        self.courier.count_suppressed(reason);
        // An end never begins to wait.
        if can_end(&job.entry) && job.entry.notification.kind != Kind::Resolve {
            let (channel, rule) = (&job.entry.channel, &job.entry.intent.rule);
            let alert = job.entry.alert;
            tracing::info!(channel, rule, %alert, "an alert waits: {reason}");
            let why = reason.to_string();
            self.courier.note_down(job, What::Waits { why });
            self.wait(queued, Some(reason)).await
        } else {
            self.courier.suppress(job, &reason.to_string()).await?;
            self.finished(&queued).await;
            Ok(())
        }
    }

    async fn wait(&mut self, queued: Queued, why: Option<&Reason>) -> Result<(), Stopped> {
        self.leaves(&queued);
        self.courier.note_wait(&queued.job, why).await?;
        if !queued.waited {
            self.finish.waits(&queued.job.record).await;
        }
        if let Some(superfluous) = self.waiting.push(queued.job) {
            self.finish.waited(&superfluous.record).await;
        }
        Ok(())
    }

    async fn finished(&mut self, queued: &Queued) {
        self.leaves(queued);
        match queued.waited {
            false => self.finish.say(&queued.job.record).await,
            true => self.finish.waited(&queued.job.record).await,
        }
    }

    /// Gives what waited and may be told now its place in the lanes.
    fn look(&mut self) {
        let (courier, now_ms) = (&self.courier, now_ms());
        while let Some(jobs) = self.waiting.take(|entry| courier.is_suppressed(entry, now_ms)) {
            for job in jobs {
                self.lanes.push(Queued { waited: true, freed: true, ..Queued::new(job) });
            }
        }
    }
}

/// What is to be done next.
#[derive(Debug, Clone, Copy)]
struct Turn {
    what: Next,
    /// It is posted, with this severity; `None` = nothing is posted for it.
    severity: Option<Severity>,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    /// This tally is told.
    Tally(AlertId),
    /// This group is told.
    Group(AlertId),
    /// The entry whose turn it is in the lanes is taken.
    Entry,
}

/// Waits until it may be done.
async fn ready<P: Ports>(courier: &mut Courier<P>, turn: Option<Turn>) {
    if let Some(severity) = turn.and_then(|turn| turn.severity) {
        courier.ready_here(severity).await;
    }
}
