//! How an entry ends: in the ledger, and, where it was given up, in the dead letters.

use std::sync::Arc;

use super::{Courier, Job, Outcome, Refusal};
use crate::dead_letter::{DeadLetter, RuleVersion, Stage};
use crate::delivery::common::{Stopped, now_ms};
use crate::delivery::decision::state_after;
use crate::delivery::ports::{OutboxRecord, Ports};
use crate::delivery::suppression::open_labels;
use crate::history::What;
use crate::ledger::{Entry as Known, Place, State, Told};
use crate::limits::cut;
use crate::notification::Kind;
use crate::outbox::Entry;
use crate::record::RecordId;

/// Bytes of a title in the ledger.
const TITLE_BYTES_MAX: usize = 300;

impl Job {
    /// What the ledger says when this was carried out now, and nothing more is known.
    pub(super) fn noted(&self, state: State) -> Known {
        let (entry, intent) = (&self.entry, self.entry.intent.to_string());
        Known {
            outbox_offset: self.record.offset,
            updated_ms: now_ms(),
            ..Known::new(entry.alert, &entry.channel, intent, state)
        }
    }
}

impl<P: Ports> Courier<P> {
    /// Writes what Slack said yes to into the ledger.
    pub(super) async fn note(
        &self,
        job: &Job,
        known: Option<&Known>,
        place: Option<Place>,
    ) -> Result<(), Stopped> {
        self.note_reply(job, known, place, false).await
    }

    /// The same, and whether it was told in the thread as well.
    pub(super) async fn note_reply(
        &self,
        job: &Job,
        known: Option<&Known>,
        place: Option<Place>,
        replied: bool,
    ) -> Result<(), Stopped> {
        let same = known.filter(|known| known.place == place && place.is_some());
        let state = state_after(job.entry.notification.kind, known.map(|known| known.state));
        let new = job.noted(state).opened_like(same);
        let known = Known {
            last_reply: match same {
                _ if replied => Some(new.last_intent.clone()),
                same => same.and_then(|known| known.last_reply.clone()),
            },
            place,
            digest: job.entry.digest.clone(),
            tally: known.and_then(|known| known.tally.clone()),
            group: known.and_then(|known| known.group.clone()),
            fallback: job.via.clone(),
            told: Some(told(&job.entry, known)),
            labels: open_labels(&job.entry, state),
            ..new
        };
        self.common.keep(self.book.note(known), &self.ending).await
    }

    /// Writes that nothing more is done about an entry. A message that stands stays known.
    pub(super) async fn abandon(&self, job: &Job, known: Option<&Known>) -> Result<(), Stopped> {
        self.end_untold(job, known, State::Abandoned, None).await
    }

    pub(super) async fn end_untold(
        &self,
        job: &Job,
        known: Option<&Known>,
        state: State,
        why: Option<String>,
    ) -> Result<(), Stopped> {
        // Where messages have no place, who was told was told all the same.
        let was_told = |known: &Known| known.told.is_some() && known.state == State::Open;
        let standing = known.filter(|known| known.place.is_some() || was_told(known));
        let new = job.noted(standing.map_or(state, |known| known.state));
        let known = Known {
            place: standing.and_then(|known| known.place.clone()),
            // As the message stands; what was given up is in the dead letter.
            digest: standing.and_then(|known| known.digest.clone()),
            told_in: known.and_then(|known| known.told_in.clone()),
            tally: known.and_then(|known| known.tally.clone()),
            group: known.and_then(|known| known.group.clone()),
            fallback: standing.and_then(|known| known.fallback.clone()),
            told: standing.and_then(|known| known.told.clone()),
            last_reply: standing.and_then(|known| known.last_reply.clone()),
            // What was given up is open all the same.
            labels: match job.entry.notification.kind {
                Kind::Resolve => None,
                Kind::Fire | Kind::Update => open_labels(&job.entry, state),
            },
            why,
            // What a target was told before it refused this still holds there; what is over passes.
            standing: known
                .filter(|_| job.entry.notification.kind != Kind::Resolve)
                .and_then(|known| known.standing.clone()),
            ..new.opened_like(standing)
        };
        self.common.keep(self.book.note(known), &self.ending).await
    }

    pub(super) async fn give_up(
        &self,
        job: &Job,
        known: Option<&Known>,
        refusal: Refusal,
    ) -> Result<Outcome, Stopped> {
        self.bury(job, refusal).await?;
        // Before the ledger has the offset: after it, nobody would give them up any more.
        for one in &*job.within {
            self.bury_with(one, &job.record).await?;
        }
        self.abandon(job, known).await?;
        Ok(Outcome::DeadLetter)
    }

    /// Gives up a digest that was to be told with another one, which Slack refused.
    async fn bury_with(&self, job: &Job, other: &OutboxRecord) -> Result<(), Stopped> {
        let (reason, offset) = ("message", other.offset);
        let message =
            format!("it was to be told with the entry at offset {offset}, which is here too");
        self.bury(job, Refusal { reason, message }).await?;
        self.tell(&job.entry, Outcome::DeadLetter, "");
        Ok(())
    }

    async fn bury(&self, job: &Job, refusal: Refusal) -> Result<(), Stopped> {
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
        Ok(())
    }
}

/// What a message says after an entry was told.
pub(super) fn told(entry: &Entry, known: Option<&Known>) -> Told {
    let notification = &entry.notification;
    // What was resolved and comes again begins anew.
    let goes_on = known.filter(|known| match known.state {
        State::Open => true,
        State::Resolved => notification.kind != Kind::Fire,
        State::Abandoned | State::Suppressed => false,
    });
    let before = goes_on.and_then(|known| Some(known.told.as_ref()?.opened_ms));
    let own = if entry.event_time_ms >= 0 { entry.event_time_ms } else { now_ms() };
    let mut title = notification.title.clone();
    cut(&mut title, TITLE_BYTES_MAX);
    Told {
        opened_ms: before.unwrap_or(own),
        rule: entry.intent.rule.clone(),
        title,
        severity: notification.severity,
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
