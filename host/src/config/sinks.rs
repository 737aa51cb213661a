//! `[webhooks]`, `[kafka_sinks]`, `[alertmanagers]`: targets beside Slack's channels.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Context;
use super::reader::Table;
use super::secrets::{self, Told};
use super::slack::is_http_url;
use crate::effect::is_topic_name;
use crate::secret::Secret;
use crate::target::{Kind, is_name};

/// How long one request may take, milliseconds.
const REQUEST_TIMEOUT_MS_DEFAULT: i64 = 10_000;
/// How long an entry is tried, minutes: an hour, then it is a dead letter and the next ones follow.
const RETRY_MINUTES_DEFAULT: i64 = 60;
/// How often an Alertmanager is told that an alert is still open, seconds, as Prometheus does.
const RESEND_SECONDS_DEFAULT: i64 = 60;

/// The targets beside Slack's channels, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinksConfig {
    /// `[webhooks.NAME]`
    pub webhooks: BTreeMap<String, WebhookConfig>,
    /// `[kafka_sinks.NAME]`
    pub kafka_sinks: BTreeMap<String, KafkaSinkConfig>,
    /// `[alertmanagers.NAME]`
    pub alertmanagers: BTreeMap<String, AlertmanagerConfig>,
}

/// An address that takes JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// `url`, `url_env` or `url_file`.
    pub url: Secret,
    /// `secret_env` or `secret_file`: signs what is sent; `None` = nothing is signed.
    pub secret: Option<Secret>,
    /// `request_timeout_ms` for one request.
    pub request_timeout: Duration,
    /// `retry_minutes`: how long an entry is tried.
    pub retry_for: Duration,
}

/// A topic that takes alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSinkConfig {
    /// `topic`
    pub topic: String,
    /// `form` of the records.
    pub form: Form,
    /// `channel`: what `CHANNEL` says in the form `text`; `None` = the channel that the rule chose.
    pub channel: Option<String>,
    /// `retry_minutes`: how long an entry is tried.
    pub retry_for: Duration,
}

/// What a record of a topic looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// All that is known of the alert, as JSON.
    #[default]
    Full,
    /// `{"TEXT": …, "CHANNEL": …}`
    Text,
}

/// A Prometheus Alertmanager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertmanagerConfig {
    /// `url`, `url_env` or `url_file`: its address, without a slash at its end.
    pub url: Secret,
    /// `token_env` or `token_file`: a bearer token.
    pub token: Option<Secret>,
    /// `request_timeout_ms` for one request.
    pub request_timeout: Duration,
    /// `retry_minutes`: how long an entry is tried.
    pub retry_for: Duration,
    /// `resend_seconds`: how often it is told that an alert is still open.
    pub resend: Duration,
}

impl SinksConfig {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names().next().is_none()
    }

    /// All of them by kind and name.
    pub fn names(&self) -> impl Iterator<Item = (Kind, &str)> {
        let webhooks = self.webhooks.keys().map(|name| (Kind::Webhook, &**name));
        let topics = self.kafka_sinks.keys().map(|name| (Kind::Kafka, &**name));
        let alertmanagers = self.alertmanagers.keys().map(|name| (Kind::Alertmanager, &**name));
        webhooks.chain(topics).chain(alertmanagers)
    }

    /// The longest that one request may take; `None` = nobody is asked.
    pub fn longest_request(&self) -> Option<Duration> {
        let webhooks = self.webhooks.values().map(|webhook| webhook.request_timeout);
        let others = self.alertmanagers.values().map(|one| one.request_timeout);
        webhooks.chain(others).max()
    }
}

/// Reads the three sections.
pub(super) fn read(root: &mut Table<'_, '_>, context: Context<'_>) -> SinksConfig {
    SinksConfig {
        webhooks: named(&root.table("webhooks"), |table| read_webhook(table, context)),
        kafka_sinks: named(&root.table("kafka_sinks"), read_kafka_sink),
        alertmanagers: named(&root.table("alertmanagers"), |table| {
            read_alertmanager(table, context)
        }),
    }
}

/// The tables of a section by the names that the operator chose.
fn named<'r, 'a, T>(
    section: &Table<'r, 'a>,
    read: impl Fn(&mut Table<'r, 'a>) -> T,
) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    for (name, mut table) in section.named_tables() {
        if !is_name(name) {
            let cure = "write letters, digits, -, _ and . only, such as oncall";
            section.problem(name, "is not a target's name", cure);
        }
        all.insert(name.to_owned(), read(&mut table));
        table.finish();
    }
    all
}

fn read_webhook(table: &mut Table<'_, '_>, context: Context<'_>) -> WebhookConfig {
    let secret = secrets::told(table, "secret_env", "secret_file", context);
    WebhookConfig {
        url: read_url(table, context, "\"https://hooks.example.com/firebell\""),
        secret: secret.flatten().map(|told| told.secret),
        request_timeout: read_timeout(table),
        retry_for: read_retries(table),
    }
}

fn read_kafka_sink(table: &mut Table<'_, '_>) -> KafkaSinkConfig {
    let topic = table.required_text("topic", "\"ALERTS\"").unwrap_or_default();
    if !topic.is_empty() && !is_topic_name(topic) {
        let cure = "Kafka allows 1 to 249 letters, digits, `.`, `_`, `-`";
        table.problem("topic", format!("\"{topic}\" is not a topic's name"), cure);
    }
    let forms = [("full", Form::Full), ("text", Form::Text)];
    let config = KafkaSinkConfig {
        topic: topic.to_owned(),
        form: table.word("form", &forms).unwrap_or_default(),
        channel: table.text("channel").map(str::to_owned),
        retry_for: read_retries(table),
    };
    if config.channel.is_some() && config.form == Form::Full {
        let cure = "write form = \"text\", or leave channel out";
        table.problem("channel", "is for the form \"text\"", cure);
    }
    config
}

fn read_alertmanager(table: &mut Table<'_, '_>, context: Context<'_>) -> AlertmanagerConfig {
    let token = secrets::told(table, "token_env", "token_file", context);
    let url = read_url(table, context, "\"http://alertmanager:9093\"");
    let resend = table.whole("resend_seconds", 1..=3_600).unwrap_or(RESEND_SECONDS_DEFAULT);
    AlertmanagerConfig {
        url: Secret::new(url.reveal().trim_end_matches('/')),
        token: token.flatten().map(|told| told.secret),
        request_timeout: read_timeout(table),
        retry_for: read_retries(table),
        resend: Duration::from_secs(resend.unsigned_abs()),
    }
}

/// An address: in the file where it is no secret, else in a variable or a file of its own.
fn read_url(table: &mut Table<'_, '_>, context: Context<'_>, example: &'static str) -> Secret {
    let has_secret = table.has("url_env") || table.has("url_file");
    let told = secrets::told(table, "url_env", "url_file", context);
    let (key, url) = match told {
        Some(_) if table.has("url") => {
            let cure = "keep url, or keep the other where the address is a secret";
            table.know("url");
            table.problem("url", "the address is told twice", cure);
            return Secret::new("");
        }
        Some(told) => {
            let key = if table.has("url_env") { "url_env" } else { "url_file" };
            table.know("url");
            (key, told.map_or_else(|| Secret::new(""), |Told { secret, .. }| secret))
        }
        None if has_secret => return Secret::new(""),
        None => ("url", Secret::new(table.required_text("url", example).unwrap_or_default())),
    };
    let text = url.reveal();
    if !text.is_empty() && !is_address(text) {
        let cure = format!("write http:// or https://, host and path, such as {example}");
        table.problem(key, "what it holds is not an http(s) address", cure);
    }
    url
}

/// Whether something can be asked for under this address.
pub(super) fn is_address(text: &str) -> bool {
    is_http_url(text) && url::Url::parse(text).is_ok() && !text.contains('#')
}

fn read_timeout(table: &mut Table<'_, '_>) -> Duration {
    let timeout = table.whole("request_timeout_ms", 100..=600_000);
    Duration::from_millis(timeout.unwrap_or(REQUEST_TIMEOUT_MS_DEFAULT).unsigned_abs())
}

fn read_retries(table: &mut Table<'_, '_>) -> Duration {
    let minutes = table.whole("retry_minutes", 0..=7 * 24 * 60).unwrap_or(RETRY_MINUTES_DEFAULT);
    Duration::from_secs(minutes.unsigned_abs() * 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{GOOD, check, parse};

    #[test]
    fn targets_are_read_with_their_defaults() {
        let text = "[webhooks.oncall]\nurl_env = \"HOOK\"\nsecret_env = \"PASSWORD\"\n\
                    [kafka_sinks.seed]\ntopic = \"KSQL_NOTIFY\"\nform = \"text\"\nchannel = \"general\"\n\
                    [alertmanagers.main]\nurl = \"http://am:9093/\"\nresend_seconds = 5\n";
        // Without [slack], too.
        let kafka = GOOD.split("[slack]").next().unwrap();
        let config = parse(&format!("{kafka}{text}")).unwrap();
        assert!(config.slack.is_none());
        let sinks = &config.sinks;
        let webhook = &sinks.webhooks["oncall"];
        assert_eq!(webhook.url.reveal(), "https://h/x");
        assert_eq!(webhook.secret.as_ref().unwrap().reveal(), "p");
        assert_eq!(webhook.retry_for, Duration::from_secs(3_600));
        let seed = &sinks.kafka_sinks["seed"];
        assert_eq!((seed.form, seed.channel.as_deref()), (Form::Text, Some("general")));
        let main = &sinks.alertmanagers["main"];
        assert_eq!((main.url.reveal(), main.resend), ("http://am:9093", Duration::from_secs(5)));
        assert!(!format!("{config:?}").contains("https://h/x"));
        assert_eq!(sinks.longest_request(), Some(Duration::from_secs(10)));
        let targets = config.targets();
        assert!(targets.lacks("webhook:oncall").is_none() && targets.lacks("general").is_some());
    }

    #[test]
    fn what_is_wrong_with_a_target_is_told() {
        check(
            "webhooks.oncall",
            "secret_env = \"NOPE\"",
            &[
                "firebell.toml:6: webhooks.oncall.url: is missing; write url = \"https://hooks.example.com/firebell\" under [webhooks.oncall]",
                "firebell.toml:7: webhooks.oncall.secret_env: environment variable NOPE is not set; set it before the start: export NOPE=…",
            ],
        );
        check(
            "webhooks.oncall",
            "url = \"ftp://x\"\nretries = 3",
            &[
                "firebell.toml:7: webhooks.oncall.url: what it holds is not an http(s) address; write http:// or https://, host and path, such as \"https://hooks.example.com/firebell\"",
                "firebell.toml:8: webhooks.oncall.retries: unknown key; the keys here are `secret_env`, `secret_file`, `url_env`, `url_file`, `url`, `request_timeout_ms`, `retry_minutes`",
            ],
        );
        check(
            "kafka_sinks.a",
            "topic = \"a b\"\nchannel = \"general\"",
            &[
                "firebell.toml:7: kafka_sinks.a.topic: \"a b\" is not a topic's name; Kafka allows 1 to 249 letters, digits, `.`, `_`, `-`",
                "firebell.toml:8: kafka_sinks.a.channel: is for the form \"text\"; write form = \"text\", or leave channel out",
            ],
        );
        check(
            "alertmanagers.\"a b\"",
            "url = \"http://x\"",
            &[
                "firebell.toml:6: alertmanagers.\"a b\": is not a target's name; write letters, digits, -, _ and . only, such as oncall",
            ],
        );
    }
}
