//! What is counted of targets beside Slack's channels.

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
}
