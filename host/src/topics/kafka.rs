//! Creates the host's own topics with the right settings, or checks those that exist.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::KafkaConfig;
use crate::kafka::{ClientState, client_config};
use crate::telemetry::{Metrics, Readiness};
use crate::topics::{InternalTopics, Misfit, Partitions, Wanted};

/// The wait for an answer of the broker.
const TIMEOUT: Duration = Duration::from_secs(10);
/// `retention.ms` of the outbox: a delivery that stands still for longer loses.
const OUTBOX_RETENTION: &str = "604800000";
/// `retention.ms` of the repartition topic: evaluation that stands still for longer loses.
const REPARTITION_RETENTION: &str = "604800000";
/// `max.message.bytes` of the changelog: an entry of state has 5 MiB at most
/// ([`firebell_state::WIRE_BYTES_MAX`]).
const CHANGELOG_RECORD_BYTES: &str = "8388608";
/// `retention.ms` of the dead letters: time to look at them.
const DEAD_LETTERS_RETENTION: &str = "2592000000";

/// Why the host's own topics are not there.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The client could not be made.
    #[error("cannot make an admin client; check [kafka.properties]")]
    Client(#[source] KafkaError),
    /// The broker did not answer.
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
        matches!(self, Self::Broker { .. })
    }
}

struct AdminContext(ClientState);

impl ClientContext for AdminContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.0.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.oauth_token()
    }
}

/// Looks at topics, and creates the host's own.
pub struct Topics {
    admin: Arc<AdminClient<AdminContext>>,
    names: InternalTopics,
    partitions: i32,
    replication: i32,
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
        let context = AdminContext(ClientState::new("kafka", kafka, metrics, readiness));
        let admin = client_config(kafka, "topics")
            .create_with_context(context)
            .map_err(TopicsError::Client)?;
        Ok(Self {
            admin: Arc::new(admin),
            names: InternalTopics::of(&kafka.group_id),
            partitions: kafka.internal_partitions,
            replication: kafka.replication_factor,
        })
    }

    /// All topics and the number of their partitions.
    ///
    /// # Errors
    /// When the broker does not answer in ten seconds.
    pub async fn existing(&self) -> Result<BTreeMap<String, i32>, TopicsError> {
        let admin = Arc::clone(&self.admin);
        // Asking for one topic would create it where the broker creates topics by itself. The client
        // blocks while it waits, and a shutdown does not wait for it.
        let ask = move || admin.inner().fetch_metadata(None, TIMEOUT);
        let metadata = tokio::task::spawn_blocking(ask)
            .await
            .unwrap_or(Err(KafkaError::Canceled))
            .map_err(|source| TopicsError::Broker { doing: "list the topics".into(), source })?;
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
            let retention =
                [("retention.ms", DEAD_LETTERS_RETENTION), ("cleanup.policy", "delete")];
            self.create(&self.names.dead_letters, 1, &retention).await?;
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
            let settings = [("retention.ms", REPARTITION_RETENTION), ("cleanup.policy", "delete")];
            self.create(&self.names.repartition, partitions, &settings).await?;
        }
        if changelog.is_none() {
            let compact = [
                ("cleanup.policy", "compact"),
                ("segment.bytes", "67108864"),
                ("max.message.bytes", CHANGELOG_RECORD_BYTES),
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

    async fn cleanup_policy(&self, topic: &str) -> Result<String, TopicsError> {
        let failed = |source| TopicsError::Broker {
            doing: format!("read the settings of topic `{topic}`"),
            source,
        };
        let resource = ResourceSpecifier::Topic(topic);
        let described = self.admin.describe_configs([&resource], &options()).await;
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
        let created = self.admin.create_topics([&topic], &options()).await;
        let created = created.map_err(|source| TopicsError::Broker {
            doing: format!("create topic `{name}`"),
            source,
        })?;
        for result in created {
            match result {
                // Another host was quicker.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
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
