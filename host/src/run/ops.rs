//! What is wrong with a running host, looked at again and again and written to the outbox.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::canary::{RULE, late_after};
use crate::causes::with_causes;
use crate::config::{CanaryConfig, Config, OpsConfig};
use crate::delivery::common::now_ms;
use crate::kafka::ClientState;
use crate::ledger::kafka::Writer;
use crate::ledger::open::OpenAlerts;
use crate::notification::Severity;
use crate::ops::{Condition, Ops};
use crate::outbox::{Entry, partition_of};
use crate::policy::live::LivePolicy;
use crate::record::OutgoingRecord;
use crate::rules::library::View;
use crate::telemetry::{Metrics, Readiness, Snapshot};
use crate::topics::{InternalTopics, Partitions};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// The time over which dead letters are counted, milliseconds.
const MINUTE_MS: i64 = 60_000;
/// Lines of a condition's detail.
const LINES_MAX: usize = 10;

const RULES: &str = "rules";
const POLICY: &str = "policy";
const DEAD_LETTERS: &str = "dead letters";
const LAG: &str = "lag";
const DELIVERY: &str = "delivery";
const CANARY: &str = "canary";

/// Where it looks.
pub(super) struct Sources {
    pub(super) config: Arc<Config>,
    /// `None` = this host does not evaluate.
    pub(super) view: Option<View>,
    pub(super) policy: LivePolicy,
    /// Which partitions of the outbox are this host's own.
    pub(super) open: OpenAlerts,
    pub(super) metrics: Metrics,
    pub(super) readiness: Readiness,
}

/// Looks until `stop`; does nothing where no channel is configured.
pub(super) async fn follow(sources: Sources, partitions: Partitions, stop: CancellationToken) {
    let config = Arc::clone(&sources.config);
    let Some(ops_config) = &config.ops else { return };
    let kafka = &config.kafka;
    let (metrics, readiness) = (sources.metrics.clone(), sources.readiness.clone());
    let client = Arc::new(ClientState::new("kafka", kafka, metrics, readiness));
    let writer = match Writer::new(kafka, client) {
        Ok(writer) => writer,
        Err(error) => {
            tracing::error!("the host's own alerts cannot be told: {}", with_causes(&error));
            return;
        }
    };
    let outbox = InternalTopics::of(&kafka.group_id).outbox;
    let mut ops = Ops::new(&kafka.group_id, &ops_config.channel, sources.subjects(), now_ms());
    let (mut letters, mut watch) = (Letters::default(), Watch::default());
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        let now_ms = now_ms();
        let mut wrong = sources.wrong(ops_config, &mut letters, now_ms);
        let mut unsure = Vec::new();
        if let Some(canary) = &ops_config.canary {
            let partition = partition_of(&canary.channel, partitions.outbox);
            if watch.look(sources.open.has(partition), now_ms) {
                ops.may_be_left(CANARY);
            }
            match watch.sees(canary.interval, sources.metrics.snapshot().canary_sent_ms, now_ms) {
                Sight::Missing => wrong.push(missing(canary)),
                Sight::Unsure => unsure.push(CANARY),
                Sight::Arrives => {}
            }
        }
        for entry in ops.look(wrong, &unsure, now_ms) {
            let record = record(&entry, &outbox, partitions.outbox);
            // What is not written is said again in some minutes.
            if let Err(error) = writer.write(&record).await {
                tracing::warn!("an alert of the host's own is not told: {}", with_causes(&error));
            }
        }
    }
}

fn record(entry: &Entry, outbox: &Arc<str>, partitions: i32) -> OutgoingRecord {
    OutgoingRecord {
        topic: Arc::clone(outbox),
        partition: Some(partition_of(&entry.channel, partitions)),
        key: Some(entry.key()),
        value: Some(entry.to_bytes()),
        headers: Vec::new(),
        timestamp_ms: None,
    }
}

/// The dead letters of the last minute.
#[derive(Debug, Default)]
struct Letters(VecDeque<(i64, u64)>);

impl Letters {
    /// How many came in the last minute, when so many came since the start.
    fn of_a_minute(&mut self, now_ms: i64, all: u64) -> u64 {
        self.0.push_back((now_ms, all));
        while self.0.get(1).is_some_and(|(at, _)| now_ms - at >= MINUTE_MS) {
            self.0.pop_front();
        }
        self.0.front().map_or(0, |(_, before)| all.saturating_sub(*before))
    }
}

/// Looking out for the canary: only the host that has its channel can see it.
#[derive(Debug, Default)]
struct Watch {
    /// Since when this is that host, milliseconds since the Unix epoch.
    since_ms: Option<i64>,
}

/// What is seen of the canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// It arrives.
    Arrives,
    /// It should have arrived.
    Missing,
    /// Another host sees it, or it may still arrive.
    Unsure,
}

impl Watch {
    /// Whether its channel is this host's own now; true when that is new.
    fn look(&mut self, is_ours: bool, now_ms: i64) -> bool {
        let is_new = is_ours && self.since_ms.is_none();
        self.since_ms = self.since_ms.or(Some(now_ms)).filter(|_| is_ours);
        is_new
    }

    /// What is seen when the one that arrived last was sent at `sent_ms`.
    fn sees(&self, interval: Duration, sent_ms: Option<u64>, now_ms: i64) -> Sight {
        let Some(since_ms) = self.since_ms else { return Sight::Unsure };
        let sent_ms = sent_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0);
        let limit_ms = i64::try_from(late_after(interval).as_millis()).unwrap_or(i64::MAX);
        match now_ms - sent_ms.max(since_ms) > limit_ms {
            true => Sight::Missing,
            false if sent_ms < since_ms => Sight::Unsure,
            false => Sight::Arrives,
        }
    }
}

fn missing(canary: &CanaryConfig) -> Condition {
    let seconds = late_after(canary.interval).as_secs();
    Condition {
        subject: CANARY.into(),
        severity: Severity::Critical,
        title: format!("the canary is missing: none arrived in {seconds} seconds"),
        detail: format!(
            "records of topic {} may not become messages: look at lag, dead letters and the rule {RULE} \
             on the page, and whether any host evaluates",
            canary.topic
        ),
    }
}

impl Sources {
    /// What may be wrong: what a host before this one may have left open.
    fn subjects(&self) -> Vec<String> {
        let fixed = [RULES, POLICY, DEAD_LETTERS, LAG, DELIVERY, CANARY].map(str::to_owned);
        let rules = self
            .view
            .iter()
            .flat_map(|view| view.current().rules.keys().cloned().collect::<Vec<_>>());
        fixed.into_iter().chain(rules.map(|rule| quarantine(&rule))).collect()
    }

    /// All that is wrong now.
    fn wrong(&self, config: &OpsConfig, letters: &mut Letters, now_ms: i64) -> Vec<Condition> {
        let snapshot = self.metrics.snapshot();
        let mut wrong = Vec::new();
        if let Some(view) = &self.view {
            wrong.extend(quarantined(view));
            wrong.extend(bad_files(view));
        }
        wrong.extend(self.policy.problem().map(|(_, told)| Condition {
            subject: POLICY.into(),
            severity: Severity::Error,
            title: "the policy's file is wrong; the old policy holds on".into(),
            detail: lines(told.lines()),
        }));
        let of_a_minute = letters.of_a_minute(now_ms, snapshot.dead_letters);
        if of_a_minute > config.dead_letters_per_minute {
            let limit = config.dead_letters_per_minute;
            wrong.push(Condition {
                subject: DEAD_LETTERS.into(),
                severity: Severity::Error,
                title: format!("more than {limit} dead letters in a minute"),
                detail:
                    "records or notifications are given up; the dead-letter topic has them, each \
                         with the reason in its headers"
                        .into(),
            });
        }
        wrong.extend(late(&snapshot, config.lag_seconds));
        if snapshot.delivery_paused {
            let parts = self.readiness.snapshot().parts;
            let why = parts.get("delivery").cloned().flatten();
            wrong.push(Condition {
                subject: DELIVERY.into(),
                severity: Severity::Critical,
                title: "delivery to slack is paused".into(),
                detail: why.unwrap_or_else(|| "nothing is lost, nothing is sent".into()),
            });
        }
        wrong
    }
}

fn quarantine(rule: &str) -> String {
    format!("quarantine {rule}")
}

fn quarantined(view: &View) -> Vec<Condition> {
    let set = view.current();
    let rules = set.rules.values().filter(|rule| rule.health.is_quarantined());
    let condition = |rule: &Arc<crate::rules::Rule>| {
        let failure = rule.health.last_failure();
        let last = failure.map(|failure| {
            format!("{} on {}: {}", failure.reason.as_str(), failure.record, failure.message)
        });
        Condition {
            subject: quarantine(&rule.name),
            severity: Severity::Error,
            title: format!("rule {} is quarantined until its file changes", rule.name),
            detail: last.unwrap_or_default(),
        }
    };
    rules.map(condition).collect()
}

/// Files that cannot be loaded, and versions that were rolled back.
fn bad_files(view: &View) -> Option<Condition> {
    let problems = view.problems();
    if problems.is_empty() {
        return None;
    }
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Some(Condition {
        subject: RULES.into(),
        severity: Severity::Error,
        title: "files of the rules folder are wrong, or were rolled back; what was good runs on"
            .into(),
        detail: lines(told.iter().map(String::as_str)),
    })
}

fn late(snapshot: &Snapshot, limit: u64) -> Option<Condition> {
    let partitions = snapshot.topics.iter().flat_map(|(topic, counts)| {
        counts.partitions.iter().map(move |(number, lag)| (topic, number, lag.seconds))
    });
    let late: Vec<_> = partitions.filter(|(_, _, seconds)| *seconds > limit as f64).collect();
    if late.is_empty() {
        return None;
    }
    let told: Vec<String> =
        late.iter().map(|(topic, number, _)| format!("{topic}/{number}")).collect();
    Some(Condition {
        subject: LAG.into(),
        severity: Severity::Error,
        title: format!("evaluation is more than {limit} seconds behind"),
        detail: lines(told.iter().map(String::as_str)),
    })
}

/// The first lines, and how many more there are.
fn lines<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.collect();
    let mut told = all.iter().take(LINES_MAX).copied().collect::<Vec<_>>().join("\n");
    if all.len() > LINES_MAX {
        told.push_str(&format!("\nand {} more", all.len() - LINES_MAX));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{LagCounts, TopicCounts};

    #[test]
    fn dead_letters_are_those_of_the_last_minute() {
        let mut letters = Letters::default();
        let counts = [(0, 5), (5_000, 7), (60_000, 9), (66_000, 9), (200_000, 9)];
        let told = counts.map(|(now_ms, all)| letters.of_a_minute(now_ms, all));
        // The first look has nothing to compare with.
        assert_eq!(told, [0, 2, 4, 2, 0]);
    }

    #[test]
    fn lag_beyond_the_limit_names_its_partitions() {
        let mut snapshot = Snapshot::default();
        let mut counts = TopicCounts::default();
        for (partition, seconds) in [(0, 10.0), (1, 400.0)] {
            counts.partitions.insert(partition, LagCounts { records: 1, seconds });
        }
        snapshot.topics.insert("SYSLOG".into(), counts);
        assert_eq!(late(&snapshot, 500), None);
        assert_eq!(late(&snapshot, 300).unwrap().detail, "SYSLOG/1");
    }

    #[test]
    fn a_canary_is_missed_by_the_host_that_has_its_channel_and_only_after_a_while() {
        let (mut watch, interval) = (Watch::default(), Duration::from_secs(10));
        let sees = |watch: &Watch, sent_ms, now_ms| watch.sees(interval, Some(sent_ms), now_ms);
        assert!(!watch.look(false, 0));
        assert_eq!(sees(&watch, 0, 500_000), Sight::Unsure, "another host sees it");
        assert!(watch.look(true, 500_000) && !watch.look(true, 505_000));
        assert_eq!(sees(&watch, 0, 530_000), Sight::Unsure, "it may still arrive");
        assert_eq!(sees(&watch, 0, 530_001), Sight::Missing);
        assert_eq!(sees(&watch, 531_000, 532_000), Sight::Arrives);
        assert_eq!(sees(&watch, 531_000, 561_001), Sight::Missing);
        assert!(!watch.look(false, 562_000));
        assert_eq!(sees(&watch, 531_000, 600_000), Sight::Unsure);
        assert!(watch.look(true, 601_000), "it comes back");
        assert_eq!(sees(&watch, 531_000, 602_000), Sight::Unsure);
    }

    #[test]
    fn long_lists_are_cut() {
        let all: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        assert!(lines(all.iter().map(String::as_str)).ends_with("9\nand 2 more"));
    }
}
