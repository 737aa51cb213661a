//! A Kafka topic that takes alerts.

use std::sync::Arc;

use serde_json::json;

use super::document::{chosen, document, key, words};
use super::{Answer, Told};
use crate::config::{Form, KafkaSinkConfig};
use crate::delivery::ports::Ports;
use crate::delivery::sinks::is_slack;
use crate::record::OutgoingRecord;

/// The header by which a reader knows a record that was written twice.
const KEY_HEADER: &str = "x-firebell-key";

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    name: String,
    topic: Arc<str>,
    form: Form,
    channel: Option<String>,
    group: String,
}

impl Topic {
    /// A topic of a host of this group.
    pub(super) fn new(name: &str, config: &KafkaSinkConfig, group: &str) -> Self {
        Self {
            name: name.to_owned(),
            topic: config.topic.as_str().into(),
            form: config.form,
            channel: config.channel.clone(),
            group: group.to_owned(),
        }
    }

    /// Writes the record once.
    pub(super) async fn tell<P: Ports>(&self, ports: &P, told: Told<'_>) -> Answer {
        match ports.write(self.record(&told)).await {
            Ok(()) => Answer::Taken { standing: None },
            Err(error) if error.is_final => Answer::Never { detail: error.text },
            Err(error) => Answer::Later { class: "ambiguous", wait: None, detail: error.text },
        }
    }

    fn record(&self, told: &Told<'_>) -> OutgoingRecord {
        let target = format!("kafka:{}", self.name);
        let value = match self.form {
            Form::Full => document(told, &target, &self.group),
            Form::Text => json!({ "TEXT": text(told), "CHANNEL": self.channel(told) }),
        };
        OutgoingRecord {
            topic: Arc::clone(&self.topic),
            partition: None,
            key: Some(told.entry.key()),
            value: Some(value.to_string().into_bytes()),
            headers: vec![(KEY_HEADER.to_owned(), Some(key(told.entry, &target).into_bytes()))],
            timestamp_ms: None,
        }
    }

    fn channel<'a>(&'a self, told: &'a Told<'_>) -> &'a str {
        let chosen = chosen(told.entry);
        match &self.channel {
            Some(channel) => channel,
            None if is_slack(chosen) => chosen,
            // The rule named this target itself.
            None => &self.name,
        }
    }
}

/// Title and body in words.
fn text(told: &Told<'_>) -> String {
    let (title, body) = (&told.entry.notification.title, &told.entry.notification.body);
    let body = words(body);
    if body.trim().is_empty() { title.clone() } else { format!("{title}\n{body}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::world::fire;
    use std::time::Duration;

    fn record(form: Form, channel: Option<&str>, chosen: Option<&str>) -> serde_json::Value {
        let channel = channel.map(str::to_owned);
        let config =
            KafkaSinkConfig { topic: "T".into(), form, channel, retry_for: Duration::ZERO };
        let mut entry = fire(1, "kafka:seed");
        entry.notification.channel = chosen.map(str::to_owned);
        let told = Told { entry: &entry, before: None, standing: None, now_ms: 0 };
        let record = Topic::new("seed", &config, "g").record(&told);
        assert_eq!((&*record.topic, record.key), ("T", Some(entry.key())));
        serde_json::from_slice(&record.value.unwrap()).unwrap()
    }

    #[test]
    fn the_text_form_is_the_seeds() {
        let text = |channel: &str| json!({ "TEXT": "message 1", "CHANNEL": channel });
        assert_eq!(record(Form::Text, None, Some("general")), text("general"));
        assert_eq!(record(Form::Text, Some("ops"), Some("general")), text("ops"));
        assert_eq!(record(Form::Text, None, None), text("seed"));
    }

    #[test]
    fn the_full_form_is_the_document() {
        let document = record(Form::Full, None, Some("general"));
        assert_eq!((&document["v"], &document["channel"]), (&json!(1), &json!("general")));
        assert_eq!(document["target"], "kafka:seed");
    }
}
