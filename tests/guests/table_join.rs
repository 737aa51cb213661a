//! Says what the table `hosts` has of each record's host: `HOST is VALUE`.

use firebell_guests::{Config, Effects, Notification, Record, Rule, Subscription};
use firebell_rule::State;

struct TableJoin;

impl Rule for TableJoin {
    fn new(_: Config) -> Result<Self, String> {
        Ok(Self)
    }

    fn subscribe(&self) -> Subscription {
        Subscription::new().text("host", "/host")
    }

    fn state(&self) -> State {
        State::new(1).table("hosts")
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        let host = record.text("host").unwrap_or_default();
        let value = out.table("hosts").get(host).unwrap_or_else(|| b"unknown".to_vec());
        let value = String::from_utf8_lossy(&value);
        out.notify(Notification::fire(format!("{host} is {value}")));
    }
}

firebell_guests::export!(TableJoin);
