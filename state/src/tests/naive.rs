//! The same semantics without any cleverness: a list of operations, of which everything is worked
//! out anew whenever it is asked.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{Added, Due, Firing, Late, WindowState};

/// What is done to a state. Times are those that the operation was given.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Add(Record),
    Put { stream_ms: i64, key: u8, value: u8, ttl_ms: Option<u64> },
    Insert { stream_ms: i64, key: u8, value: u8, ttl_ms: Option<u64> },
    Delete { key: u8 },
    SetTimer { key: u8, due: Due },
    ClearTimer { key: u8 },
    Fire { until_ms: i64 },
    FireWall { now_ms: i64 },
    Expire { stream_ms: i64 },
    Advance { stream_ms: i64 },
}

/// A record on its way into a window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) window: u32,
    pub(super) at: Moment,
    pub(super) key: u8,
    pub(super) number: f64,
    pub(super) item: u8,
    pub(super) offset: i64,
}

/// What an operation answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Nothing,
    Added(Added),
    Inserted(bool),
    Fired(Vec<(i64, Vec<Firing>)>),
}

/// Records of a window of a key.
#[derive(Debug, Clone)]
struct Gathered {
    window: u32,
    key: u8,
    start_ms: i64,
    end_ms: i64,
    records: Vec<Record>,
    crossed: bool,
}

/// What was done so far.
#[derive(Debug)]
pub(super) struct Naive {
    plan: Plan,
    gathered: Vec<Gathered>,
    /// Records of sliding windows, and whether each window and key was above at the last look.
    slid: Vec<Record>,
    above: BTreeMap<(u32, u8), bool>,
    told: BTreeSet<(u32, u8, i64)>,
    pub(super) values: BTreeMap<u8, (u8, Option<i64>)>,
    pub(super) timers: BTreeMap<u8, Due>,
    pub(super) stream_ms: Option<i64>,
}

fn value_of(aggregate: Aggregate, records: &[Record]) -> f64 {
    let numbers = || records.iter().map(|record| record.number);
    match aggregate {
        Aggregate::Count => records.len() as f64,
        Aggregate::Sum => numbers().sum(),
        Aggregate::Min => numbers().reduce(f64::min).unwrap_or(0.0),
        Aggregate::Max => numbers().reduce(f64::max).unwrap_or(0.0),
        Aggregate::Distinct => {
            records.iter().map(|record| record.item).collect::<BTreeSet<_>>().len() as f64
        }
    }
}

impl Naive {
    /// Does all operations from the first; the answer is that of the last.
    pub(super) fn replay(plan: &Plan, ops: &[Op]) -> (Self, Answer) {
        let mut naive = Self {
            plan: plan.clone(),
            gathered: vec![],
            slid: vec![],
            above: BTreeMap::new(),
            told: BTreeSet::new(),
            values: BTreeMap::new(),
            timers: BTreeMap::new(),
            stream_ms: None,
        };
        let mut answer = Answer::Nothing;
        for op in ops {
            answer = naive.apply(op);
        }
        (naive, answer)
    }

    fn apply(&mut self, op: &Op) -> Answer {
        match op {
            Op::Add(record) => {
                return Answer::Added(match self.window(record.window).shape {
                    Shape::Sliding(size_ms) => self.slide(record, size_ms),
                    Shape::Session(gap_ms) => self.visit(record, gap_ms),
                    Shape::Tumbling(size_ms) => self.gather(record, size_ms, size_ms),
                    Shape::Hopping { size_ms, advance_ms } => {
                        self.gather(record, size_ms, advance_ms)
                    }
                });
            }
            Op::Put { stream_ms, key, value, ttl_ms } => {
                let expires_ms = ttl_ms.map(|ttl_ms| stream_ms + ttl_ms as i64);
                self.values.insert(*key, (*value, expires_ms));
            }
            Op::Insert { stream_ms, key, value, ttl_ms } => {
                let absent = self.get(*key, *stream_ms).is_none();
                if absent {
                    let expires_ms = ttl_ms.map(|ttl_ms| stream_ms + ttl_ms as i64);
                    self.values.insert(*key, (*value, expires_ms));
                }
                return Answer::Inserted(absent);
            }
            Op::Delete { key } => self.values.retain(|other, _| other != key),
            Op::SetTimer { key, due } => self.timers.extend([(*key, *due)]),
            Op::ClearTimer { key } => self.timers.retain(|other, _| other != key),
            Op::Fire { until_ms } => return Answer::Fired(self.fire(*until_ms)),
            Op::FireWall { now_ms } => {
                let mut due: Vec<(i64, u8)> = vec![];
                for (key, timer) in &self.timers {
                    if let Due::WallClock(due_ms) = timer
                        && due_ms <= now_ms
                    {
                        due.push((*due_ms, *key));
                    }
                }
                due.sort_unstable();
                let fired = due.iter().map(|(due_ms, key)| {
                    self.timers.remove(key);
                    Firing::Timer { key: vec![*key], due: Due::WallClock(*due_ms) }
                });
                return Answer::Fired(vec![(*now_ms, fired.collect())]);
            }
            Op::Expire { .. } => {}
            Op::Advance { stream_ms } => self.stream_ms = self.stream_ms.max(Some(*stream_ms)),
        }
        Answer::Nothing
    }

    pub(super) fn get(&self, key: u8, stream_ms: i64) -> Option<u8> {
        let (value, expires_ms) = self.values.get(&key)?;
        expires_ms.is_none_or(|expires_ms| stream_ms < expires_ms).then_some(*value)
    }

    fn window(&self, window: u32) -> &Window {
        &self.plan.windows[window as usize]
    }

    fn closes_ms(&self, gathered: &Gathered) -> i64 {
        gathered.end_ms + self.window(gathered.window).grace_ms
    }

    fn told(&self, gathered: &Gathered) -> bool {
        self.told.contains(&(gathered.window, gathered.key, gathered.start_ms))
    }

    fn closed(&self, gathered: &Gathered, stream_ms: i64) -> bool {
        self.told(gathered) || self.closes_ms(gathered) <= stream_ms
    }

    fn would_cross(&self, closed: Option<&Gathered>, record: &Record) -> bool {
        let window = self.window(record.window);
        let retained = closed.filter(|it| self.closes_ms(it) + RETENTION_MS > record.at.stream_ms);
        let mut records = retained.map_or(vec![], |it| it.records.clone());
        records.push(record.clone());
        let passes = window.crossing.passes(value_of(window.aggregate, &records));
        passes && !retained.is_some_and(|it| it.crossed)
    }

    fn gather(&mut self, record: &Record, size_ms: i64, advance_ms: i64) -> Added {
        let window = self.window(record.window).clone();
        let mut added = Added::default();
        let time_ms = record.at.event_ms;
        let starts = (time_ms - size_ms + 1..=time_ms).filter(|ms| ms.rem_euclid(advance_ms) == 0);
        for start_ms in starts {
            let end_ms = start_ms + size_ms;
            let same = |it: &Gathered| {
                (it.window, it.key, it.start_ms) == (record.window, record.key, start_ms)
            };
            let found = self.gathered.iter().position(same);
            if end_ms + window.grace_ms <= record.at.stream_ms {
                let would = self.would_cross(found.map(|at| &self.gathered[at]), record);
                late(&mut added, would);
                continue;
            }
            let mut it = match found {
                Some(found) => self.gathered.swap_remove(found),
                None => Gathered::new(record, start_ms, end_ms),
            };
            it.records.push(record.clone());
            self.cross(it, &mut added);
        }
        added
    }

    fn visit(&mut self, record: &Record, gap_ms: i64) -> Added {
        let mut added = Added::default();
        let time_ms = record.at.event_ms;
        let of_key = |it: &Gathered| (it.window, it.key) == (record.window, record.key);
        let inside = |it: &Gathered| it.start_ms <= time_ms && time_ms < it.end_ms;
        let retained = |it: &Gathered| self.closes_ms(it) + RETENTION_MS > record.at.stream_ms;
        let mut closed = self.gathered.iter().filter(|it| {
            of_key(it) && inside(it) && retained(it) && self.closed(it, record.at.stream_ms)
        });
        if let Some(closed) = closed.next() {
            late(&mut added, self.would_cross(Some(closed), record));
            return added;
        }
        let reached = |it: &Gathered| it.start_ms < time_ms + gap_ms && time_ms < it.end_ms;
        let (mut joined, rest): (Vec<Gathered>, Vec<Gathered>) = self
            .gathered
            .iter()
            .cloned()
            .partition(|it| of_key(it) && reached(it) && !self.closed(it, record.at.stream_ms));
        let grace_ms = self.window(record.window).grace_ms;
        if joined.is_empty() && time_ms + gap_ms + grace_ms <= record.at.stream_ms {
            late(&mut added, self.would_cross(None, record));
            return added;
        }
        self.gathered = rest;
        joined.sort_by_key(|it| it.start_ms);
        let mut all = Gathered::new(record, time_ms, time_ms + gap_ms);
        for it in joined {
            all.start_ms = all.start_ms.min(it.start_ms);
            all.end_ms = all.end_ms.max(it.end_ms);
            all.crossed |= it.crossed;
            all.records.extend(it.records);
        }
        all.records.push(record.clone());
        // What is no longer retained may have begun at the same time.
        self.gathered
            .retain(|it| (it.window, it.key, it.start_ms) != (all.window, all.key, all.start_ms));
        self.cross(all, &mut added);
        added
    }

    fn cross(&mut self, mut it: Gathered, added: &mut Added) {
        let window = self.window(it.window).clone();
        let passes = window.crossing.passes(value_of(window.aggregate, &it.records));
        if passes && !it.crossed {
            it.crossed = true;
            added.crossed.push(self.state(&it));
        }
        self.gathered.push(it);
    }

    fn state(&self, it: &Gathered) -> WindowState {
        let window = self.window(it.window);
        let evidence = it.records.iter().take(window.evidence as usize);
        WindowState {
            window: it.window,
            key: vec![it.key],
            start_ms: it.start_ms,
            end_ms: it.end_ms,
            value: value_of(window.aggregate, &it.records),
            count: it.records.len() as u64,
            evidence: evidence.map(|record| super::record(record.offset)).collect(),
        }
    }

    fn slide(&mut self, record: &Record, size_ms: i64) -> Added {
        let window = self.window(record.window).clone();
        let horizon_ms = record.at.stream_ms - size_ms - window.grace_ms;
        let time_ms = record.at.event_ms;
        let mut added = Added::default();
        if time_ms <= horizon_ms {
            late(&mut added, self.would_cross(None, record));
            return added;
        }
        let lives = |it: &&Record| {
            (it.window, it.key) == (record.window, record.key) && it.at.event_ms > horizon_ms
        };
        let newest_ms = self.slid.iter().filter(lives).map(|it| it.at.event_ms).max();
        let above = self.above.entry((record.window, record.key)).or_default();
        *above &= newest_ms.is_some();
        let was_above = *above;
        self.slid.push(record.clone());
        let state = self.slice(record.window, record.key, record.at, size_ms);
        let passes = state.as_ref().is_some_and(|state| window.crossing.passes(state.value));
        if passes && !was_above {
            added.crossed.extend(state);
        }
        if passes || newest_ms.is_none_or(|newest_ms| newest_ms <= time_ms) {
            self.above.insert((record.window, record.key), passes);
        }
        added
    }

    fn slice(&self, number: u32, key: u8, at: Moment, size_ms: i64) -> Option<WindowState> {
        let window = self.window(number);
        let after_ms = (at.event_ms - size_ms).max(at.stream_ms - size_ms - window.grace_ms);
        let within = |it: &&Record| {
            (it.window, it.key) == (number, key)
                && after_ms < it.at.event_ms
                && it.at.event_ms <= at.event_ms
        };
        let mut records: Vec<Record> = self.slid.iter().filter(within).cloned().collect();
        records.sort_by_key(|it| it.at.event_ms);
        let evidence = records.iter().take(window.evidence as usize);
        (!records.is_empty()).then(|| WindowState {
            window: number,
            key: vec![key],
            start_ms: at.event_ms - size_ms,
            end_ms: at.event_ms,
            value: value_of(window.aggregate, &records),
            count: records.len() as u64,
            evidence: evidence.map(|record| super::record(record.offset)).collect(),
        })
    }

    fn fire(&mut self, until_ms: i64) -> Vec<(i64, Vec<Firing>)> {
        let mut fired = vec![];
        while let Some(due_ms) = self.next_notice_ms().filter(|due_ms| *due_ms <= until_ms) {
            let due = Due::EventTime(due_ms);
            let timers = self.timers.iter().filter(|(_, timer)| **timer == due);
            let timers: Vec<u8> = timers.map(|(key, _)| *key).collect();
            self.timers.retain(|key, _| !timers.contains(key));
            let closed = self.gathered.iter().filter(|it| self.notice_ms(it) == Some(due_ms));
            let mut closed: Vec<WindowState> = closed.map(|it| self.state(it)).collect();
            closed.sort_by_key(|it| (it.key.clone(), it.start_ms, it.window));
            self.told.extend(closed.iter().map(|it| (it.window, it.key[0], it.start_ms)));
            let timers = timers.into_iter().map(|key| Firing::Timer { key: vec![key], due });
            fired.push((due_ms, timers.chain(closed.into_iter().map(Firing::Closed)).collect()));
        }
        fired
    }

    fn notice_ms(&self, it: &Gathered) -> Option<i64> {
        let tells = match self.window(it.window).closing {
            Closing::None => false,
            Closing::Crossed => it.crossed,
            Closing::All => true,
        };
        (tells && !self.told(it)).then(|| self.closes_ms(it))
    }

    pub(super) fn next_notice_ms(&self) -> Option<i64> {
        let timers = self.timers.values().filter_map(|due| match due {
            Due::EventTime(due_ms) => Some(*due_ms),
            Due::WallClock(_) => None,
        });
        timers.chain(self.gathered.iter().filter_map(|it| self.notice_ms(it))).min()
    }

    /// The windows that a time lies in.
    pub(super) fn windows(&self, number: u32, at: Moment, key: u8) -> Vec<WindowState> {
        if let Shape::Sliding(size_ms) = self.window(number).shape {
            return self.slice(number, key, at, size_ms).into_iter().collect();
        }
        let open = self.gathered.iter().filter(|it| {
            (it.window, it.key) == (number, key)
                && it.start_ms <= at.event_ms
                && at.event_ms < it.end_ms
                && !self.closed(it, at.stream_ms)
        });
        let mut open: Vec<WindowState> = open.map(|it| self.state(it)).collect();
        open.sort_by_key(|it| it.start_ms);
        open
    }

    /// All tumbling, hopping and session windows that are retained: as they are, whether they
    /// are closed and whether they crossed.
    pub(super) fn retained(&self) -> Vec<(WindowState, bool, bool)> {
        let stream_ms = self.stream_ms.unwrap_or(i64::MIN);
        let retained = self.gathered.iter().filter(|it| {
            self.closes_ms(it) + RETENTION_MS > stream_ms || self.notice_ms(it).is_some()
        });
        let mut all: Vec<_> =
            retained.map(|it| (self.state(it), self.closed(it, stream_ms), it.crossed)).collect();
        all.sort_by_key(|(it, ..)| (it.window, it.key.clone(), it.start_ms));
        all
    }
}

impl Gathered {
    fn new(record: &Record, start_ms: i64, end_ms: i64) -> Self {
        let (window, key) = (record.window, record.key);
        Self { window, key, start_ms, end_ms, records: vec![], crossed: false }
    }
}

fn late(added: &mut Added, would_cross: bool) {
    let late = added.late.get_or_insert(Late { would_cross: false, windows: 0 });
    late.windows += 1;
    late.would_cross |= would_cross;
}
