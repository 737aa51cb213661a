//! The policy's file, and what its matchers ask for that no alert has.

use std::path::Path;
use std::sync::Arc;

use super::Report;
use crate::config::{Config, Problem};
use crate::nearest::nearest;
use crate::policy::{Matcher, Operator, Policy, SEVERITIES, reload};
use crate::rules::Rule;

/// Checks the policy as a whole; `None` = there is none, or it cannot be read.
pub(super) fn check(config: &Config, rules: &[Arc<Rule>], report: &mut Report) -> Option<Policy> {
    let path = config.delivery.policy.as_ref()?;
    let text = reload::text(path).map_err(|problem| report.problems.push(problem)).ok()?;
    let (policy, problems) = Policy::examine(path, &text);
    if problems.is_empty() {
        report.passed.push(format!("policy {}", path.display()));
    }
    report.problems.extend(problems);
    if let Some(policy) = &policy {
        note_strangers(path, policy, rules, report);
        if policy.has_idle_times() {
            let note = "group_wait and repeat_interval are about groups, and a route that has them groups nothing";
            let cure = "write group_by = [\"rule\"], or which labels alerts must share to be told together, beside \
                        them: what is told alone is told at once, and once";
            report.notes.push(Problem::new(note).file(path).cure(cure));
        }
    }
    policy
}

/// Rules and topics may come later, so that this is no problem; but a slip would be found at night.
fn note_strangers(path: &Path, policy: &Policy, rules: &[Arc<Rule>], report: &mut Report) {
    let severities: Vec<&str> = SEVERITIES.iter().map(|severity| severity.as_str()).collect();
    let names: Vec<&str> = rules.iter().map(|rule| &*rule.name).collect();
    let topics = rules.iter().flat_map(|rule| rule.subscription.topics.iter());
    let topics: Vec<&str> = topics.map(|topic| &**topic).collect();
    let mut noted: Vec<&Matcher> = Vec::new();
    for matcher in policy.matchers() {
        let known = match matcher.name.as_str() {
            "severity" => &severities,
            "rule" => &names,
            "topic" => &topics,
            _ => continue,
        };
        let is_text = matches!(matcher.operator, Operator::Equal | Operator::NotEqual);
        let value = matcher.value.as_str();
        if !is_text || value.is_empty() || known.contains(&value) || noted.contains(&matcher) {
            continue;
        }
        noted.push(matcher);
        let Matcher { name, operator, .. } = matcher;
        let note = format!("{name} {} \"{value}\": no alert has this {name}", operator.as_str());
        let cure = match nearest(value, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if known.is_empty() => format!("there is no {name} yet"),
            None => format!("there is {}", known.join(", ")),
        };
        report.notes.push(Problem::new(note).file(path).cure(cure));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_alert_has_is_noted_once_with_the_nearest() {
        let text = r#"
[route]
receiver = "all"
[[route.routes]]
matchers = ['severity = "critcal"', 'team = "anything"']
[[route.routes]]
matchers = ['severity = "critcal"']
[[route.routes]]
matchers = ['rule =~ "disk.*"', 'severity = "warning"', 'rule != ""']
[[inhibit_rules]]
source_matchers = ['rule = "gone"']
target_matchers = ['severity = "info"']
[receivers.all]
channels = ["general"]
"#;
        let (policy, problems) = Policy::examine(Path::new("p.toml"), text);
        assert_eq!(problems, []);
        let mut report = Report::default();
        note_strangers(Path::new("p.toml"), &policy.unwrap(), &[], &mut report);
        let notes: Vec<_> = report.notes.iter().map(ToString::to_string).collect();
        assert_eq!(
            notes,
            [
                "p.toml: severity = \"critcal\": no alert has this severity; did you mean \"critical\"?",
                "p.toml: rule = \"gone\": no alert has this rule; there is no rule yet",
            ]
        );
    }

    #[test]
    fn times_of_groups_without_groups_are_noted() {
        let idle = |text: &str| Policy::parse(Path::new("p.toml"), text).unwrap().has_idle_times();
        assert!(idle("[route]\nrepeat_interval = \"4h\"\n"));
        assert!(!idle("[route]\nrepeat_interval = \"4h\"\ngroup_by = [\"rule\"]\n"));
        let child = "[[route.routes]]\nmatchers = ['rule = x']\n";
        // What a child has from its parent may be meant for the child.
        assert!(!idle(&format!("[route]\ngroup_wait = \"1s\"\n{child}group_by = [\"host\"]\n")));
        assert!(idle(&format!("[route]\n{child}group_wait = \"1s\"\n")));
    }
}
