//! Refuses its configuration, whatever it is.

use firebell_guests::{Config, Effects, Record, Rule, Subscription};

struct RefusesConfig;

impl Rule for RefusesConfig {
    fn new(config: Config) -> Result<Self, String> {
        Err(format!("threshold must be at least 1, and this is {}", config.as_json()))
    }

    fn subscribe(&self) -> Subscription {
        Subscription::new()
    }

    fn record(&self, _: &Record<'_>, _: &mut Effects) {}
}

firebell_guests::export!(RefusesConfig);
