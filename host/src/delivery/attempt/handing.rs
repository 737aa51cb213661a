//! Handing an entry to a target beside Slack's channels, once: it has it, or will never take it, or has
//! been asked for long enough, or is asked again later (`retries.rs`).
//!
//! An unclear answer is no question to anybody here: the same is sent again under the same key, by
//! which a target knows what it has.

use std::time::Duration;

use super::ending::told;
use super::{Courier, Delivered, Job, Outcome, Refusal};
use crate::delivery::common::{Stopped, now_ms};
use crate::delivery::decision::{Step, state_after, step};
use crate::delivery::ports::Ports;
use crate::delivery::sinks::{Answer, Sink, Told, Way};
use crate::delivery::suppression::open_labels;
use crate::history::What;
use crate::ledger::Entry as Known;
use crate::notification::Kind;

impl<P: Ports> Courier<P> {
    /// Whether its channel is one of Slack's, with Slack's pace, tallies and threads.
    pub(in crate::delivery) fn is_slacks(&self) -> bool {
        matches!(self.way, Way::Slack)
    }

    /// Hands an entry to its target, once; to one of Slack's channels, until it is over.
    ///
    /// # Errors
    /// When work on the partition ends before; the entry stays in the outbox.
    pub(in crate::delivery) async fn hand_over(&mut self, job: &Job) -> Result<Delivered, Stopped> {
        let known = self.book.known(&job.entry);
        let handed = match (&self.way, step(&job.entry, job.record.offset, known.as_ref())) {
            (Way::Slack, _) => return self.deliver(job).await,
            (_, Step::Duplicate) => Delivered::Over(Outcome::Duplicate),
            (_, Step::Repeated) => Delivered::Over(Outcome::Repeated),
            (_, Step::Untold) => Delivered::Over(Outcome::Untold),
            // There is nobody any more who could be told that it is over.
            (Way::Nowhere(why), _) if job.entry.notification.kind == Kind::Resolve => {
                let alert = &job.entry.alert;
                tracing::warn!(%alert, "nobody is told that an alert is over: {why}");
                Delivered::Over(Outcome::Untold)
            }
            (Way::Nowhere(why), _) => {
                let refusal = Refusal { reason: "target", message: why.clone() };
                Delivered::Over(self.give_up(job, known.as_ref(), refusal).await?)
            }
            (Way::Sink(sink), _) => self.hand(sink, job, known.as_ref()).await?,
        };
        if let Delivered::Over(outcome) = handed {
            self.delivered(job, outcome).await?;
        }
        Ok(handed)
    }

    async fn hand(
        &self,
        sink: &Sink,
        job: &Job,
        known: Option<&Known>,
    ) -> Result<Delivered, Stopped> {
        // Nothing is unclear to the next owner: it sends the same again.
        let stopped = |_| Stopped { unclear: false };
        let turn = self.ending.idle(sink.turn()).await?;
        let told = Told {
            entry: &job.entry,
            before: known.map(|known| known.state),
            standing: known.and_then(|known| known.standing.as_ref()),
            now_ms: now_ms(),
        };
        let answer = self.ending.busy(sink.tell(&self.common.ports, told)).await;
        let (class, wait, detail) = match answer.map_err(stopped)? {
            Answer::Taken { standing } => {
                self.note_down(job, What::asked("take it", "sent", ""));
                let note = Known { standing, ..self.handed(job, known) };
                let record = self.book.note(note);
                drop(turn);
                self.common.keep(record, &self.ending).await.map_err(stopped)?;
                return Ok(Delivered::Over(Outcome::Posted));
            }
            Answer::Later { class, wait, detail } => (class, wait, detail),
            Answer::Never { detail } => {
                drop(turn);
                self.note_down(job, What::asked("take it", "refused", &detail));
                self.common.metrics.sink_errors(&sink.name, "refused");
                return self.refused(sink, job, known, ("refused", detail)).await;
            }
        };
        drop(turn);
        self.common.metrics.sink_errors(&sink.name, class);
        self.note_down(job, What::asked("take it", class, &detail));
        let (channel, intent) = (&sink.name, &job.entry.intent);
        tracing::warn!(channel, class, %intent, "not taken, trying again: {detail}");
        let age = age(job);
        if age >= sink.retry_for {
            return self.refused(sink, job, known, ("unanswered", detail)).await;
        }
        // Not longer than it may take at all.
        Ok(Delivered::Later { wait: wait.unwrap_or_default().min(sink.retry_for - age) })
    }

    async fn refused(
        &self,
        sink: &Sink,
        job: &Job,
        known: Option<&Known>,
        (reason, detail): (&'static str, String),
    ) -> Result<Delivered, Stopped> {
        let channel = &sink.name;
        tracing::error!(channel, intent = %job.entry.intent, reason, "given up: {detail}");
        let message = match reason {
            "refused" => format!("{channel} will not take this: {detail}; mend it or its address"),
            _ => format!(
                "{channel} did not take this in {} minutes (retry_minutes): {detail}",
                sink.retry_for.as_secs() / 60
            ),
        };
        self.give_up(job, known, Refusal { reason, message }).await.map(Delivered::Over)
    }

    /// What the ledger says of an entry that its target has.
    fn handed(&self, job: &Job, known: Option<&Known>) -> Known {
        let state = state_after(job.entry.notification.kind, known.map(|known| known.state));
        Known {
            told: Some(told(&job.entry, known)),
            labels: open_labels(&job.entry, state),
            ..job.noted(state).opened_like(known)
        }
    }
}

/// How long ago an entry was written; without a timestamp it is as old as anything.
fn age(job: &Job) -> Duration {
    let age = now_ms().saturating_sub(job.record.timestamp_ms.max(0));
    Duration::from_millis(age.max(0).unsigned_abs())
}
