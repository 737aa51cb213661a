//! The counts at one moment, as the page and `firebell demo` show them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Metrics, RuleState};

/// Totals since the start of the process, and by rule, topic and channel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Start of the process, milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When this was taken, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Generation of the published rule set.
    pub generation: u64,
    /// Records read and evaluated.
    pub records: u64,
    /// Records whose value could not be decoded.
    pub undecodable: u64,
    /// Records that passed a condition, once for each rule.
    pub matched: u64,
    /// Calls of rules.
    pub calls: u64,
    /// Failed calls of rules.
    pub call_failures: u64,
    /// Notifications that were decided.
    pub notifications: u64,
    /// Records that rules wrote to topics.
    pub emitted: u64,
    /// Records and notifications given to the dead-letter topic.
    pub dead_letters: u64,
    /// Commits of any outcome.
    pub commits: u64,
    /// The sum of all commits' seconds.
    pub commit_seconds: f64,
    /// Outbox entries that are read and not yet answered.
    pub outbox_pending: u64,
    /// Whether delivery is paused.
    pub delivery_paused: bool,
    /// When the canary that arrived last was sent, milliseconds since the Unix epoch; `None` = none is
    /// awaited here.
    pub canary_sent_ms: Option<u64>,
    /// Notifications that Slack answered with yes, and the sum of their seconds since the outbox.
    pub delivered: u64,
    /// The sum of [`Snapshot::delivered`]'s seconds.
    pub delivery_seconds: f64,
    /// Errors of Slack by class.
    pub slack_errors: BTreeMap<String, u64>,
    /// Errors of the Kafka client by code.
    pub kafka_errors: BTreeMap<String, u64>,
    /// Reloads by outcome.
    pub reloads: BTreeMap<String, u64>,
    /// By rule.
    pub rules: BTreeMap<String, RuleCounts>,
    /// By topic.
    pub topics: BTreeMap<String, TopicCounts>,
    /// By channel.
    pub channels: BTreeMap<String, ChannelCounts>,
}

/// What one rule did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleCounts {
    /// The state that it is in; `None` = its files are gone.
    pub state: Option<RuleState>,
    /// Records that passed its condition.
    pub matched: u64,
    /// Calls of any outcome.
    pub calls: u64,
    /// The sum of all calls' seconds.
    pub call_seconds: f64,
    /// Failed calls by reason.
    pub failures: BTreeMap<String, u64>,
    /// Fuel burnt.
    pub fuel: u64,
    /// Cells of another type than declared.
    pub type_mismatches: u64,
    /// Notifications decided.
    pub notifications: u64,
    /// Records written to topics.
    pub emitted: u64,
}

/// What came from one topic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicCounts {
    /// Records read and evaluated.
    pub records: u64,
    /// Records whose value could not be decoded.
    pub undecodable: u64,
    /// How far each of our partitions is behind.
    pub partitions: BTreeMap<i32, LagCounts>,
}

/// How far a partition is behind its end.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LagCounts {
    /// Records to go.
    pub records: i64,
    /// Seconds of event time to go.
    pub seconds: f64,
}

/// What went to one channel, by outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelCounts {
    /// Notifications by delivery's word for how they ended.
    pub posts: BTreeMap<String, u64>,
}

impl Metrics {
    /// The counts at this moment. Metrics are read one after the other, while others write.
    pub fn snapshot(&self) -> Snapshot {
        let m = &*self.inner;
        let mut s = Snapshot {
            started_ms: m.started_ms,
            now_ms: super::now_ms(),
            generation: unsigned(m.rules.generation.get()),
            outbox_pending: unsigned(m.delivery.pending.get()),
            delivery_paused: m.delivery.paused.get() != 0,
            canary_sent_ms: m.canary.get(),
            delivered: m.delivery.seconds.count(),
            delivery_seconds: m.delivery.seconds.sum(),
            ..Snapshot::default()
        };
        m.reading.records.each(|[topic], n| {
            s.records += n.get();
            s.topics.entry(topic.into()).or_default().records = n.get();
        });
        m.reading.undecodable.each(|[topic], n| {
            s.undecodable += n.get();
            s.topics.entry(topic.into()).or_default().undecodable = n.get();
        });
        m.reading.lag_records.each(|[topic, partition], n| {
            s.lag(topic, partition).records = n.get();
        });
        m.reading.lag_seconds.each(|[topic, partition], n| {
            s.lag(topic, partition).seconds = n.get();
        });
        m.reading.commit_seconds.each(|_, histogram| {
            s.commits += histogram.count();
            s.commit_seconds += histogram.sum();
        });
        m.rules.dead_letters.each(|_, n| s.dead_letters += n.get());
        m.delivery.slack_errors.each(|[class], n| {
            s.slack_errors.insert(class.into(), n.get());
        });
        m.reading.kafka_errors.each(|[code], n| {
            s.kafka_errors.insert(code.into(), n.get());
        });
        m.rules.reloads.each(|[outcome], n| {
            s.reloads.insert(outcome.into(), n.get());
        });
        m.delivery.posts.each(|[channel, outcome], n| {
            s.channels.entry(channel.into()).or_default().posts.insert(outcome.into(), n.get());
        });
        self.add_rules(&mut s);
        s
    }

    /// The part of a snapshot that is about rules.
    fn add_rules(&self, s: &mut Snapshot) {
        let m = &*self.inner;
        m.rules.state.each(|[rule, state], set| {
            if set.get() == 1 {
                s.rule(rule).state = RuleState::ALL.into_iter().find(|each| each.as_str() == state);
            }
        });
        m.reading.matched.each(|[rule, _], n| {
            s.matched += n.get();
            s.rule(rule).matched += n.get();
        });
        m.rules.calls.each(|[rule, _], n| {
            s.calls += n.get();
            s.rule(rule).calls += n.get();
        });
        m.rules.call_seconds.each(|[rule], histogram| s.rule(rule).call_seconds = histogram.sum());
        m.rules.call_failures.each(|[rule, reason], n| {
            s.call_failures += n.get();
            s.rule(rule).failures.insert(reason.into(), n.get());
        });
        m.rules.fuel.each(|[rule], n| s.rule(rule).fuel = n.get());
        m.rules.type_mismatches.each(|[rule], n| s.rule(rule).type_mismatches = n.get());
        m.rules.notifications.each(|[rule, _], n| {
            s.notifications += n.get();
            s.rule(rule).notifications += n.get();
        });
        m.rules.emitted.each(|[rule, _], n| {
            s.emitted += n.get();
            s.rule(rule).emitted += n.get();
        });
    }
}

impl Snapshot {
    /// Records that are still to be evaluated, over all our partitions.
    pub fn lag_records(&self) -> i64 {
        self.lags().map(|lag| lag.records).sum()
    }

    /// Seconds of event time that the partition which is farthest behind is behind.
    pub fn lag_seconds(&self) -> f64 {
        self.lags().map(|lag| lag.seconds).fold(0.0, f64::max)
    }

    /// Seconds since the canary that arrived last was sent; `None` = none is awaited here.
    pub fn canary_age_seconds(&self) -> Option<f64> {
        let age_ms = self.now_ms.saturating_sub(self.canary_sent_ms?);
        Some(Duration::from_millis(age_ms).as_secs_f64())
    }

    fn lags(&self) -> impl Iterator<Item = &LagCounts> {
        self.topics.values().flat_map(|topic| topic.partitions.values())
    }

    fn lag(&mut self, topic: &str, partition: &str) -> &mut LagCounts {
        let partition = partition.parse().unwrap_or(-1);
        self.topics.entry(topic.into()).or_default().partitions.entry(partition).or_default()
    }

    fn rule(&mut self, rule: &str) -> &mut RuleCounts {
        self.rules.entry(rule.into()).or_default()
    }
}

/// A gauge's count.
fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_adds_up_rules_topics_and_partitions() {
        let m = Metrics::new();
        m.records("A", 10);
        m.records("B", 5);
        m.matched("r", "A", 2);
        m.matched("r", "B", 1);
        m.call("r", "ok", 0.25);
        m.call("r", "failed", 0.25);
        m.call_failures("r", "trap", 1);
        m.notifications("r", "warning", 2);
        m.notifications("r", "critical", 1);
        m.lag("A", 0, 7, 1.0);
        m.lag("A", 1, 8, 3.0);
        m.rule_state("r", RuleState::Active);
        m.rule_state("r", RuleState::Quarantined);
        m.posts("general", "posted", 4);
        let s = m.snapshot();
        assert_eq!(
            (s.records, s.matched, s.calls, s.call_failures, s.notifications),
            (15, 3, 2, 1, 3)
        );
        assert_eq!((s.lag_records(), s.lag_seconds()), (15, 3.0));
        assert_eq!(s.rules["r"].state, Some(RuleState::Quarantined));
        assert_eq!((s.rules["r"].matched, s.rules["r"].call_seconds), (3, 0.5));
        assert_eq!(s.rules["r"].failures["trap"], 1);
        assert_eq!(s.topics["A"].partitions[&1].records, 8);
        assert_eq!(s.channels["general"].posts["posted"], 4);
        assert_eq!(s.canary_age_seconds(), None);
        m.canary_arrived(i64::try_from(s.now_ms).unwrap() - 90_000, Duration::ZERO);
        let age = m.snapshot().canary_age_seconds().unwrap();
        assert!((90.0..180.0).contains(&age), "{age}");
        // One that was overtaken makes it no older.
        m.canary_arrived(1, Duration::ZERO);
        assert!(m.snapshot().canary_age_seconds().unwrap() < 180.0);
        m.rule_forget("r");
        assert_eq!(m.snapshot().rules["r"].state, None);
    }
}
