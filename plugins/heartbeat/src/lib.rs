//! An alert for each host of which no record has come for a while; resolved when one comes again.
//! A host is known from its first record on.

use std::time::Duration;

use firebell_rule::{Config, Due, Effects, Notification, Record, Rule, Severity, State};
use firebell_rule::{Subscription, Timer};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Heartbeat {
    /// How long a host may be silent.
    #[serde(default = "ten_minutes")]
    silence_seconds: u32,
}

fn ten_minutes() -> u32 {
    600
}

/// What is known of a host.
#[derive(serde::Deserialize, serde::Serialize)]
struct Seen {
    /// The event time of its latest record, milliseconds since the Unix epoch.
    last_ms: i64,
    /// Whether there is an alert about its silence.
    silent: bool,
}

impl Rule for Heartbeat {
    fn new(config: Config) -> Result<Self, String> {
        let rule: Self = config.parse()?;
        if rule.silence_seconds == 0 {
            return Err("[config] silence_seconds: all are silent for 0 s; say 1 or more".into());
        }
        Ok(rule)
    }

    fn subscribe(&self) -> Subscription {
        Subscription::new().text("host", "/host")
    }

    fn state(&self) -> State {
        // Time must go on where nothing at all comes, and soon enough to be told in time.
        let idle = Duration::from_secs(self.silence_seconds.into()) / 10;
        State::new(1).key_by("host").idle(idle.clamp(MIN_IDLE, MAX_IDLE))
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        let (Some(host), Some(now_ms)) = (record.text("host"), record.event_time_ms()) else {
            return;
        };
        let seen: Option<Seen> = out.get_as(host);
        if seen.as_ref().is_some_and(|seen| now_ms < seen.last_ms) {
            return;
        }
        out.put_as(host, &Seen { last_ms: now_ms, silent: false }, None);
        out.set_timer(host, Due::event_time(now_ms + i64::from(self.silence_seconds) * 1000));
        if seen.is_some_and(|seen| seen.silent) {
            let back = Notification::resolve(format!("{host} is back"));
            // With the labels of its beginning, so that a policy sends it where that went.
            out.notify(back.key(host).label("host", host));
        }
    }

    fn timer(&self, timer: &Timer, out: &mut Effects) {
        let host = timer.key_text();
        let Some(Seen { last_ms, .. }) = out.get_as(&timer.key) else { return };
        out.put_as(&timer.key, &Seen { last_ms, silent: true }, None);
        let title = format!("No record of {host} for {}", in_words(self.silence_seconds));
        out.notify(
            Notification::fire(title)
                .severity(Severity::Error)
                .key(&*host)
                .label("host", &*host)
                .text("The last one was at ")
                .timestamp(last_ms),
        );
    }
}

/// A rule's time goes on by the wall clock when no record came for so long, at least and at most.
const MIN_IDLE: Duration = Duration::from_secs(1);
const MAX_IDLE: Duration = Duration::from_secs(60);

fn in_words(seconds: u32) -> String {
    let (number, unit) = match seconds {
        _ if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

firebell_rule::export!(Heartbeat);

#[cfg(test)]
mod tests;
