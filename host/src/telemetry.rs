//! What the host counts and says about itself: Prometheus metrics and readiness.
//!
//! The only place that knows metric names; `docs/metrics.md` lists them (a test compares the two).
//! Labels are names of topics, rules and channels and words from closed lists, never text from a
//! record, and never a [`crate::secret::Secret`], which does not lend its text as a label.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

mod canary;
mod catalogue;
mod delivery;
mod histogram;
mod process;
mod readiness;
mod recent;
mod series;
mod sinks;
mod snapshot;

pub use readiness::{Readiness, ReadinessSnapshot};
pub use recent::{RecentProblem, RecentProblems};
pub use snapshot::{ChannelCounts, LagCounts, RuleCounts, Snapshot, TopicCounts};

use canary::LastSeen;
use catalogue::{Delivery, Reading, Rules};
use series::decimal;

/// The states of a rule; exactly one holds for each known rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleState {
    /// It is called and its effects go out.
    Active,
    /// It is called; its effects are only counted.
    Shadow,
    /// It is not called, because the operator said so.
    Paused,
    /// It is not called, because it failed too often; its file's change ends that.
    Quarantined,
    /// Its file could not be loaded and there is no older good version.
    Rejected,
}

impl RuleState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Active, Self::Shadow, Self::Paused, Self::Quarantined, Self::Rejected];

    /// The word used in metrics and on the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Shadow => "shadow",
            Self::Paused => "paused",
            Self::Quarantined => "quarantined",
            Self::Rejected => "rejected",
        }
    }
}

/// All metrics of the process; cloning shares them. Methods are for once a batch, not once a record.
#[derive(Debug, Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

/// The metrics and the registry that writes them out.
#[derive(Debug)]
struct Inner {
    registry: Registry,
    /// Start of the process, milliseconds since the Unix epoch.
    started_ms: u64,
    reading: Reading,
    rules: Rules,
    delivery: Delivery,
    canary: LastSeen,
    recent: RecentProblems,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics at zero, with the build's version and the process's own figures.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let started_ms = now_ms();
        let reading = Reading::new(&mut registry);
        let rules = Rules::new(&mut registry);
        let delivery = Delivery::new(&mut registry);
        let canary = LastSeen::default();
        canary.register(&mut registry);
        catalogue::build(&mut registry);
        process::register(&mut registry, started_ms);
        let recent = RecentProblems::default();
        let inner = Inner { registry, started_ms, reading, rules, delivery, canary, recent };
        Self { inner: Arc::new(inner) }
    }

    /// `n` records of a topic were read and evaluated.
    pub fn records(&self, topic: &str, n: u64) {
        self.inner.reading.records.add([topic], n);
    }

    /// `n` records of a topic could not be decoded.
    pub fn undecodable(&self, topic: &str, n: u64) {
        self.inner.reading.undecodable.add([topic], n);
    }

    /// `n` records of a topic passed a rule's condition.
    pub fn matched(&self, rule: &str, topic: &str, n: u64) {
        self.inner.reading.matched.add([rule, topic], n);
    }

    /// A rule was called with a batch; `outcome` is `ok` or `failed`.
    pub fn call(&self, rule: &str, outcome: &'static str, seconds: f64) {
        self.inner.rules.calls.add([rule, outcome], 1);
        self.inner.rules.call_seconds.with([rule], |histogram| histogram.observe(seconds));
    }

    /// A rule burnt `n` fuel.
    pub fn fuel(&self, rule: &str, n: u64) {
        self.inner.rules.fuel.add([rule], n);
    }

    /// `n` calls of a rule failed for a reason, a word of the engine's closed list.
    pub fn call_failures(&self, rule: &str, reason: &'static str, n: u64) {
        self.inner.rules.call_failures.add([rule, reason], n);
    }

    /// `n` cells were null because the field's value had another type than the rule declares.
    pub fn type_mismatches(&self, rule: &str, n: u64) {
        self.inner.rules.type_mismatches.add([rule], n);
    }

    /// `n` notifications of a rule were decided.
    pub fn notifications(&self, rule: &str, severity: &'static str, n: u64) {
        self.inner.rules.notifications.add([rule, severity], n);
    }

    /// `n` alerts of a rule were too old to be posted; they go into its digest.
    pub fn stale_alerts(&self, rule: &str, n: u64) {
        self.inner.rules.stale.add([rule], n);
    }

    /// A rule wrote `n` records to a topic.
    pub fn emitted(&self, rule: &str, topic: &str, n: u64) {
        self.inner.rules.emitted.add([rule, topic], n);
    }

    /// `n` dead letters were written.
    pub fn dead_letters(&self, stage: &'static str, reason: &'static str, n: u64) {
        self.inner.rules.dead_letters.add([stage, reason], n);
    }

    /// A commit of effects and offsets ended; `outcome` is `committed`, `aborted` or `fatal`.
    pub fn commit(&self, outcome: &'static str, seconds: f64) {
        self.inner.reading.commit_seconds.with([outcome], |histogram| histogram.observe(seconds));
    }

    /// How far evaluation is behind the end of a partition, in records and in seconds of event time.
    pub fn lag(&self, topic: &str, partition: i32, records: i64, seconds: f64) {
        let mut digits = [0; 11];
        let partition = decimal(partition, &mut digits);
        self.inner.reading.lag_records.with([topic, partition], |gauge| gauge.set(records.max(0)));
        self.inner
            .reading
            .lag_seconds
            .with([topic, partition], |gauge| gauge.set(seconds.max(0.0)));
    }

    /// A partition went to another host: its lag is no longer ours to tell.
    pub fn lag_forget(&self, topic: &str, partition: i32) {
        let mut digits = [0; 11];
        let partition = decimal(partition, &mut digits);
        self.inner.reading.lag_records.remove([topic, partition]);
        self.inner.reading.lag_seconds.remove([topic, partition]);
    }

    /// Whether time stands still in a silent partition, 0 or 1.
    pub fn standstill(&self, topic: &str, partition: i32, stands: u8) {
        let mut digits = [0; 11];
        let partition = decimal(partition, &mut digits);
        let set = |gauge: &prometheus_client::metrics::gauge::Gauge| gauge.set(stands.into());
        self.inner.reading.standstill.with([topic, partition], |gauge| _ = set(gauge));
    }

    /// State was restored: so many entries in so many seconds.
    pub fn restored(&self, entries: u64, seconds: f64) {
        self.inner.reading.restored.add([], entries);
        self.inner.reading.restore_seconds.with([], |histogram| histogram.observe(seconds));
    }

    /// A worker took a rule set up, and stopped so many seconds for it.
    pub fn swap(&self, seconds: f64) {
        self.inner.reading.swap_seconds.with([], |histogram| histogram.observe(seconds));
    }

    /// A record of a rule came too late for a window, which would have told the rule of it or not.
    pub fn late(&self, rule: &str, window: &str, would_cross: bool) {
        self.inner.rules.late.add([rule, window], 1);
        if would_cross {
            self.inner.rules.late_crossings.add([rule, window], 1);
        }
    }

    /// `n` notifications for a channel ended; `outcome` is a word of delivery's closed list.
    pub fn posts(&self, channel: &str, outcome: &'static str, n: u64) {
        self.inner.delivery.posts.add([channel, outcome], n);
    }

    /// `n` errors of a class came from Slack, or kept it from answering.
    pub fn slack_errors(&self, class: &'static str, n: u64) {
        self.inner.delivery.slack_errors.add([class], n);
    }

    /// The policy's file was read: `swapped` or `rejected`.
    pub fn policy_reload(&self, outcome: &'static str) {
        self.inner.rules.policy_reloads.add([outcome], 1);
    }

    /// `n` reloads of the rules folder ended; `outcome` is `swapped`, `unchanged` or `rejected`.
    pub fn reloads(&self, outcome: &'static str, n: u64) {
        self.inner.rules.reloads.add([outcome], n);
    }

    /// The generation of the rule set that is published.
    pub fn generation(&self, n: u64) {
        self.inner.rules.generation.set(signed(n));
    }

    /// The state that a rule is in.
    pub fn rule_state(&self, rule: &str, state: RuleState) {
        for each in RuleState::ALL {
            self.inner
                .rules
                .state
                .with([rule, each.as_str()], |gauge| gauge.set(i64::from(each == state)));
        }
    }

    /// A rule's files are gone: it is in no state. Its counters stay, as Prometheus expects.
    pub fn rule_forget(&self, rule: &str) {
        for state in RuleState::ALL {
            self.inner.rules.state.remove([rule, state.as_str()]);
        }
    }

    /// `n` log lines of a rule were over its limit.
    pub fn log_lines_dropped(&self, rule: &str, n: u64) {
        self.inner.rules.log_lines_dropped.add([rule], n);
    }

    /// The Kafka client reported an error `n` times, by a short name from a closed list.
    pub fn kafka_errors(&self, code: &'static str, n: u64) {
        self.inner.reading.kafka_errors.add([code], n);
    }

    /// The last warnings and errors of the log, once the log was given this layer.
    pub fn recent_problems(&self) -> &RecentProblems {
        &self.inner.recent
    }

    /// All metrics as OpenMetrics text, for `/metrics`.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // A String takes whatever is written to it.
        text::encode(&mut out, &self.inner.registry).unwrap_or_default();
        out
    }
}

/// The Content-Type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Milliseconds since the Unix epoch.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A gauge's signed form of a count.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metrics with one of everything.
    fn full() -> Metrics {
        let m = Metrics::new();
        m.records("SYSLOG", 10);
        m.undecodable("SYSLOG", 1);
        m.matched("invalid-user", "SYSLOG", 2);
        m.call("invalid-user", "ok", 0.000_02);
        m.fuel("invalid-user", 160);
        m.call_failures("invalid-user", "trap", 1);
        m.type_mismatches("invalid-user", 1);
        m.notifications("invalid-user", "warning", 2);
        m.stale_alerts("invalid-user", 3);
        m.emitted("invalid-user", "SYSLOG_INVALID_USERS", 2);
        m.dead_letters("decode", "invalid_json", 1);
        m.commit("committed", 0.005);
        m.lag("SYSLOG", 0, 12, 0.5);
        m.standstill("SYSLOG", 0, 1);
        m.restored(1_000, 0.2);
        m.swap(3e-6);
        m.late("invalid-login-burst", "attempts", true);
        m.posts("general", "posted", 1);
        m.slack_errors("throttled", 1);
        m.slack_unclear("warning", "found");
        m.storm("general");
        m.suppressed("inhibition");
        m.channel_refused("old", true);
        m.sink_posts("webhook:oncall", "posted");
        m.sink_errors("webhook:oncall", "transient");
        m.history_dropped(1);
        m.canary_awaited();
        m.canary_arrived(1, std::time::Duration::from_millis(40));
        m.canary_ping("ok");
        m.delivery_seconds(0.02);
        m.outbox_pending(3);
        m.delivery_paused(true);
        m.reloads("swapped", 1);
        m.policy_reload("swapped");
        m.generation(2);
        m.rule_state("invalid-user", RuleState::Active);
        m.log_lines_dropped("invalid-user", 1);
        m.kafka_errors("all_brokers_down", 1);
        m
    }

    /// Metric family names as `# TYPE` lines tell them, counters with their `_total`.
    fn exposed(text: &str) -> Vec<String> {
        let name = |line: &str| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, _) => name.to_owned(),
        };
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(name).collect()
    }

    /// The metrics that the docs list: name and labels, from the rows that tell a type.
    fn documented() -> Vec<(&'static str, Vec<&'static str>)> {
        include_str!("../../docs/metrics.md")
            .lines()
            .filter(|line| {
                ["counter", "gauge", "histogram"].iter().any(|t| line.contains(&format!("| {t} |")))
            })
            .map(|line| {
                let metric = line.split('`').nth(1).unwrap();
                let (name, labels) = metric.split_once('{').unwrap_or((metric, ""));
                (name, labels.trim_end_matches('}').split(',').filter(|l| !l.is_empty()).collect())
            })
            .collect()
    }

    #[test]
    fn every_exposed_metric_is_documented_and_every_documented_one_is_exposed() {
        let mut exposed = exposed(&full().encode());
        exposed.sort();
        let mut documented: Vec<_> = documented().into_iter().map(|(name, _)| name).collect();
        documented.sort_unstable();
        assert_eq!(exposed, documented);
    }

    #[test]
    fn documented_labels_are_the_exposed_ones() {
        let text = full().encode();
        for (name, labels) in documented() {
            let sample = text
                .lines()
                .find(|line| {
                    let rest = line.strip_prefix(name).unwrap_or("");
                    rest.starts_with([' ', '{']) || rest.starts_with("_bucket{")
                })
                .unwrap_or_else(|| panic!("no sample of {name}"));
            let shown: Vec<_> = sample
                .split(['{', ','])
                .filter_map(|part| Some(part.split_once("=\"")?.0))
                .filter(|&label| label != "le")
                .collect();
            assert_eq!(shown, labels, "{name}");
        }
    }

    #[test]
    fn names_follow_prometheus_conventions() {
        for name in exposed(&full().encode()) {
            assert!(name.starts_with("firebell_") || name.starts_with("process_"), "{name}");
            assert!(!name.ends_with("_total_total") && !name.contains("_ms"), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        }
    }

    #[test]
    fn counts_add_up_in_the_exposition() {
        let m = full();
        m.records("SYSLOG", 5);
        let text = m.encode();
        assert!(text.contains("firebell_records_total{topic=\"SYSLOG\"} 15\n"), "{text}");
        assert!(text.contains("firebell_lag_seconds{topic=\"SYSLOG\",partition=\"0\"} 0.5\n"));
        assert!(text.contains("firebell_commit_seconds_count{outcome=\"committed\"} 1\n"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_rule_is_in_one_state_and_in_none_when_its_files_are_gone() {
        let m = full();
        m.rule_state("invalid-user", RuleState::Quarantined);
        let text = m.encode();
        assert!(
            text.contains("firebell_rule_state{rule=\"invalid-user\",state=\"quarantined\"} 1\n")
        );
        assert!(text.contains("firebell_rule_state{rule=\"invalid-user\",state=\"active\"} 0\n"));
        m.rule_forget("invalid-user");
        assert!(!m.encode().contains("firebell_rule_state{"));
    }

    #[test]
    fn the_lag_of_a_partition_that_left_is_forgotten() {
        let m = full();
        m.lag("SYSLOG", i32::MIN, 1, -3.0);
        assert!(m.encode().contains("partition=\"-2147483648\"} 0.0\n"));
        m.lag_forget("SYSLOG", 0);
        m.lag_forget("SYSLOG", i32::MIN);
        assert!(!m.encode().contains("firebell_lag_records{"));
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let m = Metrics::new();
        m.records("a\"} 1\nx{y=\"", 1);
        assert!(m.encode().contains(r#"firebell_records_total{topic="a\"} 1\nx{y=\""} 1"#));
    }
}
