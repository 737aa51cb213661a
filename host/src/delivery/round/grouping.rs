//! Alerts that go into groups on a courier's round, and the telling of groups.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Round;
use super::changes::AGAIN;
use crate::delivery::attempt::{Fold, GroupTelling, Job};
use crate::delivery::common::{Stopped, now_ms};
use crate::delivery::lanes::Queued;
use crate::delivery::ports::Ports;
use crate::ledger::Entry as Known;
use crate::notification::{AlertId, Severity};
use crate::record::OutgoingRecord;

impl<P: Ports> Round<P> {
    /// Lets entries that were just read wait for their turn; those that are told in groups are no queue.
    pub(super) async fn take_in(&mut self, jobs: Vec<Job>) -> Result<(), Stopped> {
        let (mut grouped, mut sources) = (Vec::new(), HashMap::new());
        for job in jobs {
            let alert = &job.entry.alert;
            let is_first =
                !self.lanes.has(alert) && !self.edits.has(alert) && !self.waiting.has(alert);
            if is_first && self.courier.fold(&job).is_grouped() {
                grouped.push(Queued::new(job));
            } else {
                let source = self.courier.source(&job);
                sources.extend(source.map(|record| (record.key.clone(), record)));
                // While it waits for its turn people can see that it is there.
                let noted = is_first && matches!(self.courier.fold(&job), Fold::New);
                let queued = Queued::new(job);
                if noted {
                    self.take_up(&queued);
                }
                self.lanes.push(Queued { noted, ..queued });
            }
        }
        // The last record of each key, as below; before anything of them is told.
        self.courier.keep_all(sources.into_values().collect()).await?;
        self.group(grouped).await
    }

    /// Puts entries into their groups: to the ledger, then they are finished.
    pub(super) async fn group(&mut self, entries: Vec<Queued>) -> Result<(), Stopped> {
        // The last record of each key: one that is tried again must not overtake a later one.
        let mut records: HashMap<Option<Vec<u8>>, OutgoingRecord> = HashMap::new();
        let mut done = Vec::new();
        for queued in entries {
            let job = &queued.job;
            self.take_up(&queued);
            // A webhook has no history, and what is told in a group was not told alone.
            if self.courier.can_change()
                && let Some(outcome) = self.courier.was_sent(job).await?
            {
                done.push((queued, outcome));
                continue;
            }
            let Some(known) = self.group_for(job).await? else {
                // It is told alone now: the policy has just changed.
                self.lanes.push(queued);
                continue;
            };
            let (record, outcome) = self.courier.put_into_group(known.alert, job);
            records.insert(record.key.clone(), record);
            self.group_came(&known, job.entry.notification.severity);
            done.push((queued, outcome));
        }
        self.courier.keep_all(records.into_values().collect()).await?;
        for (queued, outcome) in done {
            self.courier.tell(&queued.job.entry, outcome, "");
            self.finished(&queued).await;
        }
        Ok(())
    }

    /// The group that an entry goes to, which is opened if there is none.
    async fn group_for(&mut self, job: &Job) -> Result<Option<Known>, Stopped> {
        if let Some(known) = self.courier.told_by(&job.entry) {
            return Ok(Some(known));
        }
        let Some((labels, manner)) = self.courier.group_of(&job.entry) else { return Ok(None) };
        let open = self.groups.of(&labels.to_map());
        if let Some(known) = open.and_then(|group| self.courier.group_known(&group)) {
            return Ok(Some(known));
        }
        let known = self.courier.open_group(job, (&labels, &manner)).await?;
        self.groups.open(known.alert, labels.to_map());
        Ok(Some(known))
    }

    /// Something came for a group.
    fn group_came(&mut self, known: &Known, severity: Severity) {
        let Some(group) = &known.group else { return };
        let least = i64::try_from(self.patience.edits.as_millis()).unwrap_or(i64::MAX);
        self.groups.came(&known.alert, severity, instant(group.due_ms(least)));
    }

    /// Takes up what the ledger says of groups.
    pub(super) fn resume_groups(&mut self) {
        for known in self.courier.take_groups_over() {
            if let Some(group) = &known.group {
                self.groups.open(known.alert, group.labels.clone());
                let worst = self.courier.worst_of_group(&known.alert);
                self.group_came(&known, worst);
            }
        }
    }

    /// Forgets groups that the ledger has forgotten.
    pub(super) fn forget_groups(&mut self, now: Instant) {
        let courier = &self.courier;
        let is_known = |group: &AlertId| courier.group_known(group).is_some();
        self.groups.tidy(self.patience.expire_every, now, is_known);
    }

    /// Tells a group.
    pub(super) async fn tell_group(&mut self, group: AlertId) -> Result<(), Stopped> {
        match self.courier.tell_group(&group).await? {
            GroupTelling::Told { next_ms, worst } => {
                self.groups.told(&group, worst, next_ms.map(instant));
            }
            GroupTelling::Later => self.groups.wait(&group, Instant::now() + AGAIN),
            GroupTelling::Again => self.groups.wait(&group, Instant::now()),
            GroupTelling::Closed => self.groups.close(&group),
        }
        Ok(())
    }

    /// Groups that wait for a post, none of it told yet: each counts as one alert.
    pub(super) fn groups_to_post(&self, now: Instant) -> Vec<(AlertId, Severity)> {
        let mut waiting = self.groups.waiting(now);
        waiting.retain(|(group, _)| self.courier.may_dissolve(group));
        waiting
    }
}

impl Fold {
    /// Whether it is told in a group.
    pub(super) fn is_grouped(&self) -> bool {
        matches!(self, Self::Grouped)
    }
}

/// When that is, milliseconds since the Unix epoch.
fn instant(at_ms: i64) -> Instant {
    let wait = at_ms.saturating_sub(now_ms()).max(0);
    Instant::now() + Duration::from_millis(wait.unsigned_abs())
}
