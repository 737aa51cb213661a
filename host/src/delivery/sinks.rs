//! Targets beside Slack's channels: one attempt at telling one of them.
//!
//! In: an outbox entry and what the ledger knows. Out: whether the target has it, may take it later or
//! never will. Who repeats it and what is then written down is in `attempt/handing.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::http::{Answered, ClientError};
use super::ports::Ports;
use super::verdict::Reply;
use crate::config::Config;
use crate::ledger::State;
use crate::outbox::Entry;
use crate::target::{Kind, Target};

mod alertmanager;
mod document;
pub mod keep_alive;
mod signature;
mod topic;
mod webhook;

pub use alertmanager::Alertmanager;
pub use signature::signature;

use topic::Topic;
use webhook::Webhook;

/// What a target said to one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has it.
    Taken {
        /// What it must be told again while the alert is open.
        standing: Option<Value>,
    },
    /// Not this time.
    Later {
        /// The word for logs and the label `class` of metrics: `throttled`, `transient`, `ambiguous`,
        /// `credentials`.
        class: &'static str,
        /// How long it asks us to wait.
        wait: Option<Duration>,
        /// For people.
        detail: String,
    },
    /// It will never take this.
    Never {
        /// For people.
        detail: String,
    },
}

/// What is told.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// The state of its alert before it, as far as it is known.
    pub before: Option<State>,
    /// What the target was told to hold so far.
    pub standing: Option<&'a Value>,
    /// Now, milliseconds since the Unix epoch.
    pub now_ms: i64,
}

impl Told<'_> {
    /// Whether the alert is over with this.
    fn is_over(&self) -> bool {
        use super::decision::state_after;
        state_after(self.entry.notification.kind, self.before) == State::Resolved
    }
}

/// A target beside Slack's channels.
#[derive(Debug)]
pub struct Sink {
    /// As outbox and ledger name it: `webhook:oncall`.
    pub name: String,
    /// How long an entry is tried.
    pub retry_for: Duration,
    way: SinkWay,
    turn: Mutex<()>,
}

#[derive(Debug)]
enum SinkWay {
    Webhook(Webhook),
    Topic(Topic),
    Alertmanager(Alertmanager),
}

/// Where a courier's channel leads.
#[derive(Debug, Clone)]
pub enum Way {
    /// To Slack.
    Slack,
    /// To another target.
    Sink(Arc<Sink>),
    /// Nowhere: the configuration has no such target; why, with the cure.
    Nowhere(String),
}

/// All targets beside Slack's channels.
#[derive(Debug, Default)]
pub struct Sinks {
    targets: crate::target::Targets,
    sinks: BTreeMap<String, Arc<Sink>>,
}

impl Sinks {
    /// The targets of a configuration.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(config: &Config) -> Result<Self, ClientError> {
        let mut all = Self { targets: config.targets(), sinks: BTreeMap::new() };
        let group = &config.kafka.group_id;
        let page = config.http.as_ref().and_then(|http| http.public_url.as_deref());
        for (name, webhook) in &config.sinks.webhooks {
            let way = SinkWay::Webhook(Webhook::new(webhook, group)?);
            all.add(Kind::Webhook, name, webhook.retry_for, way);
        }
        for (name, sink) in &config.sinks.kafka_sinks {
            let way = SinkWay::Topic(Topic::new(name, sink, group));
            all.add(Kind::Kafka, name, sink.retry_for, way);
        }
        for (name, alertmanager) in &config.sinks.alertmanagers {
            let way = SinkWay::Alertmanager(Alertmanager::new(alertmanager, page)?);
            all.add(Kind::Alertmanager, name, alertmanager.retry_for, way);
        }
        Ok(all)
    }

    fn add(&mut self, kind: Kind, name: &str, retry_for: Duration, way: SinkWay) {
        let name = format!("{}:{name}", kind.as_str());
        let sink = Sink { name: name.clone(), retry_for, way, turn: Mutex::default() };
        self.sinks.insert(name, Arc::new(sink));
    }

    /// Where a channel leads.
    pub fn way(&self, channel: &str) -> Way {
        if let Some(sink) = self.sinks.get(channel) {
            return Way::Sink(Arc::clone(sink));
        }
        match self.targets.lacks(channel) {
            Some((message, cure)) => Way::Nowhere(format!("{message}; {cure}")),
            None => Way::Slack,
        }
    }

    /// Those that must be told again and again that an alert is open.
    pub fn forgetful(&self) -> impl Iterator<Item = &Arc<Sink>> {
        self.sinks.values().filter(|sink| matches!(sink.way, SinkWay::Alertmanager(_)))
    }
}

impl Sink {
    /// Tells it once.
    pub async fn tell<P: Ports>(&self, ports: &P, told: Told<'_>) -> Answer {
        match &self.way {
            SinkWay::Webhook(webhook) => webhook.tell(&self.name, told).await,
            SinkWay::Topic(topic) => topic.tell(ports, told).await,
            SinkWay::Alertmanager(alertmanager) => alertmanager.tell(told).await,
        }
    }

    /// Waits until nobody else is telling it something; what was read of the ledger before may be old.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }
}

/// What an exchange with a target means; `None` = it has taken what was sent.
fn refusal(exchanged: Result<Answered, (Reply, String)>) -> Option<Answer> {
    let later = |class, wait, detail| Some(Answer::Later { class, wait, detail });
    match exchanged {
        Err((Reply::NotSent | Reply::Untrusted, detail)) => later("transient", None, detail),
        Err((_, detail)) => later("ambiguous", None, detail),
        Ok((200..=299, ..)) => None,
        Ok((429, wait, _)) => later("throttled", wait, "HTTP 429".into()),
        Ok((408, wait, _)) => later("ambiguous", wait, "HTTP 408".into()),
        // An operator can mend that, in the time that there is.
        Ok((status @ (401 | 403 | 407), wait, _)) => {
            later("credentials", wait, format!("HTTP {status}: check its secrets"))
        }
        Ok((status @ 500.., wait, _)) => later("transient", wait, format!("HTTP {status}")),
        Ok((status, ..)) => Some(Answer::Never { detail: format!("HTTP {status}") }),
    }
}

/// Whether a name leads to Slack, whatever the configuration has.
pub fn is_slack(channel: &str) -> bool {
    matches!(Target::of(channel), Ok(Target::Slack(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        for status in 100..600 {
            let answer = refusal(Ok((status, None, None)));
            let word = match &answer {
                None => "taken",
                Some(Answer::Later { class, .. }) => class,
                Some(_) => "never",
            };
            let wanted = match status {
                200..=299 => "taken",
                429 => "throttled",
                408 => "ambiguous",
                401 | 403 | 407 => "credentials",
                500..=599 => "transient",
                _ => "never",
            };
            assert_eq!(word, wanted, "{status}");
        }
        let wait = Some(Duration::from_secs(7));
        for status in [429, 503] {
            let answer = refusal(Ok((status, wait, None)));
            assert!(matches!(answer, Some(Answer::Later { wait: found, .. }) if found == wait));
        }
    }
}
