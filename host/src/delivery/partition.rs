//! A partition of the outbox while it is ours: a queue for each channel, and how far it is done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::attempt::{Courier, Job, dead_letter};
use super::book::Book;
use super::common::{Common, Ending, Stopped};
use super::ports::{OutboxRecord, Ports, Release, TakenOver};
use super::round::Round;
use super::sinks::keep_alive::keep_alive;
use super::watermark::Watermark;
use crate::causes::with_causes;
use crate::dead_letter::Stage;
use crate::outbox::{Entry, OutboxError};

/// Entries of one channel in memory. Reading stops long before (`dispatch.rs`).
const CHANNEL_QUEUE_MAX: usize = 100_000;

/// An entry was finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Which partition.
    pub partition: i32,
    /// Which time of having it.
    pub tenure: u64,
    /// The entries in memory that it was: 1, or 0 when it waited and was taken off the count then.
    pub entries: usize,
    /// The memory that it held.
    pub bytes: usize,
}

/// A partition.
pub struct Partition<P> {
    number: i32,
    /// Tells apart two times of having the same partition.
    tenure: u64,
    common: Arc<Common<P>>,
    /// `None` until its ledger is restored.
    taken: Option<Taken>,
    /// Records that came before that.
    early: Vec<OutboxRecord>,
    watermark: Arc<Mutex<Watermark>>,
    channels: HashMap<String, mpsc::Sender<Job>>,
    couriers: JoinSet<Result<(), Stopped>>,
    ending: Ending,
    done: mpsc::Sender<Done>,
    /// Entries that were read and are not finished, and their bytes.
    load: Load,
}

/// What is in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Entries.
    pub entries: usize,
    /// Their bytes, about.
    pub bytes: usize,
}

struct Taken {
    book: Arc<Book>,
    unclear_before: i64,
}

/// Says that an entry is finished: to the watermark, then to the dispatcher.
#[derive(Clone)]
pub(super) struct Finish {
    tenure: u64,
    partition: i32,
    watermark: Arc<Mutex<Watermark>>,
    done: mpsc::Sender<Done>,
}

impl Finish {
    /// An entry is finished.
    pub(super) async fn say(&self, record: &OutboxRecord) {
        lock(&self.watermark).done(record.offset);
        self.tell(1, bytes(record)).await;
    }

    /// An entry waits, perhaps for days: it holds the offset and not the reading.
    pub(super) async fn waits(&self, record: &OutboxRecord) {
        self.tell(1, bytes(record)).await;
    }

    /// An entry that waited is finished.
    pub(super) async fn waited(&self, record: &OutboxRecord) {
        lock(&self.watermark).done(record.offset);
        self.tell(0, 0).await;
    }

    async fn tell(&self, entries: usize, bytes: usize) {
        let (tenure, partition) = (self.tenure, self.partition);
        // Nobody listens when all has ended; the watermark has it.
        let _heard = self.done.send(Done { tenure, partition, entries, bytes }).await.is_ok();
    }
}

fn lock(watermark: &Mutex<Watermark>) -> MutexGuard<'_, Watermark> {
    watermark.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The memory that a record holds, about.
fn bytes(record: &OutboxRecord) -> usize {
    record.value.as_ref().map_or(0, Vec::len)
}

impl<P: Ports> Partition<P> {
    /// A partition that was just assigned; `done` hears of its finished entries.
    pub fn new(number: i32, tenure: u64, common: Arc<Common<P>>, done: mpsc::Sender<Done>) -> Self {
        Self {
            number,
            tenure,
            common,
            taken: None,
            early: Vec::new(),
            watermark: Arc::default(),
            channels: HashMap::new(),
            couriers: JoinSet::new(),
            ending: Ending::new(),
            done,
            load: Load::default(),
        }
    }

    /// What of it is in memory.
    pub fn load(&self) -> Load {
        self.load
    }

    /// Which time of having the partition this is.
    pub fn tenure(&self) -> u64 {
        self.tenure
    }

    /// The tokens that end it.
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Its ledger, once it is restored.
    pub fn book(&self) -> Option<&Arc<Book>> {
        self.taken.as_ref().map(|taken| &taken.book)
    }

    /// Starts to deliver: the ledger is here.
    pub fn taken_over(&mut self, taken: TakenOver) {
        let TakenOver { ledger, start, unclear_before, is_clean } = taken;
        tracing::info!(
            partition = self.number,
            alerts = ledger.len(),
            start,
            unclear_before,
            "delivery took a partition over"
        );
        lock(&self.watermark).start(start);
        let topic = Arc::clone(&self.common.topics.ledger);
        let of_many = ledger.channels_of_many();
        let book = Arc::new(Book::new(topic, self.number, ledger, self.common.suppression.open()));
        // A tally or a group may have to be told although nothing more comes.
        for channel in of_many {
            self.start_courier((Arc::clone(&book), !is_clean), channel);
        }
        for sink in self.common.sinks.forgetful() {
            let (common, sink) = (Arc::clone(&self.common), Arc::clone(sink));
            let (book, ending) = (Arc::clone(&book), self.ending.clone());
            self.couriers.spawn(keep_alive(common, sink, book, ending));
        }
        self.taken = Some(Taken { book, unclear_before });
        for record in std::mem::take(&mut self.early) {
            self.route(record);
        }
    }

    /// Takes a record, unless it is under way already.
    pub fn record(&mut self, record: OutboxRecord) {
        if !lock(&self.watermark).seen(record.offset) {
            return;
        }
        self.load.entries += 1;
        self.load.bytes += bytes(&record);
        if self.taken.is_none() {
            self.early.push(record);
        } else {
            self.route(record);
        }
    }

    /// Hands a record to its channel's courier.
    fn route(&mut self, record: OutboxRecord) {
        let Some(taken) = &self.taken else { return };
        let entry = match Entry::from_bytes(record.value.as_deref().unwrap_or_default()) {
            Ok(entry) => entry,
            Err(error @ OutboxError::Version { .. }) => {
                // Neither guessed nor given up: the offset stays before it until a host comes
                // that can read it.
                let (partition, offset) = (record.partition, record.offset);
                tracing::error!(partition, offset, "an outbox entry waits: {error}");
                self.common.gate.blocked(&error.to_string());
                return;
            }
            Err(error) => return self.bury(record, with_causes(&error)),
        };
        let unclear = record.offset < taken.unclear_before;
        let book = Arc::clone(&taken.book);
        let channel = entry.channel.clone();
        let job = Job::new(record, entry, unclear);
        let queue = match self.channels.get(&channel) {
            Some(queue) if !queue.is_closed() => queue.clone(),
            known => {
                let known = known.is_some();
                if known && !self.ending.stop.is_cancelled() {
                    tracing::error!(channel, "the channel's courier failed; another one goes on");
                }
                // Who knows what the one that failed left behind.
                self.start_courier((book, known), channel)
            }
        };
        if let Err(error) = queue.try_send(job) {
            // When stopping: it stays in the outbox. A full queue cannot be, since reading is held
            // long before.
            tracing::debug!("an entry was not taken up: {error}");
        }
    }

    fn finish_of(&self) -> Finish {
        Finish {
            tenure: self.tenure,
            partition: self.number,
            watermark: Arc::clone(&self.watermark),
            done: self.done.clone(),
        }
    }

    fn start_courier(&mut self, book: (Arc<Book>, bool), channel: String) -> mpsc::Sender<Job> {
        let (queue, jobs) = mpsc::channel::<Job>(CHANNEL_QUEUE_MAX);
        let (common, ending) = (Arc::clone(&self.common), self.ending.clone());
        let way = common.sinks.way(&channel);
        let to = (channel.clone(), way);
        let courier = Courier::new(Arc::clone(&common), to, book, ending.clone());
        let round = Round::new(courier, &common, self.finish_of());
        self.couriers.spawn(async move { round.run(jobs, &common, &ending).await });
        self.channels.insert(channel, queue.clone());
        queue
    }

    /// Gives a record that is no entry to the dead letters.
    fn bury(&mut self, record: OutboxRecord, message: String) {
        let (common, ending, finish) =
            (Arc::clone(&self.common), self.ending.clone(), self.finish_of());
        self.couriers.spawn(async move {
            let topics = &common.topics;
            let letter = dead_letter(&topics.outbox, &record, None, 0, ("unreadable", message));
            let letter = letter.into_outgoing(&topics.dead_letters, &common.origin);
            common.keep(letter, &ending).await?;
            common.metrics.dead_letters(Stage::Delivery.as_str(), "unreadable", 1);
            finish.say(&record).await;
            Ok(())
        });
    }

    /// Notes a finished entry; returns what can be committed, if that moved.
    pub fn finished(&mut self, done: Done) -> Option<i64> {
        self.load.entries = self.load.entries.saturating_sub(done.entries);
        self.load.bytes = self.load.bytes.saturating_sub(done.bytes);
        lock(&self.watermark).advance()
    }

    /// Ends it: what is under way is finished within `patience`, nothing new is taken up.
    pub async fn finish(mut self, patience: Duration) -> Release {
        self.ending.stop.cancel();
        self.channels.clear();
        let drop = self.ending.drop.clone();
        let deadline = tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            drop.cancel();
        });
        let mut clean = true;
        while let Some(joined) = self.couriers.join_next().await {
            // A courier that panicked leaves behind who knows what.
            clean &= match joined {
                Ok(Ok(())) => true,
                Ok(Err(stopped)) => !stopped.unclear,
                Err(_) => false,
            };
        }
        deadline.abort();
        let next = lock(&self.watermark).position();
        // What the last owner left unclear and was not looked at still is.
        let unclear_before = self.taken.as_ref().map_or(i64::MAX, |taken| taken.unclear_before);
        clean &= next.is_some_and(|next| next >= unclear_before);
        Release { partition: self.number, next, clean }
    }
}
