//! Alerts that go into a group, and the group's message.
//!
//! As with a tally: the group's own entry is in the ledger before an alert's entry names it, that before
//! the alert's outbox offset, and the message shows what the ledger has. What a telling has as news is
//! written down before it is told; so after a crash the same is told again, under the same ids.

use super::{Courier, Job, Outcome};
use crate::canary::is_its;
use crate::delivery::blocks::groups::{Saying, notification};
use crate::delivery::common::{Stopped, now_ms};
use crate::delivery::decision::state_after;
use crate::delivery::ports::{OutboxRecord, Ports};
use crate::delivery::suppression::{Reason, open_labels};
use crate::group::{Folded, Group, Line, Lines, Member, RULE, Stands};
use crate::history::What;
use crate::ledger::{Entry as Known, State, Told};
use crate::limits::cut;
use crate::notification::{AlertId, IntentId, Kind, Severity};
use crate::outbox::Entry;
use crate::policy::{Labels, Manner};
use crate::record::{OutgoingRecord, RecordId};
use crate::tally::ToldIn;

mod telling;

pub(in crate::delivery) use telling::GroupTelling;

/// Bytes of an alert key that are kept.
const KEY_BYTES_MAX: usize = 100;

impl<P: Ports> Courier<P> {
    /// The group that an entry belongs to by the policy, with its manner; `None` = it is told alone.
    pub(in crate::delivery) fn group_of(&self, entry: &Entry) -> Option<(Labels, Manner)> {
        // The end of what nobody was told of in a group is told alone, as are digests and canaries.
        let is_alone = entry.digest.is_some() || entry.notification.kind == Kind::Resolve;
        if !self.is_slacks() || is_alone || is_its(entry) {
            return None;
        }
        self.common.suppression.group(entry)
    }

    /// The group that tells of an entry's alert, and what happens to it is told there.
    pub(in crate::delivery) fn told_by(&self, entry: &Entry) -> Option<Known> {
        let known = self.book.known(entry)?;
        let member = known.member.clone().filter(|_| entry.digest.is_none())?;
        let stays = match entry.notification.kind {
            Kind::Fire => known.is_held(),
            Kind::Update | Kind::Resolve => !has_gone(&known),
        };
        self.book.group(&member.group, &self.channel).filter(|_| stays)
    }

    /// The groups that others opened in the channel. Of those that they may have told, or told more of
    /// than the ledger knows, it is looked up before anything is said again.
    pub(in crate::delivery) fn take_groups_over(&mut self) -> Vec<Known> {
        let groups = self.book.groups(&self.channel);
        if self.is_unclear {
            // What is told is written down before, so that nothing was where nothing is.
            let is_written =
                |known: &Known| known.member.as_ref().is_some_and(|of| of.turn.is_some());
            let may_be = |known: &&Known| {
                let is_told = known.group.as_ref().is_some_and(|group| group.said.is_some());
                is_told || self.book.any_member(&known.alert, is_written)
            };
            self.inherited.extend(groups.iter().filter(may_be).map(|known| known.alert));
        }
        groups
    }

    /// Opens a group, of which `first` is the first alert, and writes that down.
    ///
    /// # Errors
    /// When work on the partition ends before.
    pub(in crate::delivery) async fn open_group(
        &self,
        first: &Job,
        (labels, manner): (&Labels, &Manner),
    ) -> Result<Known, Stopped> {
        let group = Group {
            labels: labels.to_map(),
            offset: first.record.offset,
            opened_ms: now_ms(),
            wait_ms: milliseconds(manner.group_wait),
            interval_ms: milliseconds(manner.group_interval),
            repeat_ms: manner.repeat_interval.map(milliseconds),
            closed_ms: None,
            said: None,
        };
        let intent = self.intent_of_group(&group, RULE, 0);
        let about = notification(
            (&first.entry.alert, &group.labels),
            &Lines::default(),
            Saying::Stands,
            &self.common.topics.ledger,
        );
        let alert = AlertId::of(&intent, group.opened_ms, &about);
        let known = Known {
            updated_ms: group.opened_ms,
            group: Some(group),
            ..Known::new(alert, &self.channel, intent.to_string(), State::Open)
        };
        self.common.keep(self.book.note(known.clone()), &self.ending).await?;
        Ok(known)
    }

    /// Puts an alert into a group, or changes it there; returns what is to be written, and what became
    /// of the entry.
    pub(in crate::delivery) fn put_into_group(
        &self,
        group: AlertId,
        job: &Job,
    ) -> (OutgoingRecord, Outcome) {
        let (entry, kind) = (&job.entry, job.entry.notification.kind);
        let known = self.book.known(entry);
        let before = known.as_ref().and_then(|known| known.member.clone());
        // What ended before it was told begins anew.
        let has_gone = known.as_ref().is_some_and(has_gone);
        let before = before.filter(|before| before.group == group && !has_gone);
        let same = known.as_ref().filter(|_| before.is_some());
        let was_held = same.is_some_and(Known::is_held);
        let after = state_after(kind, same.map(|known| known.state));
        // What ends before anybody was told of it, since it is silenced, is never told.
        let is_over_untold = was_held && after == State::Resolved;
        let state = if was_held { State::Suppressed } else { after };
        let told_before = same.and_then(|known| known.told.as_ref());
        let told = self.told_in_group(job, same, told_before);
        let gets_worse = told_before.is_some_and(|before| told.severity > before.severity);
        let fires = before.is_none() || kind == Kind::Fire;
        let comes_again =
            kind == Kind::Fire && same.is_some_and(|known| known.state == State::Resolved);
        let was_news = before.as_ref().is_some_and(|before| before.is_news);
        let is_news =
            !is_over_untold && (was_news || fires || (gets_worse && after == State::Open));
        let key = entry.notification.alert_key.clone().map(|mut key| {
            cut(&mut key, KEY_BYTES_MAX);
            key
        });
        let member = Member {
            group,
            key,
            labels: Labels::of(entry).to_map(),
            last_ms: entry.event_time_ms,
            // What was told as over and comes again is news like any other, also when it may not be told yet.
            turn: before.and_then(|before| before.turn).filter(|_| !comes_again),
            is_news,
            is_folded: false,
        };
        // What was held and is open is still to be told, also where the policy is gone.
        let labels = same.filter(|_| was_held && after == State::Open);
        let labels = labels.and_then(|known| known.labels.clone());
        let known = Known {
            told: Some(told),
            member: Some(member),
            labels: open_labels(entry, after).or(labels),
            why: same.and_then(|known| known.why.clone()).filter(|_| was_held),
            ..job.noted(state).opened_like(same)
        };
        let outcome = if is_over_untold { Outcome::Suppressed } else { Outcome::Grouped };
        (self.book.note(known), outcome)
    }

    /// What its line says; the end of it says nothing about how bad it was.
    fn told_in_group(&self, job: &Job, same: Option<&Known>, before: Option<&Told>) -> Told {
        let told = super::ending::told(&job.entry, same);
        match (job.entry.notification.kind, before) {
            (Kind::Resolve, Some(before)) => Told { severity: before.severity, ..told },
            _ => told,
        }
    }

    /// The intent of a group, or of a reply about it: it names the first entry that went into it.
    fn intent_of_group(&self, group: &Group, rule: &str, index: u32) -> IntentId {
        let topic = std::sync::Arc::clone(&self.common.topics.outbox);
        let record = RecordId { topic, partition: self.book.partition(), offset: group.offset };
        IntentId { record, rule: rule.to_owned(), index }
    }

    /// What is said of a group as something to be delivered.
    fn group_job(
        &self,
        (alert, group): (&AlertId, &Group),
        lines: &Lines,
        (saying, intent): (Saying, IntentId),
    ) -> Job {
        let entry = Entry {
            intent,
            alert: *alert,
            channel: self.channel.clone(),
            event_time_ms: lines.last_ms(),
            rule_version: String::new(),
            generation: 0,
            notification: notification(
                (alert, &group.labels),
                lines,
                saying,
                &self.common.topics.ledger,
            ),
            is_stale: false,
            digest: None,
        };
        let record = OutboxRecord {
            partition: self.book.partition(),
            offset: -1,
            timestamp_ms: group.opened_ms,
            key: Some(entry.key()),
            value: Some(entry.to_bytes()),
        };
        // Another life of this host, or another host, may have told it.
        Job::new(record, entry, self.inherited.contains(alert))
    }

    /// Why an alert of a group is not to be told now.
    fn suppressed_in_group(&self, known: &Known, now_ms: i64) -> Option<Reason> {
        let member = known.member.as_ref()?;
        let labels = member.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        self.common.suppression.of_labels((&known.alert, &labels), &self.channel, now_ms)
    }

    /// What is known of a group.
    pub(in crate::delivery) fn group_known(&self, group: &AlertId) -> Option<Known> {
        self.book.group(group, &self.channel)
    }

    /// How bad the worst alert of a group is that was not resolved.
    pub(in crate::delivery) fn worst_of_group(&self, group: &AlertId) -> Severity {
        self.book.worst_member(group).unwrap_or(Severity::Info)
    }

    /// Whether a group may be told in a tally: nothing of it was told, nor may have been.
    pub(in crate::delivery) fn may_dissolve(&self, group: &AlertId) -> bool {
        let place = self.book.group(group, &self.channel).and_then(|known| known.place);
        place.is_none() && !self.inherited.contains(group) && self.is_group_untold(group)
    }

    /// Whether nothing of a group was told yet, and something may be told now.
    pub(in crate::delivery) fn is_group_untold(&self, group: &AlertId) -> bool {
        let said = self.book.group(group, &self.channel).and_then(|known| known.group);
        let now_ms = now_ms();
        let may = |known: &Known| {
            known.stands() != Stands::Ended && self.suppressed_in_group(known, now_ms).is_none()
        };
        said.is_some_and(|group| group.said.is_none()) && self.book.any_member(group, may)
    }

    /// The offset of the first entry that went into a group.
    pub(in crate::delivery) fn offset_of_group(&self, group: &AlertId) -> Option<i64> {
        Some(self.book.group(group, &self.channel)?.group?.offset)
    }

    /// Puts the alerts of a group that was not told into a tally; returns how many, and whether the group
    /// ended with that. What is held stays in it, and what has ended is not told.
    ///
    /// # Errors
    /// When work on the partition ends before.
    pub(in crate::delivery) async fn dissolve(
        &self,
        group: &AlertId,
        tally: AlertId,
    ) -> Result<(usize, bool), Stopped> {
        let now_ms = now_ms();
        let (mut notes, mut told, mut is_over) = (Vec::new(), 0, true);
        for known in self.book.members(group) {
            let Some(member) = known.member.clone() else { continue };
            match (known.stands(), self.suppressed_in_group(&known, now_ms)) {
                (Stands::Fires, Some(_)) => is_over = false,
                (Stands::Event, Some(reason)) => {
                    notes.push(self.untold_member(known, &reason.to_string()));
                }
                (Stands::Ended, _) => {
                    notes.push(self.untold_member(known, "it ended before its group was told"));
                }
                (_, None) => {
                    told += 1;
                    let told_in = Some(told_in(tally, member, &known));
                    let alone = Known { member: None, why: None, ..known };
                    notes.push(Known { state: State::Open, told_in, ..alone });
                }
            }
        }
        let stamp = |known| self.book.note(Known { updated_ms: now_ms, ..known });
        self.keep_all(notes.into_iter().map(stamp).collect()).await?;
        if is_over {
            self.note_closed(group).await?;
        }
        Ok((told, is_over))
    }

    /// Writes that a group is over.
    async fn note_closed(&self, group: &AlertId) -> Result<(), Stopped> {
        let Some(mut known) = self.book.group(group, &self.channel) else { return Ok(()) };
        known.updated_ms = now_ms();
        if let Some(group) = &mut known.group {
            group.closed_ms = Some(known.updated_ms);
            known.state = match group.said {
                Some(_) => State::Resolved,
                None => State::Suppressed,
            };
        }
        self.common.keep(self.book.note(known), &self.ending).await
    }

    /// Writes down for people what became of an alert of a group.
    fn note_member(&self, known: &Known, what: What) {
        let rule = known.told.as_ref().map_or("", |told| told.rule.as_str());
        self.common.journal.note_known(known, rule, what);
    }

    /// Counts and writes down that an alert of a group will never be told.
    fn end_member_untold(&self, known: &Known, why: &str) {
        let outcome = Outcome::Suppressed.as_str();
        self.note_member(known, What::ended(outcome, why));
        self.common.metrics.posts(&known.channel, outcome, 1);
        let (channel, alert) = (&known.channel, &known.alert);
        tracing::info!(channel, outcome, %alert, "an alert of a group is not told: {why}");
    }
}

/// The alerts of a group that its message tells of, beside those that are only counted.
fn lines(members: &[Known], folded: Folded) -> Lines {
    let line = |known: &Known| {
        let member = known.member.as_ref()?;
        let told = known.told.as_ref()?;
        Some(Line {
            alert: known.alert,
            title: told.title.clone(),
            severity: told.severity,
            stands: known.stands(),
            opened_ms: told.opened_ms,
            last_ms: member.last_ms,
            turn: member.turn?,
        })
    };
    let told = members.iter().filter(|known| known.state != State::Suppressed);
    Lines::new(told.filter_map(line).collect(), folded)
}

/// Whether an alert was given up, or was over before anybody was told of it.
fn has_gone(known: &Known) -> bool {
    known.state == State::Abandoned || known.state == State::Suppressed && !known.is_held()
}

/// What the ledger keeps of an alert that is told in a tally instead.
fn told_in(tally: AlertId, member: Member, known: &Known) -> ToldIn {
    let told = known.told.as_ref();
    ToldIn {
        tally,
        rule: told.map(|told| told.rule.clone()).unwrap_or_default(),
        key: member.key,
        severity: told.map_or(Severity::Info, |told| told.severity),
        fires: 1,
        first_ms: told.map_or(member.last_ms, |told| told.opened_ms),
        last_ms: member.last_ms,
    }
}

fn milliseconds(length: std::time::Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}
