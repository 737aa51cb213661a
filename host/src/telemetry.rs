//! What the host counts and says about itself: Prometheus metrics and readiness.
//!
//! The only place that knows metric names; `docs/metrics.md` lists them (a test compares the two).
//! Labels are names of topics, rules and channels and words from closed lists, never text from a
//! record, and never a [`crate::secret::Secret`], which does not lend its text as a label.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

mod histogram;
mod process;
mod readiness;
mod series;
mod snapshot;

pub use readiness::{Readiness, ReadinessSnapshot};
pub use snapshot::{ChannelCounts, LagCounts, RuleCounts, Snapshot, TopicCounts};

use histogram::Histogram;
use series::{CounterCell, FloatGauge, Series};

/// Seconds of one call of a rule with a batch; a cell costs about 15 ns, a batch some 10 µs.
const CALL_BUCKETS: &[f64] = &[1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0];

/// Seconds of one Kafka transaction's commit; 5 ms are usual on a near broker.
const COMMIT_BUCKETS: &[f64] =
    &[1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0];

/// Seconds from an outbox entry's writing to Slack's yes; pacing alone may take minutes.
const DELIVERY_BUCKETS: &[f64] =
    &[5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];

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
    started_ms: u64,
    records: Series<1, CounterCell>,
    undecodable: Series<1, CounterCell>,
    matched: Series<2, CounterCell>,
    calls: Series<2, CounterCell>,
    call_seconds: Series<1, Histogram>,
    fuel: Series<1, CounterCell>,
    call_failures: Series<2, CounterCell>,
    type_mismatches: Series<1, CounterCell>,
    log_lines_dropped: Series<1, CounterCell>,
    notifications: Series<2, CounterCell>,
    emitted: Series<2, CounterCell>,
    dead_letters: Series<2, CounterCell>,
    commit_seconds: Series<1, Histogram>,
    lag_records: Series<2, Gauge>,
    lag_seconds: Series<2, FloatGauge>,
    posts: Series<2, CounterCell>,
    slack_errors: Series<1, CounterCell>,
    delivery_seconds: Histogram,
    outbox_pending: Gauge,
    delivery_paused: Gauge,
    reloads: Series<1, CounterCell>,
    generation: Gauge,
    rule_state: Series<2, Gauge>,
    kafka_errors: Series<1, CounterCell>,
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
        let r = &mut registry;
        let counter = CounterCell::default;
        let call_histogram = || Histogram::new(CALL_BUCKETS);
        let commit_histogram = || Histogram::new(COMMIT_BUCKETS);
        let inner = Inner {
            records: Series::register(
                r,
                "firebell_records",
                "Records read from Kafka and evaluated",
                ["topic"],
                counter,
            ),
            undecodable: Series::register(
                r,
                "firebell_undecodable_records",
                "Records whose value could not be decoded",
                ["topic"],
                counter,
            ),
            matched: Series::register(
                r,
                "firebell_matched_records",
                "Records that passed a rule's condition",
                ["rule", "topic"],
                counter,
            ),
            calls: Series::register(
                r,
                "firebell_rule_calls",
                "Calls of a rule, a batch each, by outcome",
                ["rule", "outcome"],
                counter,
            ),
            call_seconds: Series::register(
                r,
                "firebell_rule_call_seconds",
                "Seconds of one call of a rule",
                ["rule"],
                call_histogram,
            ),
            fuel: Series::register(
                r,
                "firebell_rule_fuel",
                "Fuel burnt by a rule, about one a wasm instruction",
                ["rule"],
                counter,
            ),
            call_failures: Series::register(
                r,
                "firebell_rule_call_failures",
                "Failed calls of a rule, by reason",
                ["rule", "reason"],
                counter,
            ),
            type_mismatches: Series::register(
                r,
                "firebell_rule_type_mismatches",
                "Cells that were null because the field had another type than the rule declares",
                ["rule"],
                counter,
            ),
            log_lines_dropped: Series::register(
                r,
                "firebell_rule_log_lines_dropped",
                "Log lines of a rule over its limit",
                ["rule"],
                counter,
            ),
            notifications: Series::register(
                r,
                "firebell_notifications",
                "Notifications that rules decided and the outbox took",
                ["rule", "severity"],
                counter,
            ),
            emitted: Series::register(
                r,
                "firebell_emitted_records",
                "Records that rules wrote to topics",
                ["rule", "topic"],
                counter,
            ),
            dead_letters: Series::register(
                r,
                "firebell_dead_letters",
                "Records and notifications given to the dead-letter topic",
                ["stage", "reason"],
                counter,
            ),
            commit_seconds: Series::register(
                r,
                "firebell_commit_seconds",
                "Seconds of one commit of effects and offsets",
                ["outcome"],
                commit_histogram,
            ),
            lag_records: Series::register(
                r,
                "firebell_lag_records",
                "Records between the position of evaluation and the end of the partition",
                ["topic", "partition"],
                Gauge::default,
            ),
            lag_seconds: Series::register(
                r,
                "firebell_lag_seconds",
                "Age of the record that was evaluated last, 0 when there is no newer one",
                ["topic", "partition"],
                FloatGauge::default,
            ),
            posts: Series::register(
                r,
                "firebell_slack_posts",
                "Notifications answered by Slack or given up, by outcome",
                ["channel", "outcome"],
                counter,
            ),
            slack_errors: Series::register(
                r,
                "firebell_slack_errors",
                "Errors that Slack answered, or that kept it from answering",
                ["class"],
                counter,
            ),
            delivery_seconds: Histogram::new(DELIVERY_BUCKETS),
            outbox_pending: Gauge::default(),
            delivery_paused: Gauge::default(),
            reloads: Series::register(
                r,
                "firebell_reloads",
                "Reloads of the rules folder, by outcome",
                ["outcome"],
                counter,
            ),
            generation: Gauge::default(),
            rule_state: Series::register(
                r,
                "firebell_rule_state",
                "1 for the state that a rule is in, 0 for the others",
                ["rule", "state"],
                Gauge::default,
            ),
            kafka_errors: Series::register(
                r,
                "firebell_kafka_errors",
                "Errors that the Kafka client reported, by code",
                ["code"],
                counter,
            ),
            started_ms: now_ms(),
            // Put in below, when all is registered.
            registry: Registry::default(),
        };
        r.register(
            "firebell_delivery_seconds",
            "Seconds from the writing of an outbox entry to Slack's yes",
            inner.delivery_seconds.clone(),
        );
        r.register(
            "firebell_outbox_pending_entries",
            "Outbox entries that are read and not yet answered",
            inner.outbox_pending.clone(),
        );
        r.register(
            "firebell_delivery_paused",
            "1 while delivery is paused, for example by a refused token",
            inner.delivery_paused.clone(),
        );
        r.register(
            "firebell_rule_set_generation",
            "Generation of the rule set that is published",
            inner.generation.clone(),
        );
        let build = Series::register(
            r,
            "firebell_build_info",
            "1, with the version of this build",
            ["version"],
            Gauge::<i64>::default,
        );
        build.with([env!("CARGO_PKG_VERSION")], |gauge| gauge.set(1));
        process::register(r, inner.started_ms);
        Self { inner: Arc::new(Inner { registry, ..inner }) }
    }

    /// `n` records of a topic were read and evaluated.
    pub fn records(&self, topic: &str, n: u64) {
        self.inner.records.add([topic], n);
    }

    /// `n` records of a topic could not be decoded.
    pub fn undecodable(&self, topic: &str, n: u64) {
        self.inner.undecodable.add([topic], n);
    }

    /// `n` records of a topic passed a rule's condition.
    pub fn matched(&self, rule: &str, topic: &str, n: u64) {
        self.inner.matched.add([rule, topic], n);
    }

    /// A rule was called with a batch; `outcome` is `ok` or `failed`.
    pub fn call(&self, rule: &str, outcome: &'static str, seconds: f64) {
        self.inner.calls.add([rule, outcome], 1);
        self.inner.call_seconds.with([rule], |histogram| histogram.observe(seconds));
    }

    /// A rule burnt `n` fuel.
    pub fn fuel(&self, rule: &str, n: u64) {
        self.inner.fuel.add([rule], n);
    }

    /// `n` calls of a rule failed for a reason, a word of the engine's closed list.
    pub fn call_failures(&self, rule: &str, reason: &'static str, n: u64) {
        self.inner.call_failures.add([rule, reason], n);
    }

    /// `n` cells were null because the field's value had another type than the rule declares.
    pub fn type_mismatches(&self, rule: &str, n: u64) {
        self.inner.type_mismatches.add([rule], n);
    }

    /// `n` notifications of a rule were decided.
    pub fn notifications(&self, rule: &str, severity: &'static str, n: u64) {
        self.inner.notifications.add([rule, severity], n);
    }

    /// A rule wrote `n` records to a topic.
    pub fn emitted(&self, rule: &str, topic: &str, n: u64) {
        self.inner.emitted.add([rule, topic], n);
    }

    /// `n` dead letters were written.
    pub fn dead_letters(&self, stage: &'static str, reason: &'static str, n: u64) {
        self.inner.dead_letters.add([stage, reason], n);
    }

    /// A commit of effects and offsets ended; `outcome` is `committed`, `aborted` or `failed`.
    pub fn commit(&self, outcome: &'static str, seconds: f64) {
        self.inner.commit_seconds.with([outcome], |histogram| histogram.observe(seconds));
    }

    /// How far evaluation is behind the end of a partition, in records and in seconds of event time.
    pub fn lag(&self, topic: &str, partition: i32, records: i64, seconds: f64) {
        let mut digits = [0; 11];
        let partition = decimal(partition, &mut digits);
        self.inner.lag_records.with([topic, partition], |gauge| gauge.set(records.max(0)));
        self.inner.lag_seconds.with([topic, partition], |gauge| gauge.set(seconds.max(0.0)));
    }

    /// A partition went to another host: its lag is no longer ours to tell.
    pub fn lag_forget(&self, topic: &str, partition: i32) {
        let mut digits = [0; 11];
        let partition = decimal(partition, &mut digits);
        self.inner.lag_records.remove([topic, partition]);
        self.inner.lag_seconds.remove([topic, partition]);
    }

    /// `n` notifications for a channel ended; `outcome` is a word of delivery's closed list.
    pub fn posts(&self, channel: &str, outcome: &'static str, n: u64) {
        self.inner.posts.add([channel, outcome], n);
    }

    /// `n` errors of a class came from Slack, or kept it from answering.
    pub fn slack_errors(&self, class: &'static str, n: u64) {
        self.inner.slack_errors.add([class], n);
    }

    /// An outbox entry was answered by Slack, so many seconds after it was written.
    pub fn delivery_seconds(&self, seconds: f64) {
        self.inner.delivery_seconds.observe(seconds);
    }

    /// Outbox entries that are read and not yet answered.
    pub fn outbox_pending(&self, n: u64) {
        self.inner.outbox_pending.set(signed(n));
    }

    /// Whether delivery is paused, for example by a refused token.
    pub fn delivery_paused(&self, paused: bool) {
        self.inner.delivery_paused.set(i64::from(paused));
    }

    /// `n` reloads of the rules folder ended; `outcome` is `swapped`, `unchanged` or `rejected`.
    pub fn reloads(&self, outcome: &'static str, n: u64) {
        self.inner.reloads.add([outcome], n);
    }

    /// The generation of the rule set that is published.
    pub fn generation(&self, n: u64) {
        self.inner.generation.set(signed(n));
    }

    /// The state that a rule is in.
    pub fn rule_state(&self, rule: &str, state: RuleState) {
        for each in RuleState::ALL {
            self.inner
                .rule_state
                .with([rule, each.as_str()], |gauge| gauge.set(i64::from(each == state)));
        }
    }

    /// A rule's files are gone: it is in no state. Its counters stay, as Prometheus expects.
    pub fn rule_forget(&self, rule: &str) {
        for state in RuleState::ALL {
            self.inner.rule_state.remove([rule, state.as_str()]);
        }
    }

    /// `n` log lines of a rule were over its limit.
    pub fn log_lines_dropped(&self, rule: &str, n: u64) {
        self.inner.log_lines_dropped.add([rule], n);
    }

    /// The Kafka client reported an error `n` times, by librdkafka's name of it.
    pub fn kafka_errors(&self, code: &str, n: u64) {
        self.inner.kafka_errors.add([code], n);
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

/// Writes a number into a buffer that is large enough for it.
fn decimal(number: i32, digits: &mut [u8; 11]) -> &str {
    use std::io::Write as _;
    let mut rest = &mut digits[..];
    let written = match write!(rest, "{number}") {
        Ok(()) => 11 - rest.len(),
        Err(_) => 0,
    };
    std::str::from_utf8(&digits[..written]).unwrap_or("")
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
        m.emitted("invalid-user", "SYSLOG_INVALID_USERS", 2);
        m.dead_letters("decode", "invalid_json", 1);
        m.commit("committed", 0.005);
        m.lag("SYSLOG", 0, 12, 0.5);
        m.posts("general", "posted", 1);
        m.slack_errors("throttled", 1);
        m.delivery_seconds(0.02);
        m.outbox_pending(3);
        m.delivery_paused(true);
        m.reloads("swapped", 1);
        m.generation(2);
        m.rule_state("invalid-user", RuleState::Active);
        m.log_lines_dropped("invalid-user", 1);
        m.kafka_errors("AllBrokersDown", 1);
        m
    }

    /// Metric family names as `# TYPE` lines tell them, counters with their `_total`.
    fn exposed(text: &str) -> Vec<String> {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types
            .map(|line| match line.split_once(' ').unwrap() {
                (name, "counter") => format!("{name}_total"),
                (name, _) => name.to_owned(),
            })
            .collect()
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
