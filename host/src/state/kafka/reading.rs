//! Reading partitions of the changelog from their beginning to their end, by the batch.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::{Changelog, RestoreError, Restored, SILENCE_MAX, TOLD_EVERY};
use crate::kafka::{ClientState, ReaderContext};
use crate::source::fetch::kafka::FetchQueue;

/// Records of one batch.
const BATCH: usize = 4_096;
/// The wait for the first record of a batch. Before the first one partitions are not forwarded yet.
const WAIT: Duration = Duration::from_millis(5);

/// A record of the changelog.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: &'a [u8],
    /// `None` = a tombstone.
    pub(super) value: Option<&'a [u8]>,
}

/// What a reader of the changelog does with a record; whether it counts.
pub(super) type Take<'t> = dyn FnMut(Found<'_>) -> Result<bool, RestoreError> + 't;

/// Partitions on their way to their ends.
struct Reading<'r, 't> {
    ends: usize,
    restored: Restored,
    client: &'r ClientState,
    take: &'r mut Take<'t>,
}

impl Reading<'_, '_> {
    fn record(&mut self, found: Found<'_>) -> Result<(), RestoreError> {
        self.restored.records += 1;
        self.restored.entries += u64::from((self.take)(found)?);
        Ok(())
    }

    fn error(&mut self, error: &KafkaError) {
        match error {
            KafkaError::PartitionEOF(_) => self.ends += 1,
            error => self.client.error(error, "while reading state"),
        }
    }

    /// What came by the consumer's own queue: records from before their partition was forwarded, which
    /// are older than those of the other queue, and what is no record.
    fn serve(&mut self, consumer: &BaseConsumer<ReaderContext>) -> Result<(), RestoreError> {
        while let Some(event) = consumer.poll(Duration::ZERO) {
            match event {
                Ok(stray) => self.record(Found {
                    partition: stray.partition(),
                    offset: stray.offset(),
                    key: stray.key().unwrap_or_default(),
                    value: stray.payload(),
                })?,
                Err(error) => self.error(&error),
            }
        }
        Ok(())
    }

    fn batch(&mut self, queue: &FetchQueue) -> Result<(), RestoreError> {
        let mut fetched = Vec::new();
        queue.take(&mut fetched, BATCH, WAIT);
        for fetched in &fetched {
            match fetched.error().map(RDKafkaErrorCode::from) {
                None => self.record(Found {
                    partition: fetched.partition(),
                    offset: fetched.offset(),
                    key: fetched.key().unwrap_or_default(),
                    value: fetched.value(),
                })?,
                Some(RDKafkaErrorCode::PartitionEOF) => self.ends += 1,
                Some(code) => self.error(&KafkaError::MessageConsumption(code)),
            }
        }
        Ok(())
    }
}

impl Changelog {
    /// Hands out every record of these partitions, from the beginning to the end that they have now;
    /// `take` says whether a record counts.
    pub(super) fn read_to_end(
        &self,
        consumer: &BaseConsumer<ReaderContext>,
        partitions: &[i32],
        client: &ClientState,
        progress: &mut dyn FnMut(u64) -> bool,
        take: &mut Take<'_>,
    ) -> Result<Restored, RestoreError> {
        if partitions.is_empty() {
            return Ok(Restored::default());
        }
        let no_memory = || RestoreError::Client(KafkaError::ClientCreation("no memory".into()));
        let queue = FetchQueue::new(consumer.client().native_ptr()).ok_or_else(no_memory)?;
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            let added = list.add_partition_offset(&self.topic, *partition, Offset::Beginning);
            added.map_err(|source| self.read(*partition, source))?;
        }
        consumer.assign(&list).map_err(RestoreError::Client)?;
        let mut reading = Reading { ends: 0, restored: Restored::default(), client, take };
        let (mut heard, mut told) = ((Instant::now(), 0), Instant::now());
        while reading.ends < partitions.len() {
            // Assigning, which librdkafka does later, ends the forwarding.
            partitions.iter().for_each(|partition| queue.collect(&self.topic, *partition));
            reading.serve(consumer)?;
            reading.batch(&queue)?;
            let records = reading.restored.records;
            if records > heard.1 {
                heard = (Instant::now(), records);
            }
            if told.elapsed() > TOLD_EVERY {
                told = Instant::now();
                if !progress(records) {
                    return Err(RestoreError::Stopped);
                }
            }
            if heard.0.elapsed() > SILENCE_MAX {
                return Err(RestoreError::Silence);
            }
        }
        Ok(reading.restored)
    }
}
