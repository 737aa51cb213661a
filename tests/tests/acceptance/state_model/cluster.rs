//! Two workers and a Kafka of lists: what `host/src/worker.rs` does around evaluation.

use std::collections::BTreeMap;
use std::sync::Arc;

use firebell::evaluation::{Evaluation, Repartition, Tick, WorkerSet};
use firebell::outbox::Entry;
use firebell::progress::{Progress, Reached};
use firebell::record::{OutgoingRecord, RecordId, TopicPartition};
use firebell::rules::RuleSet;
use firebell::state::States;

use super::log::{Came, Stored, came, origin, records, restore, value};
use super::model::{Said, Seen};
use super::{RULE, UNSEEN};

/// A partition of a user's topic.
pub(crate) struct Input {
    pub(crate) partition: TopicPartition,
    pub(crate) records: Vec<Seen>,
}

/// What is written at once, or not at all.
#[derive(Default)]
struct Transaction {
    came: Vec<(TopicPartition, Came)>,
    routed: Vec<OutgoingRecord>,
    changelog: Vec<OutgoingRecord>,
    offsets: Vec<Reached>,
}

struct Worker {
    set: WorkerSet,
    progress: Progress,
    pending: Transaction,
    in_flight: Option<Transaction>,
}

/// Two workers and what is in Kafka.
pub(crate) struct Cluster {
    set: Arc<RuleSet>,
    repartition: Option<Repartition>,
    /// The partitions that have records.
    feed: Vec<TopicPartition>,
    workers: [Worker; 2],
    /// All partitions that are read, those of the repartition topic last.
    partitions: Vec<TopicPartition>,
    owners: Vec<usize>,
    logs: BTreeMap<TopicPartition, Vec<Stored>>,
    changelog: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Whether only the newest value of a key is left when state is restored.
    compacts: bool,
    offsets: BTreeMap<TopicPartition, (i64, Option<i64>)>,
    came: Vec<(TopicPartition, Came)>,
}

impl Cluster {
    pub(crate) fn new(
        set: &Arc<RuleSet>,
        inputs: Vec<Input>,
        repartition: Option<Repartition>,
        compacts: bool,
    ) -> Self {
        let fed = inputs.iter().filter(|input| !input.records.is_empty());
        let feed: Vec<TopicPartition> = fed.map(|input| input.partition.clone()).collect();
        let mut logs = BTreeMap::new();
        let mut partitions = vec![];
        for Input { partition, records } in inputs {
            let stored = records.into_iter().map(|seen| Stored {
                timestamp_ms: seen.timestamp_ms,
                key: Some(b"sender".to_vec()),
                value: Some(value(&seen)),
                headers: vec![("trace".to_owned(), Some(seen.offset.to_string().into_bytes()))],
                from: (partition.clone(), seen),
            });
            logs.insert(partition.clone(), stored.collect());
            partitions.push(partition);
        }
        if let Some(Repartition { topic, partitions: count }) = &repartition {
            for number in 0..*count {
                let partition = TopicPartition::new(Arc::clone(topic), number);
                logs.insert(partition.clone(), vec![]);
                partitions.push(partition);
            }
        }
        let owners: Vec<usize> = (0..partitions.len()).map(|at| at % 2).collect();
        let workers = [(); 2].map(|()| worker(set, repartition.as_ref(), &feed));
        let mut cluster = Self {
            set: Arc::clone(set),
            repartition,
            feed,
            workers,
            partitions,
            owners,
            logs,
            changelog: vec![],
            compacts,
            offsets: BTreeMap::new(),
            came: vec![],
        };
        (0..cluster.owners.len()).for_each(|at| cluster.assign(at));
        cluster
    }

    /// The owner of a partition evaluates up to so many of its records, as `Session::evaluate`.
    pub(crate) fn poll(&mut self, at: usize, most: usize) {
        let Some(partition) = self.partitions.get(at) else { return };
        let Worker { set, progress, pending, .. } = &mut self.workers[self.owners[at]];
        let next = progress.next(partition).unwrap();
        let log = &self.logs[partition][next as usize..];
        let records = records(&log[..most.min(log.len())], next);
        let Some(last) = records.last() else { return };
        let mut out = Evaluation::default();
        set.evaluate(partition, &records, &mut out);
        progress.evaluated(partition, last.offset + 1, set.states().stream_ms(partition));
        pending.routed.append(&mut out.routed);
        pending.came.extend(came(out).into_iter().map(|came| (partition.clone(), came)));
    }

    /// Time goes on in a partition in which no record comes, as `Session::tick`; what that gives.
    pub(crate) fn tick(&mut self, partition: &TopicPartition, tick: Tick) -> Vec<Entry> {
        let at = self.partitions.iter().position(|one| one == partition).unwrap();
        let Worker { set, progress, .. } = &mut self.workers[self.owners[at]];
        let mut out = Evaluation::default();
        set.tick(partition, tick, progress.next(partition).unwrap(), &mut out);
        out.entries
    }

    /// As `Session::begin`.
    pub(crate) fn begin(&mut self, worker: usize) {
        let Worker { set, progress, pending, in_flight } = &mut self.workers[worker];
        if in_flight.is_none() {
            let mut transaction = std::mem::take(pending);
            transaction.offsets = progress.uncommitted();
            transaction.changelog = set.states().seal(&"g.changelog".into(), 4);
            *in_flight = Some(transaction);
        }
    }

    /// As `Session::ended`.
    pub(crate) fn end(&mut self, worker: usize, commits: bool) {
        let Some(transaction) = self.workers[worker].in_flight.take() else { return };
        if commits {
            self.workers[worker].progress.committed(&transaction.offsets);
            self.workers[worker].set.states().committed();
            self.commit(transaction);
        } else {
            self.rewind(worker);
        }
    }

    /// As `Session::rewind`.
    fn rewind(&mut self, worker: usize) {
        let Worker { set, progress, pending, .. } = &mut self.workers[worker];
        *pending = Transaction::default();
        set.states().abort();
        for reached in progress.rewind() {
            set.states().set_stream_ms(&reached.partition, reached.stream_ms);
        }
    }

    /// A worker dies; another takes its place.
    pub(crate) fn crash(&mut self, at: usize, commits: bool) {
        let new = worker(&self.set, self.repartition.as_ref(), &self.feed);
        let dead = std::mem::replace(&mut self.workers[at], new);
        if let Some(transaction) = dead.in_flight.filter(|_| commits) {
            self.commit(transaction);
        }
        for partition in 0..self.partitions.len() {
            if self.owners[partition] == at {
                self.assign(partition);
            }
        }
    }

    /// A partition goes to the other worker, as `Session::removed` and `Session::added`.
    pub(crate) fn reassign(&mut self, at: usize) {
        let Some(partition) = self.partitions.get(at).cloned() else { return };
        let owner = self.owners[at];
        self.settle(owner);
        self.workers[owner].progress.revoked(&partition);
        self.workers[owner].set.states().revoke(&partition);
        self.owners[at] = 1 - owner;
        self.assign(at);
    }

    /// The same, but the owner learns of it when it is too late to commit.
    pub(crate) fn lose(&mut self, at: usize, commits: bool) {
        let Some(partition) = self.partitions.get(at).cloned() else { return };
        let owner = self.owners[at];
        self.workers[owner].pending = Transaction::default();
        self.workers[owner].progress.revoked(&partition);
        self.workers[owner].set.states().revoke(&partition);
        self.end(owner, commits);
        self.rewind(owner);
        self.owners[at] = 1 - owner;
        self.assign(at);
    }

    /// Everything is evaluated and committed.
    pub(crate) fn finish(&mut self) {
        loop {
            (0..self.partitions.len()).for_each(|at| self.poll(at, usize::MAX));
            (0..2).for_each(|worker| self.settle(worker));
            let ends = self.logs.iter().filter(|(_, log)| !log.is_empty());
            let is_done = |(partition, log): (&TopicPartition, &Vec<Stored>)| {
                self.offsets.get(partition).is_some_and(|(offset, _)| *offset == log.len() as i64)
            };
            if ends.into_iter().all(is_done) {
                break;
            }
        }
    }

    fn settle(&mut self, worker: usize) {
        self.end(worker, true);
        self.begin(worker);
        self.end(worker, true);
    }

    fn assign(&mut self, at: usize) {
        let partition = &self.partitions[at];
        let (offset, stream_ms) = self.offsets.get(partition).copied().unwrap_or((0, None));
        let worker = &mut self.workers[self.owners[at]];
        worker.set.states().revoke(partition);
        restore(&self.changelog, self.compacts, partition, worker.set.states());
        assert_eq!(worker.set.migrate(Some(std::slice::from_ref(partition))), []);
        worker.set.states().set_stream_ms(partition, stream_ms);
        let reached = Reached { partition: partition.clone(), offset, stream_ms, topic_id: None };
        worker.progress.assigned(reached, false);
    }

    fn commit(&mut self, transaction: Transaction) {
        let Transaction { came, routed, changelog, offsets } = transaction;
        self.came.extend(came);
        for record in routed {
            let partition = TopicPartition::new(record.topic, record.partition.unwrap());
            let from = origin(&self.logs, &record.headers, record.value.as_ref());
            self.logs.get_mut(&partition).unwrap().push(Stored {
                timestamp_ms: record.timestamp_ms.unwrap_or(5),
                key: record.key,
                value: record.value,
                headers: record.headers,
                from,
            });
        }
        self.changelog.extend(changelog.into_iter().map(|entry| (entry.key.unwrap(), entry.value)));
        for Reached { partition, offset, stream_ms, .. } in offsets {
            self.offsets.insert(partition, (offset, stream_ms));
        }
    }

    /// What was evaluated for the rule in each partition, in its order.
    pub(crate) fn evaluated(&self) -> Vec<(TopicPartition, Vec<(TopicPartition, Seen)>)> {
        let kept = self.partitions.iter().filter(|one| self.keeps(one));
        let seen = |one| self.logs[one].iter().map(|stored| stored.from.clone()).collect();
        kept.map(|one| (one.clone(), seen(one))).collect()
    }

    /// How many partitions feed a rule that keeps its state by the repartition topic.
    pub(crate) fn fed_by(&self) -> Option<usize> {
        self.repartition.as_ref().map(|_| self.feed.len())
    }

    /// Whether a rule keeps its state by this partition.
    fn keeps(&self, partition: &TopicPartition) -> bool {
        self.repartition.as_ref().is_none_or(|own| own.topic == partition.topic)
    }

    /// Every record went through the repartition topic once, those of a host in one partition, and
    /// those of a source in their order.
    pub(crate) fn check_routing(&self) {
        let Some(repartition) = &self.repartition else { return };
        let mut hosts: BTreeMap<&str, &TopicPartition> = BTreeMap::new();
        let mut routed: BTreeMap<(&TopicPartition, &str), Vec<&Seen>> = BTreeMap::new();
        for (partition, log) in self.logs.iter().filter(|(one, _)| one.topic == repartition.topic) {
            for Stored { from: (source, seen), .. } in log {
                assert_eq!(*hosts.entry(&seen.host).or_insert(partition), partition);
                routed.entry((source, &seen.host)).or_default().push(seen);
            }
        }
        let mut sent: BTreeMap<(&TopicPartition, &str), Vec<&Seen>> = BTreeMap::new();
        for log in self.logs.iter().filter(|(one, _)| one.topic != repartition.topic) {
            for (source, seen) in log.1.iter().map(|stored| &stored.from) {
                if seen.host == UNSEEN {
                    continue;
                }
                sent.entry((source, &seen.host)).or_default().push(seen);
            }
        }
        assert_eq!(routed, sent);
    }

    /// What is committed of a partition.
    pub(crate) fn said(&self, of: &TopicPartition) -> Vec<Said> {
        let id = |record: &RecordId| record.clone();
        let said = self.came.iter().filter(|(partition, _)| partition == of);
        said.map(|(_, came)| match came {
            Came::Entry(entry) => Said::Notified {
                record: id(&entry.intent.record),
                title: entry.notification.title.clone(),
                alert: entry.alert,
            },
            Came::Letter(letter) => Said::GivenUp { record: id(&letter.record) },
        })
        .collect()
    }

    /// All entries that are committed.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entries = self.came.iter().filter_map(|(_, came)| match came {
            Came::Entry(entry) => Some(entry.as_ref().clone()),
            Came::Letter(_) => None,
        });
        entries.collect()
    }

    /// One batch with all records gives the same, and leaves the same; so does the changelog.
    pub(crate) fn check_against_one_batch(&mut self, partition: &TopicPartition) {
        let mut alone = worker(&self.set, self.repartition.as_ref(), &self.feed).set;
        let mut out = Evaluation::default();
        let log = &self.logs[partition];
        if !log.is_empty() {
            alone.evaluate(partition, &records(log, 0), &mut out);
        }
        let committed = self.came.iter().filter(|(of, _)| of == partition);
        let committed: Vec<&Came> = committed.map(|(_, came)| came).collect();
        assert_eq!(committed, came(out).iter().collect::<Vec<_>>(), "{partition}");
        let at = self.partitions.iter().position(|one| one == partition).unwrap();
        let states = self.workers[self.owners[at]].set.states();
        assert_eq!(states.get(partition, RULE), alone.states().get(partition, RULE));
        assert_eq!(states.stream_ms(partition), alone.states().stream_ms(partition));
        assert!(!states.is_dirty());
        let mut restored = States::default();
        restore(&self.changelog, self.compacts, partition, &mut restored);
        assert_eq!(restored.get(partition, RULE), states.get(partition, RULE));
    }
}

fn worker(
    set: &Arc<RuleSet>,
    repartition: Option<&Repartition>,
    feed: &[TopicPartition],
) -> Worker {
    let set = WorkerSet::new(Arc::clone(set));
    assert_eq!(set.failures(), []);
    let mut set = match repartition {
        Some(repartition) => set.with_repartition(repartition.clone()),
        None => set,
    };
    set.set_feed(feed.to_vec());
    let (progress, pending) = (Progress::default(), Transaction::default());
    Worker { set, progress, pending, in_flight: None }
}
