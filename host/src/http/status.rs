//! What the page shows, as JSON: counts, readiness, and what only the running host knows.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::state::query::{Answer, Question};
use crate::telemetry::{
    ChannelCounts, Metrics, Readiness, RuleCounts, RuleState, Snapshot, TopicCounts,
};

/// What only the running host knows; it is asked for once a request.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// `kafka.group_id`.
    pub group_id: String,
    /// `kafka.instance_id`.
    pub instance_id: String,
    /// The rules by name, and those that could not be loaded.
    pub rules: Vec<RuleStatus>,
    /// How messages reach Slack.
    pub delivery: DeliveryStatus,
    /// What is wrong now, newest first; the log's last warnings are shown beside it.
    pub problems: Vec<ProblemStatus>,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct RuleStatus {
    /// Its name.
    pub name: String,
    /// Its version: hex SHA-256; empty = it was never loaded.
    pub version: String,
    /// The state that it is in.
    pub state: RuleState,
    /// Topics that it reads.
    pub topics: Vec<String>,
    /// Why it is quarantined or rejected, or what it failed on last, in the author's words; a line
    /// for each.
    pub problem: Option<String>,
}

/// How messages reach Slack.
#[derive(Debug, Clone, Default)]
pub struct DeliveryStatus {
    /// `bot`, `webhook`, or `off` when this host does not deliver.
    pub mode: &'static str,
    /// Why it is paused; `None` = it is not.
    pub paused: Option<String>,
}

/// Something that went wrong.
#[derive(Debug, Clone)]
pub struct ProblemStatus {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The part of the host, or the rule.
    pub source: String,
    /// What, and the cure.
    pub message: String,
}

/// Where the pages get what they show.
#[derive(Clone)]
pub struct Pages {
    /// The counts.
    pub metrics: Metrics,
    /// Which parts can work.
    pub readiness: Readiness,
    /// What only the running host knows; it must not wait for anything.
    pub status: Arc<dyn Fn() -> Status + Send + Sync>,
    /// What rules keep, read from Kafka; it may take its time. An error is a sentence.
    pub state: StateReader,
}

/// Answers questions about what rules keep.
pub type StateReader = Arc<dyn Fn(&Question) -> Result<Answer, String> + Send + Sync>;

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

impl Pages {
    /// `/api/status`: the page's own wire form, which may change with every version.
    pub(super) fn to_json(&self) -> Value {
        let status = (self.status)();
        let snapshot = self.metrics.snapshot();
        let ready = self.readiness.snapshot();
        let parts: Vec<Value> = ready
            .parts
            .iter()
            .map(|(part, reason)| json!({"name": part, "reason": reason}))
            .collect();
        let rules: Vec<Value> =
            status.rules.iter().map(|rule| rule_json(rule, &snapshot)).collect();
        let topics: Vec<Value> =
            snapshot.topics.iter().map(|(topic, counts)| topic_json(topic, counts)).collect();
        let channels: Vec<Value> =
            snapshot.channels.iter().map(|(name, counts)| channel_json(name, counts)).collect();
        let problems = self.problems(&status.problems);
        // What is not paused may still wait for something; that is for readiness to tell.
        let paused = status.delivery.paused.unwrap_or_else(|| "see the log".into());
        let paused = snapshot.delivery_paused.then_some(paused);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "group_id": status.group_id,
            "instance_id": status.instance_id,
            "started_ms": snapshot.started_ms,
            "now_ms": snapshot.now_ms,
            "ready": ready.is_ready(),
            "parts": parts,
            "generation": snapshot.generation,
            "counts": counts_json(&snapshot),
            "rules": rules,
            "topics": topics,
            "delivery": {
                "mode": status.delivery.mode,
                "paused": paused,
                "channels": channels,
                "errors": snapshot.slack_errors,
            },
            "kafka_errors": snapshot.kafka_errors,
            "reloads": snapshot.reloads,
            "problems": problems,
        })
    }
}

impl Pages {
    /// What is wrong now, then what the log said last, newest first.
    fn problems(&self, now: &[ProblemStatus]) -> Vec<Value> {
        let of_now = now.iter().map(
            |p| json!({"at_ms": p.at_ms, "source": p.source, "message": p.message, "count": 1}),
        );
        let recent = self.metrics.recent_problems().list();
        let said = |message: &str| now.iter().any(|problem| message.contains(&problem.message));
        let logged = recent.iter().filter(|p| !said(&p.message)).map(|p| {
            json!({"at_ms": p.at_ms, "source": p.source, "message": p.message, "count": p.count})
        });
        of_now.chain(logged).collect()
    }
}

/// Totals since the start.
fn counts_json(s: &Snapshot) -> Value {
    json!({
        "records": s.records,
        "undecodable": s.undecodable,
        "matched": s.matched,
        "calls": s.calls,
        "call_failures": s.call_failures,
        "notifications": s.notifications,
        "emitted": s.emitted,
        "dead_letters": s.dead_letters,
        "commits": s.commits,
        "commit_seconds": s.commit_seconds,
        "delivered": s.delivered,
        "delivery_seconds": s.delivery_seconds,
        "outbox_pending": s.outbox_pending,
        "lag_records": s.lag_records(),
        "lag_seconds": s.lag_seconds(),
        "canary_age_seconds": s.canary_age_seconds(),
    })
}

fn rule_json(rule: &RuleStatus, snapshot: &Snapshot) -> Value {
    let none = RuleCounts::default();
    let counts = snapshot.rules.get(&rule.name).unwrap_or(&none);
    json!({
        "name": rule.name,
        "version": rule.version,
        "state": rule.state.as_str(),
        "topics": rule.topics,
        "problem": rule.problem,
        "matched": counts.matched,
        "calls": counts.calls,
        "call_seconds": counts.call_seconds,
        "fuel": counts.fuel,
        "failures": counts.failures,
        "type_mismatches": counts.type_mismatches,
        "notifications": counts.notifications,
        "emitted": counts.emitted,
    })
}

fn topic_json(topic: &str, counts: &TopicCounts) -> Value {
    let partitions: Vec<Value> = counts
        .partitions
        .iter()
        .map(|(n, lag)| json!({"partition": n, "records": lag.records, "seconds": lag.seconds}))
        .collect();
    json!({
        "name": topic,
        "records": counts.records,
        "undecodable": counts.undecodable,
        "partitions": partitions,
    })
}

fn channel_json(name: &str, counts: &ChannelCounts) -> Value {
    json!({"name": name, "posts": counts.posts})
}
