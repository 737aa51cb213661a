//! What goes wrong when a topic is read, and what may pass by itself.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::ANSWER_MAX;
use crate::kafka::ClientState;

/// A broker may hear of a topic that was just created a little later than of its creation.
const UNHEARD_MAX: Duration = Duration::from_secs(3);

/// Why a topic cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A client could not be made.
    #[error("cannot make the client `{role}`; check [kafka.properties]")]
    Client {
        /// What its id ends with.
        role: &'static str,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// No broker did answer.
    #[error(
        "cannot read topic `{topic}`: {silence}; check kafka.bootstrap_servers, that the broker runs, \
         and what [kafka.properties] says about security"
    )]
    Away {
        /// The topic.
        topic: Arc<str>,
        /// Which brokers, and what was tried.
        silence: String,
    },
    /// There is no such topic.
    #[error("topic `{topic}` does not exist: {cure}")]
    Missing {
        /// Its name.
        topic: Arc<str>,
        /// What to do.
        cure: &'static str,
    },
    /// Kafka did not answer this, or refused.
    #[error(
        "cannot read topic `{topic}` at {servers}; check that all its brokers run, and that this user \
         may describe and read the topic"
    )]
    Read {
        /// The topic.
        topic: Arc<str>,
        /// `kafka.bootstrap_servers`.
        servers: String,
        /// What Kafka says.
        source: KafkaError,
    },
    /// The end did not come.
    #[error(
        "topic `{topic}` was not read to its end: nothing came from {servers} for {} seconds; check \
         that all its brokers run",
        .waited.as_secs()
    )]
    Standstill {
        /// The topic.
        topic: Arc<str>,
        /// `kafka.bootstrap_servers`.
        servers: String,
        /// How long nothing came.
        waited: Duration,
    },
    /// Whoever reads was told to stop.
    #[error("stopped while topic `{topic}` was read")]
    Stopped {
        /// The topic.
        topic: Arc<str>,
    },
}

impl ReadError {
    pub(super) fn of(
        trouble: Trouble,
        (topic, cure): (&Arc<str>, &'static str),
        client: &ClientState,
        source: KafkaError,
    ) -> Self {
        let topic = Arc::clone(topic);
        match trouble {
            Trouble::Silence => Self::Away { topic, silence: client.silence() },
            Trouble::Unheard => Self::Missing { topic, cure },
            Trouble::Moving | Trouble::Refusal => {
                Self::Read { topic, servers: client.servers().to_owned(), source }
            }
        }
    }

    /// Whether it may pass by itself, or by what is done to Kafka.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Client { .. } | Self::Stopped { .. } => false,
            Self::Away { .. }
            | Self::Missing { .. }
            | Self::Read { .. }
            | Self::Standstill { .. } => true,
        }
    }
}

/// What an answer that is none says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody answers.
    Silence,
    /// Who answers does not know the topic.
    Unheard,
    /// Who answers does not lead the partition any more, or nobody does yet.
    Moving,
    /// Kafka says no.
    Refusal,
}

impl Trouble {
    pub(super) fn of(error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::MessageTimedOut
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve,
            ) => Self::Silence,
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition,
            ) => Self::Unheard,
            Some(
                RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::ReplicaNotAvailable
                | RDKafkaErrorCode::BrokerNotAvailable
                | RDKafkaErrorCode::KafkaStorageError
                | RDKafkaErrorCode::FencedLeaderEpoch
                | RDKafkaErrorCode::UnknownLeaderEpoch
                | RDKafkaErrorCode::OffsetNotAvailable,
            ) => Self::Moving,
            _ => Self::Refusal,
        }
    }

    /// How long it is asked again.
    pub(super) fn patience(self) -> Duration {
        match self {
            Self::Silence | Self::Moving => ANSWER_MAX,
            Self::Unheard => UNHEARD_MAX,
            Self::Refusal => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(code: RDKafkaErrorCode) -> Trouble {
        Trouble::of(&KafkaError::MetadataFetch(code))
    }

    #[test]
    fn silence_and_elections_are_waited_out_missing_topics_for_a_moment_and_a_refusal_never() {
        assert_eq!(trouble(RDKafkaErrorCode::OperationTimedOut), Trouble::Silence);
        assert_eq!(trouble(RDKafkaErrorCode::UnknownTopicOrPartition), Trouble::Unheard);
        assert_eq!(trouble(RDKafkaErrorCode::LeaderNotAvailable), Trouble::Moving);
        assert_eq!(trouble(RDKafkaErrorCode::TopicAuthorizationFailed), Trouble::Refusal);
        let no_code = KafkaError::ClientCreation("no memory".into());
        assert_eq!(Trouble::of(&no_code), Trouble::Refusal);
        assert_eq!(Trouble::Silence.patience(), ANSWER_MAX);
        assert_eq!(Trouble::Moving.patience(), ANSWER_MAX);
        assert!(Trouble::Unheard.patience() < ANSWER_MAX);
        assert_eq!(Trouble::Refusal.patience(), Duration::ZERO);
    }

    #[test]
    fn what_kafka_or_its_operator_can_mend_is_passing() {
        let (topic, source): (Arc<str>, _) = ("t".into(), KafkaError::NoMessageReceived);
        let client = ReadError::Client { role: "ledger", source: source.clone() };
        assert!(!client.is_passing());
        assert!(!ReadError::Stopped { topic: Arc::clone(&topic) }.is_passing());
        let (servers, waited) = ("k:9092".to_owned(), Duration::from_secs(30));
        let passing = [
            ReadError::Away { topic: Arc::clone(&topic), silence: String::new() },
            ReadError::Missing { topic: Arc::clone(&topic), cure: "create it" },
            ReadError::Read { topic: Arc::clone(&topic), servers: servers.clone(), source },
            ReadError::Standstill { topic, servers, waited },
        ];
        for error in passing {
            assert!(error.is_passing(), "{error}");
        }
    }
}
