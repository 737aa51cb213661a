//! `[slack]`.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use super::reader::Table;
use super::secrets::{self, Told};
use super::{Context, SlackConfig, SlackMode, ambiguity};
use crate::secret::Secret;

/// Slack's Web API.
const API_URL_DEFAULT: &str = "https://slack.com/api/";

/// How long one request to Slack may take, milliseconds.
const REQUEST_TIMEOUT_MS_DEFAULT: i64 = 10_000;

/// Slack allows one message a second and channel; short bursts are let through.
const MESSAGES_PER_SECOND_DEFAULT: f64 = 1.0;

/// Messages that may go to a channel at once.
const BURST_DEFAULT: i64 = 3;

/// Slack takes "several hundred messages a minute" from a workspace: this is three hundred.
const WORKSPACE_MESSAGES_PER_SECOND_DEFAULT: f64 = 5.0;

/// A queue that takes longer to send, seconds, is told in one message.
const DIGEST_AFTER_SECONDS_DEFAULT: i64 = 60;

/// Reads the section; `None` = the file has none.
pub(super) fn read(mut table: Table<'_, '_>, context: Context<'_>) -> Option<SlackConfig> {
    let exists = table.exists();
    let mode = read_mode(&mut table, context, exists);
    let webhook = matches!(mode, SlackMode::Webhook { .. });
    let default_channel = if webhook || !exists {
        // A webhook has its one channel; its name is only for people.
        let name = table.text("default_channel").unwrap_or("webhook");
        channel(&table, "default_channel", name)
    } else {
        let name = table.required_text("default_channel", "\"general\"").unwrap_or_default();
        channel(&table, "default_channel", name)
    };
    let fallback_channel = table.text("fallback_channel");
    if webhook && fallback_channel.is_some() {
        let cure = "leave it out, or use a bot token (token_env)";
        table.problem("fallback_channel", "a webhook has one channel, and no other", cure);
    }
    let timeout = table.whole("request_timeout_ms", 100..=600_000);
    let config = SlackConfig {
        mode,
        api_url: read_api_url(&mut table),
        default_channel,
        fallback_channel: fallback_channel.map(|name| channel(&table, "fallback_channel", name)),
        channels: read_channels(table.table("channels")),
        mentions: read_mentions(table.table("mentions")),
        link_hosts: read_link_hosts(&mut table),
        broadcast_worsening: table.flag("broadcast_worsening").unwrap_or(false),
        messages_per_second: table
            .decimal("messages_per_second", 0.01..=10_000.0)
            .unwrap_or(MESSAGES_PER_SECOND_DEFAULT),
        burst: table
            .whole("burst", 1..=10_000)
            .unwrap_or(BURST_DEFAULT)
            .try_into()
            .unwrap_or(u32::MAX),
        workspace_messages_per_second: table
            .decimal("workspace_messages_per_second", 0.01..=10_000.0)
            .unwrap_or(WORKSPACE_MESSAGES_PER_SECOND_DEFAULT),
        digest_after: table
            .whole_or_off("digest_after_seconds", 1..=86_400)
            .unwrap_or(Some(DIGEST_AFTER_SECONDS_DEFAULT))
            .map(|seconds| Duration::from_secs(seconds.unsigned_abs())),
        on_ambiguous: ambiguity::read(&mut table),
        request_timeout: Duration::from_millis(
            timeout.unwrap_or(REQUEST_TIMEOUT_MS_DEFAULT).unsigned_abs(),
        ),
    };
    table.finish();
    exists.then_some(config)
}

/// A token or a webhook, exactly one.
fn read_mode(table: &mut Table<'_, '_>, context: Context<'_>, exists: bool) -> SlackMode {
    let token = secrets::told(table, "token_env", "token_file", context);
    let webhook = secrets::told(table, "webhook_url_env", "webhook_url_file", context);
    let nothing = || SlackMode::Bot { token: Secret::new(""), token_file: None };
    match (token, webhook) {
        (Some(_), Some(_)) => {
            let key =
                if table.has("webhook_url_env") { "webhook_url_env" } else { "webhook_url_file" };
            let cure =
                "keep the token (edits, threads, many channels) or the webhook (one channel)";
            table.problem(key, "a token and a webhook are both there", cure);
            nothing()
        }
        (None, None) => {
            if exists {
                table.missing(
                    "token_env",
                    "there is no token",
                    "write token_env = \"SLACK_BOT_TOKEN\" or token_file = \"PATH\", or, for one \
                     channel without edits, webhook_url_env = \"SLACK_WEBHOOK_URL\"",
                );
            }
            nothing()
        }
        (Some(told), None) => told.map_or_else(nothing, |Told { secret, file }| SlackMode::Bot {
            token: secret,
            token_file: file,
        }),
        (None, Some(told)) => {
            let key =
                if table.has("webhook_url_env") { "webhook_url_env" } else { "webhook_url_file" };
            let nothing = || Told { secret: Secret::new(""), file: None };
            let Told { secret: url, file } = told.unwrap_or_else(nothing);
            if !url.reveal().is_empty() && !is_http_url(url.reveal()) {
                let message = "what it holds is not an http(s) address";
                table.problem(key, message, "copy it from the webhook's page in Slack");
            }
            SlackMode::Webhook { url, file }
        }
    }
}

/// `api_url`, with a slash at its end.
fn read_api_url(table: &mut Table<'_, '_>) -> String {
    let Some(url) = table.text("api_url") else {
        return API_URL_DEFAULT.into();
    };
    if !is_http_url(url) || url.contains(['?', '#']) {
        let cure =
            format!("write http:// or https://, host and path, such as \"{API_URL_DEFAULT}\"");
        table.problem("api_url", format!("\"{url}\" is not an http(s) address"), cure);
    }
    if url.ends_with('/') { url.into() } else { format!("{url}/") }
}

/// Whether a text is an http or https address with a host.
pub(crate) fn is_http_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host_and_port = authority.rsplit('@').next().unwrap_or("");
    let (host, port) = match host_and_port.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (host_and_port, None),
    };
    !host.is_empty()
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
        && text.chars().all(|c| c.is_ascii_graphic())
}

/// A channel's name.
pub(crate) fn channel(table: &Table<'_, '_>, key: &str, name: &str) -> String {
    if let Some(bare) = name.strip_prefix('#') {
        let cure = format!("write it without #: \"{bare}\"");
        table.problem(key, format!("\"{name}\" is not a channel's name"), cure);
    } else if name.chars().any(|c| c.is_whitespace() || c.is_uppercase()) && !is_channel_id(name) {
        let cure = "names are small letters, digits, - and _, as Slack shows them";
        table.problem(key, format!("\"{name}\" is not a channel's name"), cure);
    }
    name.into()
}

/// `C…` public, `G…` private, `D…` direct.
fn is_channel_id(text: &str) -> bool {
    is_id(text, &['C', 'G', 'D'])
}

/// A Slack id: one of these letters, then capitals and digits.
fn is_id(text: &str, kinds: &[char]) -> bool {
    text.len() >= 3
        && text.starts_with(kinds)
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

/// `[slack.channels]`: name = id.
fn read_channels(table: Table<'_, '_>) -> BTreeMap<String, String> {
    let valid = |value: &str| is_channel_id(value);
    let cure = "take the id from the channel's details in Slack; it looks like \"C0123ABCDEF\"";
    read_names(&table, valid, "is not a channel's id", cure)
}

/// `[slack.mentions]`: name = user, group or special mention.
fn read_mentions(table: Table<'_, '_>) -> BTreeMap<String, String> {
    let valid = |value: &str| {
        is_id(value, &['U', 'W', 'S']) || ["here", "channel", "everyone"].contains(&value)
    };
    let cure =
        "write a user id (\"U…\"), a user group id (\"S…\"), \"here\", \"channel\" or \"everyone\"";
    read_names(&table, valid, "cannot be mentioned", cure)
}

/// A table of names that the operator chooses and texts that must be valid.
fn read_names(
    table: &Table<'_, '_>,
    valid: impl Fn(&str) -> bool,
    message: &str,
    cure: &str,
) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for (name, value) in table.entries() {
        match value.get_ref() {
            DeValue::String(text) if valid(text) => {
                names.insert(name.into(), text.as_ref().into());
            }
            DeValue::String(text) => table.problem(name, format!("\"{text}\" {message}"), cure),
            _ => table.wrong_type(name, "a text in quotes", value),
        }
    }
    names
}

/// `link_hosts`: hosts without scheme and path.
fn read_link_hosts(table: &mut Table<'_, '_>) -> Vec<String> {
    let hosts = table.texts("link_hosts").unwrap_or_default();
    for host in &hosts {
        if host.is_empty() || host.contains(['/', '*', '@']) || host.contains(char::is_whitespace) {
            let cure = "write hosts only, such as [\"grafana.example.com\"]";
            table.problem("link_hosts", format!("\"{host}\" is not a host"), cure);
        }
    }
    hosts.into_iter().map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::SlackMode;
    use crate::config::tests::parse;

    #[test]
    fn a_webhook_needs_no_channel() {
        let config =
            parse("[kafka]\nbootstrap_servers = \"k:1\"\n[slack]\nwebhook_url_env = \"HOOK\"\n")
                .unwrap();
        let slack = config.slack.unwrap();
        assert!(
            matches!(slack.mode, SlackMode::Webhook { url, .. } if url.reveal() == "https://h/x")
        );
        assert_eq!(slack.default_channel, "webhook");
    }
}
