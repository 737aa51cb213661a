//! Rules: what a user writes, loaded, checked and published as one immutable set.

pub mod agreement;
pub mod definition;
mod finding;
pub mod folder;
pub mod library;
pub mod load;
pub mod publish;
pub mod reload;
pub mod swap;
pub mod watch;

pub use finding::Finding;
pub use library::Problem;
pub use swap::{RuleChange, Swap};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use firebell_state::Plan;

use crate::engine::Component;
use crate::evaluation::Health;
use crate::limits::Limits;
use crate::matching::{ConditionError, MatchRule, TopicMatcher};
use crate::subscription::{Format, Subscription};
use crate::tables::TableSet;

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
    /// What `declare` answered: what the rule keeps. Empty for most.
    pub plan: Arc<Plan>,
    /// The operator says that the topics' keys group records as the plan wants.
    pub keyed: bool,
    /// The lookup tables that the plan names.
    pub tables: TableSet,
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

impl Rule {
    /// Whether it looks at more than one record, or at tables.
    pub fn keeps_state(&self) -> bool {
        // Values and timers need nothing in the plan but a version.
        self.plan.version > 0 || !self.plan.is_empty()
    }

    /// Whether something of this event time (-1 = unknown) is no news any more.
    pub fn is_stale(&self, event_time_ms: i64, now_ms: i64) -> bool {
        let Some(after) = self.stale_after else { return false };
        let after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        event_time_ms >= 0 && now_ms.saturating_sub(event_time_ms) > after_ms
    }

    /// The column by which its records must be brought together, where their topics do not do that.
    pub fn routes_by(&self) -> Option<usize> {
        if self.keyed { None } else { self.column(self.plan.key_by.as_ref()?) }
    }

    /// The column that holds the event time.
    pub fn event_time_column(&self) -> Option<usize> {
        self.column(self.plan.event_time.as_ref()?)
    }

    /// Whether its time is not that of the partition that it reads.
    pub fn has_own_time(&self) -> bool {
        self.plan.event_time.is_some() || self.routes_by().is_some()
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.subscription.fields.iter().position(|field| &*field.name == name)
    }

    fn to_match(&self) -> MatchRule {
        MatchRule {
            format: self.format,
            fields: self.subscription.fields.clone(),
            conditions: self.conditions.clone(),
        }
    }
}

/// The rules of one topic, in the order of their names.
#[derive(Debug)]
pub struct TopicPlan {
    /// All their conditions as one index; a rule's number is its position in `rules`.
    pub matcher: TopicMatcher,
    /// The rules that are not paused.
    pub rules: Vec<Arc<Rule>>,
    /// Whether one of them keeps state.
    pub keeps_state: bool,
}

/// An immutable snapshot of all rules, each in its last good version.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// Grows by one with every swap.
    pub generation: u64,
    /// The rules by name.
    pub rules: BTreeMap<Arc<str>, Arc<Rule>>,
    /// What is done with the records of every topic that a rule reads.
    pub topics: HashMap<Arc<str>, TopicPlan>,
    /// For every rule that groups records by something: how one is read again that was brought there.
    pub routed: HashMap<Arc<str>, TopicMatcher>,
}

/// Why rules cannot be one set.
#[derive(Debug, thiserror::Error)]
#[error("the conditions of the rules of topic `{topic}` cannot be compiled")]
pub struct RuleSetError {
    /// The topic.
    pub topic: Arc<str>,
    /// What is wrong.
    pub source: Box<ConditionError>,
}

impl RuleSet {
    /// Compiles the conditions of `rules` into one index for every topic.
    ///
    /// # Errors
    ///
    /// A condition that [`check_condition`](crate::matching::check_condition) would have refused
    /// when its rule was loaded.
    pub fn new(
        generation: u64,
        rules: impl IntoIterator<Item = Arc<Rule>>,
    ) -> Result<Self, RuleSetError> {
        let rules: BTreeMap<Arc<str>, Arc<Rule>> =
            rules.into_iter().map(|rule| (Arc::clone(&rule.name), rule)).collect();
        let mut by_topic: BTreeMap<&Arc<str>, Vec<Arc<Rule>>> = BTreeMap::new();
        for rule in rules.values().filter(|rule| rule.mode != Mode::Paused) {
            let topics: BTreeSet<&Arc<str>> = rule.subscription.topics.iter().collect();
            for topic in topics {
                by_topic.entry(topic).or_default().push(Arc::clone(rule));
            }
        }
        let mut topics = HashMap::with_capacity(by_topic.len());
        for (topic, rules) in by_topic {
            let conditions = rules.iter().map(|rule| rule.to_match());
            let matcher = TopicMatcher::new(conditions.collect()).map_err(|source| {
                RuleSetError { topic: Arc::clone(topic), source: Box::new(source) }
            })?;
            let keeps_state = rules.iter().any(|rule| rule.keeps_state());
            topics.insert(Arc::clone(topic), TopicPlan { matcher, rules, keeps_state });
        }
        let mut routed = HashMap::new();
        for rule in rules.values().filter(|rule| rule.routes_by().is_some()) {
            let topic = rule.subscription.topics.first().cloned().unwrap_or_default();
            let matcher = TopicMatcher::new(vec![rule.to_match()])
                .map_err(|source| RuleSetError { topic, source: Box::new(source) })?;
            routed.insert(Arc::clone(&rule.name), matcher);
        }
        Ok(Self { generation, rules, topics, routed })
    }
}
