//! An alert's labels.

use std::collections::BTreeMap;

use crate::notification::{Notification, Severity};
use crate::outbox::Entry;

/// Labels by name; a label that is missing is the same as an empty one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// The labels of an outbox entry: `rule`, `severity`, `topic`, `channel` (what the rule chose,
    /// wherever the entry goes), and the notification's own, which cannot overwrite those four.
    pub fn of(entry: &Entry) -> Self {
        let Notification { labels, channel, severity, .. } = &entry.notification;
        let chosen = channel.as_deref().unwrap_or(&entry.channel);
        let mut all: Self = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        all.set("rule", &entry.intent.rule);
        all.set("severity", severity.as_str());
        all.set("topic", &entry.intent.record.topic);
        // People write channels with the sign that Slack shows.
        all.set("channel", chosen.strip_prefix('#').unwrap_or(chosen));
        all
    }

    /// The value of a label; empty = there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// All labels that are not empty, as a map.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.0.clone()
    }

    /// All labels that are not empty, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    pub(super) fn with_severity(&self, severity: Severity) -> Self {
        let mut labels = self.clone();
        labels.set("severity", severity.as_str());
        labels
    }

    fn set(&mut self, name: &str, value: &str) {
        match value {
            "" => drop(self.0.remove(name)),
            value => drop(self.0.insert(name.to_owned(), value.to_owned())),
        }
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(labels: T) -> Self {
        let mut all = Self::default();
        labels.into_iter().for_each(|(name, value)| all.set(name, value));
        all
    }
}
