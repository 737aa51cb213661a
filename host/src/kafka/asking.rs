//! Asking Kafka something, by way of a consumer.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::context::{Context, Role};

/// The wait for an answer of the broker.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long it may take when the client says that no broker can be reached.
const ANSWER_AWAY_MAX: Duration = Duration::from_secs(3);
/// How long it may take until it is looked what the client has to say.
const ANSWER_SOON: Duration = Duration::from_millis(250);
/// The wait for what the client has to say.
const SAYING: Duration = Duration::from_millis(50);
/// A broker may hear of a topic that was just created a little later than of its creation.
const UNHEARD_MAX: Duration = Duration::from_secs(3);
/// Between two questions about what the brokers do not know yet.
const ASKED_EVERY: Duration = Duration::from_millis(200);

/// Asks until there is an answer, or it shows that there will be none; `question` gets the time that an
/// answer may take. Blocks. Nothing may be assigned to the consumer meanwhile.
pub(crate) fn ask<R, T>(
    consumer: &BaseConsumer<Context<R>>,
    question: impl Fn(Duration) -> KafkaResult<T>,
) -> Result<T, (Trouble, KafkaError)>
where
    R: Role,
    Context<R>: ConsumerContext,
{
    let (begin, mut wait) = (Instant::now(), ANSWER_SOON);
    loop {
        let error = match question(wait) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let trouble = Trouble::of(&error);
        let mut patience = trouble.patience();
        if trouble == Trouble::Silence {
            // Errors are told, and tokens asked for, only while somebody polls.
            let said = Instant::now();
            while said.elapsed() < SAYING {
                drop(consumer.poll(SAYING));
            }
            if consumer.context().is_away() {
                patience = ANSWER_AWAY_MAX;
            }
        }
        let passed = begin.elapsed();
        if passed >= patience {
            return Err((trouble, error));
        }
        if trouble == Trouble::Silence && passed < ANSWER_AWAY_MAX {
            wait = ANSWER_AWAY_MAX - passed;
        } else if trouble == Trouble::Silence {
            wait = ANSWER_MAX - passed;
        } else {
            #[allow(clippy::disallowed_methods, reason = "a thread that may wait")]
            std::thread::sleep(ASKED_EVERY);
        }
    }
}

/// The partitions of a topic, by what Kafka says of it.
pub(crate) fn partitions_of(metadata: &Metadata, topic: &str) -> KafkaResult<Vec<i32>> {
    let unheard = RDKafkaErrorCode::UnknownTopicOrPartition;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.ok_or(KafkaError::MetadataFetch(unheard))?;
    match found.error().map(RDKafkaErrorCode::from) {
        Some(code) => Err(KafkaError::MetadataFetch(code)),
        None if found.partitions().is_empty() => Err(KafkaError::MetadataFetch(unheard)),
        None => Ok(found.partitions().iter().map(|partition| partition.id()).collect()),
    }
}

/// The offset in each of these partitions that `at` is: their beginning, their end, or, as an offset, a
/// time in milliseconds since the Unix epoch, of which `None` says that nothing is as young. Each leader
/// is asked once for all that it leads; the end is the one that the consumer's isolation level lets it
/// read.
pub(crate) fn offsets<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
    at: Offset,
    wait: Duration,
) -> KafkaResult<Vec<Option<i64>>> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(topic, *partition, at)?;
    }
    let answer = consumer.offsets_for_times(list, wait)?;
    let offset = |partition: &i32| {
        let unknown = KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition);
        let element = answer.find_partition(topic, *partition).ok_or(unknown)?;
        element.error()?;
        let offset = element.offset();
        Ok(if let Offset::Offset(offset) = offset { Some(offset) } else { None })
    };
    partitions.iter().map(offset).collect()
}

/// What an answer that is none says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
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
    pub(crate) fn of(error: &KafkaError) -> Self {
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
    fn patience(self) -> Duration {
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
}
