//! The topic of silences: following it, reading it once, writing to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Silence, Silences};
use crate::causes::with_causes;
use crate::config::KafkaConfig;
use crate::kafka::ClientState;
use crate::kafka::context::lock;
use crate::kafka::follow::keep;
use crate::kafka::reader::{AT_ONCE, FOLLOWER, Found, NO_HOST, Place, ReadError, Reader, Told};
use crate::ledger::kafka::{LedgerIoError, Writer};
use crate::record::OutgoingRecord;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::InternalTopics;

/// How often it is looked for silences that nobody needs any more.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// The name under which `/readyz` knows the follower.
const PART: &str = "silences";

/// Keeps `silences` as the topic says, until it is stopped. Blocks.
pub fn follow(
    kafka: &KafkaConfig,
    silences: &Silences,
    (metrics, readiness): (Metrics, Readiness),
    stop: &CancellationToken,
) {
    readiness.set_not_ready(PART, "not read yet");
    keep(PART, kafka, (metrics, readiness.clone()), stop, |client| {
        let (reader, places) = open(kafka, client, &FOLLOWER)?;
        reader.follow(&places, &|| !stop.is_cancelled(), |told| match told {
            Told::Record(found) => take(silences, &found),
            Told::End(_) => {
                silences.set_ready();
                readiness.set_ready(PART);
            }
        })
    });
}

/// All silences that the topic has now. Blocks.
///
/// # Errors
/// Kafka does not answer, or there is no such topic.
pub fn read_once(kafka: &KafkaConfig, client: &Arc<ClientState>) -> Result<Silences, ReadError> {
    let (reader, places) = open(kafka, client, &AT_ONCE)?;
    let silences = Silences::default();
    reader.read_to_end(&places, &mut |_| true, |found| -> Result<(), ReadError> {
        take(&silences, &found);
        Ok(())
    })?;
    silences.set_ready();
    Ok(silences)
}

fn open(
    kafka: &KafkaConfig,
    client: &Arc<ClientState>,
    defaults: &[(&str, &str)],
) -> Result<(Reader, Vec<Place>), ReadError> {
    let reader = Reader::open(kafka, (PART, NO_HOST), client, defaults)?;
    let places = reader.whole(&InternalTopics::of(&kafka.group_id).silences)?;
    Ok((reader, places))
}

fn take(silences: &Silences, found: &Found<'_>) {
    let id = String::from_utf8_lossy(found.key.unwrap_or_default());
    match found.value.map(Silence::from_bytes).transpose() {
        Ok(silence) => silences.set(&id, silence),
        // It then silences nothing on this host: too much is told, not too little.
        Err(error) => tracing::error!(%id, "a silence is left out: {}", with_causes(&error)),
    }
}

/// Writes silences; its producer is made when the first is written.
pub struct SilenceWriter {
    kafka: KafkaConfig,
    client: Arc<ClientState>,
    writer: Mutex<Option<Arc<Writer>>>,
}

impl SilenceWriter {
    /// A writer for a group.
    pub fn new(kafka: &KafkaConfig, client: Arc<ClientState>) -> Self {
        Self { kafka: kafka.clone(), client, writer: Mutex::default() }
    }

    /// Writes a silence, or its end as a tombstone; returns when every in-sync replica has it.
    ///
    /// # Errors
    /// When Kafka did not take it in thirty seconds, or never will.
    pub async fn write(&self, id: &str, silence: Option<&Silence>) -> Result<(), LedgerIoError> {
        let record = OutgoingRecord {
            topic: InternalTopics::of(&self.kafka.group_id).silences,
            partition: Some(0),
            key: Some(id.as_bytes().to_vec()),
            value: silence.map(Silence::to_bytes),
            headers: Vec::new(),
            timestamp_ms: None,
        };
        self.writer()?.write(&record).await
    }

    /// Takes silences out that have ended long ago, once an hour, until it is stopped.
    pub async fn forget(
        &self,
        silences: &Silences,
        now_ms: impl Fn() -> i64,
        stop: &CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FORGET_EVERY) => {}
            }
            let now = now_ms();
            for silence in silences.all().iter().filter(|silence| silence.is_forgotten(now)) {
                if let Err(error) = self.write(&silence.id, None).await {
                    let text = with_causes(&error);
                    tracing::warn!("an old silence stays for another hour: {text}");
                }
            }
        }
    }

    fn writer(&self) -> Result<Arc<Writer>, LedgerIoError> {
        let mut writer = lock(&self.writer);
        if let Some(writer) = &*writer {
            return Ok(Arc::clone(writer));
        }
        let made = Arc::new(Writer::new(&self.kafka, Arc::clone(&self.client))?);
        *writer = Some(Arc::clone(&made));
        Ok(made)
    }
}
