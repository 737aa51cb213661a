//! Counts records by host in a value, and says `HOST seen N` for each.

use firebell_guests::{Config, Effects, Notification, Record, Rule, Subscription, message};
use firebell_rule::State;

struct Kv;

impl Rule for Kv {
    fn new(_: Config) -> Result<Self, String> {
        Ok(Self)
    }

    fn subscribe(&self) -> Subscription {
        message().text("host", "/host")
    }

    fn state(&self) -> State {
        State::new(1)
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        let host = record.text("host").unwrap_or_default();
        let count = out.get_as::<u64>(host).unwrap_or_default() + 1;
        out.put_as(host, &count, None);
        if record.text("message").is_some_and(|message| message.contains("fail")) {
            out.fail(format!("told to fail at {count}"));
        }
        out.notify(Notification::fire(format!("{host} seen {count}")));
    }
}

firebell_guests::export!(Kv);
