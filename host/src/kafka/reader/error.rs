//! Why a topic cannot be read, and what of it may pass by itself.

use std::sync::Arc;

use rdkafka::error::KafkaError;

use super::STANDSTILL;
use crate::kafka::ClientState;
use crate::kafka::asking::Trouble;

/// Why a topic, which comes first, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A client, which its id ends with, could not be made.
    #[error("cannot make the client `{0}`; check [kafka.properties]")]
    Client(&'static str, #[source] KafkaError),
    /// No broker did answer: which, and what was tried.
    #[error(
        "cannot read topic `{0}`: {1}; check kafka.bootstrap_servers, that the broker runs, and what \
         [kafka.properties] says about security"
    )]
    Away(Arc<str>, String),
    /// There is no such topic, and what to do.
    #[error("topic `{0}` does not exist: {1}")]
    Missing(Arc<str>, &'static str),
    /// Kafka, at these bootstrap servers, did not answer this, or refused.
    #[error(
        "cannot read topic `{0}` at {1}; check that all its brokers run, and that this user may \
         describe and read the topic"
    )]
    Read(Arc<str>, String, #[source] KafkaError),
    /// The end did not come from these bootstrap servers.
    #[error(
        "topic `{0}` was not read to its end: nothing came from {1} for {secs} seconds; check that all \
         its brokers run",
        secs = STANDSTILL.as_secs()
    )]
    Standstill(Arc<str>, String),
    /// Whoever reads was told to stop.
    #[error("stopped while topic `{0}` was read")]
    Stopped(Arc<str>),
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
            Trouble::Silence => Self::Away(topic, client.silence()),
            Trouble::Unheard => Self::Missing(topic, cure),
            Trouble::Moving | Trouble::Refusal => {
                Self::Read(topic, client.servers().to_owned(), source)
            }
        }
    }

    /// Whether it may pass by itself, or by what is done to Kafka.
    pub fn is_passing(&self) -> bool {
        !matches!(self, Self::Client(..) | Self::Stopped(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kafka_or_its_operator_can_mend_is_passing() {
        let (topic, source): (Arc<str>, _) = ("t".into(), KafkaError::NoMessageReceived);
        assert!(!ReadError::Client("ledger", source.clone()).is_passing());
        assert!(!ReadError::Stopped(Arc::clone(&topic)).is_passing());
        let passing = [
            ReadError::Away(Arc::clone(&topic), "nobody answers".into()),
            ReadError::Missing(Arc::clone(&topic), "create it"),
            ReadError::Read(Arc::clone(&topic), "k:9092".into(), source),
            ReadError::Standstill(topic, "k:9092".into()),
        ];
        for error in passing {
            assert!(error.is_passing(), "{error}");
        }
    }
}
