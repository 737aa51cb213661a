//! Channels that take nothing: after some refusals they are not asked for a while, then one message
//! tries whether they do again. A pure core; the caller's clock.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Refusals in a row after which a channel is not asked.
const REFUSALS_MAX: u32 = 3;

/// The breakers of all channels.
#[derive(Debug)]
pub struct Breakers {
    /// The first pause; it doubles.
    least: Duration,
    /// The longest.
    most: Duration,
    channels: Mutex<HashMap<String, Breaker>>,
}

/// A channel that refused the last message.
#[derive(Debug)]
struct Breaker {
    /// How often in a row.
    refusals: u32,
    /// What it said last.
    reason: String,
    /// Until when it is not asked; `None` = it is asked.
    open: Option<Instant>,
}

impl Breakers {
    /// Channels are asked again after `least`, and after `most` when they refuse again and again.
    pub fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, channels: Mutex::default() }
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<String, Breaker>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a channel is not to be asked now. When its pause is over, whoever asks this is let through
    /// to try it, and nobody else for another pause.
    pub fn refusal(&self, channel: &str, now: Instant) -> Option<String> {
        let mut channels = self.channels();
        let breaker = channels.get_mut(channel)?;
        let until = breaker.open?;
        if until > now {
            return Some(breaker.reason.clone());
        }
        breaker.open = Some(now + pause(self.least, self.most, breaker.refusals));
        None
    }

    /// Whether a channel is not asked now.
    pub fn is_open(&self, channel: &str, now: Instant) -> bool {
        let channels = self.channels();
        channels.get(channel).and_then(|breaker| breaker.open).is_some_and(|until| until > now)
    }

    /// A channel refused a message for good. True when it is not asked from now on, and was before.
    pub fn refused(&self, channel: &str, reason: &str, now: Instant) -> bool {
        let mut channels = self.channels();
        let breaker = channels.entry(channel.to_owned()).or_insert_with(|| Breaker {
            refusals: 0,
            reason: String::new(),
            open: None,
        });
        breaker.refusals = breaker.refusals.saturating_add(1);
        reason.clone_into(&mut breaker.reason);
        if breaker.refusals < REFUSALS_MAX {
            return false;
        }
        let was_open = breaker.open.is_some();
        breaker.open = Some(now + pause(self.least, self.most, breaker.refusals));
        !was_open
    }

    /// A channel took a message. True when it was not asked before.
    pub fn took(&self, channel: &str) -> bool {
        self.channels().remove(channel).is_some_and(|breaker| breaker.open.is_some())
    }
}

/// The pause after so many refusals in a row.
fn pause(least: Duration, most: Duration, refusals: u32) -> Duration {
    let doublings = refusals.saturating_sub(REFUSALS_MAX).min(16);
    least.saturating_mul(1 << doublings).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_some_refusals_a_channel_is_tried_once_a_pause() {
        let seconds = Duration::from_secs;
        let breakers = Breakers::new(seconds(60), seconds(200));
        let mut now = Instant::now();
        for n in 1..=3 {
            assert_eq!(breakers.refusal("old", now), None);
            assert_eq!(breakers.refused("old", "is_archived", now), n == 3);
        }
        assert_eq!(breakers.refusal("old", now).as_deref(), Some("is_archived"));
        assert!(breakers.is_open("old", now) && !breakers.is_open("general", now));
        now += seconds(60);
        // One is let through, and only one.
        assert_eq!(breakers.refusal("old", now), None);
        assert!(breakers.refusal("old", now).is_some());
        assert!(!breakers.refused("old", "not_in_channel", now), "it is known already");
        now += seconds(119);
        assert_eq!(breakers.refusal("old", now).as_deref(), Some("not_in_channel"));
        now += seconds(1);
        assert_eq!(breakers.refusal("old", now), None);
        assert!(breakers.took("old"));
        assert!(!breakers.took("old") && !breakers.is_open("old", now));
        // It begins anew.
        assert!(!breakers.refused("old", "is_archived", now));
        assert_eq!(breakers.refusal("old", now), None);
    }

    #[test]
    fn the_pause_grows_and_is_bounded() {
        let seconds = Duration::from_secs;
        let pauses = [3, 4, 5, 60].map(|n| pause(seconds(60), seconds(200), n).as_secs());
        assert_eq!(pauses, [60, 120, 200, 200]);
    }
}
