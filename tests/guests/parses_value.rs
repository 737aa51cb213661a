//! Parses the whole value itself; the yardstick for columns.

use firebell_guests::{Config, Effects, Record, Rule, Subscription, notify};

#[derive(serde::Deserialize)]
struct Syslog<'a> {
    host: &'a str,
    message: &'a str,
}

struct ParsesValue;

impl Rule for ParsesValue {
    fn new(_: Config) -> Result<Self, String> {
        Ok(Self)
    }

    fn subscribe(&self) -> Subscription {
        Subscription::new().bytes("value", "$value")
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        let Some(value) = record.bytes("value") else { return };
        let Ok(Syslog { host, message }) = serde_json::from_slice(value) else { return };
        if host == "rpi-03" && message.contains("Invalid user") {
            notify(message, out);
        }
    }
}

firebell_guests::export!(ParsesValue);
