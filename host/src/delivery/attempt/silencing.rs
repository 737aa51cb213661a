//! What is silenced, inhibited or muted: why an entry makes no message now, and that it is over without one.

use super::{Courier, Job, Outcome};
use crate::delivery::common::{Stopped, now_ms};
use crate::delivery::decision::{Step, step};
use crate::delivery::ports::Ports;
use crate::delivery::suppression::{Reason, open_labels};
use crate::ledger::{Entry as Known, State};
use crate::notification::Kind;
use crate::outbox::Entry;
use crate::record::OutgoingRecord;

impl<P: Ports> Courier<P> {
    /// Why an entry waits, or is over, instead of making a message now.
    pub(in crate::delivery) fn suppressed(&self, job: &Job) -> Option<Reason> {
        let known = self.book.known(&job.entry);
        match step(&job.entry, job.record.offset, known.as_ref()) {
            // Whoever was told of it is told of its end.
            Step::Post if ends_what_was_told(job, known.as_ref()) => None,
            Step::Post => self.common.suppression.of(&job.entry, now_ms()),
            _ => None,
        }
    }

    /// Whether an entry ends an alert that was told.
    pub(in crate::delivery) fn ends_what_was_told(&self, job: &Job) -> bool {
        ends_what_was_told(job, self.book.known(&job.entry).as_ref())
    }

    /// Whether an entry that waits must wait on.
    pub(in crate::delivery) fn is_suppressed(&self, entry: &Entry, now_ms: i64) -> bool {
        self.common.suppression.of(entry, now_ms).is_some()
    }

    /// What is to be written of an alert before it is told, where it inhibits others: that it is open.
    /// They must not be told first.
    pub(in crate::delivery) fn source(&self, job: &Job) -> Option<OutgoingRecord> {
        let is_open = job.entry.notification.kind != Kind::Resolve;
        if !is_open || !self.common.suppression.inhibits(&job.entry) {
            return None;
        }
        let known = self.book.known(&job.entry);
        match step(&job.entry, job.record.offset, known.as_ref()) {
            Step::Post => {
                let held = known.as_ref().filter(|known| known.is_held());
                let why = held.and_then(|known| known.why.clone());
                self.untold(job, known, why)
            }
            _ => None,
        }
    }

    /// Writes down that an alert is open and waits, and why; where it can end and there is a policy.
    ///
    /// # Errors
    /// When work on the partition ends before; the entry stays in the outbox.
    pub(in crate::delivery) async fn note_wait(
        &self,
        job: &Job,
        why: Option<&Reason>,
    ) -> Result<(), Stopped> {
        let known = self.book.known(&job.entry);
        let before = known.as_ref().and_then(|known| known.why.clone());
        let why = why.map(ToString::to_string).or(before);
        match self.untold(job, known, why) {
            Some(record) => self.common.keep(record, &self.ending).await,
            None => Ok(()),
        }
    }

    /// Not the offset: whoever reads the entry again lets it wait again, or tells it.
    fn untold(
        &self,
        job: &Job,
        known: Option<Known>,
        why: Option<String>,
    ) -> Option<OutgoingRecord> {
        let labels = open_labels(&job.entry, State::Suppressed);
        let is_noted =
            known.as_ref().is_some_and(|known| known.labels == labels && known.why == why);
        if labels.is_none() || is_noted {
            return None;
        }
        let before = known.unwrap_or_else(|| {
            let new = job.noted(State::Suppressed);
            Known { outbox_offset: -1, ..new }
        });
        let state = if before.state == State::Open { State::Open } else { State::Suppressed };
        // It waits alone, whatever group told of it before.
        let untold = Known { state, labels, why, member: None, updated_ms: now_ms(), ..before };
        Some(self.book.note(untold))
    }

    /// What the ledger says an alert waits for.
    pub(in crate::delivery) fn waits_for(&self, job: &Job) -> Option<String> {
        self.book.known(&job.entry).and_then(|known| known.why)
    }

    /// Counts an entry that waits, or is over, instead of making a message.
    pub(in crate::delivery) fn count_suppressed(&self, reason: &Reason) {
        self.common.metrics.suppressed(reason.as_str());
    }

    /// Writes down that an entry was not told and will not be.
    ///
    /// # Errors
    /// When work on the partition ends before; the entry stays in the outbox.
    pub(in crate::delivery) async fn suppress(&self, job: &Job, why: &str) -> Result<(), Stopped> {
        let known = self.book.known(&job.entry);
        self.end_untold(job, known.as_ref(), State::Suppressed, Some(why.to_owned())).await?;
        self.tell(&job.entry, Outcome::Suppressed, why);
        Ok(())
    }
}

fn ends_what_was_told(job: &Job, known: Option<&Known>) -> bool {
    job.entry.notification.kind == Kind::Resolve
        && known.is_some_and(|known| {
            known.state == State::Open && job.record.offset > known.outbox_offset
        })
}
