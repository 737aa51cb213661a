//! Effects on their way into a transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::canary::is_its;
use crate::dead_letter::Origin;
use crate::evaluation::{Evaluation, Repartition};
use crate::ledger::open::OpenAlerts;
use crate::notification::Kind;
use crate::outbox::{self, Entry};
use crate::policy::live::LivePolicy;
use crate::record::OutgoingRecord;
use crate::topics::{InternalTopics, Partitions};

/// Records that may wait for a commit before the worker waits for it.
const PENDING_RECORDS_MAX: usize = 20_000;
/// Bytes that may wait for a commit before the worker waits for it.
const PENDING_BYTES_MAX: usize = 32 << 20;

/// How long after its start ends wait for the host to have read where alerts are open.
const LEDGER_READ_MAX: Duration = Duration::from_secs(10);

/// Turns effects into records for the host's and the users' topics.
#[derive(Debug, Clone)]
pub struct EffectWriter {
    topics: InternalTopics,
    outbox_partitions: i32,
    repartition: Repartition,
    origin: Origin,
    policy: LivePolicy,
    /// Where alerts are open.
    open: OpenAlerts,
}

impl EffectWriter {
    /// A writer for worker number `worker` of a group whose topics have so many partitions.
    pub fn new(
        group_id: &str,
        worker: usize,
        partitions: Partitions,
        (policy, open): (LivePolicy, OpenAlerts),
    ) -> Self {
        let origin = Origin { group_id: group_id.into(), worker };
        let topics = InternalTopics::of(group_id);
        let repartition =
            Repartition { topic: Arc::clone(&topics.repartition), partitions: partitions.state };
        Self { topics, outbox_partitions: partitions.outbox, repartition, origin, policy, open }
    }

    /// Where records go whose rules group by something.
    pub fn repartition(&self) -> &Repartition {
        &self.repartition
    }

    /// Moves what came of a batch into what waits for the next commit.
    pub(super) fn collect(&self, evaluation: &mut Evaluation, pending: &mut Pending) {
        if !evaluation.entries.is_empty() {
            // One policy for all of a batch.
            let policy = self.policy.current().unwrap_or_default();
            for entry in evaluation.entries.drain(..) {
                if is_its(&entry) {
                    // As the host's own alerts, it goes past the policy: where it stands is configured.
                    self.notify(&entry, pending);
                } else {
                    let open_at = self.open_at(&entry);
                    let routed = policy.route(entry, &open_at);
                    routed.iter().for_each(|entry| self.notify(entry, pending));
                }
            }
        }
        for record in evaluation.routed.drain(..) {
            // It may become a notification.
            pending.urgent = true;
            pending.push(record);
        }
        evaluation.emitted.drain(..).for_each(|record| pending.push(record));
        for letter in evaluation.dead_letters.drain(..) {
            pending.push(letter.into_outgoing(&self.topics.dead_letters, &self.origin));
        }
    }

    /// Where an alert is open that ends: who was told of it is told of its end, wherever its rule or the
    /// policy leads now.
    fn open_at(&self, entry: &Entry) -> BTreeMap<String, bool> {
        if entry.notification.kind != Kind::Resolve {
            return BTreeMap::new();
        }
        if !self.open.await_read(LEDGER_READ_MAX) {
            let alert = &entry.alert;
            tracing::warn!(%alert, "the ledger is not read yet: an end is told only where alerts go now");
        }
        self.open.places(&entry.alert)
    }

    fn notify(&self, entry: &Entry, pending: &mut Pending) {
        pending.urgent = true;
        pending.push(OutgoingRecord {
            topic: Arc::clone(&self.topics.outbox),
            partition: Some(outbox::partition_of(&entry.channel, self.outbox_partitions)),
            key: Some(entry.key()),
            value: Some(entry.to_bytes()),
            headers: Vec::new(),
            timestamp_ms: None,
        });
    }
}

/// Records that wait for a commit.
#[derive(Debug, Default)]
pub(super) struct Pending {
    records: Vec<OutgoingRecord>,
    bytes: usize,
    /// Whether a notification is among them.
    urgent: bool,
    since: Option<Instant>,
}

impl Pending {
    fn push(&mut self, record: OutgoingRecord) {
        self.bytes += record.value.as_ref().map_or(0, Vec::len);
        self.since.get_or_insert_with(Instant::now);
        self.records.push(record);
    }

    /// State changed: something is to be committed even if no record is.
    pub(super) fn touch(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.since.is_none()
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Whether no more should be evaluated before a commit.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= PENDING_RECORDS_MAX || self.bytes >= PENDING_BYTES_MAX
    }

    /// Whether a commit is due: at once when a notification waits and the worker has caught up;
    /// while it works off a backlog, every `interval`.
    pub(super) fn is_due(&self, drained: bool, interval: Duration) -> bool {
        let Some(since) = self.since else { return false };
        drained && self.urgent || self.is_full() || since.elapsed() >= interval
    }

    pub(super) fn take(&mut self) -> Vec<OutgoingRecord> {
        let records = std::mem::take(&mut self.records);
        self.clear();
        records
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::delivery::tests::world::entry;
    use crate::ledger::{Entry as Known, State};
    use crate::policy::{Labels, Policy};

    #[test]
    fn an_end_is_told_where_its_alert_is_open_although_alerts_go_elsewhere_now() {
        let text = "[route]\nreceiver = \"new\"\n[receivers.new]\nchannels = [\"new\"]\n";
        let policy = Policy::parse(Path::new("policy.toml"), text).unwrap();
        let (live, open) = (LivePolicy::default(), OpenAlerts::default());
        let fired = entry(0, "rules", Kind::Fire, Some("k"));
        let known = Known::new(fired.alert, "old", String::new(), State::Open);
        let known = Known { labels: Some(Labels::of(&fired)), ..known };
        open.read(1, &known.key(), Some(&known));
        let partitions = Partitions { outbox: 4, state: 4 };
        let writer = EffectWriter::new("g", 0, partitions, (live.clone(), open));
        let told = |kind| {
            let (mut evaluation, mut pending) = (Evaluation::default(), Pending::default());
            evaluation.entries.push(entry(1, "rules", kind, Some("k")));
            writer.collect(&mut evaluation, &mut pending);
            let records = pending.take().into_iter();
            let entries = records.map(|record| Entry::from_bytes(&record.value.unwrap()).unwrap());
            entries.map(|entry| entry.channel).collect::<Vec<_>>()
        };
        assert_eq!(told(Kind::Update), ["rules"]);
        assert_eq!(told(Kind::Resolve), ["rules", "old"]);
        live.set(policy);
        assert_eq!(told(Kind::Update), ["new"]);
        assert_eq!(told(Kind::Resolve), ["new", "old"]);
    }

    fn record(bytes: usize) -> OutgoingRecord {
        OutgoingRecord {
            topic: "t".into(),
            partition: None,
            key: None,
            value: Some(vec![0; bytes]),
            headers: vec![],
            timestamp_ms: None,
        }
    }

    #[test]
    fn a_notification_is_committed_at_once_when_the_worker_has_caught_up() {
        let (mut pending, interval) = (Pending::default(), Duration::from_secs(3_600));
        assert!(!pending.is_due(true, interval));
        pending.push(record(10));
        assert!(!pending.is_due(true, interval), "an emitted record waits for the interval");
        assert!(pending.is_due(true, Duration::ZERO));
        pending.urgent = true;
        assert!(pending.is_due(true, interval));
        assert!(!pending.is_due(false, interval), "a backlog is committed by the interval");
        assert_eq!(pending.take().len(), 1);
        assert!(pending.is_empty() && !pending.is_urgent());
    }

    #[test]
    fn too_many_bytes_are_committed_whatever_the_interval() {
        let mut pending = Pending::default();
        pending.push(record(PENDING_BYTES_MAX));
        assert!(pending.is_due(false, Duration::from_secs(3_600)));
    }
}
