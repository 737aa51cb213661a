//! What is known of the canary.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{Metrics, now_ms};

/// When the canary that arrived last was sent, milliseconds since the Unix epoch; 0 = none is awaited.
/// Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct LastSeen(Arc<AtomicU64>);

impl LastSeen {
    /// Registers its age, which grows between two canaries.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    pub(super) fn get(&self) -> Option<u64> {
        Some(self.0.load(Relaxed)).filter(|sent_ms| *sent_ms > 0)
    }
}

impl Collector for LastSeen {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(sent_ms) = self.get() else { return Ok(()) };
        let age = Duration::from_millis(now_ms().saturating_sub(sent_ms));
        let (name, gauge) = ("firebell_canary_age_seconds", ConstGauge::new(age.as_secs_f64()));
        let help = "Seconds since the canary that arrived last was sent, or since one is awaited.";
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
    }
}

impl Metrics {
    /// A canary is awaited from now on; its age begins.
    pub fn canary_awaited(&self) {
        let _first = self.inner.canary.0.compare_exchange(0, now_ms(), Relaxed, Relaxed).is_ok();
    }

    /// A canary that was sent at `sent_ms`, milliseconds since the Unix epoch, arrived after so long.
    pub fn canary_arrived(&self, sent_ms: i64, took: Duration) {
        self.inner.canary.0.fetch_max(u64::try_from(sent_ms).unwrap_or(0), Relaxed);
        self.inner.delivery.canary_seconds.observe(took.as_secs_f64());
    }

    /// A ping after a canary ended; `outcome` is `ok` or `failed`.
    pub fn canary_ping(&self, outcome: &'static str) {
        self.inner.delivery.canary_pings.add([outcome], 1);
    }
}
