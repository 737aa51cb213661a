//! Kafka as delivery sees it: the outbox's reader, the ledger and the dead letters as one.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::ports::{Again, Event, OutboxRecord, PortError, Ports, ReadAgain, Release, TakenOver};
use crate::causes::with_causes;
use crate::config::KafkaConfig;
use crate::kafka::ClientState;
use crate::kafka::reader::{Found, NO_HOST, Place, ReadError, Reader as TopicReader};
use crate::ledger::kafka::{LedgerIoError, Writer, restore};
use crate::outbox::kafka::{Position, Reader, ReaderError};
use crate::record::OutgoingRecord;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::InternalTopics;

/// For reading a part of the outbox again: little is fetched that is not looked at.
const AGAIN: [(&str, &str); 3] = [
    ("fetch.wait.max.ms", "50"),
    ("fetch.max.bytes", "1048576"),
    ("queued.max.messages.kbytes", "2048"),
];

/// Why Kafka cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KafkaPortsError {
    /// The outbox.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerIoError),
}

/// A group member of `GROUP.delivery`.
pub struct KafkaPorts {
    kafka: Arc<KafkaConfig>,
    outbox: Arc<str>,
    ledger: Arc<str>,
    state: Arc<ClientState>,
    reader: Arc<Reader>,
    writer: Writer,
}

impl KafkaPorts {
    /// Joins the group and starts to read.
    ///
    /// # Errors
    /// When librdkafka refuses the properties.
    pub fn start(
        kafka: &Arc<KafkaConfig>,
        events: mpsc::Sender<Event>,
        metrics: Metrics,
        readiness: Readiness,
    ) -> Result<Self, KafkaPortsError> {
        let topics = InternalTopics::of(&kafka.group_id);
        let state = Arc::new(ClientState::new("delivery-kafka", kafka, metrics, readiness));
        let writer = Writer::new(kafka, Arc::clone(&state))?;
        let outbox = Arc::clone(&topics.outbox);
        let reader = Reader::start(kafka, topics.outbox, Arc::clone(&state), events)?;
        Ok(Self {
            kafka: Arc::clone(kafka),
            outbox,
            ledger: topics.ledger,
            state,
            reader: Arc::new(reader),
            writer,
        })
    }

    /// Leaves the group.
    pub async fn close(&self) {
        let reader = Arc::clone(&self.reader);
        run_blocking(move || reader.close()).await.unwrap_or_default();
    }
}

/// Runs what blocks on a thread of its own, which no shutdown of the runtime waits for.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PortError> {
    let (done, result) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("delivery-kafka".into());
    thread
        .spawn(move || {
            // Nobody waits any more when the partition was given up.
            let _awaited = done.send(work()).is_ok();
        })
        .map_err(|error| PortError::from(format!("cannot start a thread: {error}")))?;
    result.await.map_err(|_| PortError::from("a thread of delivery panicked".to_owned()))
}

impl Ports for KafkaPorts {
    async fn write(&self, record: OutgoingRecord) -> Result<(), PortError> {
        self.writer
            .write(&record)
            .await
            .map_err(|error| PortError { text: with_causes(&error), is_final: error.is_final() })
    }

    async fn take_over(&self, partition: i32) -> Result<TakenOver, PortError> {
        let (kafka, topic) = (Arc::clone(&self.kafka), Arc::clone(&self.ledger));
        let (state, reader) = (Arc::clone(&self.state), Arc::clone(&self.reader));
        run_blocking(move || take_over(&kafka, &topic, state, &reader, partition)).await?
    }

    async fn read_again(
        &self,
        again: Again,
        wanted: impl Fn(&OutboxRecord) -> bool + Send + 'static,
    ) -> Result<ReadAgain, PortError> {
        let (kafka, topic) = (Arc::clone(&self.kafka), Arc::clone(&self.outbox));
        let state = Arc::clone(&self.state);
        run_blocking(move || read_again(&kafka, &topic, &state, again, wanted)).await?
    }

    fn commit(&self, partition: i32, next: i64) {
        self.reader.commit(partition, next);
    }

    async fn release(&self, released: Vec<Release>) {
        let reader = Arc::clone(&self.reader);
        run_blocking(move || reader.release(&released)).await.unwrap_or_default();
    }

    fn hold(&self, held: bool) {
        self.reader.hold(held);
    }
}

/// Why reading again ended.
enum Ended {
    /// There is no room for more.
    Full,
    Failed(ReadError),
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

fn read_again(
    kafka: &KafkaConfig,
    topic: &Arc<str>,
    state: &Arc<ClientState>,
    again: Again,
    wanted: impl Fn(&OutboxRecord) -> bool,
) -> Result<ReadAgain, PortError> {
    let Again { partition, from: begin, to: end, most } = again;
    let mut read = ReadAgain::of(&again);
    let place = Place { topic: Arc::clone(topic), partition, begin, end };
    let mut take = |found: Found<'_>| -> Result<(), Ended> {
        let Found { partition, offset, timestamp_ms, key, value, .. } = found;
        if offset < read.next || offset >= end {
            return Ok(());
        }
        let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
        let record = OutboxRecord { partition, offset, timestamp_ms, key, value };
        let is_wanted = wanted(&record);
        if read.look_at(record, is_wanted, most) { Ok(()) } else { Err(Ended::Full) }
    };
    let failed = |error: ReadError| PortError::from(with_causes(&error));
    let reader = TopicReader::open(kafka, ("outbox-again", NO_HOST), state, &AGAIN);
    let reader = reader.map_err(failed)?;
    let kept = reader.places(topic, &[partition]).map_err(failed)?;
    let kept_from = kept.first().map_or(begin, |place| place.begin);
    match reader.read_to_end(&[place], &mut |_| true, &mut take) {
        Err(Ended::Failed(error)) => return Err(failed(error)),
        Ok(_) if read.next < end && kept_from < end => {
            let why =
                format!("entries up to offset {end} were there, and none came after {}", read.next);
            return Err(PortError::from(why));
        }
        Ok(_) => read.next = end,
        Err(Ended::Full) => {}
    }
    Ok(ReadAgain { kept_from, ..read })
}

fn take_over(
    kafka: &KafkaConfig,
    topic: &Arc<str>,
    state: Arc<ClientState>,
    reader: &Reader,
    partition: i32,
) -> Result<TakenOver, PortError> {
    let failed = |error: &dyn std::error::Error| PortError::from(with_causes(error));
    let position = reader.position(partition).map_err(|error| failed(&error))?;
    let ledger = restore(kafka, topic, Some(partition), &state);
    let mut ledger = ledger.map_err(|error| failed(&error))?;
    if ledger.outbox_ends_at(position.end) {
        tracing::warn!(partition, "the outbox was made anew; the ledger keeps its alerts");
    }
    reader.open(partition, position.start).map_err(|error| failed(&error))?;
    let Position { start, end, known } = position;
    Ok(TakenOver::new(known, start, end, ledger))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::{Config, Environment};
    use crate::delivery::run;
    use crate::delivery::suppression::Suppression;
    use crate::delivery::tests::world::{entry, fire};
    use crate::demo::slack::{Fault, Options, SlackStandIn};
    use crate::kafka::reader::{Found, NO_HOST, ReadError, Reader};
    use crate::ledger::{Entry as Note, State};
    use crate::notification::Kind;
    use crate::outbox::{Entry, partition_of};

    const PARTITIONS: i32 = 2;
    const DEADLINE: Duration = Duration::from_secs(60);

    /// A Kafka in this process, and a Slack stand-in.
    struct Site {
        cluster: MockCluster<'static, DefaultProducerContext>,
        slack: SlackStandIn,
        config: Arc<Config>,
    }

    impl Site {
        async fn new() -> Self {
            let cluster = MockCluster::new(1).unwrap();
            for topic in ["g.outbox", "g.ledger", "g.dead-letters", "g.history"] {
                cluster.create_topic(topic, PARTITIONS, 1).unwrap();
            }
            let slack = SlackStandIn::start(Options::default()).await.unwrap();
            // The mock answers a fetch only when its wait runs out.
            let text = format!(
                "[kafka]\nbootstrap_servers = \"{}\"\ngroup_id = \"g\"\n[kafka.properties]\n\
                 \"fetch.wait.max.ms\" = \"5\"\n\"session.timeout.ms\" = \"5000\"\n\
                 \"heartbeat.interval.ms\" = \"500\"\n[slack]\ntoken_env = \"TOKEN\"\n\
                 api_url = \"{}\"\ndefault_channel = \"general\"\nmessages_per_second = 1000.0\n\
                 burst = 1000\nrequest_timeout_ms = 1000\n",
                cluster.bootstrap_servers(),
                slack.api_url(),
            );
            let environment = Environment::of("here", 1, [("TOKEN", &*Options::default().token)]);
            let config = Config::parse(Path::new("firebell.toml"), &text, &environment).unwrap();
            Self { cluster, slack, config: Arc::new(config) }
        }

        fn start(&self) -> (CancellationToken, tokio::task::JoinHandle<()>) {
            let shutdown = CancellationToken::new();
            let (config, stop) = (Arc::clone(&self.config), shutdown.clone());
            let host = async move {
                let nothing = Suppression::default();
                run((config, PARTITIONS), nothing, Metrics::new(), Readiness::default(), stop)
                    .await
                    .unwrap();
            };
            (shutdown, tokio::spawn(host))
        }

        /// Writes entries to the outbox in one transaction, as a worker does.
        fn append(&self, entries: &[Entry]) {
            let producer: BaseProducer = ClientConfig::new()
                .set("bootstrap.servers", self.cluster.bootstrap_servers())
                .set("transactional.id", "worker")
                .create()
                .unwrap();
            producer.init_transactions(DEADLINE).unwrap();
            producer.begin_transaction().unwrap();
            for entry in entries {
                let (key, value) = (entry.key(), entry.to_bytes());
                let partition = partition_of(&entry.channel, PARTITIONS);
                let record = BaseRecord::to("g.outbox").partition(partition).key(&key);
                producer.send(record.payload(&value)).map_err(|(error, _)| error).unwrap();
            }
            producer.commit_transaction(DEADLINE).unwrap();
        }

        /// All values of a topic.
        fn values(&self, topic: &str) -> Vec<Vec<u8>> {
            let kafka = &self.config.kafka;
            let client = ClientState::of_command(kafka);
            let reader = Reader::open(kafka, ("look", NO_HOST), &client, &[]).unwrap();
            let (places, mut values) = (reader.whole(&topic.into()).unwrap(), Vec::new());
            let mut take = |found: Found<'_>| -> Result<(), ReadError> {
                values.extend(found.value.map(<[u8]>::to_vec));
                Ok(())
            };
            reader.read_to_end(&places, &mut |_| true, &mut take).unwrap();
            values
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn entries_of_a_kafka_topic_reach_slack_once_over_restarts() {
        let site = Site::new().await;
        let (shutdown, host) = site.start();
        site.append(&[fire(1, "general"), entry(2, "general", Kind::Fire, Some("k"))]);
        assert!(site.slack.wait_for(2, DEADLINE).await);
        shutdown.cancel();
        host.await.unwrap();
        let histories = |site: &Site| {
            site.slack.requests().iter().filter(|r| r.method == "conversations.history").count()
        };
        let at_start = histories(&site);
        // Another life: the offset is committed and clean, the ledger knows both.
        let (shutdown, host) = site.start();
        site.append(&[
            entry(3, "general", Kind::Fire, Some("k")),
            entry(4, "general", Kind::Resolve, Some("k")),
            fire(5, "general"),
        ]);
        assert!(site.slack.wait_for(3, DEADLINE).await);
        // Only the look at the start, whether it may be read.
        assert_eq!(histories(&site), 2 * at_start);
        let texts: Vec<_> = site.slack.messages().into_iter().map(|message| message.text).collect();
        assert_eq!(texts, ["🟡 message 1", "✅ message 4", "🟡 message 5"]);
        // Killed: the tasks end where they are.
        host.abort();
        assert!(host.await.unwrap_err().is_cancelled());
        drop(shutdown);
        site.slack.fail_next("chat.postMessage", Fault::StatusAfterAccept(500));
        let (shutdown, host) = site.start();
        site.append(&[fire(6, "general"), fire(7, "nowhere")]);
        assert!(site.slack.wait_for(4, DEADLINE).await);
        shutdown.cancel();
        host.await.unwrap();
        let texts: Vec<_> = site.slack.messages().into_iter().map(|message| message.text).collect();
        assert_eq!(texts, ["🟡 message 1", "✅ message 4", "🟡 message 5", "🟡 message 6"]);
        let notes: Vec<Note> =
            site.values("g.ledger").iter().map(|value| Note::from_bytes(value).unwrap()).collect();
        let resolved = notes.iter().filter(|note| note.state == State::Resolved).count();
        assert_eq!(resolved, 1, "{notes:?}");
        assert_eq!(site.values("g.dead-letters"), [fire(7, "nowhere").to_bytes()]);
    }
}
