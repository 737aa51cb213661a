//! Reading the outbox: rdkafka's base consumer on a thread of its own, which hands records to
//! delivery as they come.
//!
//! Committed offsets carry a word beside them: `open` while somebody delivers from there, `clean`
//! when everything that was sent is in the ledger. What lies behind an `open` offset when a
//! partition is taken over may have been sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::config::KafkaConfig;
use crate::delivery::ports::{Event, Known, OutboxRecord, Release};
use crate::kafka::context::{Context, Role, lock};
use crate::kafka::statistics::Statistics;
use crate::kafka::{ClientState, member_config};

/// The longest wait in one poll; a record or an event ends it at once.
const POLL: Duration = Duration::from_millis(100);
/// Between two commits. What is not yet committed is in the ledger, so this costs nothing but work.
const COMMIT_EVERY: Duration = Duration::from_millis(200);
/// The wait for an answer about offsets.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);
/// The word beside the offset of a partition that is being delivered.
const OPEN: &str = "open";
/// The word beside the offset of a partition behind which nothing was sent.
const CLEAN: &str = "clean";

/// Why the outbox cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// The consumer could not be made.
    #[error("cannot make a consumer for topic `{topic}`; check [kafka.properties]")]
    Create {
        /// The outbox.
        topic: Arc<str>,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// The thread could not be started.
    #[error("cannot start the thread that reads the outbox")]
    Thread(#[source] std::io::Error),
    /// Offsets could not be read or committed.
    #[error("cannot {doing} of {topic}/{partition}")]
    Offsets {
        /// What was tried.
        doing: &'static str,
        /// The outbox.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// What Kafka says.
        source: KafkaError,
    },
}

/// Where delivery stands in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The offset of the first entry that will be read.
    pub start: i64,
    /// The offset after the last entry that can be read now.
    pub end: i64,
    /// What Kafka knows of `start`.
    pub known: Known,
}

/// The context of the outbox's consumer.
type ReaderContext = Context<Tells>;

/// What the consumer's callbacks use.
struct Tells {
    events: mpsc::Sender<Event>,
    /// Set before the consumer is dropped: revocations are then carried out at once.
    closing: AtomicBool,
}

impl Role for Tells {
    fn statistics(&self, state: &ClientState, json: &[u8]) {
        if Statistics::read(json).is_some_and(|statistics| statistics.is_connected()) {
            state.connected();
        }
    }
}

impl Tells {
    fn tell(&self, event: Event) {
        if self.events.blocking_send(event).is_err() {
            tracing::debug!("nobody reads the outbox's events any more");
        }
    }
}

impl ConsumerContext for ReaderContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions: Vec<i32> = list.elements().iter().map(|one| one.partition()).collect();
        let closing = self.closing.load(Ordering::Acquire);
        if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // Records may come at once; delivery keeps them until the ledger is restored.
            match consumer.incremental_assign(list) {
                Ok(()) => self.tell(Event::Assigned(partitions)),
                Err(error) => {
                    self.tell(Event::Failed(format!("cannot assign partitions: {error}")))
                }
            }
        } else if closing {
            if let Err(error) = consumer.incremental_unassign(list) {
                tracing::warn!("giving partitions up while closing: {error}");
            }
        } else if consumer.assignment_lost() {
            self.tell(Event::Lost(partitions));
        } else {
            // Given up by `release`, when what is under way is finished.
            self.tell(Event::Revoked(partitions));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            // The ledger has what was sent: an offset that is behind repeats nothing.
            tracing::debug!("offsets of the outbox were not committed: {error}");
        }
    }
}

/// Offsets that wait to be committed, and orders for the thread.
#[derive(Default)]
struct Orders {
    commits: Mutex<BTreeMap<i32, i64>>,
    stop: AtomicBool,
}

/// The reading end of the outbox.
pub struct Reader {
    topic: Arc<str>,
    consumer: Arc<BaseConsumer<ReaderContext>>,
    orders: Arc<Orders>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Reader {
    /// Joins the group `GROUP.delivery` and starts to read.
    ///
    /// # Errors
    /// When librdkafka refuses the properties.
    pub fn start(
        kafka: &KafkaConfig,
        topic: Arc<str>,
        state: Arc<ClientState>,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, ReaderError> {
        let defaults = [
            ("statistics.interval.ms", "1000"),
            // Entries are small, and what is read ahead is thrown away when reading is held.
            ("queued.max.messages.kbytes", "8192"),
            ("queued.min.messages", "1000"),
            ("fetch.queue.backoff.ms", "1"),
        ];
        let group_id = format!("{}.delivery", kafka.group_id);
        let mut config = member_config(kafka, "delivery", &group_id, &defaults);
        config
            .set("isolation.level", "read_committed")
            // The outbox is ours: what was never delivered is delivered from its beginning.
            .set("auto.offset.reset", "earliest");
        let create = |source| ReaderError::Create { topic: Arc::clone(&topic), source };
        let context = Context::new(&state, Tells { events, closing: AtomicBool::new(false) });
        let consumer: BaseConsumer<ReaderContext> =
            config.create_with_context(context).map_err(create)?;
        consumer.subscribe(&[&topic]).map_err(create)?;
        let (consumer, orders) = (Arc::new(consumer), Arc::new(Orders::default()));
        let reading = (Arc::clone(&topic), Arc::clone(&consumer), Arc::clone(&orders));
        let thread = std::thread::Builder::new().name("outbox".into());
        let thread = thread.spawn(move || read(&reading.0, &reading.1, &reading.2));
        let thread = Mutex::new(Some(thread.map_err(ReaderError::Thread)?));
        Ok(Self { topic, consumer, orders, thread })
    }

    /// Commits an offset within a fifth of a second.
    pub fn commit(&self, partition: i32, next: i64) {
        lock(&self.orders.commits).insert(partition, next);
    }

    /// Where delivery stands in a partition. Blocks, for at most twenty seconds.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn position(&self, partition: i32) -> Result<Position, ReaderError> {
        let failed = |doing| {
            let topic = Arc::clone(&self.topic);
            move |source| ReaderError::Offsets { doing, topic, partition, source }
        };
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        let doing = "read the committed offset";
        let committed = self.consumer.committed_offsets(list, OFFSETS_TIMEOUT);
        let committed = committed.map_err(failed(doing))?;
        // The reader is read_committed: the end is that of the last finished transaction.
        let (low, end) = self
            .consumer
            .fetch_watermarks(&self.topic, partition, OFFSETS_TIMEOUT)
            .map_err(failed("read the first and the last offset"))?;
        let elements = committed.elements();
        let Some(element) = elements.first() else {
            return Ok(Position { start: low, end, known: Known::Nothing });
        };
        element.error().map_err(failed(doing))?;
        Ok(match element.offset() {
            Offset::Offset(start) if start > end => {
                tracing::warn!(
                    topic = %self.topic, partition, start, end,
                    "the outbox ends before the committed offset: the topic was made anew"
                );
                Position { start: low, end, known: Known::Nothing }
            }
            Offset::Offset(start) => {
                let known = if element.metadata() == CLEAN { Known::Clean } else { Known::Open };
                Position { start, end, known }
            }
            _ => Position { start: low, end, known: Known::Nothing },
        })
    }

    /// Notes that a partition is being delivered from `start`, before anything of it is sent.
    /// Blocks until Kafka has it.
    ///
    /// # Errors
    /// When the broker does not answer, or the partition is not ours any more.
    pub fn open(&self, partition: i32, start: i64) -> Result<(), ReaderError> {
        let list = self.offsets([(partition, start, OPEN)]);
        self.consumer.commit(&list, CommitMode::Sync).map_err(|source| ReaderError::Offsets {
            doing: "commit the offset",
            topic: Arc::clone(&self.topic),
            partition,
            source,
        })
    }

    /// Commits, and gives partitions up. Blocks.
    pub fn release(&self, released: &[Release]) {
        let mut commits = lock(&self.orders.commits);
        released.iter().for_each(|release| {
            commits.remove(&release.partition);
        });
        drop(commits);
        let word = |clean| if clean { CLEAN } else { OPEN };
        let last = released.iter();
        let last = last.filter_map(|r| Some((r.partition, r.next?, word(r.clean))));
        let list = self.offsets(last);
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, CommitMode::Sync)
        {
            tracing::warn!("offsets of the outbox were not committed: {error}");
        }
        let mut list = TopicPartitionList::new();
        for release in released {
            list.add_partition(&self.topic, release.partition);
        }
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::debug!("giving partitions of the outbox up: {error}");
        }
    }

    /// Stops reading all partitions, or goes on.
    pub fn hold(&self, held: bool) {
        let change = |list: &TopicPartitionList| {
            if held { self.consumer.pause(list) } else { self.consumer.resume(list) }
        };
        let changed = self.consumer.assignment().and_then(|list| change(&list));
        if let Err(error) = changed {
            tracing::warn!(held, "reading of the outbox: {error}");
        }
    }

    fn offsets<'a>(
        &self,
        offsets: impl IntoIterator<Item = (i32, i64, &'a str)>,
    ) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset, word) in offsets {
            let mut element = list.add_partition(&self.topic, partition);
            element.set_metadata(word);
            // Only an offset outside of Kafka's range is refused.
            if let Err(error) = element.set_offset(Offset::Offset(offset)) {
                tracing::error!(partition, offset, "offset is refused: {error}");
            }
        }
        list
    }

    /// Ends the thread and leaves the group. Blocks.
    pub fn close(&self) {
        self.consumer.context().closing.store(true, Ordering::Release);
        self.orders.stop.store(true, Ordering::Release);
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that read the outbox panicked");
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The thread ends by itself, and the consumer with it.
        self.consumer.context().closing.store(true, Ordering::Release);
        self.orders.stop.store(true, Ordering::Release);
    }
}

/// The thread's loop.
fn read(topic: &str, consumer: &BaseConsumer<ReaderContext>, orders: &Orders) {
    let context = consumer.context();
    let mut committed = Instant::now();
    while !orders.stop.load(Ordering::Acquire) {
        match consumer.poll(POLL) {
            Some(Ok(message)) => context.tell(Event::Record(record(&message))),
            Some(Err(error)) => {
                let code = error.rdkafka_error_code();
                let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_))
                    || code == Some(RDKafkaErrorCode::PollExceeded);
                if fatal {
                    context.tell(Event::Failed(error.to_string()));
                    break;
                }
                context.state.error(&error, "while reading the outbox");
            }
            None => {}
        }
        if committed.elapsed() >= COMMIT_EVERY {
            committed = Instant::now();
            let commits = std::mem::take(&mut *lock(&orders.commits));
            commit(topic, consumer, commits);
        }
    }
    // A revocation that was noted and not taken up would keep the close waiting for ever.
    let left = consumer.assignment().and_then(|list| consumer.incremental_unassign(&list));
    if let Err(error) = left {
        tracing::debug!("giving partitions up on close: {error}");
    }
}

fn commit(topic: &str, consumer: &BaseConsumer<ReaderContext>, commits: BTreeMap<i32, i64>) {
    if commits.is_empty() {
        return;
    }
    let mut list = TopicPartitionList::new();
    for (partition, next) in commits {
        let mut element = list.add_partition(topic, partition);
        element.set_metadata(OPEN);
        if let Err(error) = element.set_offset(Offset::Offset(next)) {
            tracing::error!(partition, next, "offset is refused: {error}");
        }
    }
    if let Err(error) = consumer.commit(&list, CommitMode::Async) {
        tracing::debug!("offsets of the outbox were not committed: {error}");
    }
}

fn record(message: &BorrowedMessage<'_>) -> OutboxRecord {
    OutboxRecord {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
    }
}
