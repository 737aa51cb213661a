//! What delivery needs of Kafka, so that everything else can be tried without one.

use std::future::Future;

use super::backlog::Load;
use crate::ledger::Ledger;
use crate::record::OutgoingRecord;

/// A record of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRecord {
    /// The partition.
    pub partition: i32,
    /// The offset of this record.
    pub offset: i64,
    /// When it was written, milliseconds since the Unix epoch; -1 = unknown.
    pub timestamp_ms: i64,
    /// The alert id.
    pub key: Option<Vec<u8>>,
    /// The entry.
    pub value: Option<Vec<u8>>,
}

impl OutboxRecord {
    /// The memory that it holds, about.
    pub fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, Vec::len)
    }
}

/// What happens at the reading end of the outbox, in order.
#[derive(Debug)]
pub enum Event {
    /// These partitions are ours; their records follow.
    Assigned(Vec<i32>),
    /// These are to be given up: finish, commit, then [`Ports::release`].
    Revoked(Vec<i32>),
    /// These belong to somebody else already: stop at once, commit nothing.
    Lost(Vec<i32>),
    /// A record of an assigned partition.
    Record(OutboxRecord),
    /// Reading has ended for good.
    Failed(String),
}

/// A partition as it is when it is taken over.
#[derive(Debug, Clone)]
pub struct TakenOver {
    /// What is known of its alerts.
    pub ledger: Ledger,
    /// The offset of the first entry that will be read.
    pub start: i64,
    /// Entries before this offset may have been sent by whoever had the partition before, without
    /// the ledger knowing.
    pub unclear_before: i64,
    /// Whether nothing was sent that the ledger does not know, of those or of what it has itself: groups
    /// and tallies.
    pub is_clean: bool,
}

/// What Kafka knows of the offset where a partition starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nobody ever committed, or it was forgotten: it is the first entry that is kept.
    Nothing,
    /// Somebody delivered from here, and did not say goodbye.
    Open,
    /// Nothing behind it was sent.
    Clean,
}

impl TakenOver {
    /// A partition that starts at `start`, about which Kafka knows `known`, and ends at `end` now.
    pub fn new(known: Known, start: i64, end: i64, ledger: Ledger) -> Self {
        let is_clean = match known {
            Known::Clean => true,
            // Whoever sends something has committed before; and a ledger without offsets means
            // that the offsets were lost.
            Known::Nothing => ledger.is_empty(),
            Known::Open => false,
        };
        let unclear_before = if is_clean { start } else { end };
        Self { ledger, start, unclear_before, is_clean }
    }
}

/// A partition that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// The partition.
    pub partition: i32,
    /// What to commit: the offset of the next entry; `None` = nothing new.
    pub next: Option<i64>,
    /// Whether nothing after `next` was sent without the ledger knowing.
    pub clean: bool,
}

/// Why Kafka did not do it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct PortError {
    /// What Kafka says.
    pub text: String,
    /// It never will: nothing is gained by trying again.
    pub is_final: bool,
}

impl From<String> for PortError {
    fn from(text: String) -> Self {
        Self { text, is_final: false }
    }
}

/// Entries of a partition that are to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// The partition.
    pub partition: i32,
    /// The first offset that is looked at.
    pub from: i64,
    /// The offset after the last one.
    pub to: i64,
    /// When so much is found, the rest is left.
    pub most: Load,
}

/// What was read again.
#[derive(Debug, Clone, Default)]
pub struct ReadAgain {
    /// Those that were wanted.
    pub records: Vec<OutboxRecord>,
    /// The offset after the last one that was looked at.
    pub next: i64,
    /// The first offset that the topic still has.
    pub kept_from: i64,
}

impl ReadAgain {
    /// Nothing yet of what is to be read.
    pub fn of(again: &Again) -> Self {
        Self { records: Vec::new(), next: again.from, kept_from: 0 }
    }

    /// Keeps a record, which is wanted or not; returns whether there is room for more.
    pub fn look_at(&mut self, record: OutboxRecord, is_wanted: bool, most: Load) -> bool {
        self.next = record.offset + 1;
        if is_wanted {
            self.records.push(record);
        }
        let load = self.load();
        load.entries < most.entries && load.bytes < most.bytes
    }

    /// What it is in memory.
    pub fn load(&self) -> Load {
        let bytes = self.records.iter().map(OutboxRecord::bytes).sum();
        Load { entries: self.records.len(), bytes }
    }
}

/// Kafka, for delivery.
pub trait Ports: Send + Sync + 'static {
    /// Writes a record; returns when all in-sync replicas have it.
    fn write(&self, record: OutgoingRecord) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Restores a partition's ledger, and notes that it is being worked on, before anything of it
    /// is sent.
    fn take_over(
        &self,
        partition: i32,
    ) -> impl Future<Output = Result<TakenOver, PortError>> + Send;

    /// Reads entries of a partition again that are `wanted`.
    fn read_again(
        &self,
        again: Again,
        wanted: impl Fn(&OutboxRecord) -> bool + Send + 'static,
    ) -> impl Future<Output = Result<ReadAgain, PortError>> + Send;

    /// Commits the offset of the next entry, sooner or later.
    fn commit(&self, partition: i32, next: i64);

    /// Commits, and gives partitions up.
    fn release(&self, released: Vec<Release>) -> impl Future<Output = ()> + Send;

    /// Stops reading, or goes on: too much is in memory.
    fn hold(&self, held: bool);
}
