//! `firebell.toml`: what the operator says. Unknown keys are errors with the nearest right one.
//!
//! In goes a file's path; out comes a [`Config`] with defaults filled in and secrets read, or
//! everything that is wrong with it at once. `docs/configuration.md` tells every key (a test
//! compares the two).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::limits::Limits;
use crate::secret::Secret;
use crate::target::Targets;

mod ambiguity;
mod canary;
mod delivery;
mod environment;
mod kafka;
mod ops;
mod problem;
pub(crate) mod reader;
mod rules;
mod secrets;
mod sinks;
pub(crate) mod slack;
mod tables;

pub use ambiguity::{Ambiguity, OnAmbiguous};
pub use canary::CanaryConfig;
pub use environment::Environment;
pub use ops::OpsConfig;
pub use problem::{ConfigErrors, Problem};
pub use sinks::{AlertmanagerConfig, Form, KafkaSinkConfig, SinksConfig, WebhookConfig};

use reader::{Reader, Table};

/// The smallest file that works, shown when there is none.
pub const SMALLEST: &str = r#"[kafka]
bootstrap_servers = "127.0.0.1:9092"

[slack]
token_env = "SLACK_BOT_TOKEN"
default_channel = "general"
"#;

/// Every key, with its tables; those of tables whose keys the operator chooses end in `*`.
const KEYS: &[&str] = &[
    "kafka.bootstrap_servers",
    "kafka.group_id",
    "kafka.instance_id",
    "kafka.auto_offset_reset",
    "kafka.commit_interval_ms",
    "kafka.workers",
    "kafka.internal_partitions",
    "kafka.static_membership",
    "kafka.replication_factor",
    "kafka.properties.*",
    "kafka.oauthbearer.token_file",
    "kafka.oauthbearer.token_url",
    "kafka.oauthbearer.client_id",
    "kafka.oauthbearer.client_secret_env",
    "kafka.oauthbearer.client_secret_file",
    "kafka.oauthbearer.scope",
    "rules.dir",
    "rules.cache_dir",
    "rules.limits.fuel_per_record",
    "rules.limits.memory_mib",
    "rules.limits.output_bytes",
    "rules.limits.notifications_per_record",
    "rules.limits.emits_per_record",
    "rules.limits.log_lines",
    "rules.limits.state_mib",
    "rules.limits.quarantine_after",
    "slack.token_env",
    "slack.token_file",
    "slack.webhook_url_env",
    "slack.webhook_url_file",
    "slack.api_url",
    "slack.default_channel",
    "slack.fallback_channel",
    "slack.channels.*",
    "slack.mentions.*",
    "slack.link_hosts",
    "slack.messages_per_second",
    "slack.broadcast_worsening",
    "slack.burst",
    "slack.workspace_messages_per_second",
    "slack.digest_after_seconds",
    "slack.on_ambiguous",
    "slack.request_timeout_ms",
    "http.listen",
    "delivery.policy",
    "delivery.ledger_retention_hours",
    "delivery.history_retention_hours",
    "delivery.evidence_values",
    "http.public_url",
    "ops.channel",
    "ops.dead_letters_per_minute",
    "ops.lag_seconds",
    "ops.canary.topic",
    "ops.canary.interval_seconds",
    "ops.canary.channel",
    "ops.canary.ping_url",
    "ops.canary.ping_url_env",
    "ops.canary.ping_url_file",
    "webhooks.*.url",
    "webhooks.*.url_env",
    "webhooks.*.url_file",
    "webhooks.*.secret_env",
    "webhooks.*.secret_file",
    "webhooks.*.request_timeout_ms",
    "webhooks.*.retry_minutes",
    "kafka_sinks.*.topic",
    "kafka_sinks.*.form",
    "kafka_sinks.*.channel",
    "kafka_sinks.*.retry_minutes",
    "alertmanagers.*.url",
    "alertmanagers.*.url_env",
    "alertmanagers.*.url_file",
    "alertmanagers.*.token_env",
    "alertmanagers.*.token_file",
    "alertmanagers.*.request_timeout_ms",
    "alertmanagers.*.retry_minutes",
    "alertmanagers.*.resend_seconds",
    "tables.*",
];

/// The whole configuration, validated, with defaults filled in and secrets read.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[kafka]`
    pub kafka: KafkaConfig,
    /// `[rules]`
    pub rules: RulesConfig,
    /// `[slack]`; `None` = nothing is delivered to Slack.
    pub slack: Option<SlackConfig>,
    /// `[webhooks]`, `[kafka_sinks]`, `[alertmanagers]`
    pub sinks: SinksConfig,
    /// `[http]`; `None` = no page and no metrics.
    pub http: Option<HttpConfig>,
    /// `[delivery]`
    pub delivery: DeliveryConfig,
    /// `[ops]`; `None` = the host's own alerts are told to nobody.
    pub ops: Option<OpsConfig>,
    /// `[tables]`: lookup tables by name, and the compacted topic of each.
    pub tables: BTreeMap<String, String>,
}

/// `[kafka]`
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `bootstrap_servers`: HOST:PORT, comma-separated.
    pub bootstrap_servers: String,
    /// `group_id`: consumer group, and prefix of internal topics and transactional ids.
    pub group_id: String,
    /// `instance_id`: unique per process in the group and the same after a restart; default
    /// `HOSTNAME-HTTP_PORT`, and none where there is no such port.
    pub instance_id: String,
    /// `auto_offset_reset`: where a group without offsets begins.
    pub auto_offset_reset: OffsetReset,
    /// `commit_interval_ms`: how often effects are committed while a backlog is worked off.
    pub commit_interval: Duration,
    /// `workers`: threads that evaluate; 0 was replaced by the number of cores.
    pub workers: usize,
    /// `internal_partitions`: partitions of the host's own topics when they are created.
    pub internal_partitions: i32,
    /// `static_membership`: a host that ends keeps its partitions for `session.timeout.ms`, so that a
    /// quick restart moves nothing (KIP-345).
    pub static_membership: bool,
    /// `replication_factor` of internal topics when they are created; -1 = the broker's default.
    pub replication_factor: i32,
    /// `[kafka.properties]`: handed to librdkafka as they are; values may be secrets.
    pub properties: BTreeMap<String, Secret>,
    /// `[kafka.oauthbearer]`: where tokens for SASL OAUTHBEARER come from.
    pub oauthbearer: Option<OauthConfig>,
}

/// Where a consumer group without offsets begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// Only what comes from now on.
    #[default]
    Latest,
    /// All that is kept.
    Earliest,
}

/// `[kafka.oauthbearer]`: the OAuth 2.0 client-credentials grant, or a file with a token.
#[derive(Debug, Clone)]
pub enum OauthConfig {
    /// `token_file`: read again whenever librdkafka asks for a new token.
    TokenFile(PathBuf),
    /// `token_url`, `client_id`, `client_secret_env`, `scope`.
    ClientCredentials {
        /// The token endpoint.
        token_url: String,
        /// The client's id.
        client_id: String,
        /// The client's secret.
        client_secret: Secret,
        /// The scope asked for, when there is one.
        scope: Option<String>,
    },
}

/// `[rules]`
#[derive(Debug, Clone)]
pub struct RulesConfig {
    /// `dir`: the watched folder.
    pub dir: PathBuf,
    /// `cache_dir`: compiled code by content hash, owned by the host; `None` = not cached.
    pub cache_dir: Option<PathBuf>,
    /// `[rules.limits]`: defaults for rules that set none.
    pub limits: Limits,
}

/// `[slack]`
#[derive(Debug, Clone)]
pub struct SlackConfig {
    /// How messages are sent.
    pub mode: SlackMode,
    /// `api_url`, with a slash at its end.
    pub api_url: String,
    /// `default_channel`: for rules that name none.
    pub default_channel: String,
    /// `fallback_channel`: where goes what a channel takes nothing of; `None` = to the dead letters.
    pub fallback_channel: Option<String>,
    /// `[slack.channels]`: name = id.
    pub channels: BTreeMap<String, String>,
    /// `[slack.mentions]`: name = user id (`U…`), user group id (`S…`), or `here`, `channel`, `everyone`.
    pub mentions: BTreeMap<String, String>,
    /// `link_hosts`: hosts that links may point to.
    pub link_hosts: Vec<String>,
    /// `broadcast_worsening`: whether the reply that says that an alert got worse is shown in the
    /// channel too.
    pub broadcast_worsening: bool,
    /// `messages_per_second` and channel: Slack allows 1.
    pub messages_per_second: f64,
    /// `burst`: messages that may go to a channel at once.
    pub burst: u32,
    /// `workspace_messages_per_second`: of all channels together.
    pub workspace_messages_per_second: f64,
    /// `digest_after_seconds`: a queue that takes longer to send is told in one message; `None` = never.
    pub digest_after: Option<Duration>,
    /// `on_ambiguous`: what to do after an unclear answer when history cannot be read.
    pub on_ambiguous: Ambiguity,
    /// `request_timeout_ms` for one request.
    pub request_timeout: Duration,
}

/// How messages reach Slack.
#[derive(Debug, Clone)]
pub enum SlackMode {
    /// `token_env` or `token_file`: `chat.postMessage` and all that a bot can do.
    Bot {
        /// The token at start.
        token: Secret,
        /// The file that it came from; read again when Slack refuses the token.
        token_file: Option<PathBuf>,
    },
    /// `webhook_url_env` or `webhook_url_file`: an incoming webhook; no edits, no read-back, one channel.
    Webhook {
        /// The address at start.
        url: Secret,
        /// The file that it came from; read again when Slack refuses the address.
        file: Option<PathBuf>,
    },
}

/// `[http]`
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// `listen`: the page, `/metrics`, `/healthz`, `/readyz`.
    pub listen: SocketAddr,
    /// `public_url`: where people reach the page, without a slash at its end; messages link to it.
    pub public_url: Option<String>,
}

/// `[delivery]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// `policy`: the file that says who is told of what; `None` = every alert goes where its rule says.
    pub policy: Option<PathBuf>,
    /// `ledger_retention_hours`: how long an alert id is remembered.
    pub ledger_retention: Duration,
    /// `history_retention_hours`: how long it is kept what happened to alerts, when the topic is created.
    pub history_retention: Duration,
    /// `evidence_values`: whether messages show what is in the record behind an alert.
    pub evidence_values: bool,
}

/// Bytes of `[http] public_url`: every message has room for a link to it.
const PUBLIC_URL_BYTES_MAX: usize = 300;
/// Where `[http] listen` is when nothing is said: only this machine sees it.
const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);

impl Config {
    /// Reads a configuration file and the secrets that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once; no problem shows a secret.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        Self::complete(Self::examine(path, &Environment::process()))
    }

    /// Reads a configuration file as far as it can be understood: what is wrong has its default, or
    /// is empty. For `firebell check`; only a configuration without problems can be run.
    pub fn examine(path: &Path, environment: &Environment) -> (Option<Self>, Vec<Problem>) {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::read(path, &text, environment),
            Err(error) => (None, vec![unreadable(&error).file(path)]),
        }
    }

    /// Reads a configuration for who only asks Kafka something: secrets of other sections than `[kafka]`
    /// need not be here.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_to_ask(path: &Path) -> Result<Self, ConfigErrors> {
        let environment = Environment::process().assuming_secrets();
        let config = Self::complete(Self::examine(path, &environment))?;
        if environment.assumed().is_empty() {
            return Ok(config);
        }
        let (_, mut problems) = Self::examine(path, &Environment::process());
        let is_kafkas = |key: &str| key.starts_with("kafka.");
        problems.retain(|problem| problem.key.as_deref().is_some_and(is_kafkas));
        if problems.is_empty() { Ok(config) } else { Err(ConfigErrors { problems }) }
    }

    /// Reads a configuration's text. `path` is where it is said to be: relative paths in it start
    /// from its folder.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str, environment: &Environment) -> Result<Self, ConfigErrors> {
        Self::complete(Self::read(path, text, environment))
    }

    fn read(path: &Path, text: &str, environment: &Environment) -> (Option<Self>, Vec<Problem>) {
        let reader = Reader::new(path, text, KEYS);
        let config = reader.parse().map(|table| {
            let mut root = Table::root(&reader, table.get_ref());
            let context = Context { folder: path.parent().unwrap_or(Path::new("")), environment };
            let http = read_http(root.table("http"));
            let port = http.as_ref().map(|http| http.listen.port()).filter(|port| *port > 0);
            let kafka = kafka::read(root.table("kafka"), context, port);
            let rules = rules::read(root.table("rules"), context);
            let slack = slack::read(root.table("slack"), context);
            let sinks = sinks::read(&mut root, context);
            let delivery = delivery::read(root.table("delivery"), context);
            let ops = ops::read(root.table("ops"), context, slack.as_ref());
            let tables = tables::read(root.table("tables"));
            root.finish();
            Self { kafka, rules, slack, sinks, http, delivery, ops, tables }
        });
        (config, reader.into_problems())
    }

    /// The targets that alerts can be told to.
    pub fn targets(&self) -> Targets {
        let sinks = self.sinks.names().map(|(kind, name)| (kind, name.to_owned()));
        Targets { has_slack: self.slack.is_some(), sinks: sinks.collect() }
    }

    fn complete((config, problems): (Option<Self>, Vec<Problem>)) -> Result<Self, ConfigErrors> {
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigErrors { problems }),
        }
    }
}

/// Why a file could not be read.
fn unreadable(error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::NotFound => Problem::new("there is no such file").cure(format!(
            "write one, or name another with -c FILE; the smallest that works is\n\n{SMALLEST}"
        )),
        io::ErrorKind::InvalidData => {
            Problem::new("is not UTF-8 text").cure("TOML is written in UTF-8")
        }
        _ => Problem::new(format!("cannot be read: {error}")),
    }
}

/// What the sections need besides their table.
#[derive(Clone, Copy)]
struct Context<'a> {
    /// The configuration file's folder: relative paths start there.
    folder: &'a Path,
    environment: &'a Environment,
}

impl Context<'_> {
    /// A path as the file writes it.
    fn path(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }
}

/// `[http]`; `None` = `listen = "off"`.
fn read_http(mut table: Table<'_, '_>) -> Option<HttpConfig> {
    let listen = match table.text("listen") {
        None => Some(LISTEN_DEFAULT),
        Some("off") => None,
        Some(text) => text.parse().ok().or_else(|| {
            let cure = "write ADDRESS:PORT such as \"127.0.0.1:9464\" or \"[::]:9464\", or \"off\"";
            table.problem("listen", format!("\"{text}\" is not an address to listen on"), cure);
            Some(LISTEN_DEFAULT)
        }),
    };
    let public_url = table.text("public_url").map(str::to_owned);
    if let Some(url) = &public_url {
        let is_fit = slack::is_http_url(url) && url::Url::parse(url).is_ok();
        // Messages carry it, and everybody in the channel reads them.
        if !is_fit || url.contains(['?', '#', '@']) || url.len() > PUBLIC_URL_BYTES_MAX {
            let cure = "write http:// or https://, host and path, such as \"https://firebell.example.com\"";
            table.problem("public_url", format!("\"{url}\" is not an address of a page"), cure);
        }
    }
    table.finish();
    let public_url = public_url.map(|url| url.trim_end_matches('/').to_owned());
    listen.map(|listen| HttpConfig { listen, public_url })
}

#[cfg(test)]
mod tests;
