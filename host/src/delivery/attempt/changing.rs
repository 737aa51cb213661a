//! One attempt at changing a message that stands.

use std::time::Duration;

use super::{CHANNEL, Courier, Job, Next, Outcome};
use crate::delivery::common::Stopped;
use crate::delivery::decision::is_firing;
use crate::delivery::ports::Ports;
use crate::delivery::verdict::Verdict;
use crate::ledger::{Entry as Known, Place};
use crate::notification::Kind;

/// What came of an attempt to change a message.
pub(super) enum Change {
    Over(Outcome),
    Later {
        wait: Duration,
    },
    /// It cannot be changed, so that a new one is needed.
    Gone,
}

impl<P: Ports> Courier<P> {
    /// Changes a message, if that can be done at once: nothing waits for it. Of all that are to be changed,
    /// the most urgent ones are first.
    pub(super) async fn update(
        &mut self,
        job: &Job,
        place: &Place,
        known: Option<&Known>,
    ) -> Result<Change, Stopped> {
        let (alert, soon) = (job.entry.alert, Change::Later { wait: Duration::ZERO });
        let told = known.and_then(|known| known.told.as_ref());
        let severity = job.entry.notification.severity;
        let severity = told.map_or(severity, |told| told.severity.max(severity));
        if !self.may_change(alert, severity) {
            return Ok(soon);
        }
        let opened_by = known.map_or_else(String::new, |known| known.opened_by.clone());
        let mut tries = self.tries();
        let diverted = known.and_then(|known| job.as_it_went(known));
        let job = diverted.as_ref().unwrap_or(job);
        let changed = loop {
            let message = self.message(job, known, &opened_by, tries.plain);
            let asked = self.ending.busy(self.common.slack.update(place, &message)).await?;
            let next = self.next(&asked, &mut tries, job);
            match (next, asked.verdict()) {
                (Next::Done, _) => break Change::Over(self.changed(job, known, place).await?),
                // The gate knows until when.
                (_, Verdict::Throttled(_) | Verdict::WorkspaceLimit(_) | Verdict::Credentials) => {
                    return Ok(soon);
                }
                // A change may be repeated: the message is the same afterwards.
                (_, Verdict::RetryLater | Verdict::Ambiguous) => {
                    let fresh = self.common.backoff();
                    let wait = self.failing.entry(alert).or_insert(fresh).failed();
                    return Ok(Change::Later { wait });
                }
                (Next::Again | Next::Unclear, _) => self.rest(&asked, &mut tries).await?,
                // It stands and cannot be changed: its thread says that it is over.
                (Next::Repost, _)
                    if job.entry.notification.kind == Kind::Resolve
                        && asked.code() != Some("message_not_found") =>
                {
                    break Change::Over(self.changed(job, known, place).await?);
                }
                (Next::Repost, _) => break Change::Gone,
                // It is over: no other channel needs to hear of it.
                (Next::GiveUp(refusal), _)
                    if refusal.reason == CHANNEL
                        && job.entry.notification.kind == Kind::Update
                        && !is_firing(&job.entry, known) =>
                {
                    break Change::Gone;
                }
                (Next::GiveUp(refusal), _) => {
                    break Change::Over(self.refuse(job, known, refusal).await?);
                }
            }
        };
        self.failing.remove(&alert);
        Ok(changed)
    }
}
