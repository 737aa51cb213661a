//! Keeps ever more until it may not, on a message with `hog`.

use firebell_guests::{Config, Effects, Record, Rule, Subscription, message, notify};
use firebell_rule::State;

struct StateHog;

impl Rule for StateHog {
    fn new(_: Config) -> Result<Self, String> {
        Ok(Self)
    }

    fn subscribe(&self) -> Subscription {
        message()
    }

    fn state(&self) -> State {
        State::new(1)
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        let message = record.text("message").unwrap_or_default();
        let mut key = 0_u32;
        while message.contains("hog") {
            out.put(key.to_le_bytes(), vec![0; 1 << 20], None);
            key += 1;
        }
        notify(message, out);
    }
}

firebell_guests::export!(StateHog);
