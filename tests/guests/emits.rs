//! Emits a derived record for a message `KEY=VALUE`, and the record whole for any other.

use firebell_guests::{Config, Effects, Record, Rule, Subscription, message};
use firebell_rule::Derived;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Emits {
    topic: String,
}

impl Rule for Emits {
    fn new(config: Config) -> Result<Self, String> {
        config.parse()
    }

    fn subscribe(&self) -> Subscription {
        message()
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        match record.text("message").unwrap_or_default().split_once('=') {
            Some((key, "")) => out.emit(&self.topic, Derived::tombstone(key)),
            Some((key, value)) => {
                out.emit(&self.topic, Derived::new(key, value).header("made-by", "emits"));
            }
            None => out.emit_whole(&self.topic),
        }
    }
}

firebell_guests::export!(Emits);
