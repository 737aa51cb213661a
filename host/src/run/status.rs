//! What the page shows of a running host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::{Config, SlackMode};
use crate::evaluation::health::State;
use crate::http::{DeliveryStatus, ProblemStatus, RuleStatus, Status};
use crate::policy::live::LivePolicy;
use crate::rules::library::View;
use crate::rules::{Mode, Problem, Rule, RuleSet};
use crate::telemetry::{Readiness, RuleState};

/// The host's status at this moment.
pub(super) fn status(
    config: &Config,
    view: Option<&View>,
    policy: &LivePolicy,
    readiness: &Readiness,
) -> Status {
    let parts = readiness.snapshot().parts;
    let mode = match (&config.slack, view) {
        (Some(slack), _) => match slack.mode {
            SlackMode::Bot { .. } => "bot",
            SlackMode::Webhook { .. } => "webhook",
        },
        (None, _) if config.sinks.is_empty() => "off",
        (None, _) => "sinks",
    };
    let paused = parts.get("delivery").cloned().flatten();
    let mut status = Status {
        group_id: config.kafka.group_id.clone(),
        instance_id: config.kafka.instance_id.clone(),
        rules: Vec::new(),
        delivery: DeliveryStatus { mode, paused },
        problems: Vec::new(),
    };
    if let Some((since, message)) = policy.problem() {
        let at_ms = millis(since);
        status.problems.push(ProblemStatus { at_ms, source: "policy".into(), message });
    }
    let Some(view) = view else { return status };
    let problems = view.problems();
    status.rules = rules(&view.current(), &problems);
    for problem in problems.iter() {
        status.problems.push(ProblemStatus {
            at_ms: millis(problem.since),
            source: problem.file.display().to_string(),
            message: problem.to_string(),
        });
    }
    status
}

/// Milliseconds since the Unix epoch.
fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The rules that run and those that have files and no good version, by name.
fn rules(set: &RuleSet, problems: &[Problem]) -> Vec<RuleStatus> {
    let mut rules: BTreeMap<&str, RuleStatus> =
        set.rules.iter().map(|(name, rule)| (&**name, rule_status(rule))).collect();
    for problem in problems {
        for name in &problem.missing {
            let rejected = rules.entry(name).or_insert_with(|| rejected(name));
            add_problem(rejected, problem.to_string());
        }
        for name in &problem.kept {
            if let Some(kept) = rules.get_mut(&**name) {
                add_problem(kept, format!("{problem}; the last good version runs on"));
            }
        }
    }
    rules.into_values().collect()
}

fn rejected(name: &str) -> RuleStatus {
    RuleStatus {
        name: name.to_owned(),
        version: String::new(),
        state: RuleState::Rejected,
        topics: Vec::new(),
        problem: None,
    }
}

fn add_problem(rule: &mut RuleStatus, told: String) {
    rule.problem = Some(match rule.problem.take() {
        Some(known) => format!("{known}\n{told}"),
        None => told,
    });
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::Environment;
    use crate::engine::Engine;
    use crate::rules::folder::Snapshot;
    use crate::rules::library::Library;
    use crate::rules::watch::Change;
    use crate::telemetry::Metrics;

    const GOOD: &str = "component = \"builtin:notify-relay\"\ntopics = [\"KSQL_NOTIFY\"]\n";

    #[test]
    fn a_rule_without_a_good_version_is_shown_with_all_that_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put("b-good.toml", GOOD);
        put("a-bad.toml", "topcs = []\nmode = \"on\"\n");
        let text = format!(
            "[kafka]\nbootstrap_servers = \"k:1\"\n[rules]\ncache_dir = \"off\"\ndir = {:?}\n",
            dir.path().to_str().unwrap()
        );
        let config = Config::parse(Path::new("f.toml"), &text, &Environment::of("h", 1, []));
        let (config, readiness) = (config.unwrap(), Readiness::default());
        let engine = Engine::new(None).unwrap();
        let mut library = Library::open(&config, engine, Metrics::new()).unwrap();
        let file = |name: &str| dir.path().join(name).display().to_string();

        let shown = status(&config, Some(library.view()), &LivePolicy::default(), &readiness).rules;
        let names: Vec<_> = shown.iter().map(|rule| (rule.name.as_str(), rule.state)).collect();
        assert_eq!(names, [("a-bad", RuleState::Rejected), ("b-good", RuleState::Active)]);
        assert_eq!((shown[0].version.as_str(), shown[0].topics.len()), ("", 0));
        let told: Vec<_> = shown[0].problem.as_ref().unwrap().lines().collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with(&format!("{}:1: unknown key `topcs`", file("a-bad.toml"))));
        assert!(told[1].contains(":2: `mode`"), "{told:?}");
        assert_eq!(shown[1].problem, None);

        // A good rule whose file turns bad runs on, and says why it is the old one.
        put("b-good.toml", "oh");
        let snapshot = Snapshot::take(dir.path()).unwrap();
        let touched = snapshot.files.keys().cloned().collect();
        library.reload(Change { snapshot, touched });
        let shown = status(&config, Some(library.view()), &LivePolicy::default(), &readiness).rules;
        assert_eq!(shown[1].state, RuleState::Active);
        let told = shown[1].problem.as_ref().unwrap();
        assert!(told.contains("this is not TOML"), "{told}");
        assert!(told.ends_with("; the last good version runs on"), "{told}");
    }
}
