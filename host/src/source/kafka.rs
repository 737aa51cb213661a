//! The consumer: rdkafka's base consumer, polled by its worker's thread.
//!
//! Rebalances are noted by the callback and carried out by the worker between two batches, so that
//! it can first finish what it has in hand.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::{KafkaConfig, OffsetReset};
use crate::kafka::context::{Context, lock};
use crate::kafka::fetch::FetchQueue;
use crate::kafka::{ClientState, member_config};
use crate::record::TopicPartition;
use crate::source::Assignment;
use crate::telemetry::{Metrics, Readiness};

mod context;
mod identity;
mod polled;
mod positions;
mod tail;

pub use crate::kafka::statistics::Tail;
use context::{Notes, SourceContext};
use identity::Identity;
pub use polled::Polled;
pub(crate) use positions::commit_list;
use positions::offset_list;

/// Records of one batch at most: a guest call costs the same a record from 1,000 on.
const BATCH_RECORDS_MAX: usize = 4_096;
/// How long after a change of the assignment librdkafka may still end a forwarding.
const SETTLING: Duration = Duration::from_secs(10);
/// How often partitions are forwarded again meanwhile.
const FORWARD_INTERVAL: Duration = Duration::from_millis(20);
/// How often they are afterwards, to be safe.
const FORWARD_INTERVAL_SETTLED: Duration = Duration::from_secs(5);

/// Why records cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The consumer could not be made.
    #[error("cannot make a consumer; check [kafka.properties]")]
    Create(#[source] KafkaError),
    /// The consumer is broken for good and must be made anew.
    #[error("the consumer failed")]
    Fatal(#[source] KafkaError),
    /// Offsets could not be read.
    #[error("cannot read offsets of {partition}")]
    Offsets {
        /// The partition, or the group.
        partition: String,
        /// What Kafka says.
        source: KafkaError,
    },
    /// The assignment could not be carried out.
    #[error("cannot {doing} partitions")]
    Assign {
        /// assign, unassign, rewind, subscribe to.
        doing: &'static str,
        /// What Kafka says.
        source: KafkaError,
    },
}

/// Metadata that fences a transaction's offsets when the group has moved on (KIP-447).
pub struct GroupMetadata(pub(crate) ConsumerGroupMetadata);

/// A worker's consumer.
pub struct Source {
    /// Before the consumer: it is dropped first.
    queue: FetchQueue,
    /// Likewise.
    identity: Identity,
    consumer: BaseConsumer<SourceContext>,
    reset: OffsetReset,
    /// When partitions were last added or read again.
    assigned_at: Cell<Instant>,
    forwarded_at: Cell<Instant>,
}

impl Source {
    /// Makes the consumer; it connects by itself, and again after every loss.
    ///
    /// # Errors
    /// When librdkafka refuses the properties.
    pub fn new(
        kafka: &KafkaConfig,
        worker: usize,
        metrics: Metrics,
        readiness: Readiness,
    ) -> Result<Self, SourceError> {
        let defaults = [
            ("fetch.queue.backoff.ms", "1"),
            ("queued.min.messages", "1000000"),
            // Where rules are slower than Kafka this is full, and what librdkafka has around each small
            // record is as large again.
            ("queued.max.messages.kbytes", "16384"),
            ("statistics.interval.ms", "1000"),
            ("topic.metadata.refresh.interval.ms", "30000"),
        ];
        let mut config =
            member_config(kafka, &format!("worker-{worker}"), &kafka.group_id, &defaults);
        if kafka.static_membership {
            config.set("group.instance.id", format!("{}-{worker}", kafka.instance_id));
        }
        // Where to begin is decided in `start_positions`: librdkafka would also jump when retention has
        // overtaken a position, and nobody would know.
        config.set("auto.offset.reset", "error");
        let state = Arc::new(ClientState::new("kafka", kafka, metrics, readiness));
        let context = Context::new(&state, Notes::default());
        let consumer: BaseConsumer<SourceContext> =
            config.create_with_context(context).map_err(SourceError::Create)?;
        let no_memory = || SourceError::Create(KafkaError::ClientCreation("no memory".into()));
        let queue = FetchQueue::new(consumer.client().native_ptr()).ok_or_else(no_memory)?;
        let identity = Identity::new(consumer.client().native_ptr()).ok_or_else(no_memory)?;
        let (assigned_at, forwarded_at) = (Cell::new(Instant::now()), Cell::new(Instant::now()));
        let reset = kafka.auto_offset_reset;
        Ok(Self { queue, identity, consumer, reset, assigned_at, forwarded_at })
    }

    /// Reads these topics from now on; takes effect by a rebalance.
    ///
    /// # Errors
    /// When librdkafka refuses a name.
    pub fn subscribe(&self, topics: &[&str]) -> Result<(), SourceError> {
        if topics.is_empty() {
            self.consumer.unsubscribe();
            return Ok(());
        }
        self.consumer
            .subscribe(topics)
            .map_err(|source| SourceError::Assign { doing: "subscribe to", source })
    }

    /// Serves the consumer's own queue: rebalances, to be found by [`Source::change`], and errors.
    /// Doing so is also what tells the group that this member lives, so it goes on while no records
    /// are taken.
    ///
    /// # Errors
    /// When the consumer is broken for good.
    pub fn serve<'c>(&'c self, polled: &mut Polled<'c>) -> Result<(), SourceError> {
        self.forward();
        self.look_at_identity();
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            match event {
                Ok(stray) => polled.strays.push(stray),
                Err(error) => self.failed(error)?,
            }
        }
        Ok(())
    }

    /// Takes a batch of records; waits for the first one at most `wait`. True when there are no
    /// more at once.
    ///
    /// # Errors
    /// When the consumer is broken for good.
    pub fn take<'c>(
        &'c self,
        polled: &mut Polled<'c>,
        wait: Duration,
    ) -> Result<bool, SourceError> {
        let wait = if polled.strays.is_empty() { wait } else { Duration::ZERO };
        self.queue.take(&mut polled.fetched, BATCH_RECORDS_MAX, wait);
        let drained = polled.fetched.len() < BATCH_RECORDS_MAX;
        let mut result = Ok(());
        polled.fetched.retain(|fetched| match fetched.error() {
            None => true,
            Some(code) => {
                if let Err(error) = self.failed(KafkaError::MessageConsumption(code.into())) {
                    result = Err(error);
                }
                false
            }
        });
        result.map(|()| drained)
    }

    /// Sees to it that owned partitions are forwarded to the queue: see [`FetchQueue::collect`].
    fn forward(&self) {
        let settled = self.assigned_at.get().elapsed() > SETTLING;
        let interval = if settled { FORWARD_INTERVAL_SETTLED } else { FORWARD_INTERVAL };
        if self.forwarded_at.get().elapsed() < interval {
            return;
        }
        self.forwarded_at.set(Instant::now());
        for partition in lock(&self.consumer.context().owned).keys() {
            self.queue.collect(&partition.topic, partition.partition);
        }
    }

    fn failed(&self, error: KafkaError) -> Result<(), SourceError> {
        let context = self.consumer.context();
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(SourceError::Fatal(error));
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::PollExceeded) => return Err(SourceError::Fatal(error)),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                context.note(Assignment::OutOfRange);
            }
            _ => context.state.error(&error, "while reading"),
        }
        Ok(())
    }

    /// The oldest change of the assignment that was not yet taken up.
    pub fn change(&self) -> Option<Assignment> {
        let context = self.consumer.context();
        if !context.changed.load(Ordering::Acquire) {
            return None;
        }
        let mut changes = lock(&context.changes);
        let change = changes.pop_front();
        context.changed.store(!changes.is_empty(), Ordering::Release);
        change
    }

    /// Puts a change back that could not be carried out.
    pub fn put_back(&self, change: Assignment) {
        let context = self.consumer.context();
        lock(&context.changes).push_front(change);
        context.changed.store(true, Ordering::Release);
    }

    /// Begins to read partitions that were added.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn assign(&self, positions: &[(TopicPartition, i64)]) -> Result<(), SourceError> {
        for (partition, _) in positions {
            self.queue.collect(&partition.topic, partition.partition);
        }
        self.moved();
        let list = offset_list(positions);
        self.consumer
            .incremental_assign(&list)
            .map_err(|source| SourceError::Assign { doing: "assign", source })?;
        let mut owned = lock(&self.consumer.context().owned);
        owned.extend(positions.iter().map(|(partition, _)| (partition.clone(), -1)));
        Ok(())
    }

    /// Positions change: what was said of ends before says nothing now.
    fn moved(&self) {
        self.assigned_at.set(Instant::now());
        lock(&self.consumer.context().tails).clear();
    }

    /// Gives partitions up that were removed.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn unassign(&self, partitions: &[TopicPartition]) -> Result<(), SourceError> {
        let context = self.consumer.context();
        let mut owned = lock(&context.owned);
        for partition in partitions {
            owned.remove(partition);
            lock(&context.tails).remove(partition);
            context.state.metrics().lag_forget(&partition.topic, partition.partition);
        }
        drop(owned);
        let positions: Vec<_> = partitions.iter().map(|one| (one.clone(), 0)).collect();
        self.consumer
            .incremental_unassign(&offset_list(&positions))
            .map_err(|source| SourceError::Assign { doing: "unassign", source })
    }

    /// Reads owned partitions again from the given offsets.
    ///
    /// Unassigning and assigning needs no broker and drops what was fetched ahead, which a seek
    /// does not do for certain.
    ///
    /// # Errors
    /// When librdkafka refuses; the consumer must then be made anew.
    pub fn rewind(&self, positions: &[(TopicPartition, i64)]) -> Result<(), SourceError> {
        self.moved();
        let list = offset_list(positions);
        self.consumer
            .incremental_unassign(&list)
            .and_then(|()| self.consumer.incremental_assign(&list))
            .map_err(|source| SourceError::Assign { doing: "rewind", source })
    }

    /// Notes the timestamp of the last evaluated record of a partition, for the lag in seconds.
    pub fn evaluated(&self, partition: &TopicPartition, timestamp_ms: i64) {
        if let Some(last) = lock(&self.consumer.context().owned).get_mut(partition) {
            *last = timestamp_ms;
        }
    }

    /// What a transaction needs to commit this group's offsets.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.consumer.group_metadata().map(GroupMetadata)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let context = self.consumer.context();
        context.closing.store(true, Ordering::Release);
        let owned = std::mem::take(&mut *lock(&context.owned));
        for partition in owned.keys() {
            context.state.metrics().lag_forget(&partition.topic, partition.partition);
        }
        // A revocation that was noted and not taken up would keep the close waiting for ever.
        let positions: Vec<_> = owned.into_keys().map(|partition| (partition, 0)).collect();
        if let Err(error) = self.consumer.incremental_unassign(&offset_list(&positions)) {
            tracing::debug!("unassign on close: {error}");
        }
    }
}

fn of_group(source: KafkaError) -> SourceError {
    SourceError::Offsets { partition: "the consumer group".into(), source }
}
