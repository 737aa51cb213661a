//! One outbox entry on its way to Slack: posted or changed once, whatever Slack answers.
//!
//! The order is what makes it safe: Slack's yes, then the ledger's record acknowledged, then (in
//! `partition.rs`) the outbox offset. Where an answer is unclear, the history is read before
//! anything is repeated.

use std::sync::Arc;

use tokio::time::Instant;

use super::blocks::{Message, Story, message, plain};
use super::book::Book;
use super::common::{Common, Ending, Stopped, now_ms};
use super::decision::{Step, step, summed};
use super::pace::Pace;
use super::ports::{OutboxRecord, Ports};
use super::readback::{History, Past, read};
use super::sinks::Way;
use super::slack::Asked;
use super::suppression::Reason;
use super::verdict::{Method, Verdict};
use crate::backoff::Backoff;
use crate::config::OnAmbiguous;
use crate::history::What;
use crate::ledger::{Entry as Known, Place, State};
use crate::outbox::Entry;

mod ending;
mod handing;

pub use ending::dead_letter;

/// An entry that is to be delivered.
#[derive(Debug)]
pub struct Job {
    /// The record that it is.
    pub record: OutboxRecord,
    /// The entry.
    pub entry: Entry,
    /// Whether somebody may have sent it before us, without the ledger knowing.
    pub unclear: bool,
}

/// What became of an entry; the label `outcome` of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A message was posted.
    Posted,
    /// A message was changed.
    Updated,
    /// The history says that it was posted before.
    Found,
    /// Its alert is open already.
    Duplicate,
    /// It was carried out before a restart.
    Repeated,
    /// It is about an alert that nobody was told of.
    Untold,
    /// It was silenced or muted until it was over.
    Suppressed,
    /// Slack will never take it; it is in the dead-letter topic.
    DeadLetter,
    /// Nobody can say whether it was posted, and the operator wants silence then.
    Dropped,
}

impl Outcome {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Updated => "updated",
            Self::Found => "found",
            Self::Duplicate => "duplicate",
            Self::Repeated => "repeated",
            Self::Untold => "untold",
            Self::Suppressed => "suppressed",
            Self::DeadLetter => "dead_letter",
            Self::Dropped => "dropped",
        }
    }
}

/// Delivers the entries of one channel, one after the other.
pub struct Courier<P> {
    common: Arc<Common<P>>,
    /// Where the channel leads.
    way: Way,
    book: Arc<Book>,
    pace: Pace,
    /// When the partition was taken over.
    since: Instant,
    /// What the channel's history said about entries from before that, and from when it was read.
    past: Option<(i64, History)>,
    ending: Ending,
}

/// What is said about an entry that was given up.
struct Refusal {
    reason: &'static str,
    message: String,
}

/// How the attempts at one request went so far.
struct Tries {
    backoff: Backoff,
    unknown: u32,
    plain: bool,
}

/// What a request's answer leads to.
enum Next {
    Done,
    Again,
    /// Look whether it was posted, then perhaps again.
    Unclear,
    /// It cannot be changed: post it.
    Repost,
    GiveUp(Refusal),
}

impl<P: Ports> Courier<P> {
    /// A courier for one channel of a partition that was just taken over.
    pub fn new(common: Arc<Common<P>>, way: Way, book: Arc<Book>, ending: Ending) -> Self {
        let pace = Pace::new(common.messages_per_second, common.burst);
        Self { common, way, book, pace, since: Instant::now(), past: None, ending }
    }

    /// Delivers an entry, however long it takes.
    ///
    /// # Errors
    /// When work on the partition ends before; the entry stays in the outbox.
    pub async fn deliver(&mut self, job: &Job) -> Result<Outcome, Stopped> {
        let outcome = match self.hand_over(job).await? {
            Some(outcome) => outcome,
            None => self.deliver_to_slack(job).await?,
        };
        if matches!(outcome, Outcome::Posted | Outcome::Updated) && job.record.timestamp_ms >= 0 {
            let waited = now_ms().saturating_sub(job.record.timestamp_ms);
            self.common.metrics.delivery_seconds(waited as f64 / 1_000.0);
        }
        self.tell(&job.entry, outcome, "");
        Ok(outcome)
    }

    async fn deliver_to_slack(&mut self, job: &Job) -> Result<Outcome, Stopped> {
        let known = self.book.known(&job.entry);
        let sum = summed(&job.entry, known.as_ref());
        let sum = sum.map(|entry| Job { record: job.record.clone(), entry, ..*job });
        let job = sum.as_ref().unwrap_or(job);
        Ok(match step(&job.entry, job.record.offset, known.as_ref()) {
            Step::Duplicate => Outcome::Duplicate,
            Step::Repeated => Outcome::Repeated,
            Step::Untold => Outcome::Untold,
            Step::Post => self.post(job, known.as_ref()).await?,
            Step::Update(place) => match self.update(job, &place, known.as_ref()).await? {
                Some(outcome) => outcome,
                None if job.entry.is_stale => Outcome::Untold,
                None => self.post(job, known.as_ref()).await?,
            },
        })
    }

    /// Counts and logs what became of an entry.
    fn tell(&self, entry: &Entry, outcome: Outcome, why: &str) {
        // Why something was given up is written down where it is known.
        if outcome != Outcome::DeadLetter {
            self.common.journal.note(entry, What::ended(outcome.as_str(), why));
        }
        let (channel, outcome) = (&entry.channel, outcome.as_str());
        match self.way {
            Way::Slack => self.common.metrics.posts(channel, outcome, 1),
            Way::Sink(_) | Way::Nowhere(_) => self.common.metrics.sink_posts(channel, outcome),
        }
        tracing::info!(
            channel, outcome, alert = %entry.alert, intent = %entry.intent,
            rule = entry.intent.rule, "notification"
        );
    }

    /// Writes something down about an entry, for people.
    pub(super) fn note_down(&self, job: &Job, what: What) {
        self.common.journal.note(&job.entry, what);
    }

    /// Why an entry waits, or is over, instead of making a message now.
    pub(super) fn suppressed(&self, job: &Job) -> Option<Reason> {
        let known = self.book.known(&job.entry);
        match step(&job.entry, job.record.offset, known.as_ref()) {
            Step::Post => self.common.suppression.of(&job.entry, now_ms()),
            _ => None,
        }
    }

    /// Whether an entry that waits must wait on.
    pub(super) fn is_suppressed(&self, entry: &Entry, now_ms: i64) -> bool {
        self.common.suppression.of(entry, now_ms).is_some()
    }

    /// Writes down that an entry was not told and will not be.
    ///
    /// # Errors
    /// When work on the partition ends before; the entry stays in the outbox.
    pub(super) async fn suppress(&self, job: &Job, why: &str) -> Result<(), Stopped> {
        let known = self.book.known(&job.entry);
        self.end_untold(job, known.as_ref(), State::Suppressed).await?;
        self.tell(&job.entry, Outcome::Suppressed, why);
        Ok(())
    }

    /// Posts, once.
    async fn post(&mut self, job: &Job, known: Option<&Known>) -> Result<Outcome, Stopped> {
        let intent = job.entry.intent.to_string();
        let mut tries = self.tries();
        if job.unclear {
            match self.look_before_the_first(job).await? {
                Some(outcome) => return Ok(outcome),
                None => tracing::debug!(intent, "not in the channel's history; it is posted"),
            }
        }
        let wait = self.pace.take(Instant::now());
        self.ending.idle(tokio::time::sleep(wait)).await?;
        loop {
            self.ending.idle(self.common.gate.pass(Method::Post)).await?;
            let message = self.message(job, &intent, tries.plain);
            let channel = &job.entry.channel;
            let target = self.common.directory.known(channel).unwrap_or_else(|| channel.clone());
            let asked_ms = now_ms();
            let asked = self.ending.busy(self.common.slack.post(&target, &message)).await?;
            match self.next(&asked, &mut tries, job) {
                Next::Done => {
                    let place = asked.value.flatten();
                    if let Some(place) = &place {
                        self.common.directory.learn(channel, &place.channel_id);
                    }
                    self.note(job, known, place).await?;
                    return Ok(Outcome::Posted);
                }
                Next::Again => self.rest(&asked, &mut tries).await?,
                Next::GiveUp(refusal) => return self.give_up(job, known, refusal).await,
                Next::Unclear | Next::Repost => {
                    // From here on a stop leaves behind a message that may have been posted.
                    let looked = self.look_again(job, &mut tries, asked_ms).await;
                    let looked = looked.map_err(|_| Stopped { unclear: true })?;
                    if let Some(outcome) = looked {
                        return Ok(outcome);
                    }
                }
            }
        }
    }

    /// Changes a message; `None` = it cannot be changed, so that a new one is needed.
    async fn update(
        &mut self,
        job: &Job,
        place: &Place,
        known: Option<&Known>,
    ) -> Result<Option<Outcome>, Stopped> {
        let opened_by = known.map_or_else(String::new, |known| known.opened_by.clone());
        let mut tries = self.tries();
        loop {
            self.ending.idle(self.common.gate.pass(Method::Update)).await?;
            let message = self.message(job, &opened_by, tries.plain);
            let asked = self.ending.busy(self.common.slack.update(place, &message)).await?;
            match self.next(&asked, &mut tries, job) {
                Next::Done => {
                    self.note(job, known, Some(place.clone())).await?;
                    return Ok(Some(Outcome::Updated));
                }
                // A change may be repeated: the message is the same afterwards.
                Next::Again | Next::Unclear => self.rest(&asked, &mut tries).await?,
                Next::Repost => return Ok(None),
                Next::GiveUp(refusal) => return Ok(Some(self.give_up(job, known, refusal).await?)),
            }
        }
    }

    fn tries(&self) -> Tries {
        Tries { backoff: self.common.backoff(), unknown: 0, plain: false }
    }

    fn message(&self, job: &Job, opened_by: &str, is_plain: bool) -> Message {
        let form = if is_plain { plain } else { message };
        form(&job.entry, &self.common.manners, &Story { opened_by, opened_ms: None })
    }

    /// What an answer to a post or an update leads to.
    fn next<T>(&self, asked: &Asked<T>, tries: &mut Tries, job: &Job) -> Next {
        let verdict = self.common.heed(asked);
        let detail = &asked.detail;
        self.note_down(job, What::asked(asked.method.as_str(), verdict.as_str(), detail));
        if verdict != Verdict::Sent {
            let (class, channel) = (verdict.as_str(), &job.entry.channel);
            tracing::warn!(class, channel, intent = %job.entry.intent, "slack: {detail}");
        }
        match verdict {
            Verdict::Sent => Next::Done,
            Verdict::Throttled(_) | Verdict::Credentials | Verdict::RetryLater => Next::Again,
            Verdict::Ambiguous => Next::Unclear,
            Verdict::Repost => Next::Repost,
            Verdict::PermanentChannel => Next::GiveUp(Refusal {
                reason: "channel",
                message: format!(
                    "slack takes nothing for channel `{}`: {detail}; check that the channel exists \
                     and that the bot is a member of it",
                    job.entry.channel
                ),
            }),
            Verdict::Unknown => {
                tries.unknown += 1;
                if tries.unknown < self.common.patience.unknown_attempts {
                    return Next::Again;
                }
                tries.unknown = 0;
                self.downgrade(tries, "unknown", detail)
            }
            Verdict::PermanentMessage => self.downgrade(tries, "message", detail),
        }
    }

    /// The same words without blocks, once.
    fn downgrade(&self, tries: &mut Tries, reason: &'static str, detail: &str) -> Next {
        if !tries.plain {
            tries.plain = true;
            return Next::Again;
        }
        let message = format!("slack refused this message, also as plain text: {detail}");
        Next::GiveUp(Refusal { reason, message })
    }

    /// Waits before the next attempt, if the gate does not do that.
    async fn rest<T>(&self, asked: &Asked<T>, tries: &mut Tries) -> Result<(), Stopped> {
        match asked.verdict() {
            Verdict::RetryLater | Verdict::Ambiguous | Verdict::Unknown => {
                self.ending.idle(tokio::time::sleep(tries.backoff.failed())).await
            }
            _ => Ok(()),
        }
    }

    /// For an entry that somebody may have sent before us: what the history says.
    async fn look_before_the_first(&mut self, job: &Job) -> Result<Option<Outcome>, Stopped> {
        let patience = &self.common.patience;
        let apart = i64::try_from(patience.clocks_apart.as_millis()).unwrap_or(i64::MAX);
        // Without a timestamp: everything that Slack has.
        let oldest = (job.record.timestamp_ms.max(0) - apart).max(0);
        let read_from = self.past.as_ref().map(|(from, _)| *from);
        // Entries follow each other in time, so that one reading usually serves all.
        if read_from.is_none_or(|from| from > oldest) {
            self.ending.idle(tokio::time::sleep_until(self.since + patience.settle)).await?;
            let history = read(&self.common, &job.entry.channel, oldest, &self.ending).await?;
            if let History::Unreadable(why) = &history {
                let channel = &job.entry.channel;
                tracing::warn!(channel, why, "the channel's history cannot be read");
            }
            self.past = Some((oldest, history));
        }
        let found = match &self.past {
            Some((_, History::Read(past))) => Some(past.find(&job.entry)),
            _ => None,
        };
        self.found(job, found).await
    }

    /// After an unclear answer: waits, and reads the history again.
    async fn look_again(
        &mut self,
        job: &Job,
        tries: &mut Tries,
        asked_ms: i64,
    ) -> Result<Option<Outcome>, Stopped> {
        let patience = &self.common.patience;
        let wait = tries.backoff.failed().max(patience.settle);
        self.ending.idle(tokio::time::sleep(wait)).await?;
        let apart = i64::try_from(patience.clocks_apart.as_millis()).unwrap_or(i64::MAX);
        let oldest = asked_ms.saturating_sub(apart);
        let found = match read(&self.common, &job.entry.channel, oldest, &self.ending).await? {
            History::Read(past) => Some(Past::find(&past, &job.entry)),
            History::Unreadable(why) => {
                let channel = &job.entry.channel;
                tracing::warn!(channel, why, "the channel's history cannot be read");
                None
            }
        };
        self.found(job, found).await
    }

    /// Ends an unclear entry, or returns `None` when it is to be posted. `found` is `None` when
    /// nobody can say, and `Some(None)` when it was not posted.
    async fn found(
        &self,
        job: &Job,
        found: Option<Option<Place>>,
    ) -> Result<Option<Outcome>, Stopped> {
        let known = self.book.known(&job.entry);
        match (found, self.common.on_ambiguous) {
            (Some(Some(place)), _) => {
                self.note(job, known.as_ref(), Some(place)).await?;
                Ok(Some(Outcome::Found))
            }
            (Some(None), _) | (None, OnAmbiguous::Send) => Ok(None),
            (None, OnAmbiguous::Drop) => {
                self.abandon(job, known.as_ref()).await?;
                Ok(Some(Outcome::Dropped))
            }
        }
    }
}
