//! The changelog topic: restoring the state of partitions that were taken over.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use firebell_state::{Evidence, RuleState, WireError};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

mod reading;

use reading::Found;

use super::States;
use super::query::{Answer, Question};
use super::wire::{EntryKey, KeyError, partition_of};
use crate::config::KafkaConfig;
use crate::kafka::{ClientState, ReaderContext, reader};
use crate::record::TopicPartition;
use crate::topics::InternalTopics;

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
    /// There is no changelog.
    #[error("topic `{topic}` does not exist: no host of this group ran yet; check kafka.group_id")]
    Missing {
        /// Its name.
        topic: Arc<str>,
    },
    /// The host ends.
    #[error("stopped while state was restored")]
    Stopped,
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

/// The state that the last record was of.
struct Present<'i> {
    /// What the keys of its records begin with.
    prefix: Vec<u8>,
    input: &'i TopicPartition,
    rule: Arc<str>,
    state: RuleState,
}

impl Present<'_> {
    fn has(&self, key: &[u8]) -> bool {
        key.starts_with(&self.prefix)
    }

    fn give_back(self, states: &mut States) {
        states.give_back_untouched(self.input, &self.rule, self.state);
    }
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
        let consumer = changelog_reader(kafka, client, "read_committed")?;
        let filled =
            self.filled(&changelog_reader(kafka, client, "read_uncommitted")?, &consumer, &wanted)?;
        let mut present: Option<Present<'_>> = None;
        let restored = self.read_to_end(&consumer, &filled, client, progress, &mut |found| {
            // What follows is most often of the same input and rule.
            if !present.as_ref().is_some_and(|present| present.has(found.key)) {
                let (topic, partition, rule, key) = self.key_of(&found)?;
                let of = |input: &&TopicPartition| {
                    *input.topic == *topic && input.partition == partition
                };
                if let Some(before) = present.take() {
                    before.give_back(states);
                }
                let Some(input) = inputs.iter().find(of) else { return Ok(false) };
                let prefix = found.key.len() - key.len();
                let prefix = found.key.get(..prefix).unwrap_or_default().into();
                let state = states.take_restored(input, rule);
                present = Some(Present { prefix, input, rule: rule.into(), state });
            }
            let Some(present) = &mut present else { return Ok(false) };
            let key = found.key.get(present.prefix.len()..).unwrap_or_default();
            self.entered(&found, present.state.restore(key, found.value))?;
            Ok(true)
        });
        if let Some(last) = present {
            last.give_back(states);
        }
        restored
    }

    /// The changelog of a group as it is in Kafka.
    ///
    /// # Errors
    ///
    /// Kafka does not answer, or there is none: no host of this group ran yet.
    pub fn find(kafka: &KafkaConfig, client: &Arc<ClientState>) -> Result<Self, RestoreError> {
        let topic = InternalTopics::of(&kafka.group_id).changelog;
        let consumer = changelog_reader(kafka, client, "read_committed")?;
        let metadata =
            consumer.fetch_metadata(Some(&topic), OFFSETS_TIMEOUT).map_err(|source| {
                RestoreError::Read { topic: Arc::clone(&topic), partition: 0, source }
            })?;
        let found = metadata.topics().iter().find(|found| found.name() == &*topic);
        let partitions = found.map_or(0, |found| found.partitions().len());
        match i32::try_from(partitions) {
            Ok(partitions) if partitions > 0 => Ok(Self { topic, partitions }),
            _ => Err(RestoreError::Missing { topic }),
        }
    }

    /// Answers a question from all that is committed now, whichever host it belongs to. Blocks.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore).
    pub fn ask(
        &self,
        kafka: &KafkaConfig,
        question: &Question,
        client: &Arc<ClientState>,
    ) -> Result<Answer, RestoreError> {
        let consumer = changelog_reader(kafka, client, "read_committed")?;
        let all: BTreeSet<i32> = (0..self.partitions).collect();
        let filled = self.filled(&consumer, &consumer, &all)?;
        let mut states = States::default();
        let (mut others, mut is_known) = (BTreeSet::new(), false);
        self.read_to_end(&consumer, &filled, client, &mut |_| true, &mut |found| {
            let (topic, partition, rule, key) = self.key_of(&found)?;
            if rule != question.rule {
                if !others.contains(rule) {
                    others.insert(rule.to_owned());
                }
                return Ok(false);
            }
            is_known = true;
            let input = TopicPartition::new(topic, partition);
            self.entered(&found, states.restore(&input, rule, key, found.value))?;
            Ok(true)
        })?;
        let answer = question.answer(&states);
        Ok(Answer { others: if is_known { BTreeSet::new() } else { others }, ..answer })
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

    fn key_of<'m>(&self, found: &Found<'m>) -> Result<super::wire::Parts<'m>, RestoreError> {
        EntryKey::parse(found.key).map_err(|source| RestoreError::Key {
            topic: Arc::clone(&self.topic),
            partition: found.partition,
            offset: found.offset,
            source,
        })
    }

    fn entered(
        &self,
        found: &Found<'_>,
        entered: Result<(), WireError>,
    ) -> Result<(), RestoreError> {
        entered.map_err(|source| RestoreError::Entry {
            topic: Arc::clone(&self.topic),
            partition: found.partition,
            offset: found.offset,
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

fn changelog_reader(
    kafka: &KafkaConfig,
    client: &Arc<ClientState>,
    isolation: &str,
) -> Result<BaseConsumer<ReaderContext>, RestoreError> {
    let defaults = [
        // Nobody else sets it: the configuration refuses it.
        ("isolation.level", isolation),
        // The end is found by a fetch that has to wait, when compaction took the last record.
        ("fetch.wait.max.ms", "50"),
        ("fetch.queue.backoff.ms", "1"),
        ("queued.min.messages", "1000000"),
    ];
    reader(kafka, "changelog", client, &defaults).map_err(RestoreError::Client)
}

/// Values of records by topic, partition and offset.
pub type RecordValues = HashMap<(String, i32, i64), Vec<u8>>;

/// The values of records; those that are gone are left out. Blocks.
///
/// # Errors
///
/// Kafka does not answer.
pub fn fetch_records(
    kafka: &KafkaConfig,
    wanted: &[Evidence],
    client: &Arc<ClientState>,
) -> Result<RecordValues, RestoreError> {
    let consumer = changelog_reader(kafka, client, "read_committed")?;
    let mut found = HashMap::new();
    for Evidence { topic, partition, offset, .. } in wanted {
        let failed =
            |source| RestoreError::Read { topic: Arc::clone(topic), partition: *partition, source };
        let (low, high) =
            consumer.fetch_watermarks(topic, *partition, OFFSETS_TIMEOUT).map_err(failed)?;
        if *offset < low || *offset >= high {
            continue;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(failed)?;
        consumer.assign(&list).map_err(failed)?;
        let begin = Instant::now();
        while begin.elapsed() < OFFSETS_TIMEOUT {
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) if message.offset() == *offset => {
                    let value = message.payload().unwrap_or_default().to_vec();
                    found.insert((topic.to_string(), *partition, *offset), value);
                    break;
                }
                // Compaction took it.
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => client.error(&error, "while fetching records"),
                None => {}
            }
        }
    }
    Ok(found)
}
