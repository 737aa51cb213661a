//! How an entry ends: in the ledger, and, where it was given up, in the dead letters.

use std::sync::Arc;

use super::{Courier, Job, Outcome, Refusal};
use crate::dead_letter::{DeadLetter, RuleVersion, Stage};
use crate::delivery::common::{Stopped, now_ms};
use crate::delivery::decision::state_after;
use crate::delivery::ports::{OutboxRecord, Ports};
use crate::history::What;
use crate::ledger::{Entry as Known, Place, State};
use crate::record::RecordId;

impl<P: Ports> Courier<P> {
    /// Writes what Slack said yes to into the ledger.
    pub(super) async fn note(
        &self,
        job: &Job,
        known: Option<&Known>,
        place: Option<Place>,
    ) -> Result<(), Stopped> {
        let intent = job.entry.intent.to_string();
        let same = known.filter(|known| known.place == place && place.is_some());
        let known = Known {
            alert: job.entry.alert,
            channel: job.entry.channel.clone(),
            state: state_after(job.entry.notification.kind, known.map(|known| known.state)),
            opened_by: same.map_or_else(|| intent.clone(), |known| known.opened_by.clone()),
            place,
            last_intent: intent,
            outbox_offset: job.record.offset,
            updated_ms: now_ms(),
            digest: job.entry.digest.clone(),
            standing: None,
        };
        self.common.keep(self.book.note(known), &self.ending).await
    }

    /// Writes that nothing more is done about an entry. A message that stands stays known.
    pub(super) async fn abandon(&self, job: &Job, known: Option<&Known>) -> Result<(), Stopped> {
        self.end_untold(job, known, State::Abandoned).await
    }

    pub(super) async fn end_untold(
        &self,
        job: &Job,
        known: Option<&Known>,
        state: State,
    ) -> Result<(), Stopped> {
        let intent = job.entry.intent.to_string();
        let standing = known.filter(|known| known.place.is_some());
        let known = Known {
            alert: job.entry.alert,
            channel: job.entry.channel.clone(),
            place: standing.and_then(|known| known.place.clone()),
            state: standing.map_or(state, |known| known.state),
            opened_by: standing.map_or_else(|| intent.clone(), |known| known.opened_by.clone()),
            last_intent: intent,
            outbox_offset: job.record.offset,
            updated_ms: now_ms(),
            // As the message stands; what was given up is in the dead letter.
            digest: standing.and_then(|known| known.digest.clone()),
            // What a target was told before it refused this still holds there.
            standing: known.and_then(|known| known.standing.clone()),
        };
        self.common.keep(self.book.note(known), &self.ending).await
    }

    pub(super) async fn give_up(
        &self,
        job: &Job,
        known: Option<&Known>,
        refusal: Refusal,
    ) -> Result<Outcome, Stopped> {
        let why = format!("{}: {}", refusal.reason, refusal.message);
        self.note_down(job, What::ended(Outcome::DeadLetter.as_str(), &why));
        let rule = RuleVersion {
            name: job.entry.intent.rule.as_str().into(),
            version: job.entry.rule_version.clone(),
        };
        let letter = dead_letter(
            &self.common.topics.outbox,
            &job.record,
            Some(rule),
            job.entry.generation,
            (refusal.reason, refusal.message),
        );
        let letter = letter.into_outgoing(&self.common.topics.dead_letters, &self.common.origin);
        self.common.keep(letter, &self.ending).await?;
        self.common.metrics.dead_letters(Stage::Delivery.as_str(), refusal.reason, 1);
        self.abandon(job, known).await?;
        Ok(Outcome::DeadLetter)
    }
}

/// A dead letter about a record of the outbox.
pub fn dead_letter(
    outbox: &Arc<str>,
    record: &OutboxRecord,
    rule: Option<RuleVersion>,
    generation: u64,
    (reason, message): (&'static str, String),
) -> DeadLetter {
    DeadLetter {
        record: RecordId {
            topic: Arc::clone(outbox),
            partition: record.partition,
            offset: record.offset,
        },
        timestamp_ms: record.timestamp_ms,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: Vec::new(),
        rule,
        generation,
        stage: Stage::Delivery,
        reason,
        message,
    }
}
