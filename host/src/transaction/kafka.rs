//! The transactional producer, on a thread of its own, so that a worker evaluates its next batch
//! while the last one commits.
//!
//! Two stalls of 100 ms hide in a librdkafka transaction. Both are removed here: `retry.backoff.ms`
//! is 2 (AddOffsetsToTxn is answered with CONCURRENT_TRANSACTIONS while the last one is completed,
//! and retried after it), and delivery reports are awaited by polling, since rust-rdkafka's flush
//! waits out its steps of 100 ms.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig,
};
use tokio_util::sync::CancellationToken;

use crate::config::KafkaConfig;
use crate::kafka::asking::partitions_of;
use crate::kafka::context::{Context, Role, lock};
use crate::kafka::{ClientState, authorize, client_config};
use crate::record::OutgoingRecord;
use crate::source::kafka::commit_list;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::InternalTopics;
use crate::transaction::known_topics::KnownTopics;
use crate::transaction::{Outcome, Rejected, Transaction, refused};

mod verdict;

use verdict::{is_fatal, is_retriable, never_accepted};

/// The wait of one call into the transaction's protocol before it is repeated.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at the delivery reports; a report takes about a millisecond.
const REPORT_POLL: Duration = Duration::from_micros(50);
/// The wait for a topic's metadata.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks at an idle client's events.
const SERVE_INTERVAL: Duration = Duration::from_secs(1);
/// Events of one look; each call serves one, and to wait for none would hold a transaction up.
const SERVED_MAX: u32 = 32;
/// Attempts at one transaction whose records were replaced by dead letters.
const ATTEMPTS_MAX: u32 = 6;

/// Why there is no producer.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a producer; check [kafka.properties]")]
pub struct ProducerError(#[source] KafkaError);

/// The producer's context.
type CommitterContext = Context<Refusals>;

/// Records of the running transaction that the broker refused for good.
#[derive(Default)]
struct Refusals(Mutex<Vec<Rejected>>);

impl Role for Refusals {}

impl ProducerContext for CommitterContext {
    /// The record's place in its transaction.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let Err((error, _)) = result else { return };
        if let Some(reason) = error.rdkafka_error_code().and_then(never_accepted) {
            let mut rejected = lock(&self.0);
            rejected.push(Rejected { index, reason: reason.to_owned() });
        }
    }
}

/// How one attempt ended, short of being committed.
enum Failure {
    /// These records will never be taken.
    Rejected(Vec<Rejected>),
    Aborted(String),
    Fatal(String),
}

/// Writes transactions, one at a time, in order.
struct Committer {
    producer: BaseProducer<CommitterContext>,
    dead_letters: Arc<str>,
    topics: KnownTopics,
    stop: CancellationToken,
}

/// The worker's end of its committer.
pub struct CommitterHandle {
    jobs: Option<SyncSender<Transaction>>,
    outcomes: Receiver<Outcome>,
    in_flight: bool,
    thread: Option<JoinHandle<()>>,
}

impl CommitterHandle {
    /// Starts the thread; it first finishes what an earlier process of the same transactional id
    /// (`GROUP-INSTANCE-WORKER`) left open, without which committed offsets cannot be read. That
    /// is awaited as the first outcome.
    ///
    /// # Errors
    /// When librdkafka refuses the properties.
    pub fn start(
        kafka: &KafkaConfig,
        worker: usize,
        metrics: Metrics,
        readiness: Readiness,
        stop: CancellationToken,
    ) -> Result<Self, ProducerError> {
        let defaults = [
            ("linger.ms", "0"),
            // An entry of state has up to 5 MiB.
            ("message.max.bytes", "8388608"),
            ("retry.backoff.ms", "2"),
            ("retry.backoff.max.ms", "50"),
            ("transaction.timeout.ms", "15000"),
            // As Java's producer does it, so that emitted records meet their like.
            ("partitioner", "murmur2_random"),
        ];
        let mut config = client_config(kafka, &format!("committer-{worker}"), &defaults);
        let id = format!("{}-{}-{worker}", kafka.group_id, kafka.instance_id);
        config.set("transactional.id", id);
        let state = Arc::new(ClientState::new("kafka", kafka, metrics.clone(), readiness));
        let context = Context::new(&state, Refusals::default());
        let producer: BaseProducer<CommitterContext> =
            config.create_with_context(context).map_err(ProducerError)?;
        let (jobs, inbox) = sync_channel::<Transaction>(1);
        let (outbox, outcomes) = sync_channel(1);
        let mut committer = Committer {
            producer,
            dead_letters: InternalTopics::of(&kafka.group_id).dead_letters,
            topics: KnownTopics::default(),
            stop,
        };
        let thread = std::thread::Builder::new().name(format!("committer-{worker}"));
        let run = move || {
            let ready = committer.initialise();
            let usable = matches!(ready, Outcome::Committed(_));
            if outbox.send(ready).is_err() || !usable {
                return;
            }
            while let Some(transaction) = committer.next(&inbox) {
                let started = Instant::now();
                let outcome = committer.commit(transaction);
                let word = match &outcome {
                    Outcome::Committed(_) => "committed",
                    Outcome::Aborted(_) => "aborted",
                    Outcome::Fatal(_) => "fatal",
                };
                metrics.commit(word, started.elapsed().as_secs_f64());
                if outbox.send(outcome).is_err() {
                    return;
                }
            }
        };
        let thread = thread.spawn(run).map_err(|error| {
            ProducerError(KafkaError::ClientCreation(format!("cannot start a thread: {error}")))
        })?;
        Ok(Self { jobs: Some(jobs), outcomes, in_flight: true, thread: Some(thread) })
    }

    /// Whether a transaction, or the start, is not yet ended.
    pub fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// Begins a transaction. Only to be called when none is in flight.
    pub fn submit(&mut self, transaction: Transaction) {
        self.in_flight = true;
        if let Some(jobs) = &self.jobs {
            // A committer that is gone has left its last word in `outcomes`.
            let _gone = jobs.send(transaction).is_err();
        }
    }

    /// The outcome of the transaction in flight, if it comes within `wait`.
    pub fn outcome(&mut self, wait: Duration) -> Option<Outcome> {
        if !self.in_flight {
            return None;
        }
        let received = if wait.is_zero() {
            self.outcomes.try_recv().map_err(|error| error == TryRecvError::Disconnected)
        } else {
            let received = self.outcomes.recv_timeout(wait);
            received.map_err(|error| error == RecvTimeoutError::Disconnected)
        };
        let outcome = match received {
            Ok(outcome) => outcome,
            Err(false) => return None,
            Err(true) => Outcome::Fatal("the committer's thread has ended".into()),
        };
        self.in_flight = false;
        Some(outcome)
    }
}

impl Drop for CommitterHandle {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the committer's thread panicked");
        }
    }
}

impl Committer {
    /// The next order; `None` = there will be no more. Meanwhile the client is served: it tells its
    /// errors, and asks for its next token, only then.
    fn next(&self, inbox: &Receiver<Transaction>) -> Option<Transaction> {
        loop {
            match inbox.recv_timeout(SERVE_INTERVAL) {
                Ok(transaction) => return Some(transaction),
                Err(RecvTimeoutError::Timeout) => self.serve(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn serve(&self) {
        for _ in 0..SERVED_MAX {
            self.producer.poll(Duration::ZERO);
        }
    }

    /// Registers the transactional id; waits for as long as the broker is away.
    fn initialise(&self) -> Outcome {
        authorize(self.producer.client(), &self.producer.context().state);
        loop {
            match self.producer.init_transactions(CALL_TIMEOUT) {
                Ok(()) => return Outcome::Committed(Vec::new()),
                Err(error) if is_fatal(&error) => return Outcome::Fatal(error.to_string()),
                Err(error) => tracing::warn!("cannot begin with transactions, retrying: {error}"),
            }
            self.serve();
            if self.stop.is_cancelled() {
                return Outcome::Fatal("stopped before the broker answered".into());
            }
        }
    }

    /// Commits a transaction; records that Kafka will never take are replaced by dead letters.
    fn commit(&mut self, mut transaction: Transaction) -> Outcome {
        let (mut replaced, mut last) = (false, None);
        for _ in 0..ATTEMPTS_MAX {
            let missing = self.missing_topics(&transaction.records);
            self.replace(&mut transaction.records, missing);
            match self.attempt(&transaction) {
                Ok(()) => return Outcome::Committed(transaction.offsets),
                Err(Failure::Rejected(rejected)) => {
                    self.replace(&mut transaction.records, rejected);
                    (replaced, last) = (true, None);
                }
                // After a refusal the next transaction may fail as well. Given up, the records would
                // be evaluated again, and the same one be refused again, for ever.
                Err(Failure::Aborted(reason)) if replaced => last = Some(reason),
                Err(Failure::Aborted(reason)) => return Outcome::Aborted(reason),
                Err(Failure::Fatal(reason)) => return Outcome::Fatal(reason),
            }
        }
        match last {
            Some(reason) => Outcome::Aborted(reason),
            None => Outcome::Fatal("records are refused even as dead letters; see the log".into()),
        }
    }

    fn replace(&self, records: &mut [OutgoingRecord], rejected: Vec<Rejected>) {
        for Rejected { index, reason } in rejected {
            if let Some(record) = records.get_mut(index) {
                tracing::error!(topic = &*record.topic, "kafka takes a record never: {reason}");
                *record = refused(record, &self.dead_letters, &reason);
            }
        }
    }

    fn attempt(&self, transaction: &Transaction) -> Result<(), Failure> {
        self.rejected();
        self.producer.begin_transaction().map_err(|error| self.fail(&error))?;
        for (index, record) in transaction.records.iter().enumerate() {
            self.send(index, record)?;
        }
        let offsets = commit_list(&transaction.offsets);
        let group = &transaction.group.0;
        self.repeat(|| self.producer.send_offsets_to_transaction(&offsets, group, CALL_TIMEOUT))?;
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::ZERO);
            #[allow(clippy::disallowed_methods, reason = "a thread of its own; see the module")]
            std::thread::sleep(REPORT_POLL);
        }
        let rejected = self.rejected();
        if !rejected.is_empty() {
            self.abort()?;
            return Err(Failure::Rejected(rejected));
        }
        self.repeat(|| self.producer.commit_transaction(CALL_TIMEOUT))
    }

    fn send(&self, index: usize, record: &OutgoingRecord) -> Result<(), Failure> {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        let mut to_send: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&record.topic, index).headers(headers);
        if let Some(partition) = record.partition {
            to_send = to_send.partition(partition);
        }
        if let Some(key) = &record.key {
            to_send = to_send.key(key);
        }
        if let Some(value) = &record.value {
            to_send = to_send.payload(value);
        }
        if let Some(timestamp_ms) = record.timestamp_ms {
            to_send = to_send.timestamp(timestamp_ms);
        }
        loop {
            match self.producer.send(to_send) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    self.producer.poll(Duration::from_millis(1));
                    to_send = again;
                }
                Err((error, _)) => {
                    let reason = error.rdkafka_error_code().and_then(never_accepted);
                    let Some(reason) = reason else { return Err(self.fail(&error)) };
                    self.abort()?;
                    let reason = reason.to_owned();
                    return Err(Failure::Rejected(vec![Rejected { index, reason }]));
                }
            }
        }
    }

    /// Repeats a call of the protocol for as long as Kafka says that it may pass the next time.
    fn repeat(&self, call: impl Fn() -> Result<(), KafkaError>) -> Result<(), Failure> {
        loop {
            match call() {
                Ok(()) => return Ok(()),
                Err(error) if is_retriable(&error) && !self.stop.is_cancelled() => {
                    tracing::warn!("transaction: retrying: {error}");
                    self.producer.poll(Duration::ZERO);
                }
                Err(error) => return Err(self.fail(&error)),
            }
        }
    }

    /// Ends a transaction after an error, so that the next one can begin.
    fn fail(&self, error: &KafkaError) -> Failure {
        if is_fatal(error) {
            return Failure::Fatal(error.to_string());
        }
        let aborted = self.abort();
        let rejected = self.rejected();
        match aborted {
            Ok(()) if !rejected.is_empty() => Failure::Rejected(rejected),
            Ok(()) => Failure::Aborted(error.to_string()),
            Err(failure) => failure,
        }
    }

    /// librdkafka's abort waits until every delivery report was taken, which only a poll of ours does:
    /// what was not sent is purged, and what is on its way is awaited, before it is called.
    fn abort(&self) -> Result<(), Failure> {
        self.producer.purge(PurgeConfig::default().queue());
        let until = Instant::now() + CALL_TIMEOUT;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() > until {
                self.producer.purge(PurgeConfig::default().inflight());
            }
            self.producer.poll(Duration::ZERO);
            #[allow(clippy::disallowed_methods, reason = "a thread of its own; see the module")]
            std::thread::sleep(REPORT_POLL);
        }
        loop {
            match self.producer.abort_transaction(CALL_TIMEOUT) {
                Ok(()) => return Ok(()),
                Err(error) if is_retriable(&error) && !self.stop.is_cancelled() => {
                    tracing::warn!("abort: retrying: {error}");
                    self.producer.poll(Duration::ZERO);
                }
                Err(error) => return Err(Failure::Fatal(error.to_string())),
            }
        }
    }

    fn rejected(&self) -> Vec<Rejected> {
        std::mem::take(&mut *lock(&self.producer.context().0))
    }

    /// Records for topics that do not exist. Without this look, librdkafka would hold them for
    /// half a minute and the worker with them.
    fn missing_topics(&mut self, records: &[OutgoingRecord]) -> Vec<Rejected> {
        let Self { topics, producer, dead_letters, .. } = self;
        topics.missing(records, dead_letters, |topic| exists(producer, topic))
    }
}

/// Whether a topic exists; true when Kafka does not answer, which the transaction finds out.
fn exists(producer: &BaseProducer<CommitterContext>, topic: &str) -> bool {
    let metadata = producer.client().fetch_metadata(Some(topic), METADATA_TIMEOUT);
    let Ok(metadata) = metadata else { return true };
    partitions_of(&metadata, topic).is_ok()
}
