//! The changelog topic: restoring the state of partitions that were taken over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firebell_state::WireError;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::States;
use super::wire::{EntryKey, KeyError, partition_of};
use crate::config::KafkaConfig;
use crate::kafka::{ClientState, ReaderContext, client_config, default_to};
use crate::record::TopicPartition;

/// The wait for an answer about offsets.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a transaction of the last owner may stay open: its timeout is 15 seconds.
const OPEN_MAX: Duration = Duration::from_secs(30);
/// Between two looks whether it is closed.
const OPEN_POLL: Duration = Duration::from_millis(20);
/// Without a record for so long, restoring has failed.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Why state cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A client could not be made.
    #[error("cannot make a client for the changelog; check [kafka.properties]")]
    Client(#[source] KafkaError),
    /// Kafka did not answer.
    #[error("cannot read {topic}/{partition}")]
    Read {
        /// The changelog.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// What Kafka says.
        source: KafkaError,
    },
    /// Somebody's transaction stays open.
    #[error("{topic}/{partition}: a transaction is still open after {} seconds", OPEN_MAX.as_secs())]
    Open {
        /// The changelog.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },
    /// Nothing comes any more.
    #[error("the changelog was not read to its end: nothing came for {} seconds", SILENCE_MAX.as_secs())]
    Silence,
    /// A key is unreadable.
    #[error("{topic}/{partition}/{offset}: its key is unreadable")]
    Key {
        /// The changelog.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// Why.
        source: KeyError,
    },
    /// An entry is unreadable.
    #[error("{topic}/{partition}/{offset}: the entry is unreadable")]
    Entry {
        /// The changelog.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// Why.
        source: WireError,
    },
}

impl RestoreError {
    /// Whether it may pass by itself.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Open { .. } | Self::Silence)
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Records of the changelog that were looked at.
    pub records: u64,
    /// Those that were ours.
    pub entries: u64,
}

/// The changelog topic of a group.
#[derive(Debug, Clone)]
pub struct Changelog {
    /// Its name.
    pub topic: Arc<str>,
    /// How many partitions it has.
    pub partitions: i32,
}

impl Changelog {
    /// Reads the state of `inputs` into `states`; `progress` is told now and then how many records were
    /// read, and says whether to go on. Blocks.
    ///
    /// All that was committed before this call is read: transactions that are open when it begins are
    /// waited for.
    ///
    /// # Errors
    ///
    /// Kafka does not answer, or an entry is unreadable. The states of `inputs` are incomplete then.
    pub fn restore(
        &self,
        kafka: &KafkaConfig,
        inputs: &[TopicPartition],
        states: &mut States,
        client: &Arc<ClientState>,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Restored, RestoreError> {
        let wanted: BTreeSet<i32> =
            inputs.iter().map(|input| partition_of(input, self.partitions)).collect();
        let consumer = reader(kafka, client, "read_committed")?;
        let filled =
            self.filled(&reader(kafka, client, "read_uncommitted")?, &consumer, &wanted)?;
        if filled.is_empty() {
            return Ok(Restored::default());
        }
        let mut list = TopicPartitionList::new();
        for partition in &filled {
            let added = list.add_partition_offset(&self.topic, *partition, Offset::Beginning);
            added.map_err(|source| self.read(*partition, source))?;
        }
        consumer.assign(&list).map_err(RestoreError::Client)?;
        let (mut ends, mut restored) = (0, Restored::default());
        let (mut heard, mut told) = (Instant::now(), Instant::now());
        while ends < filled.len() {
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    restored.records += 1;
                    restored.entries += u64::from(self.take(&message, inputs, states)?);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
                Some(Err(error)) => client.error(&error, "while restoring state"),
                None => {}
            }
            if told.elapsed() > TOLD_EVERY {
                told = Instant::now();
                if !progress(restored.records) {
                    break;
                }
            }
            if heard.elapsed() > SILENCE_MAX {
                return Err(RestoreError::Silence);
            }
        }
        Ok(restored)
    }

    /// Calls `each` with every entry that there is now: input partition, rule, key and value; later
    /// values of a key come later. Blocks.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore).
    pub fn read_all(
        &self,
        kafka: &KafkaConfig,
        states: &mut States,
        client: &Arc<ClientState>,
    ) -> Result<Restored, RestoreError> {
        let consumer = reader(kafka, client, "read_committed")?;
        let wanted: BTreeSet<i32> = (0..self.partitions).collect();
        let mut list = TopicPartitionList::new();
        let mut open = 0;
        for partition in wanted {
            let (low, high) = self.watermarks(&consumer, partition)?;
            if low < high {
                let added = list.add_partition_offset(&self.topic, partition, Offset::Beginning);
                added.map_err(|source| self.read(partition, source))?;
                open += 1;
            }
        }
        let mut restored = Restored::default();
        if open == 0 {
            return Ok(restored);
        }
        consumer.assign(&list).map_err(RestoreError::Client)?;
        let mut heard = Instant::now();
        while open > 0 {
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    restored.records += 1;
                    self.take_any(&message, states)?;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => client.error(&error, "while reading state"),
                None => {}
            }
            if heard.elapsed() > SILENCE_MAX {
                return Err(RestoreError::Silence);
            }
        }
        Ok(restored)
    }

    /// The partitions that hold something, once no transaction from before this call is open in them.
    fn filled(
        &self,
        all: &BaseConsumer<ReaderContext>,
        committed: &BaseConsumer<ReaderContext>,
        wanted: &BTreeSet<i32>,
    ) -> Result<Vec<i32>, RestoreError> {
        let mut filled = Vec::new();
        for partition in wanted.iter().copied() {
            let (low, end) = self.watermarks(all, partition)?;
            if low >= end {
                continue;
            }
            filled.push(partition);
            let begin = Instant::now();
            while self.watermarks(committed, partition)?.1 < end {
                if begin.elapsed() > OPEN_MAX {
                    let topic = Arc::clone(&self.topic);
                    return Err(RestoreError::Open { topic, partition });
                }
                #[allow(clippy::disallowed_methods, reason = "called on a worker's own thread")]
                std::thread::sleep(OPEN_POLL);
            }
        }
        Ok(filled)
    }

    /// Takes an entry of the changelog; whether it was one of `inputs`.
    fn take(
        &self,
        message: &impl Message,
        inputs: &[TopicPartition],
        states: &mut States,
    ) -> Result<bool, RestoreError> {
        let (topic, partition, rule, key) = self.key_of(message)?;
        let of = |input: &&TopicPartition| *input.topic == *topic && input.partition == partition;
        let Some(input) = inputs.iter().find(of) else { return Ok(false) };
        self.entered(message, states.restore(input, rule, key, message.payload()))?;
        Ok(true)
    }

    fn take_any(&self, message: &impl Message, states: &mut States) -> Result<(), RestoreError> {
        let (topic, partition, rule, key) = self.key_of(message)?;
        let input = TopicPartition::new(topic, partition);
        self.entered(message, states.restore(&input, rule, key, message.payload()))
    }

    fn key_of<'m>(
        &self,
        message: &'m impl Message,
    ) -> Result<super::wire::Parts<'m>, RestoreError> {
        EntryKey::parse(message.key().unwrap_or_default()).map_err(|source| RestoreError::Key {
            topic: Arc::clone(&self.topic),
            partition: message.partition(),
            offset: message.offset(),
            source,
        })
    }

    fn entered(
        &self,
        message: &impl Message,
        entered: Result<(), WireError>,
    ) -> Result<(), RestoreError> {
        entered.map_err(|source| RestoreError::Entry {
            topic: Arc::clone(&self.topic),
            partition: message.partition(),
            offset: message.offset(),
            source,
        })
    }

    fn watermarks(
        &self,
        consumer: &BaseConsumer<ReaderContext>,
        partition: i32,
    ) -> Result<(i64, i64), RestoreError> {
        consumer
            .fetch_watermarks(&self.topic, partition, OFFSETS_TIMEOUT)
            .map_err(|source| self.read(partition, source))
    }

    fn read(&self, partition: i32, source: KafkaError) -> RestoreError {
        RestoreError::Read { topic: Arc::clone(&self.topic), partition, source }
    }
}

fn reader(
    kafka: &KafkaConfig,
    client: &Arc<ClientState>,
    isolation: &str,
) -> Result<BaseConsumer<ReaderContext>, RestoreError> {
    let mut config = client_config(kafka, "changelog");
    // The end is found by a fetch that has to wait, when compaction took the last record.
    default_to(&mut config, kafka, "fetch.wait.max.ms", "50");
    default_to(&mut config, kafka, "fetch.queue.backoff.ms", "1");
    default_to(&mut config, kafka, "queued.min.messages", "1000000");
    config
        // It is never joined: partitions are assigned by hand.
        .set("group.id", format!("{}.changelog", kafka.group_id))
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest");
    let context = ReaderContext(Arc::clone(client));
    config.create_with_context(context).map_err(RestoreError::Client)
}
