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
    let topics = match Topics::new(&config.kafka, Metrics::new(), Readiness::default()) {
        Ok(topics) => topics,
        Err(error) => {
            let problem = Problem::new(with_causes(&error)).file(path).key("kafka.properties");
            return report.problems.push(problem);
        }
    };
    let names: Vec<String> = match topics.existing().await {
        Ok(existing) => existing.into_keys().collect(),
        Err(error) => {
            let told = match error {
                TopicsError::Away { silence, .. } => silence,
                other => with_causes(&other),
            };
            let cure = "check the address, that the broker runs, and what [kafka.properties] says \
                        about security";
            let problem = Problem::new(told).file(path).key("kafka.bootstrap_servers");
            return report.unanswered.push(problem.cure(cure));
        }
    };
    let brokers = &config.kafka.bootstrap_servers;
    report.passed.push(format!("broker {brokers}: it answers and has {} topics", names.len()));
    report.problems.extend(missing_topics(config, rules, &names));
    report.problems.extend(missing_sinks(path, config, &names));
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

/// Topics that alerts are to be told to and that do not exist.
fn missing_sinks(path: &Path, config: &Config, names: &[String]) -> Vec<Problem> {
    let missing = |(name, sink): (&String, &crate::config::KafkaSinkConfig)| {
        let topic = &sink.topic;
        let found = names.contains(topic);
        let message = format!("topic `{topic}` does not exist");
        let problem = Problem::new(message).file(path).key(format!("kafka_sinks.{name}.topic"));
        (!found).then(|| problem.cure("create the topic, or name another one"))
    };
    config.sinks.kafka_sinks.iter().filter_map(missing).collect()
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use crate::check::{Options, check};

    #[tokio::test(flavor = "multi_thread")]
    async fn topics_that_do_not_exist_are_told_with_their_rule_and_the_nearest() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("SYSLOG", 1, 1).unwrap();
        let site = tempfile::tempdir().unwrap();
        let path = site.path().join("firebell.toml");
        let servers = cluster.bootstrap_servers();
        std::fs::write(
            &path,
            format!("[kafka]\nbootstrap_servers = \"{servers}\"\n[rules]\ncache_dir = \"cache\"\n"),
        )
        .unwrap();
        std::fs::create_dir(site.path().join("rules")).unwrap();
        let rule = "component = \"builtin:invalid-user\"\ntopics = [\"SYSLOG\", \"SYSLGO\"]\n\
                    emit = [\"DERIVED\"]\n";
        std::fs::write(site.path().join("rules/invalid-user.toml"), rule).unwrap();
        let report = check(&path, Options { offline: false }).await;
        let file = site.path().join("rules/invalid-user.toml").display().to_string();
        let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                format!(
                    "{file}: topics: rule invalid-user reads topic `SYSLGO`, which does not exist; \
                     did you mean `SYSLOG`? write it into `topics`, or create the topic"
                ),
                format!(
                    "{file}: emit: rule invalid-user writes to topic `DERIVED`, which does not \
                     exist; create the topic, or name another one in its toml"
                ),
            ]
        );
        assert!(report.unanswered.is_empty(), "{report:?}");
        assert!(report.passed.iter().any(|line| line.ends_with("it answers and has 1 topics")));
        // And looking did not create any.
        let again = check(&path, Options { offline: false }).await;
        assert_eq!(again.passed, report.passed);
    }
}
