//! `firebell check`: everything that could fail later, told at once with file, place and cure.
//!
//! In: the configuration's path. Out: a [`Report`]. It changes nothing: no topic is created, no
//! message is sent, no offset is committed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, Environment, KafkaConfig, Problem, SlackConfig};
use crate::secret::Secret;

mod kafka;
mod policy;
mod rules;
mod sinks;
mod slack;

/// What is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Ask neither the broker nor Slack, and take secrets that are not here as there.
    pub offline: bool,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What the operator must change.
    pub problems: Vec<Problem>,
    /// What could not be asked: a broker or a Slack that gives no answer.
    pub unanswered: Vec<Problem>,
    /// What is worth knowing and hinders nothing.
    pub notes: Vec<Problem>,
    /// What is right.
    pub passed: Vec<String>,
}

/// Checks the configuration at `path` and all that it names.
///
/// A section with problems is not followed further; the others are.
pub async fn check(path: &Path, options: Options) -> Report {
    let mut report = Report::default();
    let environment = match options.offline {
        true => Environment::process().assuming_secrets(),
        false => Environment::process(),
    };
    let (config, problems) = Config::examine(path, &environment);
    report.notes.extend(environment.assumed().into_iter().map(|secret| {
        Problem::new(format!("{secret} is not here")).file(path).cure("the host needs it")
    }));
    let wrong = |section: &str| {
        let keys = problems.iter().filter_map(|problem| problem.key.as_deref());
        keys.into_iter().any(|key| key == section || key.starts_with(&format!("{section}.")))
    };
    let (kafka_is_wrong, slack_is_wrong) = (wrong("kafka"), wrong("slack"));
    let sinks_are_wrong = wrong("alertmanagers");
    if problems.is_empty() {
        report.passed.push(format!("configuration {}", path.display()));
    }
    report.problems.extend(problems);
    let Some(config) = config.map(Arc::new) else { return report };
    let rules = rules::check(&config, &mut report).await;
    let policy = policy::check(&config, &rules, &mut report);
    sinks::check(&config, (&rules, policy.as_ref()), &mut report);
    note_plain_password(path, &config.kafka, &mut report);
    match &config.slack {
        Some(slack) => note_plain_http(path, slack, &mut report),
        None if !config.sinks.is_empty() => {}
        None => report.notes.push(
            Problem::new("there is neither [slack] nor another target: nothing is delivered")
                .file(path)
                .cure(
                    "that is right for `firebell run --only evaluate`, else write token_env and \
                 default_channel under [slack], or a target of docs/sinks.md",
                ),
        ),
    }
    if !options.offline && !kafka_is_wrong {
        kafka::check(path, &config, &rules, &mut report).await;
    }
    if !options.offline && !sinks_are_wrong {
        sinks::ask(path, &config, &mut report).await;
    }
    if !options.offline && !slack_is_wrong {
        slack::check(path, &config, (&rules, policy.as_ref()), &mut report).await;
    }
    report
}

/// The file that a rule is in: its toml, else its component.
fn file_of(config: &Config, rule: &str) -> PathBuf {
    let toml = config.rules.dir.join(format!("{rule}.toml"));
    if toml.exists() { toml } else { config.rules.dir.join(format!("{rule}.wasm")) }
}

/// A password should not cross a network in the clear.
fn note_plain_password(path: &Path, kafka: &KafkaConfig, report: &mut Report) {
    let of = |names: [&str; 2]| names.into_iter().find_map(|name| kafka.properties.get(name));
    let is = |secret: Option<&Secret>, word| {
        secret.is_some_and(|secret| secret.reveal().eq_ignore_ascii_case(word))
    };
    if is(of(["security.protocol"; 2]), "sasl_plaintext")
        && is(of(["sasl.mechanism", "sasl.mechanisms"]), "plain")
    {
        let note = "the password for Kafka crosses the network unencrypted";
        let key = "kafka.properties.\"security.protocol\"";
        let cure = "use SASL_SSL, or SCRAM-SHA-512 instead of PLAIN";
        report.notes.push(Problem::new(note).file(path).key(key).cure(cure));
    }
}

/// Nor should a token.
fn note_plain_http(path: &Path, slack: &SlackConfig, report: &mut Report) {
    let Some(rest) = slack.api_url.strip_prefix("http://") else { return };
    let near = ["127.", "localhost", "[::1]"].iter().any(|host| rest.starts_with(host));
    if !near {
        let note = format!("the token goes to {} unencrypted", slack.api_url);
        report.notes.push(Problem::new(note).file(path).key("slack.api_url").cure("use https://"));
    }
}
