//! One outbox entry on its way to Slack: posted or changed once, whatever Slack answers.
//!
//! The order is what makes it safe: Slack's yes, then the ledger's record acknowledged, then (in
//! `partition.rs`) the outbox offset. Where an answer is unclear, the history is read before
//! anything is repeated.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::blocks::{Message, Story, message, plain};
use super::book::Book;
use super::budget::Ticket;
use super::common::{Common, Ending, Stopped, now_ms};
use super::decision::{Step, is_firing, step, summed};
use super::ports::{OutboxRecord, Ports};
use super::readback::History;
use super::sinks::Way;
use super::slack::Asked;
use super::verdict::Verdict;
use crate::backoff::Backoff;
use crate::canary::{self, is_its};
use crate::history::What;
use crate::ledger::Entry as Known;
use crate::notification::{AlertId, Kind};
use crate::outbox::Entry;

mod changing;
mod ending;
mod fallback;
mod grouping;
mod handing;
mod looking;
mod outcome;
mod readiness;
mod replies;
mod silencing;
mod tally;

use changing::Change;
pub use ending::dead_letter;
pub(super) use grouping::GroupTelling;
pub use outcome::{Delivered, Outcome};
pub(super) use tally::{Fold, Telling};

/// An entry that is to be delivered.
#[derive(Debug)]
pub struct Job {
    /// The record that it is.
    pub record: OutboxRecord,
    /// The entry.
    pub entry: Entry,
    /// Whether somebody may have sent it before us, without the ledger knowing.
    pub unclear: bool,
    /// The channel that it goes to because its own takes nothing; it is told so.
    pub via: Option<String>,
    /// Digests that are told with it: they are nowhere else, and are given up with it.
    pub within: Arc<[Job]>,
}

impl Job {
    /// An entry that goes to its own channel.
    pub fn new(record: OutboxRecord, entry: Entry, unclear: bool) -> Self {
        Self { record, entry, unclear, via: None, within: Arc::default() }
    }

    /// The channel that it goes to.
    pub fn target(&self) -> &str {
        self.via.as_deref().unwrap_or(&self.entry.channel)
    }
}

/// Delivers the entries of one channel, one after the other.
pub struct Courier<P> {
    common: Arc<Common<P>>,
    /// Where the channel leads.
    way: Way,
    book: Arc<Book>,
    channel: String,
    /// Its place in the workspace's line.
    ticket: Ticket,
    /// Whether it was served there, and has not used that.
    is_served: bool,
    /// When the partition was taken over.
    since: Instant,
    /// Whether somebody may have sent something before that, of which the ledger does not know.
    is_unclear: bool,
    /// Tallies and groups that were there then, and of which that may be so.
    inherited: HashSet<AlertId>,
    /// What the history of each channel said about entries from before that, and from when it was read.
    past: HashMap<String, (i64, History)>,
    /// Alerts whose message could not be changed, and how often in a row.
    failing: HashMap<AlertId, Backoff>,
    ending: Ending,
}

/// What is said about an entry that was given up.
struct Refusal {
    reason: &'static str,
    message: String,
}

/// The reason of what a channel refuses, and another may take.
const CHANNEL: &str = "channel";

impl Refusal {
    fn of_channel(channel: &str, detail: &str) -> Self {
        let message = format!(
            "slack takes nothing for channel `{channel}`: {detail}; check that the channel exists \
             and that the bot is a member of it"
        );
        Self { reason: CHANNEL, message }
    }
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
    /// A courier for one channel of a partition that was just taken over. `is_unclear`: somebody may have
    /// sent something of it before, of which its book does not know.
    pub fn new(
        common: Arc<Common<P>>,
        (channel, way): (String, Way),
        (book, is_unclear): (Arc<Book>, bool),
        ending: Ending,
    ) -> Self {
        Self {
            common,
            way,
            book,
            channel,
            ticket: Ticket::default(),
            is_served: false,
            since: Instant::now(),
            is_unclear,
            inherited: HashSet::new(),
            past: HashMap::new(),
            failing: HashMap::new(),
            ending,
        }
    }

    /// How work on the partition ends: what was unclear and was not looked up still is.
    ///
    /// # Errors
    /// When there is such a thing.
    pub(super) fn leave(&self) -> Result<(), Stopped> {
        if self.inherited.is_empty() { Ok(()) } else { Err(Stopped { unclear: true }) }
    }

    /// Delivers an entry to Slack: posts it, however long it takes, or changes its message, if that can be
    /// done at once.
    ///
    /// # Errors
    /// When work on the partition ends before; the entry stays in the outbox.
    pub async fn deliver(&mut self, job: &Job) -> Result<Delivered, Stopped> {
        let delivered = self.deliver_to_slack(job).await?;
        if let Delivered::Over(outcome) = delivered {
            self.delivered(job, outcome).await?;
        }
        Ok(delivered)
    }

    /// Tells what became of an entry.
    async fn delivered(&self, job: &Job, outcome: Outcome) -> Result<(), Stopped> {
        if matches!(outcome, Outcome::Posted | Outcome::Updated) && job.record.timestamp_ms >= 0 {
            let waited = now_ms().saturating_sub(job.record.timestamp_ms);
            self.common.metrics.delivery_seconds(waited as f64 / 1_000.0);
        }
        self.tell(&job.entry, outcome, "");
        if outcome == Outcome::Untold && job.entry.notification.kind == Kind::Resolve {
            self.end_source(&job.entry).await?;
        }
        if is_its(&job.entry) {
            self.hear_canary(&job.entry, outcome);
        }
        Ok(())
    }

    /// Notes that an alert ended of which nobody was told: it inhibits no others any more.
    async fn end_source(&self, entry: &Entry) -> Result<(), Stopped> {
        match self.book.known(entry).filter(|known| known.labels.is_some()) {
            Some(known) => {
                let ended = Known { labels: None, updated_ms: now_ms(), ..known };
                self.common.keep(self.book.note(ended), &self.ending).await
            }
            None => Ok(()),
        }
    }

    /// Tells who awaits a canary of it, unless it is in the fallback channel.
    fn hear_canary(&self, entry: &Entry, outcome: Outcome) {
        let is_elsewhere = self.book.known(entry).is_some_and(|known| known.fallback.is_some());
        if let Some(canary) = self.common.canary.as_ref().filter(|_| !is_elsewhere) {
            canary.hear(entry, outcome);
        }
    }

    async fn deliver_to_slack(&mut self, job: &Job) -> Result<Delivered, Stopped> {
        let known = self.book.known(&job.entry);
        let sum = summed(&job.entry, known.as_ref());
        let sum = sum.map(|entry| Job {
            within: Arc::clone(&job.within),
            ..Job::new(job.record.clone(), entry, job.unclear)
        });
        let job = sum.as_ref().unwrap_or(job);
        Ok(Delivered::Over(match step(&job.entry, job.record.offset, known.as_ref()) {
            Step::Duplicate => Outcome::Duplicate,
            Step::Repeated => Outcome::Repeated,
            Step::Untold => Outcome::Untold,
            Step::Post => self.post(job, known.as_ref()).await?,
            Step::Update(place) => match self.update(job, &place, known.as_ref()).await? {
                Change::Over(outcome) => outcome,
                Change::Later { wait } => return Ok(Delivered::Later { wait }),
                Change::Gone if !is_firing(&job.entry, known.as_ref()) => {
                    self.note(job, known.as_ref(), Some(place)).await?;
                    Outcome::Gone
                }
                Change::Gone if job.entry.is_stale => Outcome::Untold,
                Change::Gone => self.post(job, known.as_ref()).await?,
            },
        }))
    }

    /// Counts and logs what became of an entry.
    pub(super) fn tell(&self, entry: &Entry, outcome: Outcome, why: &str) {
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
        let channel = job.target();
        if let Some(refusal) = self.known_refusal(channel) {
            return self.refuse(job, known, refusal).await;
        }
        let ending = self.ending.clone();
        ending.idle(self.ready(channel, job.entry.notification.severity)).await?;
        self.use_up(channel);
        loop {
            self.ending.idle(self.common.gate.pass(self.posting())).await?;
            let message = self.message(job, known, &intent, tries.plain);
            let target = self.common.directory.known(channel).unwrap_or_else(|| channel.to_owned());
            let asked_ms = now_ms();
            let asked = self.ending.busy(self.common.slack.post(&target, &message)).await?;
            match self.next(&asked, &mut tries, job) {
                Next::Done => {
                    let place = asked.value.flatten();
                    if let Some(place) = &place {
                        self.common.directory.learn(channel, &place.channel_id);
                    }
                    self.note(job, known, place).await?;
                    return Ok(if job.via.is_some() { Outcome::Fallback } else { Outcome::Posted });
                }
                Next::Again => self.rest(&asked, &mut tries).await?,
                Next::GiveUp(refusal) => return self.refuse(job, known, refusal).await,
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

    fn tries(&self) -> Tries {
        Tries { backoff: self.common.backoff(), unknown: 0, plain: false }
    }

    fn message(
        &self,
        job: &Job,
        known: Option<&Known>,
        opened_by: &str,
        is_plain: bool,
    ) -> Message {
        let form = if is_plain { plain } else { message };
        let entry = job.via.is_some().then(|| fallback::entry(job));
        let entry = entry.as_ref().unwrap_or(&job.entry);
        let canary = is_its(entry).then(|| canary::told(entry, now_ms()));
        let entry = canary.as_ref().unwrap_or(entry);
        let told = known.and_then(|known| known.told.as_ref());
        let story = Story {
            opened_by,
            opened_ms: told.map(|told| told.opened_ms),
            is_over: !is_firing(&job.entry, known),
        };
        form(entry, &self.common.manners, &story)
    }

    /// What an answer to a post or an update leads to.
    fn next<T>(&self, asked: &Asked<T>, tries: &mut Tries, job: &Job) -> Next {
        let verdict = self.common.heed(asked);
        let detail = &asked.detail;
        self.remember(job.target(), verdict, detail);
        self.note_down(job, What::asked(asked.method.as_str(), verdict.as_str(), detail));
        if verdict != Verdict::Sent {
            let (class, channel) = (verdict.as_str(), &job.entry.channel);
            tracing::warn!(class, channel, intent = %job.entry.intent, "slack: {detail}");
        }
        match verdict {
            Verdict::Sent => Next::Done,
            Verdict::Throttled(_)
            | Verdict::WorkspaceLimit(_)
            | Verdict::Credentials
            | Verdict::RetryLater => Next::Again,
            Verdict::Ambiguous => Next::Unclear,
            Verdict::Repost => Next::Repost,
            Verdict::PermanentChannel => Next::GiveUp(Refusal::of_channel(job.target(), detail)),
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
}
