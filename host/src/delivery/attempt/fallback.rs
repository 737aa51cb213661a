//! What a channel takes nothing of: another channel has it, which is told for whom it was meant.

use std::sync::Arc;

use tokio::time::Instant;

use super::{CHANNEL, Courier, Job, Outcome, Refusal};
use crate::delivery::common::Stopped;
use crate::delivery::ports::Ports;
use crate::delivery::verdict::Verdict;
use crate::ledger::{Entry as Known, State};
use crate::notification::Span;
use crate::outbox::Entry;

impl Job {
    /// The same, on its way to another channel.
    pub(super) fn diverted(&self, to: String) -> Self {
        Self {
            record: self.record.clone(),
            entry: self.entry.clone(),
            unclear: false,
            via: Some(to),
            within: Arc::clone(&self.within),
        }
    }

    /// The same, on its way to where its alert's message is, if that is another channel.
    pub(super) fn as_it_went(&self, known: &Known) -> Option<Self> {
        let to = known.fallback.clone()?;
        Some(Self { unclear: self.unclear, ..self.diverted(to) })
    }
}

/// What is told in another channel than an entry is meant for.
pub(super) fn entry(job: &Job) -> Entry {
    let mut entry = job.entry.clone();
    let words = format!("#{}, where Slack takes nothing from this host", entry.channel);
    entry.notification.fields.insert(0, ("meant for".into(), vec![Span::Text(words)]));
    entry
}

impl<P: Ports> Courier<P> {
    /// What becomes of an entry that was refused: the fallback channel, or the dead letters.
    pub(super) async fn refuse(
        &mut self,
        job: &Job,
        known: Option<&Known>,
        refusal: Refusal,
    ) -> Result<Outcome, Stopped> {
        let may = refusal.reason == CHANNEL && job.via.is_none();
        let fallback = self.common.fallback.clone();
        let Some(to) = fallback.filter(|to| may && *to != job.entry.channel) else {
            return self.give_up(job, known, refusal).await;
        };
        let channel = &job.entry.channel;
        tracing::warn!(channel, to, "the fallback channel has it: {}", refusal.message);
        self.note_ahead(job, known, &to).await?;
        let known = self.book.known(&job.entry);
        // It ends there: nothing is diverted twice.
        Box::pin(self.post(&job.diverted(to), known.as_ref())).await
    }

    /// Writes that an entry is about to go to the fallback channel, so that it is looked for there
    /// after a crash. It is not carried out yet: whoever reads it again does so.
    async fn note_ahead(&self, job: &Job, known: Option<&Known>, to: &str) -> Result<(), Stopped> {
        let new = job.noted(State::Abandoned);
        let ahead = Known {
            last_intent: known
                .map_or_else(|| new.last_intent.clone(), |known| known.last_intent.clone()),
            outbox_offset: known.map_or(-1, |known| known.outbox_offset),
            digest: known.and_then(|known| known.digest.clone()),
            tally: known.and_then(|known| known.tally.clone()),
            group: known.and_then(|known| known.group.clone()),
            fallback: Some(to.to_owned()),
            labels: known.and_then(|known| known.labels.clone()),
            ..new
        };
        self.common.keep(self.book.note(ahead), &self.ending).await
    }

    /// Why a channel is not asked, if it refused again and again.
    pub(super) fn known_refusal(&self, channel: &str) -> Option<Refusal> {
        let detail = self.common.breakers.refusal(channel, Instant::now())?;
        let detail = format!("{detail}, again and again, so that it is not asked for a while");
        Some(Refusal::of_channel(channel, &detail))
    }

    /// Remembers whether a channel takes messages.
    pub(super) fn remember(&self, channel: &str, verdict: Verdict, detail: &str) {
        let (breakers, metrics) = (&self.common.breakers, &self.common.metrics);
        match verdict {
            Verdict::Sent if breakers.took(channel) => {
                tracing::info!(channel, "slack takes messages for the channel again");
                metrics.channel_refused(channel, false);
            }
            Verdict::PermanentChannel if breakers.refused(channel, detail, Instant::now()) => {
                tracing::error!(
                    channel,
                    "slack takes nothing for the channel ({detail}); it is not asked for a while: \
                     check that it exists and that the bot is a member of it"
                );
                metrics.channel_refused(channel, true);
            }
            _ => {}
        }
    }
}
