//! What an error of the producer means: for a record, for the transaction, for the producer.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a record will be refused at every attempt, and the cure; `None` = it may pass the next time.
pub(super) fn never_accepted(code: RDKafkaErrorCode) -> Option<&'static str> {
    match code {
        RDKafkaErrorCode::MessageSizeTooLarge => Some(
            "the record is larger than the topic takes; raise max.message.bytes of the topic and \
             message.max.bytes in [kafka.properties]",
        ),
        RDKafkaErrorCode::InvalidMessage | RDKafkaErrorCode::InvalidRecord => Some(
            "the topic does not take this record; a compacted topic needs a key on every record",
        ),
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            Some("writing to the topic is not allowed; grant WRITE and DESCRIBE on it")
        }
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            Some("the topic does not exist; create it")
        }
        RDKafkaErrorCode::UnknownPartition => Some("the topic does not have this partition"),
        RDKafkaErrorCode::InvalidTimestamp => Some(
            "the topic does not take this timestamp; see message.timestamp.before.max.ms of the topic",
        ),
        _ => None,
    }
}

/// Whether the call may be repeated as it is.
pub(super) fn is_retriable(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_retriable())
        || matches!(error, KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut))
}

/// Whether the producer is of no more use.
pub(super) fn is_fatal(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_fatal(),
        other => matches!(
            other.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::Fatal
                    | RDKafkaErrorCode::Fenced
                    | RDKafkaErrorCode::ProducerFenced
            )
        ),
    }
}
