//! Looking whether a message is there, when nobody can say.

use std::time::Duration;

use tokio::time::{sleep, sleep_until};

use super::{Courier, Job, Outcome, Tries};
use crate::config::OnAmbiguous;
use crate::delivery::common::Stopped;
use crate::delivery::ports::Ports;
use crate::delivery::readback::{History, Past, read};
use crate::ledger::Place;

impl<P: Ports> Courier<P> {
    /// For an entry that somebody may have sent before us: what the history says.
    pub(super) async fn look_before_the_first(
        &mut self,
        job: &Job,
    ) -> Result<Option<Outcome>, Stopped> {
        // Without a timestamp: everything that Slack has.
        let oldest = (job.record.timestamp_ms.max(0) - self.apart_ms()).max(0);
        // It was about to go to the fallback channel: its own takes nothing.
        let known = self.book.known(&job.entry);
        let ahead = known.filter(|known| known.place.is_none()).and_then(|known| known.fallback);
        let diverted = ahead.map(|to| job.diverted(to));
        let job = diverted.as_ref().unwrap_or(job);
        let read_from = self.past.get(job.target()).map(|(from, _)| *from);
        // Entries follow each other in time, so that one reading usually serves all.
        if read_from.is_none_or(|from| from > oldest) {
            let settled = self.since + self.common.patience.settle;
            self.ending.idle(sleep_until(settled)).await?;
            let history = self.read(job, oldest).await?;
            self.past.insert(job.target().to_owned(), (oldest, history));
        }
        let found = match self.past.get(job.target()) {
            Some((_, History::Read(past))) => Some(past.find(&job.entry)),
            _ => None,
        };
        self.found(job, found).await
    }

    /// After an unclear answer: waits, and reads the history again.
    pub(super) async fn look_again(
        &mut self,
        job: &Job,
        tries: &mut Tries,
        asked_ms: i64,
    ) -> Result<Option<Outcome>, Stopped> {
        let wait: Duration = tries.backoff.failed().max(self.common.patience.settle);
        self.ending.idle(sleep(wait)).await?;
        let found = match self.read(job, asked_ms.saturating_sub(self.apart_ms())).await? {
            History::Read(past) => Some(Past::find(&past, &job.entry)),
            History::Unreadable(_) => None,
        };
        self.found(job, found).await
    }

    async fn read(&self, job: &Job, oldest_ms: i64) -> Result<History, Stopped> {
        let channel = job.target();
        let history = read(&self.common, channel, oldest_ms, &self.ending).await?;
        if let History::Unreadable(why) = &history {
            tracing::warn!(channel, why, "the channel's history cannot be read");
        }
        Ok(history)
    }

    /// Milliseconds by which Slack's clock may be before ours.
    fn apart_ms(&self) -> i64 {
        i64::try_from(self.common.patience.clocks_apart.as_millis()).unwrap_or(i64::MAX)
    }

    /// Ends an unclear entry, or returns `None` when it is to be posted. `found` is `None` when
    /// nobody can say, and `Some(None)` when it was not posted.
    async fn found(
        &self,
        job: &Job,
        found: Option<Option<Place>>,
    ) -> Result<Option<Outcome>, Stopped> {
        let known = self.book.known(&job.entry);
        let severity = job.entry.notification.severity;
        let policy = self.common.on_ambiguous.of(severity);
        let decision = match &found {
            Some(Some(_)) => "found",
            Some(None) => "absent",
            None => policy.as_str(),
        };
        self.common.metrics.slack_unclear(severity.as_str(), decision);
        match (found, policy) {
            (Some(Some(place)), _) => {
                self.note(job, known.as_ref(), Some(place)).await?;
                Ok(Some(Outcome::Found))
            }
            (Some(None), _) | (None, OnAmbiguous::Send) => Ok(None),
            (None, OnAmbiguous::Drop) => {
                self.abandon(job, known.as_ref()).await?;
                Ok(Some(Outcome::Dropped))
            }
        }
    }
}
