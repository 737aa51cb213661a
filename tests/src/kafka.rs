//! A real Kafka: which one, its topics, writing and reading records.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use xtask::kafka::{Broker, NEWEST, OLDER, Options};

use crate::DEADLINE;

/// Names the running Kafka of the newest version; without it a test program starts one of its own.
pub const NEWEST_ENV: &str = "FIREBELL_TEST_KAFKA";
/// Names the running Kafka of the older version; without it a test program starts one of its own.
pub const OLDER_ENV: &str = "FIREBELL_TEST_KAFKA_39";

/// A Kafka by its address.
#[derive(Debug, Clone)]
pub struct Kafka {
    bootstrap: String,
}

/// A record to be written.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    /// `None` = by key.
    pub partition: Option<i32>,
    /// Milliseconds since the Unix epoch; `None` = now.
    pub timestamp_ms: Option<i64>,
    /// `None` = null.
    pub key: Option<Vec<u8>>,
    /// `None` = null.
    pub value: Option<Vec<u8>>,
    /// In order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Outgoing {
    /// A record of a value alone.
    pub fn value(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// The same with a key.
    #[must_use]
    pub fn key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// The same for one partition.
    #[must_use]
    pub fn partition(self, partition: i32) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// The same with a time.
    #[must_use]
    pub fn timestamp_ms(self, timestamp_ms: i64) -> Self {
        Self { timestamp_ms: Some(timestamp_ms), ..self }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Where it was.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since the Unix epoch; -1 = none.
    pub timestamp_ms: i64,
    /// `None` = null.
    pub key: Option<Vec<u8>>,
    /// `None` = null.
    pub value: Option<Vec<u8>>,
    /// By name, as text.
    pub headers: BTreeMap<String, String>,
}

impl Incoming {
    /// The value as text, empty when it is null.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }

    /// The header's text.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {:?}", self.headers))
    }
}

impl Kafka {
    /// The newest version: what everything is tested on.
    pub fn newest() -> &'static Self {
        static KAFKA: OnceLock<Kafka> = OnceLock::new();
        KAFKA.get_or_init(|| Self::shared(NEWEST_ENV, NEWEST))
    }

    /// The older version: the main tests run on it too.
    pub fn older() -> &'static Self {
        static KAFKA: OnceLock<Kafka> = OnceLock::new();
        KAFKA.get_or_init(|| Self::shared(OLDER_ENV, OLDER))
    }

    fn shared(variable: &str, version: &str) -> Self {
        if let Ok(bootstrap) = std::env::var(variable) {
            return Self { bootstrap };
        }
        let broker = Broker::start(version, &Options::default()).unwrap();
        let kafka = Self::of(&broker);
        // The broker goes with this process: its reaper sees to it.
        std::mem::forget(broker);
        kafka
    }

    /// A broker that a test stops and kills at will.
    pub fn of(broker: &Broker) -> Self {
        Self { bootstrap: broker.bootstrap() }
    }

    /// `HOST:PORT`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A client of this Kafka, configured with more properties.
    pub fn client<C: FromClientConfig>(&self, properties: &[(&str, &str)]) -> C {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("log_level", "3");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        config.create().unwrap()
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client(&[])
    }

    /// Makes a topic and waits until it can be written to.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        for result in block_on(self.admin().create_topics(&[topic], &options)).unwrap() {
            result.unwrap_or_else(|(topic, code)| panic!("can't create {topic}: {code}"));
        }
        crate::eventually(&format!("a leader of every partition of {name}"), || {
            self.partitions(name).filter(|found| *found == partitions)
        });
    }

    /// Deletes a topic.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn delete_topic(&self, name: &str) {
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        for result in block_on(self.admin().delete_topics(&[name], &options)).unwrap() {
            result.unwrap_or_else(|(topic, code)| panic!("can't delete {topic}: {code}"));
        }
    }

    /// How many partitions a topic has, each with a leader; `None` when there is no such topic.
    pub fn partitions(&self, topic: &str) -> Option<i32> {
        let admin = self.admin();
        let metadata = admin.inner().fetch_metadata(Some(topic), DEADLINE).ok()?;
        let topic = metadata.topics().first().filter(|topic| topic.error().is_none())?;
        let partitions = topic.partitions();
        let led =
            !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0);
        led.then(|| i32::try_from(partitions.len()).unwrap())
    }

    /// Writes records and waits until all are kept.
    ///
    /// # Panics
    /// When the broker refuses one.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = Outgoing>) {
        let producer: BaseProducer = self.client(&[
            ("linger.ms", "1"),
            ("partitioner", "murmur2_random"),
            ("message.max.bytes", "16000000"),
            ("enable.idempotence", "true"),
        ]);
        for record in records {
            send(&producer, topic, &record);
        }
        producer.flush(DEADLINE).unwrap();
    }

    /// All records of a topic that a read_committed reader sees now, by partition and offset.
    ///
    /// # Panics
    /// When there is no such topic.
    pub fn read(&self, topic: &str) -> Vec<Incoming> {
        let consumer: BaseConsumer = self.client(&[
            ("group.id", "firebell-tests"),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("fetch.wait.max.ms", "10"),
            ("message.max.bytes", "16000000"),
        ]);
        let partitions = self.partitions(topic).unwrap_or_else(|| panic!("no topic {topic}"));
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut found, mut ends) = (vec![], 0);
        let begin = Instant::now();
        while ends < partitions {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => found.push(incoming(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
                Some(Err(error)) if !is_passing(&error) => panic!("can't read {topic}: {error}"),
                _ => assert!(begin.elapsed() < DEADLINE, "can't read {topic} to its end"),
            }
        }
        found.sort_by_key(|record| (record.partition, record.offset));
        found
    }

    /// The offsets that a group committed for a topic, by partition; -1 = none.
    ///
    /// # Panics
    /// When the broker does not say.
    pub fn committed(&self, group: &str, topic: &str) -> Vec<i64> {
        let consumer: BaseConsumer = self.client(&[("group.id", group)]);
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, self.partitions(topic).unwrap() - 1);
        let committed = consumer.committed_offsets(list, DEADLINE).unwrap();
        let offsets = committed.elements();
        offsets
            .iter()
            .map(|element| match element.offset() {
                Offset::Offset(offset) => offset,
                _ => -1,
            })
            .collect()
    }

    /// One past the last offset of each partition of a topic.
    ///
    /// # Panics
    /// When there is no such topic.
    pub fn ends(&self, topic: &str) -> Vec<i64> {
        let consumer: BaseConsumer = self.client(&[("group.id", "firebell-tests")]);
        let partitions = self.partitions(topic).unwrap_or_else(|| panic!("no topic {topic}"));
        let end = |partition| consumer.fetch_watermarks(topic, partition, DEADLINE).unwrap().1;
        (0..partitions).map(end).collect()
    }
}

/// Hands a record to a producer, waiting while its queue is full.
///
/// # Panics
/// When the producer refuses it.
pub fn send(producer: &BaseProducer, topic: &str, record: &Outgoing) {
    let mut headers = OwnedHeaders::new();
    for (name, value) in &record.headers {
        headers = headers.insert(Header { key: name, value: Some(value) });
    }
    let mut outgoing: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).headers(headers);
    outgoing.key = record.key.as_deref();
    outgoing.payload = record.value.as_deref();
    outgoing.partition = record.partition;
    outgoing.timestamp = record.timestamp_ms;
    loop {
        match producer.send(outgoing) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                producer.poll(Duration::from_millis(10));
                outgoing = back;
            }
            Err((error, _)) => panic!("can't write to {topic}: {error}"),
        }
    }
    producer.poll(Duration::ZERO);
}

fn incoming(message: &impl Message) -> Incoming {
    let mut headers = BTreeMap::new();
    if let Some(found) = message.headers() {
        for header in found.iter() {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned();
            headers.insert(header.key.to_owned(), value);
        }
    }
    Incoming {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

/// Errors that librdkafka reports and mends by itself.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
        )
    )
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
