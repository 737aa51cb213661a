//! Reading the history and the ledger of a group to their ends, without joining it.

use std::sync::Arc;

use super::Event;
use crate::alerts::Found;
use crate::config::KafkaConfig;
use crate::kafka::ClientState;
use crate::kafka::reader::{AT_ONCE, NO_HOST, Reader};
use crate::ledger::kafka::{LedgerIoError, restore};
use crate::topics::InternalTopics;

/// All that ledger and history say now; of the history only what was written since `since_ms`,
/// milliseconds since the Unix epoch. Blocks.
///
/// # Errors
/// Kafka does not answer, or a topic is not there.
pub fn read(
    kafka: &KafkaConfig,
    client: &Arc<ClientState>,
    since_ms: Option<i64>,
) -> Result<Found, LedgerIoError> {
    let topics = InternalTopics::of(&kafka.group_id);
    let ledger = restore(kafka, &topics.ledger, None, client)?;
    let mut found =
        Found { ledger: ledger.entries().cloned().collect(), events: Vec::new(), unreadable: 0 };
    let reader = Reader::open(kafka, ("history", NO_HOST), client, &AT_ONCE)?;
    let mut places = reader.whole(&topics.history)?;
    if let Some(since_ms) = since_ms {
        reader.begin_at(&topics.history, &mut places, since_ms)?;
    }
    reader.read_to_end(&places, &mut |_| true, |record| -> Result<(), LedgerIoError> {
        match Event::from_bytes(record.value.unwrap_or_default()) {
            Ok(event) => found.events.push(event),
            // Of a newer host, or nobody's: the rest is worth reading.
            Err(error) => {
                tracing::debug!("{}: {error}", record.place());
                found.unreadable += 1;
            }
        }
        Ok(())
    })?;
    Ok(found)
}
