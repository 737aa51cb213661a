//! The changelog topic: restoring the state of partitions that were taken over, and looking at it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use firebell_state::{Evidence, RuleState, WireError};

use super::States;
use super::query::{Answer, Question};
use super::wire::{EntryKey, KeyError, Parts, partition_of};
use crate::config::KafkaConfig;
use crate::kafka::ClientState;
use crate::kafka::reader::{Found, NO_HOST, Place, ReadError, Reader};
use crate::record::TopicPartition;
use crate::topics::InternalTopics;

/// How long a transaction of the last owner may stay open: its timeout is 15 seconds.
const OPEN_MAX: Duration = Duration::from_secs(30);
/// Between two looks whether it is closed.
const OPEN_POLL: Duration = Duration::from_millis(20);
/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Why state cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The changelog could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Somebody's transaction stays open.
    #[error("{topic}/{partition}: a transaction is still open after {} seconds", OPEN_MAX.as_secs())]
    Open {
        /// The changelog.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },
    /// A key is unreadable.
    #[error("{at}: its key is unreadable")]
    Key {
        /// Topic, partition and offset.
        at: String,
        /// Why.
        source: KeyError,
    },
    /// An entry is unreadable.
    #[error("{at}: the entry is unreadable")]
    Entry {
        /// Topic, partition and offset.
        at: String,
        /// Why.
        source: WireError,
    },
}

impl RestoreError {
    /// Whether it may pass by itself.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Read(error) => error.is_passing(),
            Self::Open { .. } => true,
            Self::Key { .. } | Self::Entry { .. } => false,
        }
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
        let wanted: Vec<i32> = wanted.into_iter().collect();
        let reader = changelog_reader(kafka, client, "read_committed")?;
        let all = changelog_reader(kafka, client, "read_uncommitted")?;
        let places = all.places(&self.topic, &wanted)?;
        await_closed(&reader, &places)?;
        let (mut told, mut entries) = (Instant::now(), 0);
        let mut goes_on = |records| {
            if told.elapsed() <= TOLD_EVERY {
                return true;
            }
            told = Instant::now();
            progress(records)
        };
        let mut present: Option<Present<'_>> = None;
        let records = reader.read_to_end(&places, &mut goes_on, |found| {
            let all = found.key.unwrap_or_default();
            // What follows is most often of the same input and rule.
            if !present.as_ref().is_some_and(|present| present.has(all)) {
                let (topic, partition, rule, key) = key_of(&found)?;
                let of = |input: &&TopicPartition| {
                    *input.topic == *topic && input.partition == partition
                };
                if let Some(before) = present.take() {
                    before.give_back(states);
                }
                let Some(input) = inputs.iter().find(of) else { return Ok(()) };
                let prefix = all.len() - key.len();
                let prefix = all.get(..prefix).unwrap_or_default().into();
                let state = states.take_restored(input, rule);
                present = Some(Present { prefix, input, rule: rule.into(), state });
            }
            let Some(present) = &mut present else { return Ok(()) };
            let key = all.get(present.prefix.len()..).unwrap_or_default();
            entries += 1;
            entered(&found, present.state.restore(key, found.value))
        });
        if let Some(last) = present {
            last.give_back(states);
        }
        Ok(Restored { records: records?, entries })
    }
}

/// Answers a question from all that is committed now, whichever host it belongs to. Blocks.
///
/// # Errors
///
/// Kafka does not answer, an entry is unreadable, or there is no changelog.
pub fn ask(
    kafka: &KafkaConfig,
    question: &Question,
    client: &Arc<ClientState>,
) -> Result<Answer, RestoreError> {
    let reader = changelog_reader(kafka, client, "read_committed")?;
    let places = reader.whole(&InternalTopics::of(&kafka.group_id).changelog)?;
    let mut states = States::default();
    let (mut others, mut is_known) = (BTreeSet::new(), false);
    reader.read_to_end(&places, &mut |_| true, |found| {
        let (topic, partition, rule, key) = key_of(&found)?;
        if rule != question.rule {
            if !others.contains(rule) {
                others.insert(rule.to_owned());
            }
            return Ok(());
        }
        is_known = true;
        let input = TopicPartition::new(topic, partition);
        entered(&found, states.restore(&input, rule, key, found.value))
    })?;
    let answer = question.answer(&states);
    Ok(Answer { others: if is_known { BTreeSet::new() } else { others }, ..answer })
}

/// Waits until no transaction from before the ends of these places is open.
fn await_closed(committed: &Reader, places: &[Place]) -> Result<(), RestoreError> {
    let begin = Instant::now();
    let mut open: Vec<&Place> = places.iter().filter(|place| !place.is_empty()).collect();
    while let Some(Place { topic, .. }) = open.first() {
        let partitions: Vec<i32> = open.iter().map(|place| place.partition).collect();
        let now = committed.places(topic, &partitions)?;
        let mut ends = now.iter().map(|place| place.end);
        open.retain(|place| ends.next().is_none_or(|end| end < place.end));
        if let Some(Place { topic, partition, .. }) = open.first() {
            if begin.elapsed() > OPEN_MAX {
                return Err(RestoreError::Open { topic: Arc::clone(topic), partition: *partition });
            }
            #[allow(clippy::disallowed_methods, reason = "called on a worker's own thread")]
            std::thread::sleep(OPEN_POLL);
        }
    }
    Ok(())
}

fn key_of<'m>(found: &Found<'m>) -> Result<Parts<'m>, RestoreError> {
    let parsed = EntryKey::parse(found.key.unwrap_or_default());
    parsed.map_err(|source| RestoreError::Key { at: found.place(), source })
}

fn entered(found: &Found<'_>, entered: Result<(), WireError>) -> Result<(), RestoreError> {
    entered.map_err(|source| RestoreError::Entry { at: found.place(), source })
}

fn changelog_reader(
    kafka: &KafkaConfig,
    client: &Arc<ClientState>,
    isolation: &str,
) -> Result<Reader, ReadError> {
    let defaults = [
        // Nobody else sets it: the configuration refuses it.
        ("isolation.level", isolation),
        // The end is found by a fetch that has to wait, when compaction took the last record.
        ("fetch.wait.max.ms", "50"),
        ("fetch.queue.backoff.ms", "1"),
        ("queued.min.messages", "1000000"),
    ];
    Reader::open(kafka, ("changelog", NO_HOST), client, &defaults)
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
) -> Result<RecordValues, ReadError> {
    // One record is wanted each time, not what is behind it.
    let defaults = [("fetch.wait.max.ms", "50"), ("queued.min.messages", "1")];
    let role = ("records", "its records are gone with it");
    let reader = Reader::open(kafka, role, client, &defaults)?;
    let mut partitions: BTreeMap<&Arc<str>, BTreeSet<i32>> = BTreeMap::new();
    for Evidence { topic, partition, .. } in wanted {
        partitions.entry(topic).or_default().insert(*partition);
    }
    let mut places = Vec::new();
    for (topic, partitions) in partitions {
        places.extend(reader.places(topic, &Vec::from_iter(partitions))?);
    }
    let mut values = HashMap::new();
    for Evidence { topic, partition, offset, .. } in wanted {
        let is_there = |place: &&Place| {
            let is_it = place.topic == *topic && place.partition == *partition;
            is_it && (place.begin..place.end).contains(offset)
        };
        let Some(place) = places.iter().find(is_there) else { continue };
        let one = Place { begin: *offset, end: offset + 1, ..place.clone() };
        reader.read_to_end(&[one], &mut |_| true, |found| -> Result<(), ReadError> {
            // Compaction may have taken it.
            if found.offset == *offset {
                let value = found.value.unwrap_or_default().to_vec();
                values.insert((topic.to_string(), *partition, *offset), value);
            }
            Ok(())
        })?;
    }
    Ok(values)
}
