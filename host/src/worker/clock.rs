//! Wall-clock time where no record comes: idle partitions go on, timers fire.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Session, report};
use crate::evaluation::Tick;
use crate::record::TopicPartition;
use crate::source::kafka::Tail;

/// How often time is looked at: an absence is noticed so much later at most.
const TICK: Duration = Duration::from_secs(1);

/// When records came, by the wall clock.
#[derive(Debug, Default)]
pub(super) struct WallClock {
    came: HashMap<TopicPartition, i64>,
    ticked_ms: i64,
    ticked_at: Option<Instant>,
    /// Why time stands still where it should go on, as it was told last.
    told: HashMap<TopicPartition, &'static str>,
}

impl WallClock {
    /// Milliseconds since the Unix epoch.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place where evaluation's time comes from"
    )]
    pub(super) fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// A record of a partition came, or the partition was taken over.
    pub(super) fn came(&mut self, partition: &TopicPartition, now_ms: i64) {
        match self.came.get_mut(partition) {
            Some(came) => *came = now_ms,
            None => _ = self.came.insert(partition.clone(), now_ms),
        }
    }

    /// A partition is given up.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.came.remove(partition);
        self.told.remove(partition);
    }
}

impl Session<'_> {
    /// Lets time go on in partitions in which no record comes, once a second.
    pub(super) fn tick(&mut self) {
        if self.clock.ticked_at.is_some_and(|at| at.elapsed() < TICK) {
            return;
        }
        let wall_ms = self.clock.now();
        let ticked_ms = std::mem::replace(&mut self.clock.ticked_ms, wall_ms);
        self.clock.ticked_at = Some(Instant::now());
        self.move_to_tails();
        self.tell_stale();
        if !self.set.keeps_state() {
            return;
        }
        let partitions: Vec<TopicPartition> = self.progress.partitions().cloned().collect();
        let mut group_is_done = None;
        for partition in partitions {
            let came = self.clock.came.get(&partition).copied().unwrap_or(wall_ms);
            if !self.set.waits_for_time(&partition, wall_ms, wall_ms - came) {
                continue;
            }
            let standstill = self.standstill(&partition, &mut group_is_done);
            let tick = Tick {
                wall_ms,
                quiet_ms: wall_ms - came,
                since_ms: wall_ms - came.max(ticked_ms),
                caught_up: standstill.is_none(),
            };
            self.tell(&partition, standstill);
            let offset = self.progress.next(&partition).unwrap_or(-1);
            self.evaluation.clear();
            self.set.tick(&partition, tick, offset, &mut self.evaluation);
            self.set.sort_out_stale(&partition, wall_ms, 0, &mut self.evaluation);
            report::report(&self.worker.metrics, &self.evaluation);
            self.worker.effects.collect(&mut self.evaluation, &mut self.pending);
            if self.set.states().is_dirty() {
                self.pending.touch();
            }
        }
    }

    /// Behind a partition's last record there may be markers of transactions, which are read and never
    /// handed out: a partition that is read to its end is committed to its end.
    fn move_to_tails(&mut self) {
        let partitions: Vec<TopicPartition> = self.progress.partitions().cloned().collect();
        for partition in partitions {
            if let Tail::Reached(end) = self.source.tail(&partition) {
                let stream_ms = self.set.states().stream_ms(&partition);
                self.progress.evaluated(&partition, end, stream_ms);
            }
        }
    }

    /// Why silence in a partition says nothing: we lag, or it is not there. `None` = it is a silence of
    /// the sources.
    fn standstill(
        &self,
        partition: &TopicPartition,
        group_is_done: &mut Option<bool>,
    ) -> Option<&'static str> {
        match self.source.tail(partition) {
            Tail::Unavailable => return Some("the partition is not available"),
            Tail::Behind => return Some("records wait to be evaluated"),
            Tail::Reached(_) => {}
        }
        if *partition.topic != *self.worker.effects.repartition().topic {
            return None;
        }
        // What is grouped comes from other partitions, which others may own.
        let done = *group_is_done.get_or_insert_with(|| {
            let set = self.set.set();
            let topics = set.rules.values().filter(|rule| rule.routes_by().is_some());
            let topics = topics.flat_map(|rule| rule.subscription.topics.iter().map(|one| &**one));
            let topics: std::collections::BTreeSet<&str> = topics.collect();
            self.source.is_group_done_with(topics.into_iter()).unwrap_or(false)
        });
        (!done).then_some("records wait in partitions that this one is fed from")
    }

    /// Says once why time stands still, and once that it goes on.
    fn tell(&mut self, partition: &TopicPartition, standstill: Option<&'static str>) {
        let told = match standstill {
            Some(why) => self.clock.told.insert(partition.clone(), why) != Some(why),
            None => self.clock.told.remove(partition).is_some(),
        };
        self.worker.metrics.standstill(
            &partition.topic,
            partition.partition,
            u8::from(standstill.is_some()),
        );
        if told {
            let (topic, number) = (&*partition.topic, partition.partition);
            match standstill {
                Some(why) => tracing::warn!(topic, partition = number, "time stands still: {why}"),
                None => tracing::info!(topic, partition = number, "time goes on"),
            }
        }
    }

    /// Whether some rule needs a lookup table that was not read yet; records wait then.
    pub(super) fn waits_for_table(&mut self) -> bool {
        let part = format!("tables-of-worker-{}", self.worker.number);
        match self.set.missing_table() {
            Some((rule, table)) => {
                let text = format!("rule `{rule}` waits for table `{table}`");
                self.worker.readiness.set_not_ready(part, text);
                true
            }
            None => {
                self.worker.readiness.forget(&part);
                false
            }
        }
    }
}
