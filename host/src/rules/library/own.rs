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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::config::Environment;
    use crate::engine::Engine;
    use crate::rules::folder::Snapshot;
    use crate::rules::library::{Library, Reloaded};
    use crate::rules::watch::Change;
    use crate::telemetry::Metrics;

    #[test]
    fn the_canary_is_a_rule_beside_those_of_the_folder_and_stays_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "[kafka]\nbootstrap_servers = \"k:1\"\n[rules]\ncache_dir = \"off\"\ndir = {:?}\n\
             [ops]\nchannel = \"firebell-ops\"\n[ops.canary]\ntopic = \"SYSLOG\"\n",
            dir.path().to_str().unwrap()
        );
        let config = Config::parse(Path::new("f.toml"), &text, &Environment::of("h", 1, []));
        let engine = Engine::new(None).unwrap();
        let mut library = Library::open(&config.unwrap(), engine, Metrics::new()).unwrap();
        let names = |library: &Library| {
            library.view().current().rules.keys().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(&library), [RULE]);
        let rule = library.view().current().rules[RULE].clone();
        assert_eq!((&*rule.subscription.topics[0], &*rule.channels[0]), ("SYSLOG", "firebell-ops"));

        let toml = "component = \"builtin:notify-relay\"\ntopics = [\"KSQL_NOTIFY\"]\n";
        std::fs::write(dir.path().join("relay.toml"), toml).unwrap();
        let snapshot = Snapshot::take(dir.path()).unwrap();
        let reloaded = library.reload(Change { snapshot, touched: BTreeSet::new() });
        assert_eq!(reloaded, Reloaded::Swapped);
        assert_eq!(names(&library), [RULE, "relay"]);
        // The same instance runs on.
        assert!(std::sync::Arc::ptr_eq(&rule, &library.view().current().rules[RULE]));
        assert!(library.view().problems().is_empty());
    }
}
