//! What delivery counts: its pace, and nights that are bad on either side.

use super::{Metrics, signed};

impl Metrics {
    /// An outbox entry was answered by Slack, so many seconds after it was written.
    pub fn delivery_seconds(&self, seconds: f64) {
        self.inner.delivery.seconds.observe(seconds);
    }

    /// Outbox entries that are read and not yet answered.
    pub fn outbox_pending(&self, n: u64) {
        self.inner.delivery.pending.set(signed(n));
    }

    /// Whether delivery is paused, for example by a refused token.
    pub fn delivery_paused(&self, paused: bool) {
        self.inner.delivery.paused.set(i64::from(paused));
    }

    /// Nobody knew whether Slack has a message; `decision` is `found`, `absent`, `send` or `drop`.
    pub fn slack_unclear(&self, severity: &'static str, decision: &'static str) {
        self.inner.delivery.unclear.add([severity, decision], 1);
    }

    /// A channel's queue became so long that it is told in a tally.
    pub fn storm(&self, channel: &str) {
        self.inner.delivery.storms.add([channel], 1);
    }

    /// A notification waits, or is over, instead of being told; `reason` is `silence`, `inhibition` or
    /// `time_interval`.
    pub fn suppressed(&self, reason: &'static str) {
        self.inner.delivery.suppressed.add([reason], 1);
    }

    /// Whether a channel is not asked, since it refused again and again.
    pub fn channel_refused(&self, channel: &str, refused: bool) {
        let set = |gauge: &prometheus_client::metrics::gauge::Gauge| gauge.set(refused.into());
        self.inner.delivery.refused.with([channel], |gauge| _ = set(gauge));
    }
}
