//! A worker: a thread that shares nothing. It polls a batch, evaluates it and commits what came of
//! it, `poll → decode → match → evaluate → collect effects → commit`, for its own partitions.
//!
//! In: records, rule sets. Out: transactions. Never: waiting for Slack, or committing an offset
//! whose record's effects are not in the same transaction.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::causes::with_causes;
use crate::config::KafkaConfig;
use crate::evaluation::{Evaluation, RollBack, WorkerSet};
use crate::progress::Progress;
use crate::record::TopicPartition;
use crate::rules::RuleSet;
use crate::rules::publish::Slot;
use crate::source::PartitionRecords;
use crate::source::kafka::{Polled, Source, SourceError};
use crate::state::States;
use crate::state::kafka::{Changelog, RestoreError};
use crate::telemetry::{Metrics, Readiness};
use crate::transaction::kafka::{CommitterHandle, ProducerError};
use crate::transaction::{Outcome, Transaction};

mod assignment;
mod clock;
mod effects;
mod report;
mod rules;
mod stale;

use clock::WallClock;
pub use effects::EffectWriter;
use effects::Pending;

/// The wait for a record when there is nothing else to do; also the longest time until a new rule
/// set or a shutdown is noticed.
const IDLE_WAIT: Duration = Duration::from_millis(10);
/// The wait for a record while a transaction is in flight.
const BUSY_WAIT: Duration = Duration::from_millis(1);
/// How often offsets without effects are committed.
const OFFSETS_INTERVAL: Duration = Duration::from_secs(1);
/// How long a worker tries to finish its transaction before it gives a partition up or ends.
const FINISH_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a worker's session ended before its time; it begins a new one.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("reading failed")]
    Source(#[from] SourceError),
    #[error("state cannot be restored")]
    Restore(#[from] RestoreError),
    #[error("writing cannot begin")]
    Producer(#[from] ProducerError),
    #[error("the transactional producer failed: {0}")]
    Committer(String),
    #[error("the consumer has no group metadata")]
    NoGroup,
}

/// What a worker is given.
pub struct Worker {
    /// Its number, from 0.
    pub number: usize,
    /// `[kafka]`
    pub kafka: Arc<KafkaConfig>,
    /// Where its rule sets come from.
    pub slot: Slot<WorkerSet>,
    /// Turns effects into records.
    pub effects: EffectWriter,
    /// Where the state of rules is kept.
    pub changelog: Changelog,
    /// Where swaps are told, to be logged off this thread.
    pub swaps: SyncSender<SwapNote>,
    /// Where versions of rules are told that are to be given up for the ones before them.
    pub roll_backs: SyncSender<RollBack>,
    /// Telemetry.
    pub metrics: Metrics,
    /// Whether it works, under `worker-N`.
    pub readiness: Readiness,
    /// Ends it.
    pub stop: CancellationToken,
}

/// A swap of rule sets as a worker saw it.
#[derive(Debug)]
pub struct SwapNote {
    /// The set that evaluated until now.
    pub old: Arc<RuleSet>,
    /// The set that evaluates from now on.
    pub new: Arc<RuleSet>,
    /// The worker's partitions and the first offset that each evaluates under the new set.
    pub positions: Vec<(TopicPartition, i64)>,
}

/// One life of a worker's consumer and producer.
struct Session<'w> {
    worker: &'w Worker,
    set: &'w mut Box<WorkerSet>,
    /// What is to run next.
    next: &'w mut Option<rules::Next>,
    source: &'w Source,
    committer: CommitterHandle,
    progress: Progress,
    evaluation: Evaluation,
    pending: Pending,
    offsets_committed_at: Instant,
    subscribed: BTreeSet<Arc<str>>,
    clock: WallClock,
    waiting: stale::Waiting,
    /// What readiness was told of a lookup table that is not there.
    missing_table: Option<String>,
}

impl Worker {
    /// Works until it is stopped. A consumer or producer that fails is made anew, with all that
    /// was not committed read again.
    pub fn run(self) {
        let part = format!("worker-{}", self.number);
        self.readiness.set_not_ready(part.clone(), "joining the consumer group");
        let Some(mut set) = self.first_set() else { return };
        let mut next = None;
        let seed = u64::from(std::process::id()) << 8 | self.number as u64;
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10), seed);
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            let Err(error) = self.session(&mut set, &mut next) else { break };
            if began.elapsed() > Duration::from_secs(60) {
                backoff.succeeded();
            }
            let wait = backoff.failed();
            let text = with_causes(&error);
            tracing::error!(worker = self.number, ?wait, "worker begins anew: {text}");
            self.readiness.set_not_ready(part.clone(), text);
            self.pause(wait);
        }
        self.slot.retire(set);
        tracing::info!(worker = self.number, "worker ended");
    }

    #[allow(clippy::disallowed_methods, reason = "a worker has a thread of its own")]
    fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while !self.stop.is_cancelled() && Instant::now() < until {
            std::thread::sleep(wait.min(Duration::from_millis(50)));
        }
    }

    fn session(
        &self,
        set: &mut Box<WorkerSet>,
        next: &mut Option<rules::Next>,
    ) -> Result<(), SessionError> {
        let (metrics, readiness) = (self.metrics.clone(), self.readiness.clone());
        // First the producer: it ends what a crashed process left open, which would keep the
        // group's offsets from being read.
        let stop = self.stop.clone();
        let mut committer =
            CommitterHandle::start(&self.kafka, self.number, metrics, readiness, stop)?;
        while committer.in_flight() {
            match committer.outcome(Duration::from_millis(100)) {
                Some(Outcome::Fatal(_) | Outcome::Aborted(_)) if self.stop.is_cancelled() => {
                    return Ok(());
                }
                Some(Outcome::Fatal(reason) | Outcome::Aborted(reason)) => {
                    return Err(SessionError::Committer(reason));
                }
                Some(Outcome::Committed(_)) | None => {}
            }
        }
        let (metrics, readiness) = (self.metrics.clone(), self.readiness.clone());
        let source = Source::new(&self.kafka, self.number, metrics, readiness)?;
        let mut session = Session {
            worker: self,
            set,
            next,
            source: &source,
            committer,
            progress: Progress::default(),
            evaluation: Evaluation::default(),
            pending: Pending::default(),
            offsets_committed_at: Instant::now(),
            subscribed: BTreeSet::new(),
            clock: WallClock::default(),
            waiting: stale::Waiting::default(),
            missing_table: None,
        };
        self.readiness.forget(&clock::tables_part(self.number));
        // What an earlier session had not committed is read again, and its state restored.
        *session.set.states() = States::default();
        session.subscribe()?;
        session.work()
    }
}

impl Session<'_> {
    /// One record's way, a batch at a time.
    fn work(&mut self) -> Result<(), SessionError> {
        let source = self.source;
        let mut polled = Polled::default();
        while !self.worker.stop.is_cancelled() {
            self.take_up_rules()?;
            source.serve(&mut polled)?;
            self.take_up_changes()?;
            if self.pending.is_full() && self.committer.in_flight() {
                self.settle(false)?;
                continue;
            }
            if self.waits_for_table() {
                self.settle(true)?;
                self.worker.pause(IDLE_WAIT);
                continue;
            }
            let drained = source.take(&mut polled, self.wait())?;
            if !polled.is_empty() {
                self.evaluate(&polled);
                polled.clear();
            }
            self.tick();
            self.settle(drained)?;
        }
        self.finish("ending")
    }

    /// How long to wait for a record.
    fn wait(&self) -> Duration {
        if self.pending.is_urgent() {
            Duration::ZERO
        } else if self.committer.in_flight() || !self.pending.is_empty() {
            BUSY_WAIT
        } else {
            IDLE_WAIT
        }
    }

    /// Evaluates polled records under one rule set and collects their effects.
    fn evaluate(&mut self, polled: &Polled<'_>) {
        let Self { worker, set, progress, evaluation, source, clock, .. } = self;
        evaluation.clear();
        let now = clock.now();
        polled.each_partition(|PartitionRecords { partition, records }| {
            // What was fetched before a partition was given up or read again is not ours.
            let Some(next) = progress.next(partition) else { return };
            let fresh = records.partition_point(|record| record.offset < next);
            let Some(records) = records.get(fresh..) else { return };
            let Some(last) = records.last() else { return };
            let before = evaluation.entries.len();
            set.evaluate(partition, records, evaluation);
            set.sort_out_stale(partition, now, before, evaluation);
            progress.evaluated(partition, last.offset + 1, set.states().stream_ms(partition));
            clock.came(partition, now);
            source.evaluated(partition, last.timestamp_ms);
        });
        report::report(&worker.metrics, evaluation);
        worker.effects.collect(evaluation, &mut self.pending);
        if set.states().is_dirty() {
            self.pending.touch();
        }
        let roll_backs: Vec<_> =
            evaluation.rules.iter_mut().filter_map(|report| report.roll_back.take()).collect();
        self.roll_back(roll_backs);
    }

    /// Takes note of ended commits and begins the next one when it is due.
    fn settle(&mut self, drained: bool) -> Result<(), SessionError> {
        let mut wait = Duration::ZERO;
        if self.committer.in_flight()
            && (self.pending.is_full() || drained && self.pending.is_urgent())
        {
            wait = BUSY_WAIT;
        }
        if let Some(outcome) = self.committer.outcome(wait) {
            self.ended(outcome)?;
        }
        if self.committer.in_flight() {
            return Ok(());
        }
        let interval = self.worker.kafka.commit_interval;
        if self.pending.is_due(drained, interval) {
            return self.begin();
        }
        let idle = self.pending.is_empty();
        if idle && self.offsets_committed_at.elapsed() >= OFFSETS_INTERVAL {
            self.commit_offsets();
        }
        Ok(())
    }

    /// Begins the transaction of all that is pending.
    fn begin(&mut self) -> Result<(), SessionError> {
        let group = self.source.group_metadata().ok_or(SessionError::NoGroup)?;
        let (mut records, offsets) = (self.pending.take(), self.progress.uncommitted());
        let Changelog { topic, partitions } = &self.worker.changelog;
        records.append(&mut self.set.states().seal(topic, *partitions));
        self.committer.submit(Transaction { records, offsets, group });
        Ok(())
    }

    fn ended(&mut self, outcome: Outcome) -> Result<(), SessionError> {
        match outcome {
            Outcome::Committed(offsets) => {
                self.progress.committed(&offsets);
                self.set.states().committed();
                self.offsets_committed_at = Instant::now();
                Ok(())
            }
            Outcome::Aborted(reason) => {
                tracing::warn!(
                    worker = self.worker.number,
                    "transaction aborted, its records are read again: {reason}"
                );
                self.rewind()
            }
            Outcome::Fatal(reason) => Err(SessionError::Committer(reason)),
        }
    }

    /// Throws away what is not committed and reads it again.
    fn rewind(&mut self) -> Result<(), SessionError> {
        self.pending.clear();
        self.set.states().abort();
        let moved = self.progress.rewind();
        if moved.is_empty() {
            return Ok(());
        }
        for reached in &moved {
            self.set.states().set_stream_ms(&reached.partition, reached.stream_ms);
        }
        let offsets: Vec<_> =
            moved.into_iter().map(|reached| (reached.partition, reached.offset)).collect();
        Ok(self.source.rewind(&offsets)?)
    }

    /// Commits offsets that have no effects beside them.
    fn commit_offsets(&mut self) {
        self.offsets_committed_at = Instant::now();
        let offsets = self.progress.uncommitted();
        if offsets.is_empty() {
            return;
        }
        match self.source.commit(&offsets) {
            Ok(()) => self.progress.committed(&offsets),
            // They go with the next commit.
            Err(error) => tracing::warn!("offsets were not committed: {error}"),
        }
    }

    /// Commits all that was evaluated, before partitions are given up or the worker ends.
    fn finish(&mut self, why: &str) -> Result<(), SessionError> {
        let until = Instant::now() + FINISH_TIMEOUT;
        while self.committer.in_flight() || !self.pending.is_empty() {
            if Instant::now() > until {
                // Not committed means: whoever owns the partitions next reads the records again.
                tracing::error!(worker = self.worker.number, "{why}: the transaction did not end");
                return Err(SessionError::Committer("the transaction did not end".into()));
            }
            if self.committer.in_flight() {
                if let Some(outcome) = self.committer.outcome(Duration::from_millis(50)) {
                    self.ended(outcome)?;
                }
            } else {
                self.begin()?;
            }
        }
        self.commit_offsets();
        Ok(())
    }
}
