//! Where an alert is told, by the name that rules, policy and outbox use: a Slack channel, or
//! `webhook:NAME`, `kafka:NAME`, `alertmanager:NAME`. Pure.

use std::collections::BTreeSet;

use crate::nearest::nearest;

/// The kinds of targets beside Slack's channels: what a name begins with, the section that it is
/// under, and the key that every such section has.
const KINDS: [(Kind, &str, &str, &str); 3] = [
    (Kind::Webhook, "webhook", "webhooks", "url = \"https://…\""),
    (Kind::Kafka, "kafka", "kafka_sinks", "topic = \"ALERTS\""),
    (Kind::Alertmanager, "alertmanager", "alertmanagers", "url = \"http://alertmanager:9093\""),
];

/// What a target beside Slack's channels is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An address that takes JSON.
    Webhook,
    /// A Kafka topic.
    Kafka,
    /// A Prometheus Alertmanager.
    Alertmanager,
}

impl Kind {
    /// What names of this kind begin with.
    pub fn as_str(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, word, ..)| word)
    }
}

/// A target as its name tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A Slack channel.
    Slack(&'a str),
    /// Another target: its kind and its own name.
    Sink(Kind, &'a str),
}

/// A name that begins like a target's and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no target; write a Slack channel, webhook:NAME, kafka:NAME or alertmanager:NAME"
)]
pub struct NoTarget(pub String);

impl<'a> Target<'a> {
    /// Reads a name. Slack's own names have no colon.
    ///
    /// # Errors
    /// When it has a colon and is none of the three kinds, or has no name of its own.
    pub fn of(written: &'a str) -> Result<Self, NoTarget> {
        let Some((word, name)) = written.split_once(':') else { return Ok(Self::Slack(written)) };
        let kind = KINDS.iter().find(|(_, known, ..)| *known == word).map(|(kind, ..)| *kind);
        match kind {
            Some(kind) if is_name(name) => Ok(Self::Sink(kind, name)),
            _ => Err(NoTarget(written.to_owned())),
        }
    }

    /// Whether a name is a target's other than a Slack channel's.
    pub fn is_sink(written: &str) -> bool {
        written.contains(':')
    }
}

/// Whether a name may be a target's own: letters, digits, `-`, `_` and `.`.
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.len() <= 100 && name.bytes().all(allowed)
}

/// The targets that a configuration has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Whether there is a `[slack]`.
    pub has_slack: bool,
    /// All others.
    pub sinks: BTreeSet<(Kind, String)>,
}

impl Targets {
    /// Whether nothing is delivered at all: the configuration of a host that only evaluates.
    pub fn is_empty(&self) -> bool {
        !self.has_slack && self.sinks.is_empty()
    }

    /// Why nothing can be told to a target of this name, and the cure; `None` = it is there.
    pub fn lacks(&self, written: &str) -> Option<(String, String)> {
        let (kind, name) = match Target::of(written) {
            Err(error) => {
                let cure = "mend the name; docs/sinks.md tells the targets";
                return Some((error.to_string(), cure.into()));
            }
            Ok(Target::Slack(_)) if self.has_slack => return None,
            Ok(Target::Slack(channel)) => {
                let message = format!("`{channel}` is a Slack channel, and there is no [slack]");
                return Some((message, "add [slack], or name another target".into()));
            }
            Ok(Target::Sink(kind, name)) => (kind, name),
        };
        let (_, word, section, example) = KINDS.iter().find(|(known, ..)| *known == kind)?;
        let names = self.sinks.iter().filter(|(of, _)| *of == kind).map(|(_, name)| &**name);
        if names.clone().any(|known| known == name) {
            return None;
        }
        let cure = match nearest(name, names) {
            Some(near) => format!("did you mean \"{word}:{near}\"?"),
            None => format!("write [{section}.{name}] with {example} in firebell.toml"),
        };
        Some((format!("there is no [{section}.{name}]"), cure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_kind() {
        assert_eq!(Target::of("general"), Ok(Target::Slack("general")));
        assert_eq!(Target::of("webhook:on-call"), Ok(Target::Sink(Kind::Webhook, "on-call")));
        assert_eq!(Target::of("kafka:a.b"), Ok(Target::Sink(Kind::Kafka, "a.b")));
        assert_eq!(Target::of("alertmanager:x"), Ok(Target::Sink(Kind::Alertmanager, "x")));
        for none in ["pager:x", "webhook:", "webhook:a b", "kafka:a:b", ":"] {
            assert_eq!(Target::of(none), Err(NoTarget(none.into())));
        }
        assert_eq!(Kind::Alertmanager.as_str(), "alertmanager");
    }

    #[test]
    fn a_target_that_is_not_there_tells_the_nearest_or_the_section() {
        let mut targets = Targets::default();
        assert!(targets.is_empty());
        targets.sinks.insert((Kind::Webhook, "oncall".into()));
        let told = |written| targets.lacks(written).map(|(what, cure)| format!("{what}; {cure}"));
        assert_eq!(told("webhook:oncall"), None);
        assert_eq!(
            told("webhook:oncal").unwrap(),
            "there is no [webhooks.oncal]; did you mean \"webhook:oncall\"?"
        );
        assert_eq!(
            told("kafka:oncall").unwrap(),
            "there is no [kafka_sinks.oncall]; write [kafka_sinks.oncall] with topic = \"ALERTS\" \
             in firebell.toml"
        );
        assert!(told("general").unwrap().contains("there is no [slack]"));
        assert!(told("pager:x").unwrap().contains("names no target"));
    }
}
