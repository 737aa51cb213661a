//! What is silenced or muted: why an entry makes no message now, and that it is over without one.

use super::{Courier, Job, Outcome};
use crate::delivery::common::{Stopped, now_ms};
use crate::delivery::decision::{Step, step};
use crate::delivery::ports::Ports;
use crate::delivery::suppression::Reason;
use crate::ledger::{Entry as Known, State};
use crate::notification::Kind;
use crate::outbox::Entry;

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

    /// Writes down that an entry was not told and will not be.
    ///
    /// # Errors
    /// When work on the partition ends before; the entry stays in the outbox.
    pub(in crate::delivery) async fn suppress(&self, job: &Job, why: &str) -> Result<(), Stopped> {
        let known = self.book.known(&job.entry);
        self.end_untold(job, known.as_ref(), State::Suppressed).await?;
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
