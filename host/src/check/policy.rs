//! The policy's file.

use super::Report;
use crate::config::{Config, Problem};
use crate::policy::Policy;

/// Checks the policy as a whole; `None` = there is none, or it cannot be read.
pub(super) fn check(config: &Config, report: &mut Report) -> Option<Policy> {
    let path = config.delivery.policy.as_ref()?;
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let cure = "write one (docs/policy.md), or mend `policy` under [delivery]";
            let problem = Problem::new(format!("cannot be read: {error}"));
            report.problems.push(problem.file(path).cure(cure));
            return None;
        }
    };
    let (policy, problems) = Policy::examine(path, &text);
    if problems.is_empty() {
        report.passed.push(format!("policy {}", path.display()));
    }
    report.problems.extend(problems);
    policy
}
