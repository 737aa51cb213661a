//! When a message may be posted: Slack's wish, the channel's pace and the workspace's line.

use tokio::time::{Instant, sleep};

use super::Courier;
use crate::delivery::ports::Ports;
use crate::delivery::verdict::Method;
use crate::notification::{AlertId, Severity};

impl<P: Ports> Courier<P> {
    /// By what method messages are posted.
    pub(super) fn posting(&self) -> Method {
        if self.common.slack.is_webhook() { Method::Webhook } else { Method::Post }
    }

    /// Whether Slack takes no change of a message now.
    pub(in crate::delivery) fn is_update_held(&self) -> bool {
        self.common.gate.is_held(Method::Update)
    }

    /// Whether an alert's message may be changed now; if so, it is counted.
    pub(super) fn may_change(&self, alert: AlertId, urgency: Severity) -> bool {
        !self.is_update_held() && self.common.edits.ask(alert, urgency, Instant::now())
    }

    /// Waits until a message of this severity may be posted to a channel. What was waited for is kept
    /// when the wait is given up.
    pub(in crate::delivery) async fn ready(&mut self, channel: &str, severity: Severity) {
        loop {
            self.common.gate.pass(self.posting()).await;
            let wait = self.common.paces.ready_in(channel, Instant::now());
            if !wait.is_zero() {
                sleep(wait).await;
            } else if self.is_served {
                return;
            } else {
                self.common.budget.take(severity, &mut self.ticket).await;
                self.is_served = true;
            }
        }
    }

    /// As [`Courier::ready`], for the courier's own channel.
    pub(in crate::delivery) async fn ready_here(&mut self, severity: Severity) {
        let channel = self.channel.clone();
        self.ready(&channel, severity).await;
    }

    /// A message is posted now.
    pub(super) fn use_up(&mut self, channel: &str) {
        // It was ready. Where another courier of the same channel was quicker, both go.
        let _wait = self.common.paces.take(channel, Instant::now());
        self.is_served = false;
    }

    /// Nothing is to be posted: others may have the place in the workspace's line.
    pub(in crate::delivery) fn step_back(&mut self) {
        if std::mem::take(&mut self.is_served) {
            self.common.budget.give_back();
        }
    }

    /// How many alerts may wait for this channel without a tally; `None` = any number.
    pub(in crate::delivery) fn room(&self) -> Option<usize> {
        let after = self.common.digest_after.filter(|_| self.is_slacks())?;
        // What goes straight to the dead letters is no storm.
        let is_refused = self.common.breakers.is_open(&self.channel, Instant::now());
        if is_refused && self.common.fallback.is_none() {
            return None;
        }
        let share = self.common.paces.within(after).min(self.common.budget.share(after));
        // Whole alerts; far below what fits.
        Some(share.clamp(1.0, 1e9) as usize)
    }
}
