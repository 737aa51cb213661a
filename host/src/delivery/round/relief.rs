//! What a storm takes off the lanes, and the telling of its tally.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use super::Round;
use super::changes::AGAIN;
use crate::delivery::attempt::{Fold, Outcome, Telling};
use crate::delivery::common::Stopped;
use crate::delivery::lanes::Queued;
use crate::delivery::ports::Ports;
use crate::notification::{AlertId, Severity};
use crate::record::OutgoingRecord;

/// Records of the ledger that are on their way at once.
const RECORDS_MAX: usize = 500;

/// What is written and then finished.
#[derive(Default)]
struct Folded {
    /// The last record of each key: one that is tried again must not overtake a later one.
    records: HashMap<Option<Vec<u8>>, OutgoingRecord>,
    entries: Vec<(Queued, Outcome)>,
    /// The alerts of the records.
    alerts: HashSet<AlertId>,
    tallies: HashSet<AlertId>,
    /// Alerts of which something goes back to the lanes, and so must what follows; whether it stays.
    back: HashMap<AlertId, bool>,
    /// Alerts that went into the open tally.
    came: usize,
}

/// What goes into a tally.
enum Tallied<'a> {
    Entry(&'a Queued),
    Group(AlertId),
}

impl<P: Ports> Round<P> {
    /// Takes up what the ledger says of tallies.
    pub(super) fn resume(&mut self) {
        let now = Instant::now();
        for (known, sum) in self.courier.take_tallies_over() {
            let Some(tally) = known.tally else { continue };
            // The message of a webhook tells what was there, and nothing that comes later.
            let may_grow = self.courier.can_change() || tally.said.is_none();
            let is_open = tally.closed_ms.is_none() && may_grow;
            let said = sum.said(!is_open);
            if is_open && self.tallies.open.is_none() {
                self.tallies.open = Some(known.alert);
                self.storm.raise(said.severity.min(Severity::Error), now);
            }
            if tally.said != Some(said) {
                self.tallies.wait(known.alert, now);
            }
        }
    }

    /// Puts into the tally what goes there, and begins and ends storms. A group that waits for its post
    /// counts as one alert.
    pub(super) async fn relieve(&mut self) -> Result<(), Stopped> {
        let Some(room) = self.courier.room() else { return self.calm(usize::MAX).await };
        let now = Instant::now();
        if let Some(most) = self.storm.most() {
            let taken = self.lanes.take(most);
            self.fold(taken).await?;
            self.fold_groups(most, now).await?;
        }
        if self.lanes.alerts() > room {
            // What needs no message is no reason for a storm.
            let taken = self.lanes.take(Severity::Error);
            self.fold(taken).await?;
        }
        loop {
            let groups = self.groups_to_post(now);
            let alerts = self.lanes.alerts() + groups.len();
            if alerts <= room {
                break;
            }
            let of_groups = groups.into_iter().map(|(_, severity)| severity);
            let of_groups = of_groups.filter(|severity| *severity < Severity::Critical).min();
            let least = self.lanes.least(Severity::Critical).into_iter().chain(of_groups).min();
            let Some(least) = least else { break };
            if self.storm.raise(least, now) {
                self.courier.it_storms(alerts);
            }
            let taken = self.lanes.take(least);
            self.fold(taken).await?;
            self.fold_groups(least, now).await?;
        }
        self.calm(room).await
    }

    /// Puts groups that were not told yet, and are not worse than `most`, into the tally: each alert of
    /// theirs, as if it had been told alone.
    async fn fold_groups(&mut self, most: Severity, now: Instant) -> Result<(), Stopped> {
        let mut groups = self.groups_to_post(now);
        groups.retain(|(_, severity)| *severity <= most);
        for (group, _) in groups {
            let Some(tally) = self.tally_for(Tallied::Group(group)).await? else { continue };
            let (folded, is_over) = self.courier.dissolve(&group, tally).await?;
            if is_over {
                self.groups.close(&group);
            } else {
                self.groups.wait(&group, Instant::now() + self.patience.suppressed);
            }
            self.storm.came(folded);
            self.tallies.changed(tally, self.patience.tally_every, now);
        }
        Ok(())
    }

    /// The tally that takes what comes now, which is opened if there is none.
    async fn tally_for(&mut self, first: Tallied<'_>) -> Result<Option<AlertId>, Stopped> {
        if let Some(tally) = self.tallies.open {
            return Ok(Some(tally));
        }
        let offset = match first {
            Tallied::Entry(queued) => Some(queued.job.record.offset),
            Tallied::Group(group) => self.courier.offset_of_group(&group),
        };
        let Some(offset) = offset else { return Ok(None) };
        let tally = self.courier.open_tally(offset).await?;
        if !self.courier.can_change() {
            // Its one message tells what came for a while.
            self.tallies.wait(tally, Instant::now() + self.storm.period());
        }
        Ok(Some(*self.tallies.open.insert(tally)))
    }

    /// Ends a storm that is over.
    async fn calm(&mut self, room: usize) -> Result<(), Stopped> {
        let now = Instant::now();
        if self.storm.is_over(room, now)
            && let Some(tally) = self.tallies.open.take()
        {
            self.courier.close_tally(&tally).await?;
            self.tallies.changed(tally, self.patience.tally_every, now);
        }
        Ok(())
    }

    /// Goes through entries that were taken out of the lanes: what is over ends, what is told in a
    /// tally goes there, and the rest goes back.
    pub(super) async fn fold(&mut self, entries: Vec<Queued>) -> Result<(), Stopped> {
        let mut folded = Folded::default();
        for queued in entries {
            if folded.entries.len() >= RECORDS_MAX || self.overtakes(&queued, &folded) {
                let rest = Folded { back: std::mem::take(&mut folded.back), ..Folded::default() };
                self.write(std::mem::replace(&mut folded, rest)).await?;
            }
            let alert = queued.job.entry.alert;
            if let Some(stays) = folded.back.get(&alert) {
                self.lanes.push(if *stays { queued.staying() } else { queued });
                continue;
            }
            if self.edits.has(&alert) {
                self.line_up(queued).await?;
                continue;
            }
            self.end_wait(&queued).await;
            if self.waiting.has(&alert) {
                self.withhold(queued).await?;
                continue;
            }
            match self.courier.fold(&queued.job) {
                Fold::Over(outcome) => folded.entries.push((queued, outcome)),
                Fold::Within(tally) => {
                    let record = self.courier.put_into(tally, &queued.job);
                    folded.add(queued, tally, record);
                }
                Fold::Own => {
                    folded.back.insert(alert, true);
                    self.lanes.push(queued.staying());
                }
                // It is no reason for a storm.
                Fold::Grouped => self.group(vec![queued]).await?,
                Fold::New => self.fold_new(queued, &mut folded).await?,
            }
        }
        self.write(folded).await
    }

    /// Whether something may be written at once about an alert of which an older record waits to be.
    fn overtakes(&self, queued: &Queued, folded: &Folded) -> bool {
        let alert = &queued.job.entry.alert;
        let waits_too = || {
            let is_free = !self.edits.has(alert) && !self.waiting.has(alert);
            let fold = is_free.then(|| self.courier.fold(&queued.job));
            matches!(fold, Some(Fold::Over(_) | Fold::Within(_)))
        };
        folded.alerts.contains(alert) && !waits_too()
    }

    /// An entry that would make a message.
    async fn fold_new(&mut self, queued: Queued, folded: &mut Folded) -> Result<(), Stopped> {
        // What is silenced is no reason for a storm.
        if let Some(reason) = self.why_not(&queued) {
            self.take_up(&queued);
            return self.keep_back(queued, &reason).await;
        }
        let severity = queued.job.entry.notification.severity;
        if self.storm.most().is_none_or(|most| severity > most) {
            folded.back.insert(queued.job.entry.alert, false);
            self.lanes.push(queued);
            return Ok(());
        }
        self.take_up(&queued);
        if let Some(outcome) = self.courier.was_sent(&queued.job).await? {
            folded.entries.push((queued, outcome));
            return Ok(());
        }
        let Some(tally) = self.tally_for(Tallied::Entry(&queued)).await? else { return Ok(()) };
        let record = self.courier.put_into(tally, &queued.job);
        folded.came += 1;
        folded.add(queued, tally, record);
        Ok(())
    }

    /// Writes to the ledger, then finishes.
    async fn write(&mut self, folded: Folded) -> Result<(), Stopped> {
        let Folded { records, entries, tallies, came, .. } = folded;
        self.courier.keep_all(records.into_values().collect()).await?;
        for (queued, outcome) in &entries {
            self.courier.tell(&queued.job.entry, *outcome, "");
            self.finished(queued).await;
        }
        self.storm.came(came);
        let (every, now) = (self.patience.tally_every, Instant::now());
        for tally in tallies {
            self.tallies.changed(tally, every, now);
        }
        Ok(())
    }

    /// When there is something to do without a new entry. A tally that is due `now` has its turn, and
    /// may have to wait for Slack.
    pub(super) fn later(&self, now: Instant) -> Option<Instant> {
        let tally = self.tallies.first().map(|(_, due)| due).filter(|due| *due > now);
        let (group, tidied) =
            (self.groups.next(now), self.groups.tidied_at(self.patience.expire_every));
        [tally, self.storm.looked_at(), group, tidied, self.retries.next(now)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Posts a tally, or changes its message.
    pub(super) async fn tell(&mut self, tally: AlertId) -> Result<(), Stopped> {
        let telling = self.courier.tell_tally(&tally).await?;
        let now = Instant::now();
        match telling {
            Telling::Later => self.tallies.wait(tally, now + AGAIN),
            Telling::Again => self.tallies.wait(tally, now),
            Telling::Done => {
                self.tallies.told(tally, self.patience.tally_every, now);
                if !self.courier.can_change() && self.tallies.open == Some(tally) {
                    // What comes from now on is told by another message.
                    self.tallies.open = None;
                    self.courier.close_tally(&tally).await?;
                }
            }
        }
        Ok(())
    }
}

impl Folded {
    fn add(&mut self, queued: Queued, tally: AlertId, record: OutgoingRecord) {
        self.records.insert(record.key.clone(), record);
        self.alerts.insert(queued.job.entry.alert);
        self.entries.push((queued, Outcome::Tallied));
        self.tallies.insert(tally);
    }
}
