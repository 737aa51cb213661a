//! One alert per attempt to log in as a user that does not exist, from syslog records.

use firebell_rule::{Config, Effects, Notification, Record, Rule, Subscription, field, time};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct InvalidUser {
    /// Only attempts on this host; none = on all.
    host: Option<String>,
    /// A topic that gets the records whole.
    emit_to: Option<String>,
}

impl Rule for InvalidUser {
    fn new(config: Config) -> Result<Self, String> {
        config.parse()
    }

    fn subscribe(&self) -> Subscription {
        let condition = field("message").contains("Invalid user");
        // The names of the Kafka Connect syslog connector; it has no `app` and `pid`, but a syslog
        // line that the host reads itself, and rsyslog under other names, do.
        Subscription::new()
            .integer("date", "/date")
            .text("host", "/host")
            .text("message", "/message")
            .text("app", "/app")
            .text("pid", "/procid")
            .condition(match &self.host {
                Some(host) => field("host").eq(host).and(condition),
                None => condition,
            })
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        let host = record.text("host").unwrap_or_default();
        let line = line(host, record);
        // When it happened, or at least when it was written to Kafka.
        let title = match record.integer("date").or(record.timestamp_ms()) {
            Some(timestamp_ms) => format!("{} 👽 {line} 👽", time::utc(timestamp_ms)),
            None => format!("👽 {line} 👽"),
        };
        out.notify(Notification::fire(title).label("host", host));
        if let Some(topic) = &self.emit_to {
            out.emit_whole(topic);
        }
    }
}

/// The line as it stood in the log: `HOST APP[PID]: TEXT`. The connector leaves all of it in the
/// message; others take it apart.
fn line(host: &str, record: &Record<'_>) -> String {
    let text = record.text("message").unwrap_or_default().trim();
    if host.is_empty() || text.strip_prefix(host).is_some_and(|rest| rest.starts_with(' ')) {
        return text.to_owned();
    }
    match (record.text("app"), record.text("pid")) {
        (Some(app), Some(pid)) => format!("{host} {app}[{pid}]: {text}"),
        (Some(app), None) => format!("{host} {app}: {text}"),
        (None, _) => format!("{host} {text}"),
    }
}

firebell_rule::export!(InvalidUser);

#[cfg(test)]
mod tests;
