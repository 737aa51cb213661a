//! `[ops.canary]`: a record that goes the whole way again and again, and whose absence is noticed.

use std::time::Duration;

use super::Context;
use super::reader::Table;
use super::secrets::{self, Told};
use super::sinks::is_address;
use super::slack::channel;
use crate::effect::is_topic_name;
use crate::secret::Secret;
use crate::target::{Kind, Target};

/// How often one is sent, seconds.
const INTERVAL_SECONDS_DEFAULT: i64 = 60;
/// At least, seconds: a message in Slack is not changed more often.
const INTERVAL_SECONDS_MIN: i64 = 5;

/// `[ops.canary]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanaryConfig {
    /// `topic` that it goes to: one that rules read.
    pub topic: String,
    /// `interval_seconds`: how often.
    pub interval: Duration,
    /// `channel`: where its message stands.
    pub channel: String,
    /// `ping_url`, `ping_url_env` or `ping_url_file`: asked whenever one came through.
    pub ping_url: Option<Secret>,
}

/// Reads the section; `ops_channel` is where the host's own alerts go. A webhook of Slack's cannot change
/// messages.
pub(super) fn read(
    mut table: Table<'_, '_>,
    context: Context<'_>,
    ops_channel: &str,
    is_slack_webhook: bool,
) -> Option<CanaryConfig> {
    let exists = table.exists();
    let topic = match exists {
        true => table.required_text("topic", "\"SYSLOG\""),
        false => table.text("topic"),
    };
    let topic = topic.unwrap_or_default();
    if !topic.is_empty() && !is_topic_name(topic) {
        let cure = "Kafka allows 1 to 249 letters, digits, `.`, `_`, `-`";
        table.problem("topic", format!("\"{topic}\" is not a topic's name"), cure);
    }
    let interval = table.whole("interval_seconds", INTERVAL_SECONDS_MIN..=24 * 3_600);
    let own = table.text("channel");
    let name = own.unwrap_or(ops_channel);
    match Target::of(name) {
        Ok(Target::Slack(_)) if exists && is_slack_webhook => table.missing(
            "channel",
            "a webhook of Slack's cannot change messages, and each canary would be one more",
            "give [slack] a token, or name another target: channel = \"webhook:NAME\" or \
             \"kafka:NAME\"",
        ),
        Ok(Target::Slack(name)) if own.is_some() && !name.is_empty() => {
            drop(channel(&table, "channel", name));
        }
        Ok(Target::Sink(Kind::Alertmanager, _)) if exists => table.missing(
            "channel",
            "an Alertmanager would have an alert that never ends",
            "name a Slack channel, webhook:NAME or kafka:NAME",
        ),
        Ok(_) => {}
        Err(error) if own.is_some() => {
            table.problem("channel", error.to_string(), "docs/sinks.md tells the targets");
        }
        // Told of [ops] itself.
        Err(_) => {}
    }
    let ping_url = read_ping_url(&mut table, context);
    table.finish();
    exists.then(|| CanaryConfig {
        topic: topic.to_owned(),
        interval: Duration::from_secs(interval.unwrap_or(INTERVAL_SECONDS_DEFAULT).unsigned_abs()),
        channel: name.to_owned(),
        ping_url,
    })
}

/// Whoever knows the address can say that all is well: it is told nowhere.
fn read_ping_url(table: &mut Table<'_, '_>, context: Context<'_>) -> Option<Secret> {
    let told = secrets::told(table, "ping_url_env", "ping_url_file", context);
    let plain = table.text("ping_url").map(Secret::new);
    if told.is_some() && plain.is_some() {
        let cure = "keep ping_url, or keep the other where the address is a secret";
        table.problem("ping_url", "the address is told twice", cure);
        return None;
    }
    let key = ["ping_url_env", "ping_url_file"].into_iter().find(|key| table.has(key));
    let url = told.flatten().map(|Told { secret, .. }| secret).or(plain)?;
    if !is_address(url.reveal()) {
        let cure = "write http:// or https://, host and path, such as \
                    \"https://hc-ping.com/ID\"";
        table.problem(key.unwrap_or("ping_url"), "what it holds is not an http(s) address", cure);
        return None;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::tests::{GOOD, check, parse};

    const OPS: &str = "[ops]\nchannel = \"firebell-ops\"\n[ops.canary]\ntopic = \"SYSLOG\"\n";

    #[test]
    fn a_canary_needs_a_topic_and_has_the_documented_defaults() {
        let read = |more: &str| parse(&format!("{GOOD}{OPS}{more}")).unwrap();
        let canary = read("").ops.unwrap().canary.unwrap();
        assert_eq!((canary.topic.as_str(), canary.interval), ("SYSLOG", Duration::from_secs(60)));
        assert_eq!((canary.channel.as_str(), canary.ping_url), ("firebell-ops", None));
        let config = read("ping_url_env = \"HOOK\"\nchannel = \"webhook:x\"\n");
        // The address is in no dump of the configuration.
        assert!(!format!("{config:?}").contains("https://h/x"));
        let canary = config.ops.unwrap().canary.unwrap();
        assert_eq!(canary.ping_url.unwrap().reveal(), "https://h/x");
        let without = parse(&format!("{GOOD}[ops]\nchannel = \"a\"\n")).unwrap();
        assert_eq!(without.ops.unwrap().canary, None);
    }

    #[test]
    fn what_is_wrong_with_a_canary_is_told() {
        let told = |text: &str| {
            let errors = parse(text).unwrap_err();
            errors.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        check(
            "ops.canary",
            "interval_seconds = 1\nping_url = \"ftp://x\"",
            &[
                "firebell.toml:6: ops.canary.topic: is missing; write topic = \"SYSLOG\" under [ops.canary]",
                "firebell.toml:6: ops.channel: is missing; write channel = \"firebell-ops\" under [ops]",
                "firebell.toml:7: ops.canary.interval_seconds: 1 is out of range; write a number from 5 to 86400",
                "firebell.toml:8: ops.canary.ping_url: what it holds is not an http(s) address; write http:// or https://, host and path, such as \"https://hc-ping.com/ID\"",
            ],
        );
        let twice = format!("{GOOD}{OPS}ping_url = \"http://secret\"\nping_url_env = \"HOOK\"\n");
        let twice = told(&twice);
        assert!(twice[0].contains("the address is told twice"), "{twice:?}");
        assert!(!twice[0].contains("http://secret"), "{twice:?}");
        // Messages that cannot be changed, or alerts that never end, would be noise.
        let webhook = GOOD.replace("token_env = \"TOKEN\"", "webhook_url_env = \"HOOK\"");
        let webhook = told(&format!("{webhook}{OPS}"));
        assert!(webhook[0].contains("cannot change messages"), "{webhook:?}");
        let alertmanager = format!(
            "{GOOD}{OPS}channel = \"alertmanager:a\"\n[alertmanagers.a]\nurl = \"http://a\"\n"
        );
        let alertmanager = told(&alertmanager);
        assert!(alertmanager[0].contains("never ends"), "{alertmanager:?}");
    }
}
