//! `[delivery]`.

use std::time::Duration;

use super::reader::Table;
use super::{Context, DeliveryConfig};

/// How long an alert id is remembered, hours: a week.
const LEDGER_RETENTION_HOURS_DEFAULT: u64 = 7 * 24;
/// How long the history is kept, hours: a week.
const HISTORY_RETENTION_HOURS_DEFAULT: u64 = 7 * 24;

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            policy: None,
            ledger_retention: hours(LEDGER_RETENTION_HOURS_DEFAULT),
            history_retention: hours(HISTORY_RETENTION_HOURS_DEFAULT),
            evidence_values: true,
        }
    }
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

/// Reads the section.
pub(super) fn read(mut table: Table<'_, '_>, context: Context<'_>) -> DeliveryConfig {
    let policy = table.text("policy").map(|written| context.path(written));
    let default = DeliveryConfig::default();
    let ledger = table.whole("ledger_retention_hours", 1..=24 * 366);
    let history = table.whole("history_retention_hours", 1..=24 * 366);
    let values = table.flag("evidence_values");
    table.finish();
    DeliveryConfig {
        policy,
        ledger_retention: ledger
            .map_or(default.ledger_retention, |written| hours(written.unsigned_abs())),
        history_retention: history
            .map_or(default.history_retention, |written| hours(written.unsigned_abs())),
        evidence_values: values.unwrap_or(default.evidence_values),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::tests::{GOOD, check, parse};

    #[test]
    fn the_policy_lies_beside_the_configuration() {
        let config = parse(&format!("{GOOD}[delivery]\npolicy = \"policy.toml\"\n")).unwrap();
        assert_eq!(config.delivery.policy.as_deref(), Some(Path::new("policy.toml")));
        assert_eq!(parse(GOOD).unwrap().delivery.policy, None);
        check(
            "delivery",
            "polcy = \"p\"",
            &["firebell.toml:7: delivery.polcy: unknown key; did you mean `policy`?"],
        );
    }
}
