//! Tells once of each value of a field that was never seen before: a new host, user, address.

use std::time::Duration;

use firebell_rule::{Config, Effects, Notification, Record, Rule, Severity, State, Subscription};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstSeen {
    /// Where the value is: a JSON pointer, or `$key`, `$headers/NAME`.
    #[serde(default = "host")]
    field: String,
    /// After how many days without it a value is new again; 0 = never.
    #[serde(default = "thirty")]
    ttl_days: u32,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn host() -> String {
    "/host".into()
}

fn thirty() -> u32 {
    30
}

impl Rule for FirstSeen {
    fn new(config: Config) -> Result<Self, String> {
        config.parse()
    }

    fn subscribe(&self) -> Subscription {
        Subscription::new().text("value", self.field.clone())
    }

    fn state(&self) -> State {
        State::new(1).key_by("value")
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        let Some(value) = record.text("value") else { return };
        let now_ms = record.event_time_ms().unwrap_or_default();
        let last_ms: Option<i64> = out.get_as(value);
        let ttl = (self.ttl_days > 0).then_some(DAY * self.ttl_days);
        // That it is still there is written down now and then: a write for each record would cost
        // more than the rule.
        let fresh = |last_ms| ttl.is_none_or(|ttl| now_ms - last_ms < ttl.as_millis() as i64 / 30);
        if last_ms.is_some_and(fresh) {
            return;
        }
        out.put_as(value, &now_ms, ttl);
        if last_ms.is_some() {
            return;
        }
        let name = self.field.trim_start_matches(['/', '$']);
        out.notify(
            Notification::fire(format!("{value} is new as {name}"))
                .severity(Severity::Info)
                .label("value", value),
        );
    }
}

firebell_rule::export!(FirstSeen);

#[cfg(test)]
mod tests;
