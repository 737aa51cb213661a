//! What is counted of targets beside Slack's channels, and of the history.

use super::Metrics;

impl Metrics {
    /// A notification for a target ended; `outcome` is a word of delivery's closed list.
    pub fn sink_posts(&self, target: &str, outcome: &'static str) {
        self.inner.delivery.sink_posts.add([target, outcome], 1);
    }

    /// An error came from a target, or kept it from answering; `class` is a word of a closed list.
    pub fn sink_errors(&self, target: &str, class: &'static str) {
        self.inner.delivery.sink_errors.add([target, class], 1);
    }

    /// `n` events of the history were not written; delivery does not wait for them.
    pub fn history_dropped(&self, n: u64) {
        self.inner.delivery.history_dropped.add([], n);
    }
}
