//! Alerts that go into a tally, and the tally's message.
//!
//! The order is what makes it safe: the tally's own entry is in the ledger before an alert's entry
//! names it, that before the alert's outbox offset, and the message shows what the ledger has. After a
//! crash the ledger says which tallies are open, what is in them, and what their messages say.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Courier, Job, Outcome};
use crate::canary::is_its;
use crate::delivery::common::{Stopped, now_ms};
use crate::delivery::decision::{Step, state_after, step};
use crate::delivery::ports::{OutboxRecord, Ports};
use crate::delivery::suppression::open_labels;
use crate::delivery::verdict::Verdict;
use crate::ledger::{Entry as Known, Place, State};
use crate::notification::{AlertId, IntentId, Kind, Severity, Span};
use crate::outbox::Entry;
use crate::record::{OutgoingRecord, RecordId};
use crate::tally::{RULE, Said, Sum, Tally, ToldIn};

/// What an entry comes to without a message of its own.
pub(in crate::delivery) enum Fold {
    /// Nothing is to be told.
    Over(Outcome),
    /// Its alert is told in this tally already, which changes.
    Within(AlertId),
    /// It is told in a group's message.
    Grouped,
    /// It makes a message, or could go into a tally.
    New,
    /// It changes a message, or is one that tells of many already.
    Own,
}

/// What became of telling a tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Telling {
    /// Its message says what the ledger has, or never will.
    Done,
    /// Not now.
    Later,
    /// Its message stands and may say something old.
    Again,
}

/// What became of a change of a message that tells of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    /// It says it, or never will.
    Done,
    /// Another one was posted that says it.
    Posted,
    /// Not now.
    Later,
}

impl<P: Ports> Courier<P> {
    /// Writes records to the ledger, all at once.
    ///
    /// # Errors
    /// When the partition is dropped before.
    pub(in crate::delivery) async fn keep_all(
        &self,
        records: Vec<OutgoingRecord>,
    ) -> Result<(), Stopped> {
        let mut writing = JoinSet::new();
        for record in records {
            let (common, ending) = (Arc::clone(&self.common), self.ending.clone());
            writing.spawn(async move { common.keep(record, &ending).await });
        }
        while let Some(written) = writing.join_next().await {
            written.unwrap_or(Err(Stopped { unclear: true }))?;
        }
        Ok(())
    }

    /// Says that a storm begins: so many alerts wait.
    pub(in crate::delivery) fn it_storms(&self, alerts: usize) {
        let channel = &self.channel;
        tracing::warn!(channel, alerts, "more alerts than can be posted: they go into a tally");
        self.common.metrics.storm(channel);
    }

    /// The tallies that others opened in the channel, each with the sum of its alerts.
    pub(in crate::delivery) fn take_tallies_over(&mut self) -> Vec<(Known, Sum)> {
        let tallies = self.book.tallies(&self.channel);
        if self.is_unclear {
            let is_unsaid =
                |known: &Known| known.tally.as_ref().is_some_and(|of| of.said.is_none());
            let unsaid = tallies.iter().map(|(known, _)| known).filter(|known| is_unsaid(known));
            self.inherited.extend(unsaid.map(|known| known.alert));
        }
        tallies
    }

    /// What an entry comes to without a message of its own.
    pub(in crate::delivery) fn fold(&self, job: &Job) -> Fold {
        let known = self.book.known(&job.entry);
        match step(&job.entry, job.record.offset, known.as_ref()) {
            Step::Duplicate => Fold::Over(Outcome::Duplicate),
            Step::Repeated => Fold::Over(Outcome::Repeated),
            // It was to be told in a group, and is silenced there.
            Step::Untold
                if known.as_ref().is_some_and(Known::is_held)
                    && self.told_by(&job.entry).is_some() =>
            {
                Fold::Grouped
            }
            Step::Untold => Fold::Over(Outcome::Untold),
            Step::Update(_) => Fold::Own,
            // A canary in a tally shows nothing.
            Step::Post if job.entry.digest.is_some() || is_its(&job.entry) => Fold::Own,
            Step::Post if self.told_by(&job.entry).is_some() => Fold::Grouped,
            Step::Post => {
                let known = known.filter(|known| stays_within(&job.entry, known));
                match known.and_then(|known| self.tells_still(&known)) {
                    Some(tally) => Fold::Within(tally),
                    None if self.group_of(&job.entry).is_some() => Fold::Grouped,
                    None => Fold::New,
                }
            }
        }
    }

    /// The tally that tells what happens to an alert. One whose message cannot be changed tells no more of
    /// those that were told alone before it.
    fn tells_still(&self, known: &Known) -> Option<AlertId> {
        let told_in = known.told_in.as_ref()?;
        let tally = self.book.tally(&told_in.tally, &self.channel)?.tally?;
        let may_tell = self.can_change() || tally.said.is_none() || known.told.is_none();
        may_tell.then_some(told_in.tally)
    }

    /// Puts an alert into a tally, or changes it there; returns what is to be written.
    pub(in crate::delivery) fn put_into(&self, tally: AlertId, job: &Job) -> OutgoingRecord {
        let (entry, notification) = (&job.entry, &job.entry.notification);
        let known = self.book.known(entry);
        let before = known.as_ref().and_then(|known| known.told_in.clone());
        let before = before.filter(|before| before.tally == tally);
        let fires = known.as_ref().is_none_or(|known| !stays_within(entry, known));
        let told_in = match (notification.kind, before) {
            // The end of it says nothing about how bad it was.
            (Kind::Resolve, Some(before)) => before,
            (Kind::Update, Some(before)) if !fires => {
                ToldIn { severity: notification.severity, ..before }
            }
            (_, before) => {
                ToldIn::new(tally, &entry.intent.rule, notification, entry.event_time_ms)
                    .after(before.as_ref())
            }
        };
        self.note_within(job, known.as_ref(), told_in)
    }

    fn note_within(&self, job: &Job, known: Option<&Known>, told_in: ToldIn) -> OutgoingRecord {
        let kind = job.entry.notification.kind;
        let same = known.filter(|_| kind != Kind::Fire);
        let state = state_after(kind, same.map(|known| known.state));
        let labels = open_labels(&job.entry, state);
        let new = job.noted(state).opened_like(same);
        // Whoever was told of it by a message that cannot be changed is told of its end by another one.
        let told = same.filter(|_| !self.can_change()).and_then(|known| known.told.clone());
        self.book.note(Known { told_in: Some(told_in), told, labels, ..new })
    }

    /// Whether somebody sent an entry before us: then it needs no tally.
    ///
    /// # Errors
    /// When work on the partition ends before.
    pub(in crate::delivery) async fn was_sent(
        &mut self,
        job: &Job,
    ) -> Result<Option<Outcome>, Stopped> {
        if job.unclear { self.look_before_the_first(job).await } else { Ok(None) }
    }

    /// Opens a tally, of which the entry at `offset` is the first alert, and writes that down.
    ///
    /// # Errors
    /// When work on the partition ends before.
    pub(in crate::delivery) async fn open_tally(&self, offset: i64) -> Result<AlertId, Stopped> {
        let opened_ms = now_ms();
        let tally = Tally { offset, opened_ms, closed_ms: None, said: None };
        let intent = self.intent_of(&tally);
        let alert = AlertId::of(&intent, opened_ms, &Sum::default().notification(false, &[]));
        let known = Known {
            updated_ms: opened_ms,
            tally: Some(tally),
            ..Known::new(alert, &self.channel, intent.to_string(), State::Open)
        };
        self.common.keep(self.book.note(known), &self.ending).await?;
        Ok(alert)
    }

    /// Closes a tally: the storm is over.
    ///
    /// # Errors
    /// When work on the partition ends before.
    pub(in crate::delivery) async fn close_tally(&self, tally: &AlertId) -> Result<(), Stopped> {
        self.change_tally(tally, |tally| tally.closed_ms = Some(now_ms())).await
    }

    async fn change_tally(
        &self,
        alert: &AlertId,
        change: impl FnOnce(&mut Tally),
    ) -> Result<(), Stopped> {
        let Some(mut known) = self.book.tally(alert, &self.channel) else { return Ok(()) };
        if let Some(tally) = &mut known.tally {
            change(tally);
        }
        known.updated_ms = now_ms();
        self.common.keep(self.book.note(known), &self.ending).await
    }

    /// The intent of a tally: it names the first entry that went into it.
    fn intent_of(&self, tally: &Tally) -> IntentId {
        let topic = Arc::clone(&self.common.topics.outbox);
        let record = RecordId { topic, partition: self.book.partition(), offset: tally.offset };
        IntentId { record, rule: RULE.into(), index: 0 }
    }

    /// Whether a tally has to be posted before anything of it can be told; where messages cannot be
    /// changed, each is a post.
    pub(in crate::delivery) fn is_post(&self, tally: &AlertId) -> bool {
        self.book.tally(tally, &self.channel).is_some_and(|known| known.place.is_none())
    }

    /// Whether messages can be changed.
    pub(in crate::delivery) fn can_change(&self) -> bool {
        !self.common.slack.is_webhook()
    }

    /// Makes a tally's message say what the ledger has.
    ///
    /// # Errors
    /// When work on the partition ends before.
    pub(in crate::delivery) async fn tell_tally(
        &mut self,
        alert: &AlertId,
    ) -> Result<Telling, Stopped> {
        let Some(known) = self.book.tally(alert, &self.channel) else { return Ok(Telling::Done) };
        let Some(tally) = known.tally.clone() else { return Ok(Telling::Done) };
        let sum = self.book.sum(alert);
        let said = sum.said(tally.closed_ms.is_some());
        let is_said = tally.said == Some(said) || (sum.is_empty() && tally.said.is_none());
        // Where no message can be changed, what was told is told.
        if is_said || (tally.said.is_some() && !self.can_change()) {
            return Ok(Telling::Done);
        }
        let job = self.tally_job(&known, &tally, &sum);
        match &known.place {
            Some(place) => {
                match self.change_told(&job, &known, place, (said.severity, said.closed)).await? {
                    Changed::Later => Ok(Telling::Later),
                    Changed::Done | Changed::Posted => self.have_said(alert, said).await,
                }
            }
            None => {
                let outcome = self.post(&job, Some(&known)).await?;
                self.tell(&job.entry, outcome, "");
                if outcome == Outcome::Found {
                    return Ok(Telling::Again);
                }
                self.have_said(alert, said).await
            }
        }
    }

    /// A tally as something to be delivered.
    fn tally_job(&self, known: &Known, tally: &Tally, sum: &Sum) -> Job {
        let intent = self.intent_of(tally);
        let ledger = self.common.topics.ledger.to_string();
        let place = [
            Span::Text("the topic ".into()),
            Span::Code(ledger),
            Span::Text(" has it, with ".into()),
            Span::Code(format!("told_in.tally = {}", known.alert)),
            Span::Text(".".into()),
        ];
        let entry = Entry {
            intent,
            alert: known.alert,
            channel: self.channel.clone(),
            event_time_ms: sum.last_ms(),
            rule_version: String::new(),
            generation: 0,
            notification: sum.notification(tally.closed_ms.is_some(), &place),
            is_stale: false,
            digest: None,
        };
        let record = OutboxRecord {
            partition: self.book.partition(),
            offset: -1,
            timestamp_ms: tally.opened_ms,
            key: Some(entry.key()),
            value: Some(entry.to_bytes()),
        };
        // Another life of this host, or another host, may have posted it.
        let unclear = tally.said.is_none() && self.inherited.contains(&known.alert);
        Job::new(record, entry, unclear)
    }

    /// Changes the message of a tally or a group, if that can be done at once: nothing waits for it. Of
    /// all that are to be changed, the most urgent ones are first.
    pub(super) async fn change_told(
        &mut self,
        job: &Job,
        known: &Known,
        place: &Place,
        (urgency, is_over): (Severity, bool),
    ) -> Result<Changed, Stopped> {
        let diverted = known.fallback.clone().map(|to| job.diverted(to));
        let job = diverted.as_ref().unwrap_or(job);
        for is_plain in [false, true] {
            if !self.may_change(known.alert, urgency) {
                return Ok(Changed::Later);
            }
            let message = self.message(job, Some(known), &known.opened_by, is_plain);
            let asked = self.ending.busy(self.common.slack.update(place, &message)).await?;
            let verdict = self.common.heed(&asked);
            self.remember(job.target(), verdict, &asked.detail);
            if verdict != Verdict::Sent {
                let class = verdict.as_str();
                tracing::warn!(class, alert = %known.alert, "slack: {}", asked.detail);
            }
            match verdict {
                Verdict::Sent => {
                    self.note(job, Some(known), Some(place.clone())).await?;
                    self.tell(&job.entry, Outcome::Updated, "");
                    return Ok(Changed::Done);
                }
                // Nobody needs to be told again that it is over.
                Verdict::Repost if is_over => return Ok(Changed::Done),
                Verdict::Repost | Verdict::PermanentChannel => {
                    let own =
                        Job { via: None, unclear: job.unclear, ..job.diverted(String::new()) };
                    let outcome = self.post(&own, Some(known)).await?;
                    self.tell(&own.entry, outcome, "");
                    return Ok(Changed::Posted);
                }
                Verdict::PermanentMessage | Verdict::Unknown => {}
                _ => return Ok(Changed::Later),
            }
        }
        Ok(Changed::Done)
    }

    async fn have_said(&mut self, alert: &AlertId, said: Said) -> Result<Telling, Stopped> {
        self.inherited.remove(alert);
        self.change_tally(alert, |tally| tally.said = Some(said)).await?;
        Ok(Telling::Done)
    }
}

/// Whether what happens to an alert that a tally tells of is told there: all but that it becomes
/// critical, and that it fires again after its end.
fn stays_within(entry: &Entry, known: &Known) -> bool {
    let is_told = matches!(known.state, State::Open | State::Resolved);
    let gets_worse = known.state == State::Open
        && entry.notification.severity == Severity::Critical
        && known.told_in.as_ref().is_some_and(|told_in| told_in.severity < Severity::Critical);
    match entry.notification.kind {
        Kind::Fire => false,
        Kind::Update => is_told && !gets_worse,
        Kind::Resolve => is_told,
    }
}
