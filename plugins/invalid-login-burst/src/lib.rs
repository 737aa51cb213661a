//! One alert for each host and window in which there were many attempts to log in as users that do
//! not exist, from syslog records.

use std::time::Duration;

use firebell_rule::{Config, Effects, Notification, Record, Rule, State, Subscription};
use firebell_rule::{Window, WindowState, field, time};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct InvalidLoginBurst {
    /// Attempts in a window that make an alert.
    #[serde(default = "four")]
    threshold: u32,
    /// The size of a window, in seconds.
    #[serde(default = "minute")]
    window_seconds: u32,
    /// How long after its end a window still takes attempts, in seconds: for senders that write late. That
    /// a host's attempts come from several partitions needs none, since the slowest of them counts.
    #[serde(default = "minute")]
    grace_seconds: u32,
    /// Only attempts on this host; none = on all, each counted by itself.
    host: Option<String>,
}

fn four() -> u32 {
    4
}

fn minute() -> u32 {
    60
}

impl Rule for InvalidLoginBurst {
    fn new(config: Config) -> Result<Self, String> {
        let rule: Self = config.parse()?;
        if rule.threshold == 0 {
            return Err("[config] threshold: no attempt at all is no burst; say 1 or more".into());
        }
        if rule.window_seconds == 0 {
            return Err("[config] window_seconds: a window has to last; say 1 or more".into());
        }
        Ok(rule)
    }

    fn subscribe(&self) -> Subscription {
        let condition = field("message").contains("Invalid user");
        Subscription::new().text("host", "/host").text("message", "/message").condition(match &self
            .host
        {
            Some(host) => field("host").eq(host).and(condition),
            None => condition,
        })
    }

    fn state(&self) -> State {
        let size = Duration::from_secs(self.window_seconds.into());
        let attempts = Window::tumbling("attempts", size)
            .count()
            .at_least(self.threshold.into())
            .grace(Duration::from_secs(self.grace_seconds.into()))
            .evidence(self.threshold.min(20));
        State::new(1).key_by("host").window(attempts)
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        if let Some(host) = record.text("host") {
            out.window("attempts").add(host);
        }
    }

    fn crossed(&self, window: &WindowState, _: &Record<'_>, out: &mut Effects) {
        let (host, start_ms) = (window.key_text(), window.start_ms);
        let span = match self.window_seconds {
            60 => "minute".to_owned(),
            seconds => format!("{seconds} seconds"),
        };
        let title = format!(
            "{}: ❗ On {host} there were {} invalid user login attempts in the last {span} \
             (threshold is >={})",
            time::utc(start_ms),
            window.count,
            self.threshold
        );
        out.notify(
            Notification::fire(title)
                .key(&*host)
                .window_start_ms(start_ms)
                .label("host", &*host)
                .field("records", window.evidence_text()),
        );
    }
}

firebell_rule::export!(InvalidLoginBurst);

#[cfg(test)]
mod tests;
