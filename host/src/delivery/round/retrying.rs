//! Entries for targets beside Slack's channels on a courier's round: what is not taken is tried again
//! later, and the others go on.

use tokio::time::Instant;

use super::Round;
use crate::delivery::attempt::{Delivered, Outcome};
use crate::delivery::common::Stopped;
use crate::delivery::lanes::Queued;
use crate::delivery::ports::Ports;

impl<P: Ports> Round<P> {
    /// Gives what is to be tried again its place in the lanes.
    pub(super) fn retry(&mut self, now: Instant) {
        let due = self.retries.release(self.lanes.is_empty(), now);
        due.into_iter().for_each(|queued| self.lanes.push(queued));
    }

    /// Lays an entry aside behind what waits of its alert; returns it where nothing does.
    pub(super) async fn stand_behind(&mut self, queued: Queued) -> Option<Queued> {
        if !self.retries.has(&queued.job.entry.alert) {
            return Some(queued);
        }
        self.take_up(&queued);
        let queued = self.aside(queued).await;
        if let Some(superfluous) = self.retries.stand_behind(queued) {
            self.courier.tell(&superfluous.job.entry, Outcome::Superseded, "");
            self.finished(&superfluous).await;
        }
        self.finish.aside(self.retries.aside());
        None
    }

    /// An entry is laid aside. Where there is room it is not counted any more as what its channel holds.
    async fn aside(&self, queued: Queued) -> Queued {
        if queued.waited || !self.retries.has_room() {
            return queued;
        }
        self.finish.waits(&queued.job.record).await;
        Queued { waited: true, ..queued }
    }

    /// An entry is finished, or waits elsewhere: it does not lie aside any more.
    pub(super) fn leaves(&mut self, queued: &Queued) {
        if queued.aside {
            self.retries.finished(queued);
            self.finish.aside(self.retries.aside());
        }
    }

    /// Hands an entry to its target.
    pub(super) async fn hand_over(&mut self, queued: Queued) -> Result<(), Stopped> {
        let alert = queued.job.entry.alert;
        self.retries.tries(&queued);
        match self.courier.hand_over(&queued.job).await? {
            Delivered::Later { wait } => {
                let queued = self.aside(Queued { tried: true, ..queued }).await;
                self.retries.not_taken(queued, wait, Instant::now());
                self.finish.aside(self.retries.aside());
            }
            Delivered::Over(outcome) => {
                if outcome == Outcome::Posted {
                    self.retries.taken(&alert);
                } else {
                    self.retries.given_up(&alert);
                }
                self.finished(&queued).await;
            }
        }
        Ok(())
    }
}
