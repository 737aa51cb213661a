//! Reading partitions from a place to the end that they had when they were asked for it, and following
//! them from there.
//!
//! In: `[kafka]` and names of topics. Out: every record, in the order of its partition, to a closure.
//! Never: joining a group, committing, writing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::asking::{Trouble, ask, offsets, partitions_of};
use super::context::{Context, Plain};
use super::fetch::FetchQueue;
use super::{ClientState, authorize, client_config};
use crate::config::KafkaConfig;

mod ends;
mod error;
#[cfg(test)]
mod tests;

use ends::Ends;
pub use error::ReadError;

/// Without a record for so long, reading to the end has failed.
const STANDSTILL: Duration = Duration::from_secs(30);
/// Records of one batch.
const BATCH: usize = 4_096;
/// The wait for the first record of a batch while a forwarding may end.
const WAIT: Duration = Duration::from_millis(5);
/// How long after assigning it may.
const SETTLING: Duration = Duration::from_secs(10);
/// The wait for a record when that is over; also the longest time until a stop is noticed.
pub const FOLLOW_WAIT: Duration = Duration::from_millis(200);
/// Properties for reading to the end once: where the last record was taken by compaction, or is a
/// marker, the end is found by a fetch that has to wait.
pub const AT_ONCE: [(&str, &str); 1] = [("fetch.wait.max.ms", "50")];
/// Properties for following.
pub const FOLLOWER: [(&str, &str); 1] = [("fetch.wait.max.ms", "100")];
/// What to do when one of the host's own topics is not there.
pub const NO_HOST: &str = "no host of this group ran yet; check kafka.group_id";

/// A partition, and what of it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its number.
    pub partition: i32,
    /// The first offset that is read.
    pub begin: i64,
    /// The offset after the last record that is waited for.
    pub end: i64,
}

impl Place {
    /// Whether there is nothing to wait for.
    pub fn is_empty(&self) -> bool {
        self.begin >= self.end
    }
}

/// A record that was read.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When it was written, milliseconds since the Unix epoch; -1 = unknown.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// `None` = a tombstone.
    pub value: Option<&'a [u8]>,
}

impl Found<'_> {
    /// Where it is, as `topic/partition/offset`.
    pub fn place(&self) -> String {
        format!("{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// What a follower is told.
#[derive(Debug)]
pub enum Told<'a> {
    /// A record.
    Record(Found<'a>),
    /// All partitions of this topic were read to the ends that they had.
    End(&'a str),
}

/// Reads topics.
pub struct Reader {
    consumer: BaseConsumer<Context<Plain>>,
    /// What to do when a topic is not there.
    cure: &'static str,
}

impl Reader {
    /// A reader; `role` ends its client's id, `cure` is what to do when a topic is not there, `defaults`
    /// are properties that the operator may set otherwise.
    ///
    /// # Errors
    /// When librdkafka refuses the properties.
    pub fn open(
        kafka: &KafkaConfig,
        (role, cure): (&'static str, &'static str),
        client: &Arc<ClientState>,
        defaults: &[(&str, &str)],
    ) -> Result<Self, ReadError> {
        let mut config = client_config(kafka, role, defaults);
        config
            // It is never joined.
            .set("group.id", format!("{}.{role}", kafka.group_id))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer<Context<Plain>> = config
            .create_with_context(Context::new(client, Plain))
            .map_err(|source| ReadError::Client(role, source))?;
        authorize(consumer.client(), client);
        Ok(Self { consumer, cure })
    }

    /// All partitions of a topic, as [`places`](Self::places). Blocks.
    ///
    /// A topic that was just created is waited for: a broker may hear of it a little later.
    ///
    /// # Errors
    /// Kafka does not answer, or there is no such topic.
    pub fn whole(&self, topic: &Arc<str>) -> Result<Vec<Place>, ReadError> {
        let partitions = self.ask(topic, |wait| {
            partitions_of(&self.consumer.fetch_metadata(Some(topic), wait)?, topic)
        })?;
        self.places(topic, &partitions)
    }

    /// Partitions from their beginning to the end that they have now: that of the last finished
    /// transaction, unless the reader is one of what is not committed. Blocks.
    ///
    /// # Errors
    /// As [`whole`](Self::whole).
    pub fn places(&self, topic: &Arc<str>, partitions: &[i32]) -> Result<Vec<Place>, ReadError> {
        let begins = self.offsets(topic, partitions, Offset::Beginning)?;
        let ends = self.offsets(topic, partitions, Offset::End)?;
        let spans = partitions.iter().zip(begins.into_iter().zip(ends));
        Ok(spans
            .map(|(&partition, (begin, end))| {
                let (begin, end) = (begin.unwrap_or_default(), end.unwrap_or_default());
                Place { topic: Arc::clone(topic), partition, begin, end }
            })
            .collect())
    }

    /// Lets places of a topic begin at the first record that is not older than `since_ms`, milliseconds
    /// since the Unix epoch. Blocks.
    ///
    /// # Errors
    /// As [`whole`](Self::whole).
    pub fn begin_at(
        &self,
        topic: &Arc<str>,
        places: &mut [Place],
        since_ms: i64,
    ) -> Result<(), ReadError> {
        let partitions: Vec<i32> = places.iter().map(|place| place.partition).collect();
        // Asked with times in the place of offsets.
        let begins = self.offsets(topic, &partitions, Offset::Offset(since_ms.max(0)))?;
        for (place, begin) in places.iter_mut().zip(begins) {
            place.begin = begin.unwrap_or(place.end);
        }
        Ok(())
    }

    fn offsets(
        &self,
        topic: &Arc<str>,
        partitions: &[i32],
        at: Offset,
    ) -> Result<Vec<Option<i64>>, ReadError> {
        self.ask(topic, |wait| offsets(&self.consumer, topic, partitions, at, wait))
    }

    fn ask<T>(
        &self,
        topic: &Arc<str>,
        question: impl Fn(Duration) -> KafkaResult<T>,
    ) -> Result<T, ReadError> {
        ask(&self.consumer, question).map_err(|why| self.failed(topic, why))
    }

    fn failed(&self, topic: &Arc<str>, (trouble, source): (Trouble, KafkaError)) -> ReadError {
        ReadError::of(trouble, (topic, self.cure), self.client(), source)
    }

    fn client(&self) -> &ClientState {
        &self.consumer.context().state
    }

    /// Hands out every record of these places up to their ends, and returns how many there were; those
    /// behind an end may be among them. `goes_on` is told all the time how many it were until then, and
    /// says whether to go on. Blocks.
    ///
    /// # Errors
    /// Nothing came for thirty seconds, or it was stopped; and what `take` says.
    pub fn read_to_end<E: From<ReadError>>(
        &self,
        places: &[Place],
        goes_on: &mut dyn FnMut(u64) -> bool,
        mut take: impl FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let places: Vec<Place> = places.iter().filter(|one| !one.is_empty()).cloned().collect();
        if places.is_empty() {
            return Ok(0);
        }
        let mut reading = self.begin(&places)?;
        let mut heard = (Instant::now(), 0);
        while let Some(waiting) = reading.ends.waiting() {
            let topic = Arc::clone(&waiting.topic);
            reading.round(WAIT, &mut take)?;
            if reading.records > heard.1 {
                heard = (Instant::now(), reading.records);
            }
            if !goes_on(reading.records) {
                return Err(ReadError::Stopped(topic).into());
            }
            if heard.0.elapsed() > STANDSTILL {
                return Err(ReadError::Standstill(topic, self.client().servers().into()).into());
            }
        }
        Ok(reading.records)
    }

    /// Hands out every record of these places and of what is written behind their ends, and says once of
    /// each topic when its ends are reached, while `goes_on`. Blocks.
    ///
    /// # Errors
    /// When librdkafka refuses the places.
    pub fn follow(
        &self,
        places: &[Place],
        goes_on: &dyn Fn() -> bool,
        mut tell: impl FnMut(Told<'_>),
    ) -> Result<(), ReadError> {
        let mut topics: BTreeSet<Arc<str>> =
            places.iter().map(|place| Arc::clone(&place.topic)).collect();
        let (begin, mut reading) = (Instant::now(), self.begin(places)?);
        while goes_on() {
            topics.retain(|topic| {
                let is_read = reading.ends.is_read(topic);
                if is_read {
                    tell(Told::End(topic));
                }
                !is_read
            });
            let wait = if begin.elapsed() > SETTLING { FOLLOW_WAIT } else { WAIT };
            let mut take = |found: Found<'_>| -> Result<(), ReadError> {
                tell(Told::Record(found));
                Ok(())
            };
            reading.round(wait, &mut take)?;
        }
        Ok(())
    }

    fn begin(&self, places: &[Place]) -> Result<Reading<'_>, ReadError> {
        let refused = |source: KafkaError| {
            let topic = places.first().map(|place| Arc::clone(&place.topic)).unwrap_or_default();
            self.failed(&topic, (Trouble::Refusal, source))
        };
        let no_memory = || refused(KafkaError::ClientCreation("no memory".into()));
        let queue = FetchQueue::new(self.consumer.client().native_ptr()).ok_or_else(no_memory)?;
        let mut list = TopicPartitionList::with_capacity(places.len());
        for Place { topic, partition, begin, .. } in places {
            let from = Offset::Offset(*begin);
            list.add_partition_offset(topic, *partition, from).map_err(refused)?;
            queue.collect(topic, *partition);
        }
        self.consumer.assign(&list).map_err(refused)?;
        Ok(Reading { consumer: &self.consumer, queue, ends: Ends::of(places), records: 0 })
    }
}

/// Places on the way to their ends.
struct Reading<'r> {
    consumer: &'r BaseConsumer<Context<Plain>>,
    /// Made for this reading: what an earlier one left behind is not in it.
    queue: FetchQueue,
    ends: Ends,
    records: u64,
}

impl Reading<'_> {
    fn round<E>(
        &mut self,
        wait: Duration,
        take: &mut impl FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // The end of an earlier reading, which librdkafka carries out later, ends the forwarding.
        for place in self.ends.places() {
            self.queue.collect(&place.topic, place.partition);
        }
        self.serve(take)?;
        self.batch(wait, take)
    }

    /// What came by the consumer's own queue: records from before their partition was forwarded again,
    /// which are older than those of the other queue, and what is no record.
    fn serve<E>(&mut self, take: &mut impl FnMut(Found<'_>) -> Result<(), E>) -> Result<(), E> {
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            match event {
                Ok(stray) => {
                    self.records += 1;
                    let (topic, partition) = (stray.topic(), stray.partition());
                    let (offset, key, value) = (stray.offset(), stray.key(), stray.payload());
                    let timestamp_ms = stray.timestamp().to_millis().unwrap_or(-1);
                    take(Found { topic, partition, offset, timestamp_ms, key, value })?;
                    let at = self.ends.find(topic, partition);
                    self.ends.passed(at, offset);
                }
                Err(KafkaError::PartitionEOF(partition)) => self.ends.reached_unnamed(partition),
                Err(error) => self.failed(&error),
            }
        }
        Ok(())
    }

    fn batch<E>(
        &mut self,
        wait: Duration,
        take: &mut impl FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut fetched = Vec::new();
        self.queue.take(&mut fetched, BATCH, wait);
        let mut run = (None, None);
        for one in &fetched {
            let code = one.error().map(RDKafkaErrorCode::from);
            if let Some(code) = code.filter(|code| *code != RDKafkaErrorCode::PartitionEOF) {
                self.failed(&KafkaError::MessageConsumption(code));
                continue;
            }
            // Records come in runs of one partition; its topic's name is then not looked at.
            let partition = one.partition();
            let handle = Some((one.topic_handle(), partition));
            if run.0 != handle {
                run = (handle, self.ends.find(one.topic(), partition));
            }
            let Some(place) = run.1.and_then(|at| self.ends.get(at)) else { continue };
            if code.is_some() {
                self.ends.reached(run.1, one.offset());
                continue;
            }
            self.records += 1;
            let (topic, offset) = (&*place.topic, one.offset());
            let (timestamp_ms, key, value) = (one.timestamp_ms(), one.key(), one.value());
            take(Found { topic, partition, offset, timestamp_ms, key, value })?;
            self.ends.passed(run.1, offset);
        }
        Ok(())
    }

    fn failed(&self, error: &KafkaError) {
        self.consumer.context().state.error(error, "while reading");
    }
}
