//! How fast something may go: a token bucket. A pure core; the caller's clock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many a second, and how many at once.
#[derive(Debug)]
pub struct Pace {
    per_second: f64,
    burst: f64,
    /// Of the rate and the burst that it was made with: what is ours of it.
    whole: (f64, f64),
    tokens: f64,
    counted: Option<Instant>,
}

impl Pace {
    /// A full bucket.
    pub fn new(per_second: f64, burst: u32) -> Self {
        let (per_second, burst) = (per_second.max(f64::MIN_POSITIVE), f64::from(burst.max(1)));
        Self { per_second, burst, whole: (per_second, burst), tokens: burst, counted: None }
    }

    /// From now on only a part of the rate and of the burst is ours, above 0 and at most 1.
    pub fn share(&mut self, part: f64, now: Instant) {
        self.count(now);
        let (per_second, burst) = self.whole;
        self.per_second = (per_second * part).max(f64::MIN_POSITIVE);
        self.burst = (burst * part).max(1.0);
        self.tokens = self.tokens.min(self.burst);
    }

    /// Takes a token and says how long to wait before using it.
    pub fn take(&mut self, now: Instant) -> Duration {
        self.count(now);
        self.tokens -= 1.0;
        self.until(0.0)
    }

    /// How long it is until a token can be taken that need not wait.
    pub fn ready_in(&mut self, now: Instant) -> Duration {
        self.count(now);
        self.until(1.0)
    }

    /// Puts back a token that was taken and not used.
    pub fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.burst);
    }

    /// How many can be taken within `time` of a full bucket's share.
    pub fn within(&self, time: Duration) -> f64 {
        self.burst + self.per_second * time.as_secs_f64()
    }

    fn count(&mut self, now: Instant) {
        if let Some(counted) = self.counted {
            let gained = now.saturating_duration_since(counted).as_secs_f64() * self.per_second;
            self.tokens = (self.tokens + gained).min(self.burst);
        }
        self.counted = Some(now);
    }

    /// How long it is until there are so many tokens.
    fn until(&self, tokens: f64) -> Duration {
        // Tokens are sums of fractions.
        let missing = tokens - self.tokens;
        if missing <= 1e-9 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX)
    }
}

/// A minute, in which no more goes to a channel than its rate allows.
const MINUTE_SECONDS: f64 = 60.0;

/// The paces of all channels of this host, whoever posts to them.
#[derive(Debug)]
pub struct Paces {
    per_second: f64,
    burst: u32,
    channels: Mutex<HashMap<String, Pace>>,
}

impl Paces {
    /// Full buckets. What goes at once is paid back within the minute: in no minute it is more than sixty
    /// times `per_second`, as long as the burst is not half of that.
    pub fn new(per_second: f64, burst: u32) -> Self {
        let at_once = f64::from(burst.saturating_sub(1)) / MINUTE_SECONDS;
        let per_second = (per_second - at_once).max(per_second / 2.0);
        Self { per_second, burst, channels: Mutex::default() }
    }

    /// As [`Pace::take`] for a channel.
    pub fn take(&self, channel: &str, now: Instant) -> Duration {
        self.of(channel, |pace| pace.take(now))
    }

    /// As [`Pace::ready_in`] for a channel.
    pub fn ready_in(&self, channel: &str, now: Instant) -> Duration {
        self.of(channel, |pace| pace.ready_in(now))
    }

    /// As [`Pace::within`] for any channel.
    pub fn within(&self, time: Duration) -> f64 {
        Pace::new(self.per_second, self.burst).within(time)
    }

    fn of<T>(&self, channel: &str, ask: impl FnOnce(&mut Pace) -> T) -> T {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        match channels.get_mut(channel) {
            Some(pace) => ask(pace),
            None => ask(channels
                .entry(channel.to_owned())
                .or_insert_with(|| Pace::new(self.per_second, self.burst))),
        }
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

    #[test]
    fn in_no_minute_more_than_sixty_go_to_a_channel() {
        let (paces, start) = (Paces::new(1.0, 3), Instant::now());
        let (mut now, mut sent) = (start, Vec::new());
        // Always as many as may go, and now and then a pause that gives the burst back.
        for n in 0..1_000 {
            now += paces.ready_in("general", now);
            assert_eq!(paces.take("general", now), Duration::ZERO);
            sent.push(now);
            if n % 97 == 0 {
                now += Duration::from_secs(5);
            }
        }
        let minute = Duration::from_secs(60);
        for (at, first) in sent.iter().enumerate() {
            let within = sent[at..].iter().take_while(|one| **one - *first < minute).count();
            assert!(within <= 60, "{within} in a minute");
        }
        assert!(now - start < Duration::from_secs(1_100));
    }

    #[test]
    fn who_waits_until_it_is_ready_need_not_wait_again() {
        let start = Instant::now();
        let mut pace = Pace::new(3.0, 1);
        let mut now = start;
        for _ in 0..100 {
            now += pace.ready_in(now);
            assert_eq!(pace.take(now), Duration::ZERO);
            assert!(pace.ready_in(now) > Duration::ZERO);
        }
        assert!(now.duration_since(start) >= Duration::from_millis(32_999));
        pace.give_back();
        assert_eq!(pace.ready_in(now), Duration::ZERO);
        assert_eq!(Pace::new(1.0, 3).within(Duration::from_secs(60)).round(), 63.0);
    }
}
