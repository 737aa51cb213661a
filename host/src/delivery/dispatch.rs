//! The middle of delivery: what happens at the outbox goes to partitions, and what is finished goes
//! back as offsets.
//!
//! One task, which never waits for Slack or Kafka itself, so that records are handed on as they
//! come and a revoked partition is always heard of.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::backlog::Load;
use super::common::{Common, Ending, now_ms};
use super::gate::PART;
use super::partition::{Done, Left, Partition};
use super::ports::{Event, OutboxRecord, PortError, Ports, ReadAgain, Release, TakenOver};
use crate::outbox::Entry;
use crate::telemetry::Readiness;

/// Finished entries that wait to be noted; couriers wait when it is full.
const DONE_MAX: usize = 1_024;

/// How delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// Reading the outbox failed for good, or was cut off: begin anew.
    Failed(String),
}

/// What was left of a channel, and was read again.
struct Reread {
    partition: i32,
    tenure: u64,
    channel: String,
    read: ReadAgain,
}

/// The dispatcher.
pub struct Dispatch<P> {
    common: Arc<Common<P>>,
    readiness: Readiness,
    retention_ms: i64,
    partitions: HashMap<i32, Partition<P>>,
    tenures: u64,
    held: bool,
    /// When the last entry came or was finished.
    busy: Instant,
    done: mpsc::Sender<Done>,
    finished: mpsc::Receiver<Done>,
    takeovers: JoinSet<Option<(i32, u64, TakenOver)>>,
    rereads: JoinSet<Option<Reread>>,
    releases: JoinSet<()>,
}

impl<P: Ports> Dispatch<P> {
    /// A dispatcher without partitions. Ledger entries older than `retention_ms` are forgotten.
    pub fn new(common: Arc<Common<P>>, readiness: Readiness, retention_ms: i64) -> Self {
        let (done, finished) = mpsc::channel(DONE_MAX);
        Self {
            common,
            readiness,
            retention_ms,
            partitions: HashMap::new(),
            tenures: 0,
            held: false,
            busy: Instant::now(),
            done,
            finished,
            takeovers: JoinSet::new(),
            rereads: JoinSet::new(),
            releases: JoinSet::new(),
        }
    }

    /// Delivers until `shutdown`, then drains, or until reading fails.
    pub async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        shutdown: CancellationToken,
    ) -> Ended {
        let patience = self.common.patience.clone();
        let mut expire = interval(patience.expire_every);
        expire.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(patience.quiet / 4);
        let mut stopping: Option<Instant> = None;
        let mut released = false;
        loop {
            tokio::select! {
                Some(done) = self.finished.recv() => self.note(done),
                event = events.recv() => match event {
                    Some(Event::Failed(why)) => return self.cut_off(why).await,
                    None => return self.cut_off("the reader ended".into()).await,
                    Some(event) => self.take(event),
                },
                Some(taken) = self.takeovers.join_next() => self.taken_over(taken.ok().flatten()),
                Some(read) = self.rereads.join_next() => self.reread(read.ok().flatten()),
                Some(_) = self.releases.join_next() => {}
                () = shutdown.cancelled(), if stopping.is_none() => stopping = Some(Instant::now()),
                _ = look.tick(), if stopping.is_some() => {
                    let since = stopping.unwrap_or(self.busy);
                    let entries = self.load().entries;
                    let quiet = entries == 0 && self.busy.max(since).elapsed() >= patience.quiet;
                    let late = since.elapsed() >= patience.drain || !self.common.gate.is_well();
                    if released && self.releases.is_empty() {
                        return Ended::Stopped;
                    }
                    if !released && (quiet || late) {
                        let entries = entries + self.beside();
                        if entries > 0 {
                            tracing::warn!(entries, "stopping; what is not sent stays in the outbox");
                        }
                        released = true;
                        self.give_up_all();
                    }
                }
                _ = expire.tick() => self.expire(),
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Assigned(numbers) => {
                for number in numbers {
                    self.assigned(number);
                }
                self.share();
                if self.held {
                    // A new partition is not held by itself.
                    self.common.ports.hold(true);
                }
                if self.common.gate.is_well() {
                    self.readiness.set_ready(PART);
                }
            }
            Event::Revoked(numbers) => self.give_up(&numbers, true),
            Event::Lost(numbers) => self.give_up(&numbers, false),
            Event::Record(record) => {
                let is_tight = self.is_tight();
                // Of a partition that was given up a moment ago: it stays in the outbox.
                let number = record.partition;
                let Some(partition) = self.partitions.get_mut(&number) else { return };
                partition.record(record, is_tight);
                // Perhaps it was left although nothing of its channel is under way.
                self.read_left(number);
                self.weigh();
            }
            Event::Failed(_) => {}
        }
    }

    /// Slack counts what all hosts send together.
    fn share(&self) {
        for budget in [&self.common.budget, &self.common.edits] {
            budget.have_part(self.partitions.len(), self.common.outbox_partitions);
        }
    }

    fn assigned(&mut self, number: i32) {
        self.tenures += 1;
        let (tenure, common) = (self.tenures, Arc::clone(&self.common));
        let partition = Partition::new(number, tenure, common, self.done.clone());
        let ending = partition.ending().clone();
        self.partitions.insert(number, partition);
        let common = Arc::clone(&self.common);
        self.takeovers.spawn(async move {
            let taken = take_over(&common, number, &ending).await?;
            Some((number, tenure, taken))
        });
    }

    fn taken_over(&mut self, taken: Option<(i32, u64, TakenOver)>) {
        let Some((number, tenure, taken)) = taken else { return };
        let is_tight = self.is_tight();
        if let Some(partition) = self.partitions.get_mut(&number)
            && partition.tenure() == tenure
        {
            partition.taken_over(taken, is_tight);
            // What came before may be left in the outbox now.
            self.weigh();
        }
    }

    /// Ends partitions and releases them; commits only what is still `ours`.
    fn give_up(&mut self, numbers: &[i32], ours: bool) {
        let leaving: Vec<_> = numbers.iter().filter_map(|n| self.partitions.remove(n)).collect();
        if !ours {
            leaving.iter().for_each(|partition| partition.ending().drop.cancel());
        }
        self.share();
        let unknown: Vec<i32> = numbers.to_vec();
        let common = Arc::clone(&self.common);
        self.releases.spawn(async move {
            let patience = common.patience.finish;
            let mut releases: Vec<Release> = Vec::new();
            let mut finishing: JoinSet<Release> =
                leaving.into_iter().map(|partition| partition.finish(patience)).collect();
            while let Some(joined) = finishing.join_next().await {
                releases.extend(joined.ok());
            }
            for partition in unknown {
                if !releases.iter().any(|release| release.partition == partition) {
                    releases.push(Release { partition, next: None, clean: false });
                }
            }
            if !ours {
                releases.iter_mut().for_each(|release| release.next = None);
            }
            common.ports.release(releases).await;
        });
        self.weigh();
    }

    fn give_up_all(&mut self) {
        let numbers: Vec<i32> = self.partitions.keys().copied().collect();
        self.give_up(&numbers, true);
    }

    /// Reading failed: nothing can be committed, others may have the partitions.
    async fn cut_off(mut self, why: String) -> Ended {
        self.readiness.set_not_ready(PART, format!("cannot read the outbox: {why}"));
        let patience = self.common.patience.finish;
        // Nobody notes any more: who is about to say that an entry is finished must not wait.
        self.finished.close();
        for (_, partition) in self.partitions.drain() {
            partition.ending().drop.cancel();
            partition.finish(patience).await;
        }
        Ended::Failed(why)
    }

    fn note(&mut self, done: Done) {
        if let Some(partition) = self.partitions.get_mut(&done.partition)
            && partition.tenure() == done.tenure
            && let Some(next) = partition.finished(done)
        {
            self.common.ports.commit(done.partition, next);
        }
        self.read_left(done.partition);
        self.weigh();
    }

    /// Begins to read what of a partition was left in the outbox, where there is room for it now.
    fn read_left(&mut self, number: i32) {
        if !self.partitions.get(&number).is_some_and(Partition::has_left) {
            return;
        }
        let (load, half) = (self.load(), self.half());
        let Some(partition) = self.partitions.get_mut(&number) else { return };
        let tenure = partition.tenure();
        for left in partition.left_to_read(load, half) {
            let (common, ending) = (Arc::clone(&self.common), partition.ending().clone());
            self.rereads.spawn(async move {
                let read = read_again(&common, &left, &ending).await?;
                Some(Reread { partition: number, tenure, channel: left.channel, read })
            });
        }
    }

    fn reread(&mut self, reread: Option<Reread>) {
        let Some(Reread { partition: number, tenure, channel, read }) = reread else { return };
        if let Some(partition) = self.partitions.get_mut(&number)
            && partition.tenure() == tenure
        {
            partition.read_again(&channel, read);
            // Perhaps nothing of the channel was there.
            self.read_left(number);
            self.weigh();
        }
    }

    /// What is in memory, of all partitions.
    fn load(&self) -> Load {
        let mut sum = Load::default();
        self.partitions.values().for_each(|partition| sum.add(partition.load()));
        sum
    }

    /// Whether so much is in memory that each channel holds only a little.
    fn is_tight(&self) -> bool {
        self.load().reaches(self.half())
    }

    fn half(&self) -> Load {
        let Load { entries, bytes } = self.common.room.all;
        Load { entries: entries / 2, bytes: bytes / 2 }
    }

    /// Entries that wait beside those in memory.
    fn beside(&self) -> usize {
        self.partitions.values().map(Partition::beside).sum()
    }

    /// Holds reading when too much is in memory.
    fn weigh(&mut self) {
        self.busy = Instant::now();
        let load = self.load();
        let Load { entries, bytes } = load;
        self.common.metrics.outbox_pending((entries + self.beside()) as u64);
        let most = self.common.room.all;
        let heavy = load.reaches(most);
        let light = entries <= most.entries / 5 * 4 && bytes <= most.bytes / 5 * 4;
        if (heavy && !self.held) || (light && self.held) {
            self.held = heavy;
            tracing::info!(entries, held = heavy, "reading of the outbox");
            self.common.ports.hold(heavy);
        }
    }

    /// Forgets alerts that are too old, also in Kafka.
    fn expire(&mut self) {
        let before = now_ms().saturating_sub(self.retention_ms);
        for partition in self.partitions.values() {
            let Some(book) = partition.book() else { continue };
            let tombstones = book.expire(before, partition.position());
            if tombstones.is_empty() {
                continue;
            }
            tracing::info!(alerts = tombstones.len(), "the ledger forgets old alerts");
            let (common, ending) = (Arc::clone(&self.common), partition.ending().clone());
            self.releases.spawn(async move {
                for tombstone in tombstones {
                    if common.keep(tombstone, &ending).await.is_err() {
                        return;
                    }
                }
            });
        }
    }
}

/// Takes a partition over, however long that takes; `None` when it is given up before.
async fn take_over<P: Ports>(
    common: &Common<P>,
    partition: i32,
    ending: &Ending,
) -> Option<TakenOver> {
    let what = (partition, "take a partition over");
    persist(common, ending, what, || common.ports.take_over(partition)).await
}

/// Reads what of a channel was left in the outbox; `None` when its partition is given up before.
async fn read_again<P: Ports>(
    common: &Common<P>,
    left: &Left,
    ending: &Ending,
) -> Option<ReadAgain> {
    let read = || {
        let channel = left.channel.clone();
        let wanted = move |record: &OutboxRecord| {
            let entry = Entry::from_bytes(record.value.as_deref().unwrap_or_default());
            entry.is_ok_and(|entry| entry.channel == channel)
        };
        common.ports.read_again(left.again, wanted)
    };
    persist(common, ending, (left.again.partition, "read the outbox again"), read).await
}

/// Tries something again and again; `None` when the partition is given up before.
async fn persist<P: Ports, T, F: Future<Output = Result<T, PortError>>>(
    common: &Common<P>,
    ending: &Ending,
    (partition, what): (i32, &'static str),
    attempt: impl Fn() -> F,
) -> Option<T> {
    let mut backoff = common.backoff();
    loop {
        match ending.idle(attempt()).await.ok()? {
            Ok(done) => return Some(done),
            Err(error) => {
                tracing::warn!(partition, "cannot {what}, trying again: {error}");
                ending.idle(tokio::time::sleep(backoff.failed())).await.ok()?;
            }
        }
    }
}
