//! Every metric: its name, its labels and what it tells.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};

use super::histogram::Histogram;
use super::series::{CounterCell, FloatGauge, Series};

/// Seconds of one call of a rule with a batch; a cell costs about 15 ns, a batch some 10 µs.
const CALL_BUCKETS: &[f64] = &[1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0];

/// Seconds of one Kafka transaction's commit; 5 ms are usual on a near broker.
const COMMIT_BUCKETS: &[f64] =
    &[1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0];

/// Seconds of one swap of rule sets on a worker's thread; some microseconds, unless state is migrated.
const SWAP_BUCKETS: &[f64] =
    &[1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 0.1, 1.0];

/// Seconds from an outbox entry's writing to Slack's yes; pacing alone may take minutes.
const DELIVERY_BUCKETS: &[f64] =
    &[5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];

/// What is counted of reading and evaluating.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) records: Series<1, CounterCell>,
    pub(super) undecodable: Series<1, CounterCell>,
    pub(super) matched: Series<2, CounterCell>,
    pub(super) lag_records: Series<2, Gauge>,
    pub(super) lag_seconds: Series<2, FloatGauge>,
    pub(super) commit_seconds: Series<1, Histogram>,
    pub(super) kafka_errors: Series<1, CounterCell>,
    pub(super) standstill: Series<2, Gauge>,
    pub(super) restored: Series<0, CounterCell>,
    pub(super) restore_seconds: Series<0, Histogram>,
    pub(super) swap_seconds: Series<0, Histogram>,
}

/// What is counted of rules.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) calls: Series<2, CounterCell>,
    pub(super) call_seconds: Series<1, Histogram>,
    pub(super) fuel: Series<1, CounterCell>,
    pub(super) call_failures: Series<2, CounterCell>,
    pub(super) type_mismatches: Series<1, CounterCell>,
    pub(super) log_lines_dropped: Series<1, CounterCell>,
    pub(super) late: Series<2, CounterCell>,
    pub(super) late_crossings: Series<2, CounterCell>,
    pub(super) notifications: Series<2, CounterCell>,
    pub(super) stale: Series<1, CounterCell>,
    pub(super) emitted: Series<2, CounterCell>,
    pub(super) dead_letters: Series<2, CounterCell>,
    pub(super) state: Series<2, Gauge>,
    pub(super) reloads: Series<1, CounterCell>,
    pub(super) policy_reloads: Series<1, CounterCell>,
    pub(super) generation: Gauge,
}

/// What is counted of delivery.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) posts: Series<2, CounterCell>,
    pub(super) slack_errors: Series<1, CounterCell>,
    pub(super) unclear: Series<2, CounterCell>,
    pub(super) storms: Series<1, CounterCell>,
    pub(super) suppressed: Series<1, CounterCell>,
    pub(super) refused: Series<1, Gauge>,
    pub(super) sink_posts: Series<2, CounterCell>,
    pub(super) sink_errors: Series<2, CounterCell>,
    pub(super) history_dropped: Series<0, CounterCell>,
    pub(super) seconds: Histogram,
    pub(super) canary_seconds: Histogram,
    pub(super) canary_pings: Series<1, CounterCell>,
    pub(super) pending: Gauge,
    pub(super) paused: Gauge,
}

/// Gives metrics to the registry, each with its whole name (but for the `_total` of counters, which
/// the exposition appends).
struct Catalogue<'r>(&'r mut Registry);

impl Catalogue<'_> {
    fn counter<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Series<N, CounterCell> {
        self.put(name, help, Series::new(labels, CounterCell::default))
    }

    fn gauge<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Series<N, Gauge> {
        self.put(name, help, Series::new(labels, Gauge::default))
    }

    fn put<M: Metric + Clone>(&mut self, name: &'static str, help: &'static str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

impl Reading {
    /// Registers these metrics.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let mut c = Catalogue(registry);
        let records = "Records read from Kafka and evaluated";
        let undecodable = "Records whose value could not be decoded";
        let matched = "Records that passed a rule's condition";
        let lag = "Records between the position of evaluation and the end of the partition";
        let lag_seconds = "Age of the record that was evaluated last, 0 when there is no newer one";
        let commits = "Seconds of one commit of effects and offsets";
        let kafka_errors = "Errors that the Kafka client reported, by code";
        let standstill = "1 while a silent partition's time waits, since silence may be our lag";
        let restored = "Entries of rules' state that were restored from the changelog";
        let restores = "Seconds of one restore of rules' state";
        let restore_histogram = Series::new([], || Histogram::new(COMMIT_BUCKETS));
        let swaps = "Seconds for which a worker stopped to take a rule set up";
        let swap_histogram = Series::new([], || Histogram::new(SWAP_BUCKETS));
        let float = Series::new(["topic", "partition"], FloatGauge::default);
        let histogram = Series::new(["outcome"], || Histogram::new(COMMIT_BUCKETS));
        Self {
            records: c.counter("firebell_records", ["topic"], records),
            undecodable: c.counter("firebell_undecodable_records", ["topic"], undecodable),
            matched: c.counter("firebell_matched_records", ["rule", "topic"], matched),
            lag_records: c.gauge("firebell_lag_records", ["topic", "partition"], lag),
            lag_seconds: c.put("firebell_lag_seconds", lag_seconds, float),
            commit_seconds: c.put("firebell_commit_seconds", commits, histogram),
            kafka_errors: c.counter("firebell_kafka_errors", ["code"], kafka_errors),
            standstill: c.gauge("firebell_time_stands_still", ["topic", "partition"], standstill),
            restored: c.counter("firebell_restored_entries", [], restored),
            restore_seconds: c.put("firebell_restore_seconds", restores, restore_histogram),
            swap_seconds: c.put("firebell_swap_seconds", swaps, swap_histogram),
        }
    }
}

impl Rules {
    /// Registers these metrics.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let mut c = Catalogue(registry);
        let calls = "Calls of a rule, a batch each, by outcome";
        let call_seconds = "Seconds of one call of a rule";
        let fuel = "Fuel burnt by a rule, about one a wasm instruction";
        let failures = "Failed calls of a rule, by reason";
        let mismatches = "Cells that were null because the field had another type than declared";
        let dropped = "Log lines of a rule over its limit";
        let late = "Records that came too late for a window";
        let crossings = "Late records with which a closed window would have told its rule";
        let notifications = "Notifications that rules decided, also those too old to be posted";
        let stale = "Alerts that were too old to be posted, told in a digest";
        let emitted = "Records that rules wrote to topics";
        let dead_letters = "Records and notifications given to the dead-letter topic";
        let state = "1 for the state that a rule is in, 0 for the others";
        let reloads = "Reloads of the rules folder, by outcome";
        let policies = "Reloads of the policy's file, by outcome";
        let generation = "Generation of the rule set that is published";
        let histogram = Series::new(["rule"], || Histogram::new(CALL_BUCKETS));
        Self {
            calls: c.counter("firebell_rule_calls", ["rule", "outcome"], calls),
            call_seconds: c.put("firebell_rule_call_seconds", call_seconds, histogram),
            fuel: c.counter("firebell_rule_fuel", ["rule"], fuel),
            call_failures: c.counter("firebell_rule_call_failures", ["rule", "reason"], failures),
            type_mismatches: c.counter("firebell_rule_type_mismatches", ["rule"], mismatches),
            log_lines_dropped: c.counter("firebell_rule_log_lines_dropped", ["rule"], dropped),
            late: c.counter("firebell_late_records", ["rule", "window"], late),
            late_crossings: c.counter("firebell_late_crossings", ["rule", "window"], crossings),
            notifications: c.counter("firebell_notifications", ["rule", "severity"], notifications),
            stale: c.counter("firebell_stale_alerts", ["rule"], stale),
            emitted: c.counter("firebell_emitted_records", ["rule", "topic"], emitted),
            dead_letters: c.counter("firebell_dead_letters", ["stage", "reason"], dead_letters),
            state: c.gauge("firebell_rule_state", ["rule", "state"], state),
            reloads: c.counter("firebell_reloads", ["outcome"], reloads),
            policy_reloads: c.counter("firebell_policy_reloads", ["outcome"], policies),
            generation: c.put("firebell_rule_set_generation", generation, Gauge::default()),
        }
    }
}

impl Delivery {
    /// Registers these metrics.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let mut c = Catalogue(registry);
        let posts = "Notifications answered by Slack or given up, by outcome";
        let errors = "Errors that Slack answered, or that kept it from answering";
        let unclear =
            "Messages of which it was not clear whether Slack has them, and what was done";
        let storms = "Storms: queues that became a tally";
        let suppressed = "Notifications that wait or are over instead of being told, by reason";
        let refused = "1 while a channel is not asked, since it refused again and again";
        let sink_posts = "Notifications taken by other targets or given up, by outcome";
        let sink_errors = "Errors of other targets, or that kept them from answering";
        let dropped = "Events of the history that were not written";
        let seconds = "Seconds from the writing of an outbox entry to Slack's or its target's yes";
        let pending = "Outbox entries that are read and not yet answered";
        let paused = "1 while delivery is paused, for example by a refused token";
        let canary = "Seconds from the sending of a canary to its message";
        let pings = "Pings after a canary, by outcome";
        let histogram = Histogram::new(DELIVERY_BUCKETS);
        let round_trips = Histogram::new(DELIVERY_BUCKETS);
        Self {
            posts: c.counter("firebell_slack_posts", ["channel", "outcome"], posts),
            slack_errors: c.counter("firebell_slack_errors", ["class"], errors),
            unclear: c.counter("firebell_slack_unclear", ["severity", "decision"], unclear),
            storms: c.counter("firebell_storms", ["channel"], storms),
            suppressed: c.counter("firebell_suppressed", ["reason"], suppressed),
            refused: c.gauge("firebell_channel_refused", ["channel"], refused),
            sink_posts: c.counter("firebell_sink_posts", ["target", "outcome"], sink_posts),
            sink_errors: c.counter("firebell_sink_errors", ["target", "class"], sink_errors),
            history_dropped: c.counter("firebell_history_dropped", [], dropped),
            seconds: c.put("firebell_delivery_seconds", seconds, histogram),
            pending: c.put("firebell_outbox_pending_entries", pending, Gauge::default()),
            canary_seconds: c.put("firebell_canary_round_trip_seconds", canary, round_trips),
            canary_pings: c.counter("firebell_canary_pings", ["outcome"], pings),
            paused: c.put("firebell_delivery_paused", paused, Gauge::default()),
        }
    }
}

/// Registers the build's version.
pub(super) fn build(registry: &mut Registry) {
    let help = "1, with the version of this build";
    let build = Catalogue(registry).gauge("firebell_build_info", ["version"], help);
    build.with([env!("CARGO_PKG_VERSION")], |gauge| gauge.set(1));
}
