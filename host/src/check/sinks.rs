//! The part of `firebell check` about targets beside Slack's channels: whether those that are named
//! exist, and whether an Alertmanager answers. Nothing is told to any of them.

use std::path::Path;
use std::sync::Arc;

use super::{Report, file_of};
use crate::config::{Config, Problem};
use crate::delivery::sinks::Alertmanager;
use crate::policy::{Policy, reload};
use crate::rules::Rule;

/// Checks that every target that a rule or the policy names is there.
pub(super) fn check(
    config: &Config,
    (rules, policy): (&[Arc<Rule>], Option<&Policy>),
    report: &mut Report,
) {
    let targets = config.targets();
    if targets.is_empty() {
        return;
    }
    for rule in rules {
        for (message, cure) in rule.channels.iter().filter_map(|name| targets.lacks(name)) {
            let file = file_of(config, &rule.name);
            report.problems.push(Problem::new(message).file(&file).key("channels").cure(cure));
        }
    }
    if let (Some(policy), Some(file)) = (policy, &config.delivery.policy) {
        report.problems.extend(reload::lacking(policy, file, &targets));
    }
    let ops = config.ops.as_ref().and_then(|ops| targets.lacks(&ops.channel));
    if let Some((message, cure)) = ops {
        report.problems.push(Problem::new(message).key("ops.channel").cure(cure));
    }
    for (kind, name) in config.sinks.names() {
        report.passed.push(format!("target {}:{name}", kind.as_str()));
    }
}

/// Asks each Alertmanager for its version.
pub(super) async fn ask(path: &Path, config: &Config, report: &mut Report) {
    for (name, alertmanager) in &config.sinks.alertmanagers {
        let key = format!("alertmanagers.{name}");
        let asked = match Alertmanager::new(alertmanager, None) {
            Ok(client) => client.version().await,
            Err(error) => Err(error.to_string()),
        };
        match asked {
            Ok(version) => report.passed.push(format!("alertmanager:{name} is version {version}")),
            Err(reason) => {
                let message = format!("no answer from this Alertmanager: {reason}");
                let cure = "check the address (without /api/v2), the token and the network";
                report.unanswered.push(Problem::new(message).file(path).key(key).cure(cure));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[tokio::test]
    async fn targets_that_are_not_there_and_alertmanagers_that_are_silent_are_told() {
        let text = "[kafka]\nbootstrap_servers = \"k:1\"\n[webhooks.oncall]\nurl = \"http://h/\"\n\
                    [alertmanagers.main]\nurl = \"http://127.0.0.1:1\"\n[delivery]\npolicy = \"p.toml\"\n";
        let path = Path::new("firebell.toml");
        let config = Config::parse(path, text, &Environment::of("h", 1, [])).unwrap();
        let policy =
            "[receivers.a]\nchannels = [\"webhook:oncal\", \"webhook:oncall\", \"general\"]\n";
        let policy = Policy::parse(Path::new("p.toml"), policy).unwrap();
        let mut report = Report::default();
        check(&config, (&[], Some(&policy)), &mut report);
        let told: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "p.toml: receivers.a.channels: there is no [webhooks.oncal]; did you mean \"webhook:oncall\"?",
                "p.toml: receivers.a.channels: `general` is a Slack channel, and there is no [slack]; add [slack], or name another target",
            ]
        );
        assert_eq!(report.passed, ["target webhook:oncall", "target alertmanager:main"]);
        ask(path, &config, &mut report).await;
        let told = report.unanswered[0].to_string();
        assert!(told.starts_with("firebell.toml: alertmanagers.main: no answer"), "{told}");
        assert!(!told.contains("127.0.0.1:1/"), "{told}");
    }
}
