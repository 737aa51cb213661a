//! Waiting between attempts: doubling with jitter, between a least and a most wait. A pure core.

use std::time::Duration;

/// A wait that doubles with every failure and starts again after a success.
#[derive(Debug, Clone)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    failures: u32,
    /// State of the jitter's generator (xorshift64*); waits need no better randomness.
    seed: u64,
}

impl Backoff {
    /// Waits between `least` and `most`; `seed` spreads several waiters.
    pub fn new(least: Duration, most: Duration, seed: u64) -> Self {
        Self { least, most: most.max(least), failures: 0, seed: seed | 1 }
    }

    /// The wait after one more failure: uniformly between half of the doubled wait and all of it.
    pub fn failed(&mut self) -> Duration {
        let doubled =
            self.least.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        let whole = doubled.min(self.most);
        self.failures = self.failures.saturating_add(1);
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let share = (self.seed >> 11) as f64 / (1u64 << 53) as f64;
        whole.mul_f64(0.5 + share / 2.0)
    }

    /// Starts again with the least wait.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_stays_between_half_the_least_and_the_most(
            seed: u64, failures in 0..200usize, least_ms in 1..1_000u64, most_ms in 1..100_000u64,
        ) {
            let (least, most) = (Duration::from_millis(least_ms), Duration::from_millis(most_ms));
            let mut backoff = Backoff::new(least, most, seed);
            for _ in 0..failures {
                let wait = backoff.failed();
                prop_assert!(wait >= least / 2 && wait <= most.max(least));
            }
            backoff.succeeded();
            prop_assert!(backoff.failed() <= least);
        }
    }
}
