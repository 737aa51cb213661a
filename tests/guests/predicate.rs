//! Looks for itself whether a record matters; the yardstick for conditions in the host.

use firebell_guests::{Config, Effects, Record, Rule, Subscription, message, notify};

struct Predicate;

impl Rule for Predicate {
    fn new(_: Config) -> Result<Self, String> {
        Ok(Self)
    }

    fn subscribe(&self) -> Subscription {
        message().text("host", "/host")
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        if record.text("host") == Some("rpi-03")
            && let Some(message) = record.text("message")
            && message.contains("Invalid user")
        {
            notify(message, out);
        }
    }
}

firebell_guests::export!(Predicate);
