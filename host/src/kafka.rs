//! What every Kafka client of this process has in common: its properties, its log lines, its
//! errors, its token for SASL OAUTHBEARER.
//!
//! In: `[kafka]`. Out: a `ClientConfig` and a [`ClientState`] to build contexts on.
//! Never: joining a group or producing.

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::KafkaConfig;
use crate::oauth::TokenSource;
use crate::telemetry::{Metrics, Readiness};

pub(crate) mod asking;
pub mod context;
pub(crate) mod fetch;
pub mod follow;
pub mod reader;
pub mod statistics;

use context::lock;

/// The properties that every client starts from: bootstrap servers, then `defaults`, then
/// `[kafka.properties]`.
///
/// `role` ends the client's id in the broker's logs and quotas: `firebell-INSTANCE-ROLE`.
pub fn client_config(kafka: &KafkaConfig, role: &str, defaults: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", format!("firebell-{}-{role}", kafka.instance_id))
        // A broker that comes back is found within a second, not after the default ten.
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true");
    for (name, value) in defaults {
        config.set(*name, *value);
    }
    for (name, value) in kafka.client_properties() {
        config.set(name, value.reveal());
    }
    if config.get("ssl.ca.pem").is_none() && config.get("ssl.ca.location").is_none() {
        // The OpenSSL that is built in would look where no system keeps its certificates.
        config.set("ssl.ca.location", "probe");
    }
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// The properties of a member of a group, which commits by itself what it has done.
pub fn member_config(
    kafka: &KafkaConfig,
    role: &str,
    group_id: &str,
    defaults: &[(&str, &str)],
) -> ClientConfig {
    let mut config = client_config(kafka, role, defaults);
    if config.get("group.protocol").is_none_or(|protocol| protocol != "consumer") {
        // With KIP-848 (`group.protocol=consumer`) the broker decides both.
        if config.get("session.timeout.ms").is_none() {
            config.set("session.timeout.ms", "10000");
        }
        config.set("partition.assignment.strategy", "cooperative-sticky");
    }
    config
        .set("group.id", group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false");
    config
}

/// Why a connection failed.
struct Refusal {
    /// A broker is there, but there is no login.
    login: bool,
    why: String,
}

/// The part of a client's context that does not depend on what the client does.
pub struct ClientState {
    /// The name under which `/readyz` and the log know this client.
    part: &'static str,
    metrics: Metrics,
    readiness: Readiness,
    tokens: Option<TokenSource>,
    /// `kafka.bootstrap_servers`.
    servers: String,
    /// Why the last connection failed.
    refusal: Mutex<Option<Refusal>>,
    /// Whether the last word was that no broker can be reached.
    away: AtomicBool,
}

impl ClientState {
    /// A client's state; `part` is its name on `/readyz`.
    pub fn new(
        part: &'static str,
        kafka: &KafkaConfig,
        metrics: Metrics,
        readiness: Readiness,
    ) -> Self {
        let tokens = kafka.oauthbearer.clone().map(TokenSource::new);
        Self {
            part,
            metrics,
            readiness,
            tokens,
            servers: kafka.bootstrap_servers.clone(),
            refusal: Mutex::default(),
            away: AtomicBool::new(false),
        }
    }

    /// The state of a command's clients: nobody reads its metrics, or whether it is ready.
    pub fn of_command(kafka: &KafkaConfig) -> Arc<Self> {
        Arc::new(Self::new("kafka", kafka, Metrics::new(), Readiness::default()))
    }

    /// The metrics that this client reports to.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// `kafka.bootstrap_servers`.
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// Takes a log line of librdkafka.
    pub fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        let part = self.part;
        if facility == "CONFWARN" && line.contains("will be ignored by this") {
            // [kafka.properties] is for consumers and producers alike.
            return tracing::debug!(part, facility, "librdkafka: {line}");
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(part, facility, "librdkafka: {line}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(part, facility, "librdkafka: {line}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(part, facility, "librdkafka: {line}"),
        }
    }

    /// Takes a client error: it is counted, and said once when the cluster goes away.
    pub fn error(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        self.metrics.kafka_errors(code.map_or("unknown", |code| code_name(code)), 1);
        let away = matches!(
            code,
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
        );
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            let login = code == Some(RDKafkaErrorCode::Authentication);
            *lock(&self.refusal) = Some(Refusal { login, why: refusal(reason).to_owned() });
        }
        if !away {
            tracing::warn!(part = self.part, reason, "kafka client: {error}");
        } else if code == Some(RDKafkaErrorCode::AllBrokersDown)
            && !self.away.swap(true, Ordering::Relaxed)
        {
            let silence = self.silence();
            tracing::warn!(part = self.part, reason, "{silence}; retrying");
            self.readiness.set_not_ready(self.part, silence);
        }
    }

    /// Which brokers do not answer, and why as far as it is known.
    pub fn silence(&self) -> String {
        let refusal = lock(&self.refusal);
        let servers = &self.servers;
        match refusal.as_ref() {
            Some(Refusal { login: true, why }) => {
                format!("cannot log in to kafka at {servers}: {why}")
            }
            Some(Refusal { why, .. }) => {
                format!("no kafka broker can be reached at {servers}: {why}")
            }
            None => format!("no kafka broker can be reached at {servers}"),
        }
    }

    /// Says that a broker answered.
    pub fn connected(&self) {
        if self.away.swap(false, Ordering::Relaxed) {
            tracing::info!(part = self.part, "kafka can be reached again");
        }
        self.readiness.set_ready(self.part);
    }

    /// A token for SASL OAUTHBEARER, for librdkafka's refresh callback.
    ///
    /// # Errors
    /// When nothing is configured or the source failed; the text names the cure and no secret.
    pub fn oauth_token(&self) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let source = self.tokens.as_ref().ok_or(
            "sasl.mechanism is OAUTHBEARER, but [kafka.oauthbearer] is missing; \
             set token_file, or token_url with client_id and client_secret_env",
        )?;
        let token = source.token()?;
        Ok(OAuthToken {
            token: token.value,
            principal_name: token.principal,
            lifetime_ms: token.expires_ms,
        })
    }
}

/// Hands a client its token for SASL OAUTHBEARER at once, when that is configured. Blocks, for at most
/// ten seconds; a failure is told as the client's other errors are.
///
/// librdkafka asks for a token while somebody polls the client. One that begins with a question would
/// wait for the answer without a token, and an admin client is never polled.
pub fn authorize<C: ClientContext>(client: &Client<C>, state: &ClientState) {
    if state.tokens.is_none() {
        return;
    }
    let given = state.oauth_token().map_err(|error| error.to_string());
    if let Err(reason) = given.and_then(|token| give_token(client, &token)) {
        let code = RDKafkaErrorCode::Authentication;
        state.error(&KafkaError::Global(code), &reason);
    }
}

/// Room for librdkafka's words about a token; the rest is cut off.
const TOKEN_REFUSAL_BYTES_MAX: usize = 512;

#[allow(unsafe_code, reason = "rust-rdkafka hands tokens over only while a client is polled")]
fn give_token<C: ClientContext>(client: &Client<C>, token: &OAuthToken) -> Result<(), String> {
    // The token itself is never shown, nor where in it the zero is.
    let text = |text: &str| CString::new(text).map_err(|_| "the token has a zero byte".to_owned());
    let (value, principal) = (text(&token.token)?, text(&token.principal_name)?);
    let mut why: [c_char; TOKEN_REFUSAL_BYTES_MAX] = [0; TOKEN_REFUSAL_BYTES_MAX];
    // SAFETY: the client is alive, librdkafka copies both strings, takes no extensions, and ends what it
    // writes into `why`, at most its length, with a zero.
    let (code, why) = unsafe {
        let code = sys::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            why.as_mut_ptr(),
            why.len(),
        );
        (code, CStr::from_ptr(why.as_ptr()))
    };
    match code {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        // Another mechanism is configured.
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__STATE => Ok(()),
        _ => Err(why.to_string_lossy().into_owned()),
    }
}

/// librdkafka's reason without the broker's name before it and the client's state after it:
/// `HOST:PORT/bootstrap: REASON (after 0ms in state CONNECT)`.
fn refusal(reason: &str) -> &str {
    let told = reason.split(" (after ").next().unwrap_or(reason);
    told.split_once("/bootstrap: ").map_or(told, |(_, told)| told)
}

/// A short, closed name of an error code, for a metric's label.
fn code_name(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::AllBrokersDown => "all_brokers_down",
        RDKafkaErrorCode::BrokerTransportFailure => "transport",
        RDKafkaErrorCode::Authentication => "authentication",
        RDKafkaErrorCode::SaslAuthenticationFailed => "sasl_authentication",
        RDKafkaErrorCode::TopicAuthorizationFailed => "topic_authorization",
        RDKafkaErrorCode::GroupAuthorizationFailed => "group_authorization",
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            "unknown_topic"
        }
        RDKafkaErrorCode::UnknownPartition => "unknown_partition",
        RDKafkaErrorCode::PollExceeded => "max_poll_exceeded",
        RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset => {
            "offset_out_of_range"
        }
        RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut => "timeout",
        RDKafkaErrorCode::Resolve => "resolve",
        RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced => "fenced",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, Environment};

    #[test]
    fn whom_to_trust_is_looked_up_where_systems_keep_it_unless_it_is_said() {
        let location = |properties: &str| {
            let text = format!(
                "[kafka]\nbootstrap_servers = \"k:9093\"\n[kafka.properties]\n{properties}\n"
            );
            let environment = Environment::of("h", 1, []);
            let config = Config::parse(Path::new("f.toml"), &text, &environment).unwrap();
            let client = super::client_config(&config.kafka, "test", &[]);
            client.get("ssl.ca.location").map(str::to_owned)
        };
        assert_eq!(location("").as_deref(), Some("probe"));
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().display().to_string();
        assert_eq!(location(&format!("\"ssl.ca.location\" = {said:?}")), Some(said));
        assert_eq!(location("\"ssl.ca.pem\" = \"PEM\""), None);
    }

    #[test]
    fn a_refusal_is_told_without_what_only_librdkafka_needs() {
        let told = "k:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused \
                    (after 0ms in state CONNECT, 3 identical error(s) suppressed)";
        let short = "Connect to ipv4#10.0.0.1:9092 failed: Connection refused";
        assert_eq!(super::refusal(told), short);
        assert_eq!(super::refusal("1/1 brokers are down"), "1/1 brokers are down");
    }
}
