//! `[delivery]`.

use super::reader::Table;
use super::{Context, DeliveryConfig};

/// Reads the section.
pub(super) fn read(mut table: Table<'_, '_>, context: Context<'_>) -> DeliveryConfig {
    let policy = table.text("policy").map(|written| context.path(written));
    table.finish();
    DeliveryConfig { policy }
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
