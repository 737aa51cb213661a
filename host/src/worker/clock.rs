//! Wall-clock time where no record comes: idle partitions go on, timers fire.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Session, report};
use crate::evaluation::Tick;
use crate::record::TopicPartition;
use crate::source::kafka::Tail;

/// How often time is looked at: an absence is noticed so much later at most.
const TICK: Duration = Duration::from_secs(1);

/// How long after the group was done with what fed a partition the partition's end must be read, so
/// that what it was fed with is before that end.
const READ_AFTER: Duration = Duration::from_secs(1);
/// What the group was done with, and when that was known: so many are kept.
const DONE_MAX: usize = 8;
/// For how long time stands still before it is said: while records flow it does so now and then.
const STANDS_STILL_LONG: Duration = Duration::from_secs(10);
/// How long after the ends were asked for it still says how far the partitions are from each other:
/// later one of them may have stopped.
const LIFT_WITHIN_MS: i64 = 10_000;

/// When records came, by the wall clock.
#[derive(Debug, Default)]
pub(super) struct WallClock {
    came: HashMap<TopicPartition, i64>,
    /// Until when the silence of each partition is known.
    known: HashMap<TopicPartition, i64>,
    /// Until when what feeds each partition had come when that was told last.
    lifted: HashMap<TopicPartition, i64>,
    ticked_at: Option<Instant>,
    /// Where time stands still and should go on: since when, and whether that was told.
    told: HashMap<TopicPartition, (Instant, bool)>,
    feed: Feed,
}

/// How far the group is with the topics that the repartition topic is fed from. They may never be
/// read to their ends, so it is asked whether it has come to where they ended a while ago.
#[derive(Debug, Default)]
struct Feed {
    /// When the ends were asked for, and what they were.
    asked: Option<(i64, Vec<(TopicPartition, i64)>)>,
    /// Until when all that fed is on its way, and when that was known; the latest is the last.
    done: VecDeque<(i64, Instant)>,
}

impl Feed {
    /// Until when all that fed a partition has come, if its end was read then.
    fn known_until(&self, read_at: Instant) -> Option<i64> {
        let before = self.done.iter().rev().find(|(_, known)| *known + READ_AFTER < read_at);
        before.map(|(until_ms, _)| *until_ms)
    }
}

/// What readiness calls the lookup tables of worker number `worker`.
pub(super) fn tables_part(worker: usize) -> String {
    format!("tables-of-worker-{worker}")
}

/// What is known of a silent partition.
enum Silence {
    /// It is one of the sources', until then by the wall clock.
    Known(i64),
    /// It may be ours.
    Unknown(&'static str),
    /// Nothing can come from the sources: it says nothing of them, now and later.
    Unavailable(&'static str),
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
        self.known.remove(partition);
        self.lifted.remove(partition);
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
        self.clock.ticked_at = Some(Instant::now());
        self.move_to_tails();
        self.tell_stale();
        if !self.set.keeps_state() {
            return;
        }
        let partitions: Vec<TopicPartition> = self.progress.partitions().cloned().collect();
        let mut feed = None;
        for partition in partitions {
            let came = self.clock.came.get(&partition).copied().unwrap_or(wall_ms);
            if !self.set.waits_for_time(&partition, wall_ms, wall_ms - came) {
                continue;
            }
            let silence = self.silence(&partition, wall_ms, &mut feed);
            let (until_ms, standstill) = match silence {
                Silence::Known(until_ms) => (until_ms, None),
                Silence::Unknown(why) => (came, Some(why)),
                Silence::Unavailable(why) => {
                    self.clock.came(&partition, wall_ms);
                    (came, Some(why))
                }
            };
            let known = self.clock.known.get(&partition).copied().unwrap_or(came);
            if standstill.is_none() {
                self.clock.known.insert(partition.clone(), until_ms.max(known));
            }
            let mut lifts = false;
            if *partition.topic == *self.worker.effects.repartition().topic {
                // What was known before it was taken over says nothing of it.
                let lifted = self.clock.lifted.entry(partition.clone()).or_insert(wall_ms);
                lifts = standstill.is_none()
                    && until_ms > *lifted
                    && wall_ms - until_ms <= LIFT_WITHIN_MS;
                if lifts {
                    *lifted = until_ms;
                }
                if let Some((_, ends)) = &self.clock.feed.asked {
                    self.set.set_feed(ends.iter().map(|(one, _)| one.clone()).collect());
                }
            }
            let tick = Tick {
                wall_ms,
                quiet_ms: until_ms - came,
                since_ms: (until_ms - came.max(known)).max(0),
                caught_up: standstill.is_none(),
                lifts,
            };
            let offset = self.progress.next(&partition).unwrap_or(-1);
            self.evaluation.clear();
            self.set.tick(&partition, tick, offset, &mut self.evaluation);
            self.tell(&partition, standstill);
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

    /// What silence in a partition says: something of its sources, or that we lag, or that it is not
    /// there.
    fn silence(
        &mut self,
        partition: &TopicPartition,
        wall_ms: i64,
        feed: &mut Option<bool>,
    ) -> Silence {
        const UNAVAILABLE: &str = "the partition is not available";
        match self.source.tail(partition) {
            Tail::Unavailable => return Silence::Unavailable(UNAVAILABLE),
            Tail::Behind => return Silence::Unknown("records wait to be evaluated"),
            Tail::Reached(_) => {}
        }
        let Some(read_at) = self.source.tail_read_at(partition) else {
            return Silence::Unavailable(UNAVAILABLE);
        };
        if *partition.topic != *self.worker.effects.repartition().topic {
            // What came since the end was read may wait.
            let age_ms = i64::try_from(read_at.elapsed().as_millis()).unwrap_or(i64::MAX);
            return Silence::Known(wall_ms.saturating_sub(age_ms));
        }
        // What is grouped comes from other partitions, which others may own.
        if !*feed.get_or_insert_with(|| self.look_at_feed(wall_ms)) {
            return Silence::Unavailable("what this partition is fed from is not available");
        }
        match self.clock.feed.known_until(read_at) {
            Some(until_ms) => Silence::Known(until_ms),
            None => Silence::Unknown("records wait in partitions that this one is fed from"),
        }
    }

    /// Asks how far the group is with what the repartition topic is fed from; false when nobody says.
    fn look_at_feed(&mut self, wall_ms: i64) -> bool {
        let feed = &mut self.clock.feed;
        if let Some((asked_ms, ends)) = &feed.asked {
            match self.source.is_group_done_with(ends) {
                Ok(true) => {
                    feed.done.push_back((*asked_ms, Instant::now()));
                    if feed.done.len() > DONE_MAX {
                        feed.done.pop_front();
                    }
                }
                Ok(false) => return true,
                Err(_) => {
                    *feed = Feed::default();
                    return false;
                }
            }
        }
        let set = self.set.set();
        let topics = set.rules.values().filter(|rule| rule.routes_by().is_some());
        let topics = topics.flat_map(|rule| rule.subscription.topics.iter().map(|one| &**one));
        let topics: BTreeSet<&str> = topics.collect();
        match self.source.ends_of(topics.into_iter()) {
            Ok(ends) => {
                feed.asked = Some((wall_ms, ends));
                true
            }
            Err(_) => {
                *feed = Feed::default();
                false
            }
        }
    }

    /// Says once why time stands still, when it does for long, and once that it goes on.
    fn tell(&mut self, partition: &TopicPartition, standstill: Option<&'static str>) {
        self.worker.metrics.standstill(
            &partition.topic,
            partition.partition,
            u8::from(standstill.is_some()),
        );
        let (topic, number) = (&*partition.topic, partition.partition);
        let Some(why) = standstill else {
            if let Some((_, true)) = self.clock.told.remove(partition) {
                tracing::info!(topic, partition = number, "time goes on");
            }
            return;
        };
        let began = (Instant::now(), false);
        let (since, told) = self.clock.told.entry(partition.clone()).or_insert(began);
        if !*told && since.elapsed() >= STANDS_STILL_LONG {
            tracing::warn!(topic, partition = number, "time stands still: {why}");
            *told = true;
        }
    }

    /// Whether some rule needs a lookup table that was not read yet; records wait then.
    pub(super) fn waits_for_table(&mut self) -> bool {
        // Asked between any two batches: readiness hears of changes only.
        let missing = self.set.missing_table();
        let missing =
            missing.map(|(rule, table)| format!("rule `{rule}` waits for table `{table}`"));
        if missing != self.missing_table {
            let part = tables_part(self.worker.number);
            match &missing {
                Some(text) => self.worker.readiness.set_not_ready(part, text.clone()),
                None => self.worker.readiness.forget(&part),
            }
            self.missing_table.clone_from(&missing);
        }
        missing.is_some()
    }
}
