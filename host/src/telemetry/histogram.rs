//! A histogram without locks that also tells its count and sum to the page.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Nanoseconds in a second: sums are kept as whole nanoseconds.
const NANOS: f64 = 1e9;

/// Seconds by bucket; cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    shared: Arc<Shared>,
}

/// What the clones share.
#[derive(Debug)]
struct Shared {
    /// Upper bounds in seconds, ascending, without infinity.
    bounds: &'static [f64],
    /// One more than bounds: the last is for what is above all of them.
    counts: Vec<AtomicU64>,
    sum_ns: AtomicU64,
}

impl Histogram {
    /// A histogram with these upper bounds, in seconds, ascending.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { shared: Arc::new(Shared { bounds, counts, sum_ns: AtomicU64::new(0) }) }
    }

    /// Counts one value; a negative one, from clocks that disagree, counts as 0.
    pub(super) fn observe(&self, seconds: f64) {
        let seconds = seconds.max(0.0);
        let bucket = self.shared.bounds.partition_point(|&bound| bound < seconds);
        self.shared.counts[bucket].fetch_add(1, Relaxed);
        self.shared.sum_ns.fetch_add((seconds * NANOS) as u64, Relaxed);
    }

    /// How many values were counted.
    pub(super) fn count(&self) -> u64 {
        self.shared.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// The sum of all values, in seconds.
    pub(super) fn sum(&self) -> f64 {
        self.shared.sum_ns.load(Relaxed) as f64 / NANOS
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = self.shared.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.shared.counts.iter().map(|count| count.load(Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // The count is that of the buckets just read, whatever is counted meanwhile.
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_bucket_of_the_next_bound() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        for seconds in [0.05, 0.1, 0.5, 2.0, -1.0] {
            histogram.observe(seconds);
        }
        let counts: Vec<u64> = histogram.shared.counts.iter().map(|c| c.load(Relaxed)).collect();
        assert_eq!(counts, [3, 1, 1]);
        assert_eq!(histogram.count(), 5);
        assert!((histogram.sum() - 2.65).abs() < 1e-6);
    }
}
