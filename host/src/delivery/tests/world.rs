//! A Kafka in memory that outlives its hosts, hosts that can be killed, and a Slack stand-in.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use super::entries::{entry, fire};
use crate::dead_letter::Origin;
use crate::delivery::blocks::Manners;
use crate::delivery::breaker::Breakers;
use crate::delivery::budget::Budget;
use crate::delivery::common::{Common, now_ms};
use crate::delivery::credentials;
use crate::delivery::directory::Directory;
use crate::delivery::dispatch::{Dispatch, Ended};
use crate::delivery::gate::Gate;
use crate::delivery::journal::{Journal, write_out};
use crate::delivery::pace::Paces;
use crate::delivery::ports::{
    Again, Event, Known, OutboxRecord, PortError, Ports, ReadAgain, Release, TakenOver,
};
use crate::delivery::slack::Slack;
use crate::demo::slack::{Message, Options, SlackStandIn};
use crate::history::Event as Happened;
use crate::ledger::{Entry as Note, Ledger};
use crate::outbox::{Entry, partition_of};
use crate::record::OutgoingRecord;
use crate::secret::Secret;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::InternalTopics;

mod setup;

pub(super) use setup::{Setup, small_room};

/// Longer than anything here takes; a test that waits so long has failed.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// What lasts: topics and committed offsets.
#[derive(Debug, Default)]
pub(super) struct Broker {
    pub(super) outbox: BTreeMap<i32, Vec<OutboxRecord>>,
    /// Offset, and whether it is clean.
    pub(super) committed: BTreeMap<i32, (i64, bool)>,
    pub(super) ledger: Vec<(i32, Vec<u8>, Option<Vec<u8>>)>,
    pub(super) dead_letters: Vec<OutgoingRecord>,
    pub(super) history: Vec<Happened>,
    /// What was written to topics of others.
    pub(super) told: Vec<OutgoingRecord>,
    /// Every offset that was committed, in order.
    pub(super) commits: Vec<(i32, i64)>,
    pub(super) held: Vec<bool>,
    pub(super) released: Vec<Release>,
    /// Fails so many writes.
    pub(super) refuse_writes: usize,
    /// How often a part of the outbox was read again.
    pub(super) read_again: usize,
    /// The first write of which this is true is the last that is taken.
    pub(super) last_write: Option<fn(&OutgoingRecord) -> bool>,
}

/// The Kafka of a test.
#[derive(Clone, Default)]
pub(super) struct Kafka {
    broker: Arc<Mutex<Broker>>,
    /// Something was appended, committed or released.
    changed: Arc<Notify>,
}

impl Kafka {
    pub(super) fn broker(&self) -> MutexGuard<'_, Broker> {
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an entry to the partition of its channel, and returns partition and offset.
    pub(super) fn append(&self, entry: &Entry) -> (i32, i64) {
        let partition = partition_of(&entry.channel, PARTITIONS);
        self.append_bytes(partition, entry.key(), entry.to_bytes())
    }

    pub(super) fn append_bytes(&self, partition: i32, key: Vec<u8>, value: Vec<u8>) -> (i32, i64) {
        let mut broker = self.broker();
        let records = broker.outbox.entry(partition).or_default();
        // As transactions leave them: not every offset is a record.
        let offset = records.last().map_or(0, |last| last.offset + 2);
        let (key, value) = (Some(key), Some(value));
        records.push(OutboxRecord { partition, offset, timestamp_ms: now_ms(), key, value });
        drop(broker);
        self.changed.notify_waiters();
        (partition, offset)
    }

    /// The end of a partition.
    fn end(broker: &Broker, partition: i32) -> i64 {
        let records = broker.outbox.get(&partition);
        records.and_then(|records| records.last()).map_or(0, |last| last.offset + 1)
    }

    /// Whether every entry is committed.
    pub(super) fn is_worked_off(&self) -> bool {
        let broker = self.broker();
        broker.outbox.keys().all(|partition| {
            let committed = broker.committed.get(partition).map_or(0, |(offset, _)| *offset);
            committed >= Self::end(&broker, *partition)
        })
    }

    /// What the ledger says now, over all partitions.
    pub(super) fn ledger(&self) -> Vec<Note> {
        let mut last: HashMap<Vec<u8>, Option<Vec<u8>>> = HashMap::new();
        for (_, key, value) in &self.broker().ledger {
            last.insert(key.clone(), value.clone());
        }
        last.into_values().flatten().map(|value| Note::from_bytes(&value).unwrap()).collect()
    }

    /// Waits until something holds.
    pub(super) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if holds(self) {
                    return;
                }
                // Slack's side changes without a notice.
                let _changed = tokio::time::timeout(Duration::from_millis(5), changed).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("it did not happen in time");
    }
}

pub(super) const PARTITIONS: i32 = 3;

/// One host's connection to it; dead after a kill.
pub(super) struct MemoryPorts {
    kafka: Kafka,
    alive: Arc<AtomicBool>,
}

impl Ports for MemoryPorts {
    async fn write(&self, record: OutgoingRecord) -> Result<(), PortError> {
        // Half way between asking and the answer the record is there: a kill may fall on either side.
        tokio::time::sleep(Duration::from_micros(300)).await;
        {
            let mut broker = self.kafka.broker();
            if broker.refuse_writes > 0 {
                broker.refuse_writes -= 1;
                return Err("no broker".to_owned().into());
            }
            if broker.last_write.take_if(|is_last| is_last(&record)).is_some() {
                broker.refuse_writes = usize::MAX;
            }
            if record.topic.ends_with(".ledger") {
                let key = record.key.clone().unwrap();
                broker.ledger.push((record.partition.unwrap(), key, record.value));
            } else if &*record.topic == "test.history" {
                broker.history.push(Happened::from_bytes(&record.value.unwrap()).unwrap());
            } else if &*record.topic == "test.dead-letters" {
                broker.dead_letters.push(record);
            } else {
                broker.told.push(record);
            }
        }
        self.kafka.changed.notify_waiters();
        tokio::time::sleep(Duration::from_micros(300)).await;
        Ok(())
    }

    async fn take_over(&self, partition: i32) -> Result<TakenOver, PortError> {
        let mut broker = self.kafka.broker();
        let (start, known) = match broker.committed.get(&partition) {
            None => (0, Known::Nothing),
            Some((offset, true)) => (*offset, Known::Clean),
            Some((offset, false)) => (*offset, Known::Open),
        };
        let mut ledger = Ledger::default();
        for (of, key, value) in &broker.ledger {
            if *of == partition {
                ledger.restore(key, value.as_deref()).unwrap();
            }
        }
        let end = Kafka::end(&broker, partition);
        broker.committed.insert(partition, (start, false));
        Ok(TakenOver::new(known, start, end, ledger))
    }

    async fn read_again(
        &self,
        again: Again,
        wanted: impl Fn(&OutboxRecord) -> bool + Send + 'static,
    ) -> Result<ReadAgain, PortError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut broker = self.kafka.broker();
        broker.read_again += 1;
        let records = broker.outbox.get(&again.partition).cloned().unwrap_or_default();
        let mut read = ReadAgain::of(&again);
        for record in records.into_iter().filter(|one| (again.from..again.to).contains(&one.offset))
        {
            let is_wanted = wanted(&record);
            if !read.look_at(record, is_wanted, again.most) {
                return Ok(read);
            }
        }
        Ok(ReadAgain { next: again.to, ..read })
    }

    fn commit(&self, partition: i32, next: i64) {
        if self.alive.load(Ordering::Acquire) {
            let mut broker = self.kafka.broker();
            broker.committed.insert(partition, (next, false));
            broker.commits.push((partition, next));
            drop(broker);
            self.kafka.changed.notify_waiters();
        }
    }

    async fn release(&self, released: Vec<Release>) {
        let mut broker = self.kafka.broker();
        for release in released {
            if let Some(next) = release.next {
                broker.committed.insert(release.partition, (next, release.clean));
            }
            broker.released.push(release);
        }
        drop(broker);
        self.kafka.changed.notify_waiters();
    }

    fn hold(&self, held: bool) {
        self.kafka.broker().held.push(held);
    }
}

/// A running delivery.
pub(super) struct Host {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) readiness: Readiness,
    pub(super) metrics: Metrics,
    shutdown: CancellationToken,
    alive: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
    dispatch: JoinHandle<Ended>,
}

impl Host {
    /// Starts one that has every partition.
    pub(super) fn start(kafka: &Kafka, stand_in: &SlackStandIn, setup: &Setup) -> Self {
        let host = Self::idle(kafka, stand_in, setup);
        host.tell(Event::Assigned((0..PARTITIONS).collect()));
        host
    }

    /// Starts one without partitions.
    pub(super) fn idle(kafka: &Kafka, stand_in: &SlackStandIn, setup: &Setup) -> Self {
        let (metrics, readiness) = (Metrics::new(), Readiness::default());
        let timeout = setup.request_timeout;
        let slack = if setup.webhook {
            let own = stand_in.webhook_url();
            let url = if setup.token.contains("://") { setup.token.clone() } else { own };
            Slack::webhook(Secret::new(url), timeout)
        } else {
            Slack::bot(&stand_in.api_url(), Secret::new(&*setup.token), timeout)
        };
        let slack = Arc::new(slack.unwrap());
        let gate = Arc::new(Gate::new(metrics.clone(), readiness.clone()));
        let alive = Arc::new(AtomicBool::new(true));
        let (journal, noted) = Journal::new(metrics.clone());
        let common = Arc::new(Common {
            ports: MemoryPorts { kafka: kafka.clone(), alive: Arc::clone(&alive) },
            slack: Arc::clone(&slack),
            sinks: Arc::clone(&setup.sinks),
            gate: Arc::clone(&gate),
            directory: Directory::new(&BTreeMap::new()),
            manners: Manners::default(),
            on_ambiguous: setup.on_ambiguous,
            journal,
            canary: setup.canary.clone(),
            suppression: setup.suppression.clone(),
            paces: Paces::new(setup.messages_per_second, setup.burst),
            budget: Budget::new(setup.workspace_messages_per_second, setup.burst),
            edits: Budget::new(setup.changes.0, setup.changes.1),
            digest_after: setup.digest_after,
            breakers: Breakers::new(setup.patience.breaker_least, setup.patience.breaker_most),
            fallback: setup.fallback.clone(),
            broadcast_worsening: setup.broadcast_worsening,
            patience: setup.patience.clone(),
            topics: InternalTopics::of("test"),
            origin: Origin { group_id: "test".into(), worker: 0 },
            metrics: metrics.clone(),
            room: setup.room,
            outbox_partitions: usize::try_from(PARTITIONS).unwrap(),
        });
        let (events, inbox) = mpsc::channel(1_024);
        let shutdown = CancellationToken::new();
        let retention_ms = i64::try_from(setup.retention.as_millis()).unwrap();
        let history = write_out(Arc::clone(&common), noted, CancellationToken::new());
        let dispatch = Dispatch::new(common, readiness.clone(), retention_ms);
        let dispatch = tokio::spawn(dispatch.run(inbox, shutdown.clone()));
        let recovery =
            credentials::recover(gate, slack, setup.token_file.clone(), setup.patience.clone());
        let tasks = vec![
            tokio::spawn(recovery),
            tokio::spawn(history),
            tokio::spawn(feed(kafka.clone(), events.clone(), Arc::clone(&alive))),
        ];
        Self { events, readiness, metrics, shutdown, alive, tasks, dispatch }
    }

    pub(super) fn tell(&self, event: Event) {
        self.events.try_send(event).unwrap();
    }

    /// As `kill -9`: everything ends where it is, and nothing more is said.
    pub(super) async fn kill(self) {
        self.alive.store(false, Ordering::Release);
        self.tasks.iter().for_each(JoinHandle::abort);
        self.dispatch.abort();
        // An aborted task is gone when it is next scheduled: until then it could still write.
        let _aborted = self.dispatch.await.is_err();
        for task in self.tasks {
            let _aborted = task.await.is_err();
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// As SIGTERM; waits for the end.
    pub(super) async fn stop(self) -> Ended {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(DEADLINE, self.dispatch).await.unwrap().unwrap();
        self.alive.store(false, Ordering::Release);
        self.tasks.iter().for_each(JoinHandle::abort);
        ended
    }

    /// The sum of a metric's samples whose line contains all of `parts`.
    pub(super) fn metric(&self, parts: &[&str]) -> f64 {
        let text = self.metrics.encode();
        let lines = text.lines().filter(|line| parts.iter().all(|part| line.contains(part)));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// Plays the reader: gives every record from the committed offset on.
async fn feed(kafka: Kafka, events: mpsc::Sender<Event>, alive: Arc<AtomicBool>) {
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    loop {
        let changed = kafka.changed.notified();
        let mut records = Vec::new();
        {
            let broker = kafka.broker();
            for (partition, all) in &broker.outbox {
                let committed = broker.committed.get(partition).map_or(0, |(offset, _)| *offset);
                let from = next.entry(*partition).or_insert(committed);
                records.extend(all.iter().filter(|record| record.offset >= *from).cloned());
                *from = all.last().map_or(*from, |last| (last.offset + 1).max(*from));
            }
        }
        for record in records {
            if !alive.load(Ordering::Acquire) || events.send(Event::Record(record)).await.is_err() {
                return;
            }
        }
        let _changed = tokio::time::timeout(Duration::from_millis(2), changed).await;
    }
}

/// A stand-in with these channels.
pub(super) async fn slack(channels: &[&str]) -> SlackStandIn {
    let channels = channels.iter().map(|name| (*name).to_owned()).collect();
    SlackStandIn::start(Options { channels, ..Options::default() }).await.unwrap()
}

/// The messages' texts, channel by channel, each in the order of its posting.
pub(super) fn texts(stand_in: &SlackStandIn) -> BTreeMap<String, Vec<String>> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Message { channel, text, .. } in stand_in.messages() {
        // Without the mark of how bad it is.
        let words = text.split_once(' ').map_or(text.as_str(), |(_, words)| words);
        texts.entry(channel).or_default().push(words.to_owned());
    }
    texts
}

/// What [`texts`] gives when each of these entries was posted once, in order.
pub(super) fn once(entries: &[Entry]) -> BTreeMap<String, Vec<String>> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in entries {
        texts.entry(entry.channel.clone()).or_default().push(entry.notification.title.clone());
    }
    texts
}
