//! The rule that the host adds to those of the folder.

use crate::canary::{RULE, rule_toml};
use crate::config::Config;
use crate::rules::definition::Definition;

use super::files::WantedRule;

/// The canary's rule, where one is configured.
pub(super) fn canary(config: &Config) -> Option<WantedRule> {
    let canary = config.ops.as_ref()?.canary.as_ref()?;
    let toml = rule_toml(canary, &config.kafka.group_id);
    match Definition::parse(RULE, &toml, &config.rules.limits) {
        Ok(definition) => {
            let file = format!("({RULE})");
            Some(WantedRule { name: RULE.into(), file, toml, definition })
        }
        Err(findings) => {
            // Its parts were checked when the configuration was read.
            tracing::error!("the canary has no rule: {findings:?}; this is a bug of firebell");
            None
        }
    }
}
