//! Counts records by key in windows, and says `count KEY N` when a window reaches the threshold.

use std::time::Duration;

use firebell_guests::{Config, Effects, Notification, Record, Rule, Subscription};
use firebell_rule::{State, Window, WindowState};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Counter {
    /// `tumbling`, `hopping` (by half of its size), `sliding`, `session`.
    shape: String,
    window_ms: u64,
    threshold: f64,
    /// Where the key is.
    key: String,
    /// Whether records are brought together by the key.
    key_by: bool,
    grace_ms: u64,
}

impl Default for Counter {
    fn default() -> Self {
        Self {
            shape: "tumbling".into(),
            window_ms: 60_000,
            threshold: 4.0,
            key: "/host".into(),
            key_by: true,
            grace_ms: 0,
        }
    }
}

impl Rule for Counter {
    fn new(config: Config) -> Result<Self, String> {
        config.parse()
    }

    fn subscribe(&self) -> Subscription {
        Subscription::new().text("key", self.key.clone())
    }

    fn state(&self) -> State {
        let size = Duration::from_millis(self.window_ms);
        let window = match self.shape.as_str() {
            "hopping" => Window::hopping("count", size, size / 2),
            "sliding" => Window::sliding("count", size),
            "session" => Window::session("count", size),
            _ => Window::tumbling("count", size),
        };
        let grace = Duration::from_millis(self.grace_ms);
        let state = State::new(1).window(window.at_least(self.threshold).grace(grace).evidence(5));
        if self.key_by { state.key_by("key") } else { state }
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        out.window("count").add(record.text("key").unwrap_or_default());
    }

    fn crossed(&self, window: &WindowState, _: &Record<'_>, out: &mut Effects) {
        let key = window.key_text();
        out.notify(
            Notification::fire(format!("count {key} {}", window.count))
                .key(&*key)
                .window_start_ms(window.start_ms)
                .field("records", window.evidence_text()),
        );
    }
}

firebell_guests::export!(Counter);
