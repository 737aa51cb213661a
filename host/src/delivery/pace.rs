//! How fast a channel is posted to: a token bucket. A pure core; the caller's clock.

use std::time::Duration;

use tokio::time::Instant;

/// Messages a second, and how many at once.
#[derive(Debug)]
pub struct Pace {
    per_second: f64,
    burst: f64,
    tokens: f64,
    counted: Option<Instant>,
}

impl Pace {
    /// A full bucket.
    pub fn new(per_second: f64, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self { per_second: per_second.max(f64::MIN_POSITIVE), burst, tokens: burst, counted: None }
    }

    /// Takes a token and says how long to wait before using it.
    pub fn take(&mut self, now: Instant) -> Duration {
        if let Some(counted) = self.counted {
            let gained = now.saturating_duration_since(counted).as_secs_f64() * self.per_second;
            self.tokens = (self.tokens + gained).min(self.burst);
        }
        self.counted = Some(now);
        self.tokens -= 1.0;
        if self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-self.tokens / self.per_second).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_pace() {
        let start = Instant::now();
        let mut pace = Pace::new(2.0, 3);
        let mut now = start;
        let mut sent = Vec::new();
        for _ in 0..7 {
            now += pace.take(now);
            sent.push(now.duration_since(start).as_millis());
        }
        assert_eq!(sent, [0, 0, 0, 500, 1_000, 1_500, 2_000]);
        // A quiet minute gives a burst back, no more.
        now += Duration::from_secs(60);
        let waits: Vec<_> = (0..4).map(|_| pace.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 500]);
    }
}
