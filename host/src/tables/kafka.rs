//! Reads the topics of lookup tables whole and follows them, on one thread for all.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Table, Tables};
use crate::config::KafkaConfig;
use crate::kafka::follow::keep;
use crate::kafka::reader::{FOLLOWER, ReadError, Reader, Told};
use crate::telemetry::{Metrics, Readiness};

/// The name under which `/readyz` knows the follower.
const PART: &str = "tables";
/// What to do when the topic of a table is not there.
const CURE: &str = "create it, or mend [tables]";

/// Why tables cannot be read.
#[derive(Debug, thiserror::Error)]
enum TablesError {
    #[error(transparent)]
    Reader(#[from] ReadError),
    #[error("lookup table `{table}` cannot be read")]
    Topic { table: String, source: Box<ReadError> },
}

/// Tables with their names, by topic.
type ByTopic<'t> = BTreeMap<Arc<str>, Vec<(&'t str, &'t Table)>>;

/// Fills `tables` and follows their topics until it is stopped; `topics` names the topic of each.
pub fn follow(
    kafka: &KafkaConfig,
    topics: &BTreeMap<String, String>,
    tables: &Tables,
    (metrics, readiness): (Metrics, Readiness),
    stop: &CancellationToken,
) {
    let mut by_topic = ByTopic::new();
    for (name, topic) in topics {
        if let Some(table) = tables.get(name) {
            by_topic.entry(topic.as_str().into()).or_default().push((name, table));
        }
    }
    if by_topic.is_empty() {
        return;
    }
    readiness.set_not_ready(PART, "not read yet");
    keep(PART, kafka, (metrics, readiness.clone()), stop, |client| {
        let reader = Reader::open(kafka, (PART, CURE), client, &FOLLOWER)?;
        read(&reader, &by_topic, &readiness, stop)
    });
}

fn read(
    reader: &Reader,
    by_topic: &ByTopic<'_>,
    readiness: &Readiness,
    stop: &CancellationToken,
) -> Result<(), TablesError> {
    let mut places = Vec::new();
    for (topic, tables) in by_topic {
        let table = tables.first().map_or(&**topic, |(name, _)| name);
        let failed =
            |source| TablesError::Topic { table: table.to_owned(), source: Box::new(source) };
        places.extend(reader.whole(topic).map_err(failed)?);
    }
    reader.follow(&places, &|| !stop.is_cancelled(), |told| match told {
        Told::Record(found) => {
            for (_, table) in by_topic.get(found.topic).into_iter().flatten() {
                if let Some(key) = found.key {
                    table.set(key, found.value);
                }
            }
        }
        Told::End(topic) => {
            for (name, table) in by_topic.get(topic).into_iter().flatten() {
                table.set_ready();
                tracing::info!(table = name, topic, keys = table.len(), "lookup table is read");
            }
            if by_topic.values().flatten().all(|(_, table)| table.is_ready()) {
                readiness.set_ready(PART);
            }
        }
    })?;
    Ok(())
}
