//! Rules: what a user writes, loaded, checked and published as one immutable set.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub mod definition;
mod finding;
pub mod folder;
pub mod publish;
pub mod watch;

pub use finding::Finding;

use crate::engine::Component;
use crate::evaluation::Health;
use crate::limits::Limits;
use crate::subscription::{Format, Subscription};

/// What happens to a rule's effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// They go out.
    #[default]
    Active,
    /// They are counted and logged, and go nowhere.
    Shadow,
    /// The rule is not called.
    Paused,
}

/// A rule in one version, ready to run.
#[derive(Debug)]
pub struct Rule {
    /// The rule's name: its file's stem.
    pub name: Arc<str>,
    /// Names this version: hex SHA-256 over the component's bytes and the toml's text.
    pub version: String,
    /// The compiled component.
    pub component: Component,
    /// Handed to `describe`: `[config]` as a JSON object.
    pub config_json: String,
    /// What `describe` answered, as it is: every new instance must answer the same.
    pub described: Subscription,
    /// The same with the operator's topics and `[fields]` applied.
    pub subscription: Subscription,
    /// All conditions that must hold: the rule's own and the operator's `where`.
    pub conditions: Vec<String>,
    /// How its topics' values are decoded.
    pub format: Format,
    /// Channels that it may post to, by name; the first is the default. Never empty.
    pub channels: Vec<String>,
    /// Topics that it may emit to.
    pub emit: Vec<String>,
    /// What happens to its effects.
    pub mode: Mode,
    /// Alerts whose event time is older become one digest; `None` = they are all sent.
    pub stale_after: Option<Duration>,
    /// What one call may use.
    pub limits: Limits,
    /// How this version fares; begins anew with every version.
    pub health: Health,
}

/// An immutable snapshot of all rules, each in its last good version.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// Grows by one with every swap.
    pub generation: u64,
    /// The rules by name.
    pub rules: BTreeMap<Arc<str>, Arc<Rule>>,
}
