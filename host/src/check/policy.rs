//! The policy's file.

use super::Report;
use crate::config::Config;
use crate::policy::{Policy, reload};

/// Checks the policy as a whole; `None` = there is none, or it cannot be read.
pub(super) fn check(config: &Config, report: &mut Report) -> Option<Policy> {
    let path = config.delivery.policy.as_ref()?;
    let text = reload::text(path).map_err(|problem| report.problems.push(problem)).ok()?;
    let (policy, problems) = Policy::examine(path, &text);
    if problems.is_empty() {
        report.passed.push(format!("policy {}", path.display()));
    }
    report.problems.extend(problems);
    policy
}
