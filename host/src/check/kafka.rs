//! The part of `firebell check` that asks the broker.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;

use super::Report;
use crate::causes::with_causes;
use crate::config::{Config, KafkaConfig, Problem};
use crate::kafka::{ClientState, authorize, client_config};
use crate::nearest::nearest;
use crate::rules::Rule;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::Misfit;
use crate::topics::kafka::{Topics, TopicsError};

/// How long a broker may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// How long it may take once the client has told why it does not get through.
const ANSWER_AFTER_REASON: Duration = Duration::from_secs(3);

/// Asks whether a broker answers, the rules' topics exist and the host's own ones fit.
pub(super) async fn check(path: &Path, config: &Config, rules: &[Arc<Rule>], report: &mut Report) {
    let kafka = config.kafka.clone();
    // The client blocks while it waits for an answer.
    let asked = tokio::task::spawn_blocking(move || ask(&kafka)).await;
    let names = match asked.map_err(|error| Silence::Reason(error.to_string())).flatten() {
        Ok(names) => names,
        Err(Silence::Client(error)) => {
            let problem = Problem::new(error.to_string()).file(path).key("kafka.properties");
            report.problems.push(problem);
            return;
        }
        Err(Silence::Reason(reason)) => {
            let servers = &config.kafka.bootstrap_servers;
            let problem = Problem::new(format!("no broker answers at {servers}: {reason}"));
            let cure = "check the address, that the broker runs, and what [kafka.properties] says \
                        about security";
            report.unanswered.push(problem.file(path).key("kafka.bootstrap_servers").cure(cure));
            return;
        }
    };
    let brokers = &config.kafka.bootstrap_servers;
    report.passed.push(format!("broker {brokers}: it answers and has {} topics", names.len()));
    report.problems.extend(missing_topics(config, rules, &names));
    report.problems.extend(missing_sinks(path, config, &names));
    match misfits(config).await {
        Ok(misfits) => report.problems.extend(misfits.into_iter().map(|misfit| {
            let (setting, found, wanted) = (misfit.setting, misfit.found, misfit.wanted);
            Problem::new(format!("{setting} is {found}, but must be {wanted}"))
                .key(format!("topic {}", misfit.topic))
                .cure(misfit.cure)
        })),
        Err(error) => report.unanswered.push(Problem::new(with_causes(&error)).key("kafka")),
    }
}

/// What does not fit in the host's own topics, as far as they exist.
async fn misfits(config: &Config) -> Result<Vec<Misfit>, TopicsError> {
    Topics::new(&config.kafka, Metrics::new(), Readiness::default())?.misfits().await
}

/// Why there is no list of topics.
enum Silence {
    /// The client could not be made.
    Client(KafkaError),
    /// Nobody answered.
    Reason(String),
}

/// The names of all topics.
fn ask(kafka: &KafkaConfig) -> Result<Vec<String>, Silence> {
    let state = ClientState::new("kafka", kafka, Metrics::new(), Readiness::default());
    let probe = Probe { state, reason: Mutex::default() };
    let client: BaseConsumer<Probe> =
        client_config(kafka, "check").create_with_context(probe).map_err(Silence::Client)?;
    authorize(client.client(), &client.context().state);
    let start = Instant::now();
    loop {
        let error = match client.fetch_metadata(None, Duration::from_secs(1)) {
            Ok(metadata) => return Ok(metadata.topics().iter().map(|t| t.name().into()).collect()),
            Err(error) => error,
        };
        // Lets the client tell its errors.
        drop(client.poll(Duration::ZERO));
        let reason = client.context().reason();
        let patience = if reason.is_some() { ANSWER_AFTER_REASON } else { ANSWER };
        if start.elapsed() >= patience {
            return Err(Silence::Reason(reason.unwrap_or_else(|| error.to_string())));
        }
    }
}

/// Remembers why the client does not get through: librdkafka tells it in its log.
struct Probe {
    state: ClientState,
    reason: Mutex<Option<String>>,
}

impl Probe {
    fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, reason: &str) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.into());
    }
}

impl ClientContext for Probe {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if level as i32 <= RDKafkaLogLevel::Warning as i32 || facility == "FAIL" {
            // `[thrd:HOST:PORT/bootstrap]: HOST:PORT/bootstrap: REASON (after 0ms in state CONNECT)`
            let reason = line.split_once("]: ").map_or(line, |(_, reason)| reason);
            let reason = reason.split(" (after ").next().unwrap_or(reason);
            self.remember(reason);
        }
    }

    fn error(&self, _: KafkaError, reason: &str) {
        if self.reason().is_none() {
            self.remember(reason);
        }
    }

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.state.oauth_token().inspect_err(|error| self.remember(&error.to_string()))
    }
}

impl ConsumerContext for Probe {}

/// Topics that rules read or write and that do not exist.
fn missing_topics(config: &Config, rules: &[Arc<Rule>], names: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for rule in rules {
        let reads =
            rule.subscription.topics.iter().map(|topic| ("reads", "topics", topic.as_ref()));
        let writes = rule.emit.iter().map(|topic| ("writes to", "emit", topic.as_str()));
        for (does, key, topic) in reads.chain(writes) {
            if names.iter().any(|name| name == topic) {
                continue;
            }
            let cure = match nearest(topic, names.iter().map(String::as_str)) {
                Some(near) => {
                    format!("did you mean `{near}`? write it into `{key}`, or create the topic")
                }
                None => "create the topic, or name another one in its toml".into(),
            };
            let message =
                format!("rule {} {does} topic `{topic}`, which does not exist", rule.name);
            problems.push(
                Problem::new(message).file(&super::file_of(config, &rule.name)).key(key).cure(cure),
            );
        }
    }
    problems
}

/// Topics that alerts are to be told to and that do not exist.
fn missing_sinks(path: &Path, config: &Config, names: &[String]) -> Vec<Problem> {
    let missing = |(name, sink): (&String, &crate::config::KafkaSinkConfig)| {
        let topic = &sink.topic;
        let found = names.contains(topic);
        let message = format!("topic `{topic}` does not exist");
        let problem = Problem::new(message).file(path).key(format!("kafka_sinks.{name}.topic"));
        (!found).then(|| problem.cure("create the topic, or name another one"))
    };
    config.sinks.kafka_sinks.iter().filter_map(missing).collect()
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use crate::check::{Options, check};

    #[tokio::test(flavor = "multi_thread")]
    async fn topics_that_do_not_exist_are_told_with_their_rule_and_the_nearest() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("SYSLOG", 1, 1).unwrap();
        let site = tempfile::tempdir().unwrap();
        let path = site.path().join("firebell.toml");
        let servers = cluster.bootstrap_servers();
        std::fs::write(
            &path,
            format!("[kafka]\nbootstrap_servers = \"{servers}\"\n[rules]\ncache_dir = \"cache\"\n"),
        )
        .unwrap();
        std::fs::create_dir(site.path().join("rules")).unwrap();
        let rule = "component = \"builtin:invalid-user\"\ntopics = [\"SYSLOG\", \"SYSLGO\"]\n\
                    emit = [\"DERIVED\"]\n";
        std::fs::write(site.path().join("rules/invalid-user.toml"), rule).unwrap();
        let report = check(&path, Options { offline: false }).await;
        let file = site.path().join("rules/invalid-user.toml").display().to_string();
        let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                format!(
                    "{file}: topics: rule invalid-user reads topic `SYSLGO`, which does not exist; \
                     did you mean `SYSLOG`? write it into `topics`, or create the topic"
                ),
                format!(
                    "{file}: emit: rule invalid-user writes to topic `DERIVED`, which does not \
                     exist; create the topic, or name another one in its toml"
                ),
            ]
        );
        assert!(report.unanswered.is_empty(), "{report:?}");
        assert!(report.passed.iter().any(|line| line.ends_with("it answers and has 1 topics")));
        // And looking did not create any.
        let again = check(&path, Options { offline: false }).await;
        assert_eq!(again.passed, report.passed);
    }
}
