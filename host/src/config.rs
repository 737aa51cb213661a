//! `firebell.toml`: what the operator says. Unknown keys are errors with the nearest right one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits::Limits;
use crate::secret::Secret;

/// The whole configuration, validated, with defaults filled in and secrets read.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[kafka]`
    pub kafka: KafkaConfig,
    /// `[rules]`
    pub rules: RulesConfig,
    /// `[slack]`; `None` = nothing is delivered (`firebell run --only evaluate`).
    pub slack: Option<SlackConfig>,
    /// `[http]`; `None` = no page and no metrics.
    pub http: Option<HttpConfig>,
}

/// `[kafka]`
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `bootstrap_servers`: HOST:PORT, comma-separated.
    pub bootstrap_servers: String,
    /// `group_id`: consumer group, and prefix of internal topics and transactional ids.
    pub group_id: String,
    /// `instance_id`: unique per process in the group and the same after a restart; default
    /// `HOSTNAME-HTTP_PORT`.
    pub instance_id: String,
    /// `auto_offset_reset`: where a group without offsets begins.
    pub auto_offset_reset: OffsetReset,
    /// `commit_interval_ms`: how often effects are committed while a backlog is worked off.
    pub commit_interval: Duration,
    /// `workers`: threads that evaluate; 0 was replaced by the number of cores.
    pub workers: usize,
    /// `internal_partitions`: partitions of the outbox and ledger topics when they are created.
    pub internal_partitions: i32,
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
    /// `ops_channel`: the host's own alerts.
    pub ops_channel: Option<String>,
    /// `[slack.channels]`: name = id.
    pub channels: BTreeMap<String, String>,
    /// `[slack.mentions]`: name = user id (`U…`), user group id (`S…`), or `here`, `channel`, `everyone`.
    pub mentions: BTreeMap<String, String>,
    /// `link_hosts`: hosts that links may point to.
    pub link_hosts: Vec<String>,
    /// `messages_per_second` and channel: Slack allows 1.
    pub messages_per_second: f64,
    /// `burst`: messages that may go to a channel at once.
    pub burst: u32,
    /// `on_ambiguous`: what to do after an unclear answer when history cannot be read.
    pub on_ambiguous: OnAmbiguous,
    /// `request_timeout_ms` for one request.
    pub request_timeout: Duration,
    /// `ledger_retention_hours`: how long an alert id is remembered.
    pub ledger_retention: Duration,
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
    /// `webhook_url_env`: an incoming webhook; no edits, no read-back, one channel.
    Webhook(Secret),
}

/// What to do when Slack's answer does not say whether a message was posted and its history cannot
/// be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnAmbiguous {
    /// Send again: perhaps twice, never lost.
    #[default]
    Send,
    /// Do not: perhaps lost, never twice.
    Drop,
}

/// `[http]`
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// `listen`: the page, `/metrics`, `/healthz`, `/readyz`.
    pub listen: SocketAddr,
}
