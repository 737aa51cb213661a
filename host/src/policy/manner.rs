//! How a route's alerts are told.

use std::sync::Arc;
use std::time::Duration;

use super::interval::TimeInterval;
use super::labels::Labels;

/// Which alerts are told in one message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum GroupBy {
    /// Each alone.
    #[default]
    Alone,
    /// Those that have the same values of these labels; none = all of the route.
    Labels(Arc<[String]>),
    /// `"..."`: those that have all labels the same.
    All,
}

/// How an alert is told to a target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Manner {
    /// Which alerts share a message.
    pub group_by: GroupBy,
    /// How long a new group waits for more of its kind.
    pub group_wait: Duration,
    /// How long a group that was told waits before its changes are told.
    pub group_interval: Duration,
    /// After how long it is told again though nothing changed; `None` = never.
    pub repeat_interval: Option<Duration>,
    /// Not told in these times.
    pub mute: Vec<(Arc<str>, Arc<TimeInterval>)>,
    /// Told only in these times; none = always.
    pub active: Vec<(Arc<str>, Arc<TimeInterval>)>,
}

impl Manner {
    /// The labels that name an alert's group, and all its members have; `None` = it is told alone.
    pub fn group(&self, labels: &Labels) -> Option<Labels> {
        match &self.group_by {
            GroupBy::Alone => None,
            GroupBy::All => Some(labels.clone()),
            GroupBy::Labels(names) => {
                Some(names.iter().map(|name| (&**name, labels.get(name))).collect())
            }
        }
    }

    /// Why nothing is told now, milliseconds since the Unix epoch: the mute interval that it is in, or
    /// the first active one that it is not in; `None` = it is told. It changes with full minutes only.
    pub fn muted(&self, now_ms: i64) -> Option<&str> {
        let muting = self.mute.iter().find(|(_, interval)| interval.contains(now_ms));
        if let Some((name, _)) = muting {
            return Some(name);
        }
        let is_active = self.active.iter().any(|(_, interval)| interval.contains(now_ms));
        self.active.first().filter(|_| !is_active).map(|(name, _)| &**name)
    }
}
