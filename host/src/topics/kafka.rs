//! Creates the host's own topics with the right settings, or checks those that exist.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::KafkaConfig;
use crate::kafka::asking::{Trouble, ask};
use crate::kafka::context::{Context, Role};
use crate::kafka::{ClientState, authorize, client_config};
use crate::telemetry::{Metrics, Readiness};
use crate::topics::{InternalTopics, Misfit, Partitions, Wanted};

/// The wait for an answer of the broker.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The name under which `/readyz` and the log know these clients.
const PART: &str = "topics";
/// How long there may be too few brokers for the topics' replication factor.
const TOO_FEW_BROKERS_MAX: Duration = Duration::from_secs(15);
/// Between two attempts meanwhile.
const TOO_FEW_BROKERS_POLL: Duration = Duration::from_millis(500);
/// `retention.ms` of the outbox: a delivery that stands still for longer loses.
const OUTBOX_RETENTION: &str = "604800000";
/// `retention.ms` of the repartition topic: evaluation that stands still for longer loses.
const REPARTITION_RETENTION: &str = "604800000";
/// `max.message.bytes` of topics that take whole records, and of the changelog: an entry of state has 5 MiB at
/// most ([`firebell_state::WIRE_BYTES_MAX`]).
const RECORD_BYTES: &str = "8388608";
/// How long the history is kept when nothing is said.
const HISTORY_RETENTION: Duration = Duration::from_secs(7 * 24 * 3_600);
/// `retention.ms` of the dead letters: time to look at them.
const DEAD_LETTERS_RETENTION: &str = "2592000000";

/// Why the host's own topics are not there.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The client could not be made.
    #[error("cannot make a client; check [kafka.properties]")]
    Client(#[source] KafkaError),
    /// No broker did answer.
    #[error("cannot list the topics: {silence}")]
    Away {
        /// Which brokers, and what was tried.
        silence: String,
        /// What Kafka says.
        source: KafkaError,
    },
    /// The broker did not answer this.
    #[error("cannot {doing}")]
    Broker {
        /// What was asked.
        doing: String,
        /// What Kafka says.
        source: KafkaError,
    },
    /// The broker refused; nothing is gained by trying again.
    #[error("cannot create topic `{topic}`: {reason}; create it by hand, or allow it")]
    Create {
        /// The topic.
        topic: String,
        /// What Kafka says.
        reason: String,
    },
    /// Topics exist and do not fit.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Misfits(Vec<Misfit>),
}

impl TopicsError {
    /// Whether it may pass by itself.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Broker { .. })
    }
}

/// The context of these clients.
type TopicsContext = Context<Unready>;

struct Unready(Readiness);

impl Role for Unready {
    fn failed(&self, state: &ClientState) {
        // Nothing else runs yet: the first refusal is worth telling, not only that of all brokers.
        self.0.set_not_ready(PART, state.silence());
    }
}

impl ConsumerContext for TopicsContext {}

/// Looks at topics, and creates the host's own.
pub struct Topics {
    /// Asks for the list of topics. Unlike an admin client it tells what it tries meanwhile.
    client: Arc<BaseConsumer<TopicsContext>>,
    admin: Arc<AdminClient<TopicsContext>>,
    names: InternalTopics,
    partitions: i32,
    replication: i32,
    history: Duration,
}

impl Topics {
    /// Makes the client.
    ///
    /// # Errors
    /// When librdkafka refuses the properties.
    pub fn new(
        kafka: &KafkaConfig,
        metrics: Metrics,
        readiness: Readiness,
    ) -> Result<Self, TopicsError> {
        let state = Arc::new(ClientState::new(PART, kafka, metrics, readiness.clone()));
        let context = || Context::new(&state, Unready(readiness.clone()));
        let config = client_config(kafka, PART, &[]);
        let client = config.create_with_context(context()).map_err(TopicsError::Client)?;
        let admin = config.create_with_context(context()).map_err(TopicsError::Client)?;
        Ok(Self {
            client: Arc::new(client),
            admin: Arc::new(admin),
            names: InternalTopics::of(&kafka.group_id),
            partitions: kafka.internal_partitions,
            replication: kafka.replication_factor,
            history: HISTORY_RETENTION,
        })
    }

    /// Keeps the history for so long, when its topic is created.
    pub fn with_history(self, history: Duration) -> Self {
        Self { history, ..self }
    }

    /// All topics and the number of their partitions.
    ///
    /// # Errors
    /// When the broker does not answer in ten seconds.
    pub async fn existing(&self) -> Result<BTreeMap<String, i32>, TopicsError> {
        let client = Arc::clone(&self.client);
        // The client blocks while it waits, and a shutdown does not wait for it.
        // All are asked for: asking for one would create it where the broker creates topics by itself.
        let ask = move || ask(&client, |wait| client.fetch_metadata(None, wait));
        let asked = tokio::task::spawn_blocking(ask).await;
        let asked = asked.unwrap_or(Err((Trouble::Refusal, KafkaError::Canceled)));
        let metadata = asked.map_err(|(_, source)| TopicsError::Away {
            silence: self.client.context().state.silence(),
            source,
        })?;
        let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
        Ok(topics
            .map(|topic| (topic.name().to_owned(), topic.partitions().len()))
            .filter_map(|(name, count)| Some((name, i32::try_from(count).ok()?)))
            .filter(|(_, count)| *count > 0)
            .collect())
    }

    /// Creates what is missing, checks the rest; returns how many partitions there are.
    ///
    /// # Errors
    /// When the broker does not answer, refuses, or has a topic of this name that does not fit.
    pub async fn ensure(&self) -> Result<Partitions, TopicsError> {
        let existing = self.existing().await?;
        let outbox = match existing.get(&*self.names.outbox) {
            Some(partitions) => *partitions,
            None => {
                let retention = [("retention.ms", OUTBOX_RETENTION), ("cleanup.policy", "delete")];
                self.create(&self.names.outbox, self.partitions, &retention).await?;
                self.partitions
            }
        };
        if !existing.contains_key(&*self.names.ledger) {
            // Small segments: only closed ones are compacted, and a restore reads all that is left.
            let compact = [("cleanup.policy", "compact"), ("segment.bytes", "67108864")];
            self.create(&self.names.ledger, outbox, &compact).await?;
        }
        if !existing.contains_key(&*self.names.dead_letters) {
            let settings = [
                ("retention.ms", DEAD_LETTERS_RETENTION),
                ("cleanup.policy", "delete"),
                ("max.message.bytes", RECORD_BYTES),
            ];
            self.create(&self.names.dead_letters, 1, &settings).await?;
        }
        if !existing.contains_key(&*self.names.silences) {
            let compact = [("cleanup.policy", "compact"), ("segment.bytes", "67108864")];
            self.create(&self.names.silences, 1, &compact).await?;
        }
        if !existing.contains_key(&*self.names.history) {
            let retention = self.history.as_millis().to_string();
            let settings = [("retention.ms", &*retention), ("cleanup.policy", "delete")];
            self.create(&self.names.history, outbox, &settings).await?;
        }
        let state = self.ensure_state(&existing).await?;
        let misfits = self.misfits().await?;
        if misfits.is_empty() {
            Ok(Partitions { outbox, state })
        } else {
            Err(TopicsError::Misfits(misfits))
        }
    }

    /// The topics of rules' state.
    async fn ensure_state(&self, existing: &BTreeMap<String, i32>) -> Result<i32, TopicsError> {
        let repartition = existing.get(&*self.names.repartition).copied();
        let changelog = existing.get(&*self.names.changelog).copied();
        let partitions = changelog.or(repartition).unwrap_or(self.partitions);
        if repartition.is_none() {
            let settings = [
                ("retention.ms", REPARTITION_RETENTION),
                ("cleanup.policy", "delete"),
                ("max.message.bytes", RECORD_BYTES),
            ];
            self.create(&self.names.repartition, partitions, &settings).await?;
        }
        if changelog.is_none() {
            let compact = [
                ("cleanup.policy", "compact"),
                ("segment.bytes", "67108864"),
                ("max.message.bytes", RECORD_BYTES),
            ];
            self.create(&self.names.changelog, partitions, &compact).await?;
        }
        Ok(partitions)
    }

    /// What does not fit in those of the host's own topics that exist.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn misfits(&self) -> Result<Vec<Misfit>, TopicsError> {
        let existing = self.existing().await?;
        let outbox = existing.get(&*self.names.outbox).copied();
        let state = existing.get(&*self.names.changelog).copied();
        let sent = "what was sent is then known only to Slack's history";
        let on_their_way = "records on their way to their rules are lost";
        let wanted = [
            (&self.names.outbox, "delete", None),
            (&self.names.ledger, "compact", outbox.map(|count| (count, "the outbox", sent))),
            (&self.names.dead_letters, "delete", None),
            (
                &self.names.repartition,
                "delete",
                state.map(|count| (count, "the changelog", on_their_way)),
            ),
            (&self.names.changelog, "compact", None),
            (&self.names.silences, "compact", Some((1, "every host expects it", "all silences"))),
            (&self.names.history, "delete", None),
        ];
        let mut misfits = Vec::new();
        for (topic, cleanup_policy, partitions) in wanted {
            let Some(&found) = existing.get(&**topic) else { continue };
            let policy = self.cleanup_policy(topic).await?;
            let wanted = Wanted { topic: topic.clone(), cleanup_policy, partitions };
            misfits.extend(wanted.misfits(found, &policy));
        }
        Ok(misfits)
    }

    /// The admin client, with a token that is fresh: nobody polls it, so it cannot ask for one.
    async fn admin(&self) -> &AdminClient<TopicsContext> {
        let admin = Arc::clone(&self.admin);
        let give = move || authorize(admin.inner(), &admin.inner().context().state);
        if let Err(error) = tokio::task::spawn_blocking(give).await {
            tracing::error!("handing a token over: {error}");
        }
        &self.admin
    }

    async fn cleanup_policy(&self, topic: &str) -> Result<String, TopicsError> {
        let failed = |source| TopicsError::Broker {
            doing: format!("read the settings of topic `{topic}`"),
            source,
        };
        let resource = ResourceSpecifier::Topic(topic);
        let described = self.admin().await.describe_configs([&resource], &options()).await;
        let resource: ConfigResource = described
            .map_err(failed)?
            .pop()
            .ok_or_else(|| failed(KafkaError::AdminOp(RDKafkaErrorCode::Fail)))?
            .map_err(|code| failed(KafkaError::AdminOp(code)))?;
        let entry = resource.entries.into_iter().find(|entry| entry.name == "cleanup.policy");
        Ok(entry.and_then(|entry| entry.value).unwrap_or_default())
    }

    async fn create(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<(), TopicsError> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(self.replication));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let begin = Instant::now();
        loop {
            let created = self.admin().await.create_topics([&topic], &options()).await;
            let created = created.map_err(|source| TopicsError::Broker {
                doing: format!("create topic `{name}`"),
                source,
            })?;
            let refused = created.into_iter().find_map(Result::err);
            match refused {
                // Another host was quicker.
                None | Some((_, RDKafkaErrorCode::TopicAlreadyExists)) => break,
                // So says Kafka also while a broker that was just started, or was cut off, does not count yet.
                Some((_, RDKafkaErrorCode::InvalidReplicationFactor))
                    if begin.elapsed() < TOO_FEW_BROKERS_MAX =>
                {
                    tokio::time::sleep(TOO_FEW_BROKERS_POLL).await;
                }
                Some((topic, code)) => {
                    return Err(TopicsError::Create { topic, reason: code.to_string() });
                }
            }
        }
        tracing::info!(topic = name, partitions, "created topic");
        Ok(())
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Environment};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_broker_that_is_away_is_told_at_once_with_what_was_tried() {
        let text = "[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\n";
        let config =
            Config::parse(Path::new("f.toml"), text, &Environment::of("h", 1, [])).unwrap();
        let readiness = Readiness::default();
        let topics = Topics::new(&config.kafka, Metrics::new(), readiness.clone()).unwrap();
        let begin = Instant::now();
        let asked = tokio::spawn(async move { topics.ensure().await });
        let told = loop {
            if let Some(Some(told)) = readiness.snapshot().parts.get(PART).cloned() {
                break told;
            }
            assert!(!asked.is_finished(), "nothing was told while the answer was waited for");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert_eq!(
            told,
            "no kafka broker can be reached at 127.0.0.1:1: \
             Connect to ipv4#127.0.0.1:1 failed: Connection refused"
        );
        asked.abort();
    }
}
