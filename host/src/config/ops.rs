//! `[ops]`: the host's own alerts.

use super::canary::{self, CanaryConfig};
use super::reader::Table;
use super::slack::channel;
use super::{Context, SlackConfig, SlackMode};
use crate::target::Target;

/// Dead letters in a minute that are told.
const DEAD_LETTERS_PER_MINUTE_DEFAULT: i64 = 10;
/// Seconds that evaluation may be behind before it is told.
const LAG_SECONDS_DEFAULT: i64 = 300;

/// `[ops]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsConfig {
    /// `channel`: a Slack channel or another target.
    pub channel: String,
    /// `dead_letters_per_minute`: more are told.
    pub dead_letters_per_minute: u64,
    /// `lag_seconds`: more is told.
    pub lag_seconds: u64,
    /// `[ops.canary]`; `None` = none is sent.
    pub canary: Option<CanaryConfig>,
}

/// Reads the section; `None` = the host's own alerts are told to nobody.
pub(super) fn read(
    mut table: Table<'_, '_>,
    context: Context<'_>,
    slack: Option<&SlackConfig>,
) -> Option<OpsConfig> {
    let exists = table.exists();
    let name = match exists {
        true => table.required_text("channel", "\"firebell-ops\""),
        false => table.text("channel"),
    };
    let name = name.unwrap_or_default();
    match Target::of(name) {
        Ok(Target::Slack(name)) if !name.is_empty() => drop(channel(&table, "channel", name)),
        Ok(_) => {}
        Err(error) => {
            table.problem("channel", error.to_string(), "docs/sinks.md tells the targets")
        }
    }
    let letters = table.whole("dead_letters_per_minute", 0..=1_000_000);
    let lag = table.whole("lag_seconds", 1..=7 * 24 * 3_600);
    let is_webhook = slack.is_some_and(|slack| matches!(slack.mode, SlackMode::Webhook { .. }));
    let canary = canary::read(table.table("canary"), context, name, is_webhook);
    table.finish();
    exists.then(|| OpsConfig {
        channel: name.to_owned(),
        dead_letters_per_minute: letters.unwrap_or(DEAD_LETTERS_PER_MINUTE_DEFAULT).unsigned_abs(),
        lag_seconds: lag.unwrap_or(LAG_SECONDS_DEFAULT).unsigned_abs(),
        canary,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{GOOD, check, parse};

    #[test]
    fn the_hosts_own_alerts_go_to_a_channel_or_another_target() {
        assert_eq!(parse(GOOD).unwrap().ops, None);
        let ops =
            parse(&format!("{GOOD}[ops]\nchannel = \"webhook:oncall\"\n")).unwrap().ops.unwrap();
        assert_eq!((ops.channel.as_str(), ops.lag_seconds), ("webhook:oncall", 300));
        check(
            "ops",
            "channel = \"#ops\"\nlag = 3",
            &[
                "firebell.toml:7: ops.channel: \"#ops\" is not a channel's name; write it without #: \"ops\"",
                "firebell.toml:8: ops.lag: unknown key; did you mean `lag_seconds`?",
            ],
        );
        check(
            "ops",
            "channel = \"pager:x\"",
            &[
                "firebell.toml:7: ops.channel: `pager:x` names no target; write a Slack channel, webhook:NAME, kafka:NAME or alertmanager:NAME; docs/sinks.md tells the targets",
            ],
        );
    }
}
