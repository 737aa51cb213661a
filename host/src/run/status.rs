//! What the page shows of a running host.

use std::sync::Arc;

use crate::config::{Config, SlackMode};
use crate::evaluation::health::State;
use crate::http::{DeliveryStatus, ProblemStatus, RuleStatus, Status};
use crate::rules::library::View;
use crate::rules::{Mode, Rule};
use crate::telemetry::{Readiness, RuleState};

/// The host's status at this moment.
pub(super) fn status(config: &Config, view: Option<&View>, readiness: &Readiness) -> Status {
    let parts = readiness.snapshot().parts;
    let mode = match (&config.slack, view) {
        (Some(slack), _) => match slack.mode {
            SlackMode::Bot { .. } => "bot",
            SlackMode::Webhook(_) => "webhook",
        },
        (None, _) => "off",
    };
    let paused = parts.get("delivery").cloned().flatten();
    let mut status = Status {
        group_id: config.kafka.group_id.clone(),
        instance_id: config.kafka.instance_id.clone(),
        rules: Vec::new(),
        delivery: DeliveryStatus { mode, paused },
        problems: Vec::new(),
    };
    let Some(view) = view else { return status };
    let set = view.current();
    status.rules = set.rules.values().map(rule_status).collect();
    for problem in view.problems().iter() {
        let since = problem.since.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        status.problems.push(ProblemStatus {
            at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            source: problem.file.display().to_string(),
            message: problem.to_string(),
        });
    }
    status
}

fn rule_status(rule: &Arc<Rule>) -> RuleStatus {
    let state = match (rule.health.state(), rule.mode) {
        (State::Quarantined, _) => RuleState::Quarantined,
        (_, Mode::Active) => RuleState::Active,
        (_, Mode::Shadow) => RuleState::Shadow,
        (_, Mode::Paused) => RuleState::Paused,
    };
    let failure = rule.health.last_failure();
    RuleStatus {
        name: rule.name.to_string(),
        version: rule.version.clone(),
        state,
        topics: rule.subscription.topics.iter().map(ToString::to_string).collect(),
        problem: failure.map(|failure| {
            format!("{} on {}: {}", failure.reason.as_str(), failure.record, failure.message)
        }),
    }
}
