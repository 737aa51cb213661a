//! A partition of the outbox while it is ours: a queue for each channel, and how far it is done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::attempt::{Courier, Job, dead_letter};
use super::backlog::{Backlog, Load};
use super::book::Book;
use super::common::{Common, Ending, Stopped};
use super::ports::{Again, OutboxRecord, Ports, ReadAgain, Release, TakenOver};
use super::round::Round;
use super::sinks::Way;
use super::sinks::keep_alive::keep_alive;
use super::watermark::Watermark;
use crate::causes::with_causes;
use crate::dead_letter::Stage;
use crate::outbox::{Entry, OutboxError};

/// Entries of one channel in its queue. What is held in memory is less.
const CHANNEL_QUEUE_MAX: usize = 100_000;
/// An entry was finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Which partition.
    pub partition: i32,
    /// Which time of having it.
    pub tenure: u64,
    /// What it was in memory: nothing when it waited and was taken off the count then.
    pub load: Load,
}

/// What of a channel was left in the outbox and is to be read now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The channel.
    pub channel: String,
    /// Where, and how much.
    pub again: Again,
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
    channels: HashMap<String, Lane>,
    couriers: JoinSet<Result<(), Stopped>>,
    ending: Ending,
    done: mpsc::Sender<Done>,
    /// Entries that were read and are not finished, and their bytes.
    load: Load,
    /// Entries that are left in the outbox until there is room.
    left: usize,
}

/// A channel's way to its courier.
struct Lane {
    queue: mpsc::Sender<Job>,
    backlog: Arc<Mutex<Backlog>>,
    /// What may come of what is being read again, which has its place already.
    awaited: Load,
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
    /// Its channel's; `None` = it is of none.
    backlog: Option<Arc<Mutex<Backlog>>>,
    done: mpsc::Sender<Done>,
}

impl Finish {
    /// An entry is finished.
    pub(super) async fn say(&self, record: &OutboxRecord) {
        lock(&self.watermark).done(record.offset);
        self.tell(load(record)).await;
    }

    /// An entry waits, perhaps for days: it holds the offset and not the reading.
    pub(super) async fn waits(&self, record: &OutboxRecord) {
        self.tell(load(record)).await;
    }

    /// An entry that waited is finished.
    pub(super) async fn waited(&self, record: &OutboxRecord) {
        lock(&self.watermark).done(record.offset);
        self.tell(Load::default()).await;
    }

    /// So many entries that wait lie aside.
    pub(super) fn aside(&self, entries: usize) {
        if let Some(backlog) = &self.backlog {
            lock(backlog).set_aside(entries);
        }
    }

    async fn tell(&self, load: Load) {
        if let Some(backlog) = &self.backlog {
            lock(backlog).finished(load);
        }
        let (tenure, partition) = (self.tenure, self.partition);
        // Nobody listens when all has ended; the watermark has it.
        let _heard = self.done.send(Done { tenure, partition, load }).await.is_ok();
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load(record: &OutboxRecord) -> Load {
    Load { entries: 1, bytes: record.bytes() }
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
            left: 0,
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
    pub fn taken_over(&mut self, taken: TakenOver, is_tight: bool) {
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
            self.route(record, Some(is_tight));
        }
    }

    /// Takes a record, unless it is under way already.
    pub fn record(&mut self, record: OutboxRecord, is_tight: bool) {
        if !lock(&self.watermark).seen(record.offset) {
            return;
        }
        self.load.add(load(&record));
        if self.taken.is_none() {
            self.early.push(record);
        } else {
            self.route(record, Some(is_tight));
        }
    }

    /// Hands a record to its channel's courier, or leaves it in the outbox; `None` = it was read again.
    fn route(&mut self, record: OutboxRecord, is_tight: Option<bool>) {
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
        let (offset, held) = (record.offset, load(&record));
        let job = Job::new(record, entry, unclear);
        let lane = match self.channels.get(&channel) {
            Some(lane) if !lane.queue.is_closed() => lane,
            known => {
                let known = known.is_some();
                if known && !self.ending.stop.is_cancelled() {
                    tracing::error!(channel, "the channel's courier failed; another one goes on");
                }
                // Who knows what the one that failed left behind.
                self.start_courier((book, known), channel.clone())
            }
        };
        let queue = lane.queue.clone();
        if is_tight.is_some_and(|is_tight| !self.holds(&channel, (offset, held), is_tight)) {
            return;
        }
        if let Err(error) = queue.try_send(job) {
            // When stopping: it stays in the outbox. A full queue cannot be, since reading is held
            // long before.
            tracing::debug!("an entry was not taken up: {error}");
        }
    }

    /// Whether an entry that was just read is held in memory; if not, it is left in the outbox.
    fn holds(&mut self, channel: &str, (offset, held): (i64, Load), is_tight: bool) -> bool {
        let Some(lane) = self.channels.get(channel) else { return true };
        let mut backlog = lock(&lane.backlog);
        let was_left = backlog.left();
        if backlog.takes(offset, held.bytes, is_tight) {
            return true;
        }
        if was_left == 0 {
            tracing::warn!(
                channel,
                offset,
                "the channel takes less than comes; what comes is left in the outbox until there is room"
            );
        }
        drop(backlog);
        self.load.sub(held);
        self.left += 1;
        false
    }

    /// Whether anything is left in the outbox.
    pub fn has_left(&self) -> bool {
        self.left > 0
    }

    /// What is left in the outbox and is to be read now, while `load` is in memory of all partitions; from
    /// `half` on little is read of each channel.
    pub fn left_to_read(&mut self, mut load: Load, half: Load) -> Vec<Left> {
        let (partition, to) = (self.number, lock(&self.watermark).next());
        let mut all = Vec::new();
        for (channel, lane) in &mut self.channels {
            let left = lock(&lane.backlog).read_again(load.reaches(half));
            let Some((from, most)) = left else { continue };
            lane.awaited = most;
            load.add(most);
            self.load.add(most);
            all.push(Left { channel: channel.clone(), again: Again { partition, from, to, most } });
        }
        all
    }

    /// Takes what was left of a channel, and was read now.
    pub fn read_again(&mut self, channel: &str, read: ReadAgain) {
        let Some(lane) = self.channels.get_mut(channel) else { return };
        self.load.sub(std::mem::take(&mut lane.awaited));
        let mut watermark = lock(&self.watermark);
        watermark.forget_before(read.kept_from);
        let newest = watermark.next();
        drop(watermark);
        match lock(&lane.backlog).was_read(read.load(), read.next, newest) {
            Some(0) => tracing::info!(channel, "nothing of the channel is left in the outbox"),
            Some(lost) => tracing::error!(
                channel,
                lost,
                "entries that were left in the outbox are not there any more; check retention.ms of \
                 the topic, and why the channel took nothing for so long"
            ),
            None => {}
        }
        self.left = self.channels.values().map(|lane| lock(&lane.backlog).left()).sum();
        self.load.add(read.load());
        for record in read.records {
            self.route(record, None);
        }
    }

    /// From where the outbox would be read again.
    pub fn position(&self) -> i64 {
        lock(&self.watermark).position().unwrap_or_default()
    }

    /// How many entries wait beside those that are in memory: they are left in the outbox, or their target
    /// did not take them.
    pub fn beside(&self) -> usize {
        self.channels.values().map(|lane| lock(&lane.backlog).beside()).sum()
    }

    fn finish_of(&self, backlog: Option<Arc<Mutex<Backlog>>>) -> Finish {
        Finish {
            tenure: self.tenure,
            partition: self.number,
            watermark: Arc::clone(&self.watermark),
            backlog,
            done: self.done.clone(),
        }
    }

    fn start_courier(&mut self, book: (Arc<Book>, bool), channel: String) -> &Lane {
        let (queue, jobs) = mpsc::channel::<Job>(CHANNEL_QUEUE_MAX);
        let (common, ending) = (Arc::clone(&self.common), self.ending.clone());
        let way = common.sinks.way(&channel);
        let room = &common.room;
        let most = if matches!(way, Way::Slack) { room.of_slacks } else { room.of_sinks };
        let before = self.channels.remove(&channel);
        let awaited = before.as_ref().map(|lane| lane.awaited).unwrap_or_default();
        let before = before.map(|lane| lock(&lane.backlog).handed_on());
        let (backlog, gone) = before.unwrap_or_else(|| (Backlog::new(most), Load::default()));
        self.load.sub(gone);
        let backlog = Arc::new(Mutex::new(backlog));
        let to = (channel.clone(), way);
        let courier = Courier::new(Arc::clone(&common), to, book, ending.clone());
        let round = Round::new(courier, &common, self.finish_of(Some(Arc::clone(&backlog))));
        self.couriers.spawn(async move { round.run(jobs, &common, &ending).await });
        self.channels.entry(channel).insert_entry(Lane { queue, backlog, awaited }).into_mut()
    }

    /// Gives a record that is no entry to the dead letters.
    fn bury(&mut self, record: OutboxRecord, message: String) {
        let (common, ending, finish) =
            (Arc::clone(&self.common), self.ending.clone(), self.finish_of(None));
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
        self.load.sub(done.load);
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
