//! The embedded broker: librdkafka's mock cluster, and the producer that feeds it.
//!
//! It lives in this process and forgets all at its end. It does not know CreateTopics, keeps about
//! 5 MB of each partition, and answers a fetch only when its wait has run out, so that consumers need
//! a short one (see [`properties`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::board::Board;
use super::stream::{Fed, Stream};

/// The wait between two looks at the clock: records of a slow stream come one by one.
const STEP: Duration = Duration::from_millis(5);
/// How long the end waits for what was written and not yet acknowledged.
const FLUSH: Duration = Duration::from_millis(500);
/// How long the first member of a consumer group waits for others, milliseconds; by default the
/// mock cluster takes three seconds.
const FIRST_JOIN_WAIT_MS: i32 = 10;

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// librdkafka did not make the cluster.
    #[error("the embedded broker does not start")]
    Start(#[source] KafkaError),
    /// The cluster did not make a topic.
    #[error("the embedded broker does not make topic `{topic}`")]
    Topic {
        /// The topic.
        topic: String,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// No thread for the stream.
    #[error("cannot start the thread that feeds the broker")]
    Thread(#[source] std::io::Error),
}

/// What every client of the embedded broker needs beside its address.
pub(super) fn properties() -> [(&'static str, &'static str); 3] {
    [
        // The mock cluster answers a fetch when this has run out, and not before.
        ("fetch.wait.max.ms", "2"),
        // After a change of topics it holds the group up for this time less a second.
        ("session.timeout.ms", "3000"),
        ("heartbeat.interval.ms", "500"),
    ]
}

/// A running broker; it ends when it and its feeder are dropped.
pub(super) struct Broker {
    producer: Arc<BaseProducer>,
    bootstrap_servers: String,
}

impl Broker {
    /// Starts on a free port of 127.0.0.1, with these topics and numbers of partitions.
    pub(super) fn start(topics: &[(&str, i32)]) -> Result<Self, BrokerError> {
        let producer: BaseProducer = ClientConfig::new()
            .set("client.id", "firebell-demo-stream")
            .set("test.mock.num.brokers", "1")
            .set("linger.ms", "2")
            // As Java's producer does it.
            .set("partitioner", "murmur2_random")
            .set_log_level(RDKafkaLogLevel::Error)
            .create()
            .map_err(BrokerError::Start)?;
        let no_cluster = || BrokerError::Start(KafkaError::MockCluster(RDKafkaErrorCode::Fail));
        let cluster = producer.client().mock_cluster().ok_or_else(no_cluster)?;
        for (topic, partitions) in topics {
            cluster
                .create_topic(topic, *partitions, 1)
                .map_err(|source| BrokerError::Topic { topic: (*topic).to_owned(), source })?;
        }
        let bootstrap_servers = cluster.bootstrap_servers();
        drop(cluster);
        shorten_first_join(&producer);
        Ok(Self { producer: Arc::new(producer), bootstrap_servers })
    }

    /// `bootstrap.servers`.
    pub(super) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Writes a stream in real time until it is stopped.
    pub(super) fn feed(&self, stream: Stream, board: Arc<Board>) -> Result<Feeder, BrokerError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (producer, stopped) = (Arc::clone(&self.producer), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("demo-stream".into())
            .spawn(move || feed(&producer, stream, &board, &stopped))
            .map_err(BrokerError::Thread)?;
        Ok(Feeder { stop, thread: Some(thread) })
    }
}

/// rdkafka's `MockCluster` does not have this one.
#[expect(unsafe_code, reason = "a call into librdkafka that rdkafka does not wrap")]
fn shorten_first_join(producer: &BaseProducer) {
    let client = producer.client().native_ptr();
    // SAFETY: the client is alive for as long as `producer` is borrowed, and it owns the cluster, which
    // `Broker::start` found to be there; both functions may be called from any thread.
    unsafe {
        let cluster = rdkafka_sys::rd_kafka_handle_mock_cluster(client);
        rdkafka_sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, FIRST_JOIN_WAIT_MS);
    }
}

/// The thread that writes the stream; dropping it ends it.
pub(super) struct Feeder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the demo's stream panicked");
        }
    }
}

fn feed(producer: &BaseProducer, mut stream: Stream, board: &Board, stop: &AtomicBool) {
    let mut last = Instant::now();
    let mut fed = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        // Serves delivery reports, and waits.
        producer.poll(STEP);
        let now = Instant::now();
        stream.advance(now - last, now_ms(), &mut fed);
        last = now;
        for record in &fed {
            send(producer, record, stop);
        }
        board.fed(&mut fed);
        fed.clear();
    }
    if let Err(error) = producer.flush(FLUSH) {
        tracing::debug!("the demo's stream: {error}");
    }
}

fn send(producer: &BaseProducer, record: &Fed, stop: &AtomicBool) {
    let mut to_send: BaseRecord<'_, str, str> = BaseRecord::to(record.topic).payload(&record.value);
    if let Some(key) = &record.key {
        to_send = to_send.key(key);
    }
    loop {
        match producer.send(to_send) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again))
                if !stop.load(Ordering::Relaxed) =>
            {
                producer.poll(STEP);
                to_send = again;
            }
            Err((error, _)) => {
                tracing::warn!(topic = record.topic, "the demo's stream: {error}");
                return;
            }
        }
    }
}

/// Milliseconds since the Unix epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
