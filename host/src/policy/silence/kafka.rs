//! The topic of silences: following it, reading it once, writing to it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::{Silence, Silences};
use crate::backoff::Backoff;
use crate::causes::with_causes;
use crate::config::KafkaConfig;
use crate::kafka::{ClientState, reader};
use crate::ledger::kafka::{LedgerIoError, Writer};
use crate::record::OutgoingRecord;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::InternalTopics;

/// The wait for an answer of the broker.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The wait for a record; also the longest time until a shutdown is noticed.
const WAIT: Duration = Duration::from_millis(200);
/// Without a record for so long, reading to the end has failed.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// A broker may hear of a topic that was just created a little later than of its creation.
const UNHEARD_MAX: Duration = Duration::from_secs(3);
/// Between two questions meanwhile.
const UNHEARD_POLL: Duration = Duration::from_millis(200);
/// How often it is looked for silences that nobody needs any more.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// The name under which `/readyz` knows the follower.
const PART: &str = "silences";

/// Why silences cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SilencesError {
    /// A client could not be made.
    #[error("cannot make a client for the silences; check [kafka.properties]")]
    Client(#[source] KafkaError),
    /// Kafka did not answer.
    #[error("cannot read topic `{topic}`")]
    Read {
        /// The topic of silences.
        topic: Arc<str>,
        /// What Kafka says.
        source: KafkaError,
    },
    /// There is no such topic.
    #[error("topic `{0}` does not exist: no host of this group ran yet; check kafka.group_id")]
    Missing(Arc<str>),
    /// The end did not come.
    #[error("topic `{0}` was not read to its end: nothing came for {secs} seconds", secs = SILENCE_MAX.as_secs())]
    Standstill(Arc<str>),
}

/// Keeps `silences` as the topic says, until it is stopped. Blocks.
pub fn follow(
    kafka: &KafkaConfig,
    silences: &Silences,
    (metrics, readiness): (Metrics, Readiness),
    stop: &CancellationToken,
) {
    readiness.set_not_ready(PART, "not read yet");
    let client = Arc::new(ClientState::new("kafka", kafka, metrics, readiness.clone()));
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5), 11);
    while !stop.is_cancelled() {
        let mut ready = || {
            silences.set_ready();
            readiness.set_ready(PART);
        };
        let followed = read(kafka, &client, silences, &mut ready, &mut || stop.is_cancelled());
        let Err(error) = followed else { return };
        let text = with_causes(&error);
        let wait = backoff.failed();
        tracing::warn!(?wait, "silences: {text}");
        readiness.set_not_ready(PART, text);
        #[allow(clippy::disallowed_methods, reason = "a thread of its own")]
        std::thread::sleep(wait.min(WAIT.saturating_mul(5)));
    }
}

/// All silences that the topic has now. Blocks.
///
/// # Errors
/// Kafka does not answer, or there is no such topic.
pub fn read_once(
    kafka: &KafkaConfig,
    client: &Arc<ClientState>,
) -> Result<Silences, SilencesError> {
    let (silences, begin) = (Silences::default(), Instant::now());
    let ready = || silences.set_ready();
    let stop = || silences.is_ready() || begin.elapsed() > SILENCE_MAX;
    read(kafka, client, &silences, &mut { ready }, &mut { stop })?;
    if silences.is_ready() {
        return Ok(silences);
    }
    Err(SilencesError::Standstill(InternalTopics::of(&kafka.group_id).silences))
}

/// Reads from the beginning, tells when the end is reached, and goes on until it is to stop.
fn read(
    kafka: &KafkaConfig,
    client: &Arc<ClientState>,
    silences: &Silences,
    ready: &mut dyn FnMut(),
    stop: &mut dyn FnMut() -> bool,
) -> Result<(), SilencesError> {
    let topic = InternalTopics::of(&kafka.group_id).silences;
    // The end is found by a fetch that has to wait.
    let consumer = reader(kafka, "silences", client, &[("fetch.wait.max.ms", "100")])
        .map_err(SilencesError::Client)?;
    let failed = |source| SilencesError::Read { topic: Arc::clone(&topic), source };
    let begin = Instant::now();
    loop {
        let metadata = consumer.fetch_metadata(Some(&topic), TIMEOUT).map_err(failed)?;
        let found = metadata.topics().iter().find(|found| found.name() == &*topic);
        if found.is_some_and(|found| found.error().is_none() && !found.partitions().is_empty()) {
            break;
        }
        if begin.elapsed() > UNHEARD_MAX {
            return Err(SilencesError::Missing(topic));
        }
        #[allow(clippy::disallowed_methods, reason = "this thread may wait")]
        std::thread::sleep(UNHEARD_POLL);
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Beginning).map_err(failed)?;
    consumer.assign(&list).map_err(failed)?;
    let mut known: std::collections::BTreeSet<String> =
        silences.all().iter().map(|silence| silence.id.clone()).collect();
    let mut ended = false;
    while !stop() {
        match consumer.poll(WAIT) {
            Some(Ok(message)) => {
                let id = String::from_utf8_lossy(message.key().unwrap_or_default());
                known.remove(&*id);
                take(silences, &id, message.payload());
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                if !ended {
                    // What an earlier reading knew and this one does not is gone.
                    known.iter().for_each(|id| silences.set(id, None));
                    known.clear();
                }
                ended = true;
                ready();
            }
            Some(Err(error)) => client.error(&error, "while reading silences"),
            None => {}
        }
    }
    Ok(())
}

fn take(silences: &Silences, id: &str, value: Option<&[u8]>) {
    let Some(value) = value else { return silences.set(id, None) };
    match Silence::from_bytes(value) {
        Ok(silence) => silences.set(id, Some(silence)),
        // It then silences nothing on this host: too much is told, not too little.
        Err(error) => tracing::error!(id, "a silence is left out: {}", with_causes(&error)),
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
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = &*writer {
            return Ok(Arc::clone(writer));
        }
        let made = Arc::new(Writer::new(&self.kafka, Arc::clone(&self.client))?);
        *writer = Some(Arc::clone(&made));
        Ok(made)
    }
}
