//! The part of `firebell check` that asks the broker.

use std::path::Path;
use std::sync::Arc;

use super::Report;
use crate::causes::with_causes;
use crate::config::{Config, Problem};
use crate::nearest::nearest;
use crate::rules::Rule;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::kafka::{Topics, TopicsError};

/// Asks whether a broker answers, the rules' topics exist and the host's own ones fit.
pub(super) async fn check(path: &Path, config: &Config, rules: &[Arc<Rule>], report: &mut Report) {
    // The client tells here why it does not get through.
    let readiness = Readiness::default();
    let topics = match Topics::new(&config.kafka, Metrics::new(), readiness.clone()) {
        Ok(topics) => Arc::new(topics),
        Err(error) => {
            let problem = Problem::new(with_causes(&error)).file(path).key("kafka.properties");
            report.problems.push(problem);
            return;
        }
    };
    let asked = Arc::clone(&topics);
    // The client blocks while it waits for an answer.
    let names = match tokio::task::spawn_blocking(move || asked.names()).await {
        Ok(Ok(names)) => names,
        Ok(Err(error)) => {
            report.unanswered.push(no_answer(path, config, &error, &readiness));
            return;
        }
        Err(error) => {
            report.unanswered.push(Problem::new(with_causes(&error)).file(path).key("kafka"));
            return;
        }
    };
    let brokers = &config.kafka.bootstrap_servers;
    report.passed.push(format!("broker {brokers} answers and has {} topics", names.len()));
    report.problems.extend(missing_topics(config, rules, &names));
    match topics.misfits().await {
        Ok(misfits) => report.problems.extend(misfits.into_iter().map(|misfit| {
            let (setting, found, wanted) = (misfit.setting, misfit.found, misfit.wanted);
            Problem::new(format!("{setting} is {found}, but must be {wanted}"))
                .key(format!("topic {}", misfit.topic))
                .cure(misfit.cure)
        })),
        Err(error) => report.unanswered.push(Problem::new(with_causes(&error)).key("kafka")),
    }
}

fn no_answer(path: &Path, config: &Config, error: &TopicsError, readiness: &Readiness) -> Problem {
    let reasons = readiness.snapshot();
    let reason = reasons.parts.into_values().flatten().next();
    let reason = reason.unwrap_or_else(|| with_causes(error));
    Problem::new(format!("no broker answers at {}: {reason}", config.kafka.bootstrap_servers))
        .file(path)
        .key("kafka.bootstrap_servers")
        .cure("check the address, that the broker runs, and security.protocol under [kafka.properties]")
}

/// Topics that rules read or write and that do not exist.
fn missing_topics(config: &Config, rules: &[Arc<Rule>], names: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for rule in rules {
        let reads =
            rule.subscription.topics.iter().map(|topic| ("reads", "topics", topic.as_ref()));
        let writes = rule.emit.iter().map(|topic| ("writes to", "emit", topic.as_str()));
        for (does, key, topic) in reads.chain(writes) {
            if names.iter().any(|name| name == topic) {
                continue;
            }
            let cure = match nearest(topic, names.iter().map(String::as_str)) {
                Some(near) => {
                    format!("did you mean `{near}`? write it into `{key}`, or create the topic")
                }
                None => "create the topic, or name another one in its toml".into(),
            };
            let message =
                format!("rule {} {does} topic `{topic}`, which does not exist", rule.name);
            problems.push(
                Problem::new(message).file(&super::file_of(config, &rule.name)).key(key).cure(cure),
            );
        }
    }
    problems
}
