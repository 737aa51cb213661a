//! Counts records by host, as text, and says `v1 HOST N`: see `migrates_v2`.

use firebell_guests::{Config, Effects, Notification, Record, Rule, Subscription};
use firebell_rule::State;

struct MigratesV1;

impl Rule for MigratesV1 {
    fn new(_: Config) -> Result<Self, String> {
        Ok(Self)
    }

    fn subscribe(&self) -> Subscription {
        Subscription::new().text("host", "/host")
    }

    fn state(&self) -> State {
        State::new(1)
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        let host = record.text("host").unwrap_or_default();
        let seen = out.get(host).and_then(|seen| String::from_utf8(seen).ok());
        let count = seen.and_then(|seen| seen.parse().ok()).unwrap_or(0_u64) + 1;
        out.put(host, count.to_string(), None);
        out.notify(Notification::fire(format!("v1 {host} {count}")));
    }
}

firebell_guests::export!(MigratesV1);
