//! Shows that a record comes through: the records that `[ops.canary]` sends change one message.
//!
//! Every host of a group sends them, at the same moments; the first of a moment counts.

use firebell_rule::field;
use firebell_rule::{Config, Effects, Notification, Record, Rule, Severity, State, Subscription};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Canary {
    /// The consumer group whose canary this is.
    group: String,
    /// How often one is sent.
    interval_seconds: u32,
}

/// A clock that goes back by more intervals than this was set; what it says from then on counts.
const CLOCK_BACK_INTERVALS: i64 = 10;

impl Rule for Canary {
    fn new(config: Config) -> Result<Self, String> {
        let rule: Self = config.parse()?;
        if rule.interval_seconds == 0 {
            return Err("[config] interval_seconds: nothing comes every 0 s; say 1 or more".into());
        }
        Ok(rule)
    }

    fn subscribe(&self) -> Subscription {
        // The key alone: nothing is decoded for it, whatever the topic's format.
        let key = format!("$firebell-canary/{}", self.group);
        Subscription::new().text("key", "$key").condition(field("key").eq(&key))
    }

    fn state(&self) -> State {
        State::new(1)
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        let Some(sent_ms) = record.timestamp_ms() else { return };
        let interval_ms = i64::from(self.interval_seconds) * 1000;
        let moment = |ms: i64| ms.div_euclid(interval_ms);
        let last_ms: Option<i64> = out.get_as(SENT);
        let is_old = |last_ms: i64| {
            moment(sent_ms) <= moment(last_ms)
                && last_ms.saturating_sub(sent_ms) < CLOCK_BACK_INTERVALS * interval_ms
        };
        if last_ms.is_some_and(is_old) {
            return;
        }
        out.put_as(SENT, &sent_ms, None);
        out.notify(
            Notification::update(format!("firebell {}: canary", self.group))
                .severity(Severity::Info)
                .key(&self.group)
                .text("Last seen ")
                .timestamp(sent_ms),
        );
    }
}

/// Under which the host keeps when the last one was sent.
const SENT: &str = "sent";

firebell_rule::export!(Canary);

#[cfg(test)]
mod tests;
