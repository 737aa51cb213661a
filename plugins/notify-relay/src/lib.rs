//! Posts what a topic of `{"TEXT": …, "CHANNEL": …}` tells it to. The host posts only to channels
//! that the operator allows; a text stays text.

use firebell_rule::{Config, Effects, Notification, Record, Rule, Severity, Subscription, warn};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NotifyRelay {}

impl Rule for NotifyRelay {
    fn new(config: Config) -> Result<Self, String> {
        config.parse()
    }

    fn subscribe(&self) -> Subscription {
        Subscription::new().text("text", "/TEXT").text("channel", "/CHANNEL")
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        let text = record.text("text").unwrap_or_default().trim();
        if text.is_empty() {
            return warn!("{record:?} has no TEXT (field `text`); nothing is posted");
        }
        // A title is one line; what follows is the body.
        let (title, body) = text.split_once('\n').unwrap_or((text, ""));
        let mut notification = Notification::fire(title.trim_end()).severity(Severity::Info);
        if !body.is_empty() {
            notification = notification.text(body);
        }
        let channel = record.text("channel").unwrap_or_default().trim().trim_start_matches('#');
        if !channel.is_empty() {
            notification = notification.channel(channel);
        }
        out.notify(notification);
    }
}

firebell_rule::export!(NotifyRelay);

#[cfg(test)]
mod tests;
