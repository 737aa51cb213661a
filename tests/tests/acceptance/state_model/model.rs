//! What the rules must say, written down without any cleverness.

use std::collections::BTreeMap;

use firebell::notification::{AlertId, IntentId, Kind as Does, Notification, Severity};
use firebell::record::{RecordId, TopicPartition};

use super::UNSEEN;

/// The size of windows, and the gap of sessions.
const SIZE_MS: i64 = 100;
const GRACE_MS: i64 = 20;
const THRESHOLD: usize = 3;
/// How long a host may be silent.
const SILENCE_MS: i64 = 1_000;

/// A rule that keeps state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tumbling,
    Hopping,
    Sliding,
    Session,
    Timers { after_ms: i64 },
    Kv,
    Heartbeat,
}

impl Kind {
    pub(crate) fn config(self) -> String {
        let counter = |shape| {
            format!(
                "{{\"shape\":\"{shape}\",\"window_ms\":{SIZE_MS},\"threshold\":{THRESHOLD},\
                 \"grace_ms\":{GRACE_MS}}}"
            )
        };
        match self {
            Self::Tumbling => counter("tumbling"),
            Self::Hopping => counter("hopping"),
            Self::Sliding => counter("sliding"),
            Self::Session => counter("session"),
            Self::Timers { after_ms } => format!("{{\"after_ms\":{after_ms}}}"),
            Self::Kv => "{}".into(),
            Self::Heartbeat => format!("{{\"silence_seconds\":{}}}", SILENCE_MS / 1_000),
        }
    }

    /// What the guest calls the field with the host.
    pub(crate) fn host_field(self) -> &'static str {
        match self {
            Self::Tumbling | Self::Hopping | Self::Sliding | Self::Session => "key",
            Self::Timers { .. } | Self::Kv | Self::Heartbeat => "host",
        }
    }

    /// How many times longer everything takes.
    pub(crate) fn pace(self) -> i64 {
        if self == Self::Heartbeat { 10 } else { 1 }
    }
}

/// A record as a rule sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) offset: i64,
    /// -1: it has none.
    pub(crate) timestamp_ms: i64,
    pub(crate) host: String,
    /// The guest `kv` fails on it.
    pub(crate) fails: bool,
}

/// A notification, or a record that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Notified { record: RecordId, title: String, alert: AlertId },
    GivenUp { record: RecordId },
}

/// A window, or a session, of a host.
#[derive(Debug, Clone, PartialEq)]
struct Gathered {
    host: String,
    start_ms: i64,
    end_ms: i64,
    count: usize,
    crossed: bool,
}

/// What is known so far.
#[derive(Debug, Default)]
struct Model {
    gathered: Vec<Gathered>,
    /// Times of records by host, for sliding windows, and whether it was above at the last look.
    slid: BTreeMap<String, (Vec<i64>, bool)>,
    timers: BTreeMap<String, i64>,
    counts: BTreeMap<String, u64>,
    /// The last record of a host, and whether there is an alert about its silence.
    hosts: BTreeMap<String, (i64, bool)>,
    /// Title, alert key and window's start of what the record at hand leads to.
    says: Vec<(String, Option<String>, Option<i64>)>,
}

/// What a rule says about records that come to one partition, each with where it is from.
pub(crate) fn run(
    kind: Kind,
    rule: &str,
    seen: &[(TopicPartition, Seen)],
    fed_by: Option<usize>,
) -> Vec<Said> {
    let mut furthest: BTreeMap<&TopicPartition, i64> = BTreeMap::new();
    let (mut model, mut stream_ms, mut said) = (Model::default(), None::<i64>, vec![]);
    let mut begun = false;
    for (from, record) in seen {
        let event_ms = match record.timestamp_ms {
            -1 => stream_ms.unwrap_or(0),
            time => time,
        };
        if record.timestamp_ms >= 0 {
            let of = furthest.entry(from).or_insert(event_ms);
            *of = (*of).max(event_ms);
            let all = fed_by.is_some_and(|count| furthest.len() == count);
            let slowest_ms = furthest.values().min().copied();
            stream_ms = match fed_by {
                // The slowest of the partitions says it, once all came.
                Some(_) if begun => stream_ms.max(slowest_ms),
                Some(_) if all => slowest_ms,
                // Until then it stands at the earliest.
                Some(_) => Some(stream_ms.map_or(event_ms, |stream_ms| stream_ms.min(event_ms))),
                None => stream_ms.max(Some(event_ms)),
            };
            begun |= all;
        }
        let now_ms = stream_ms.unwrap_or(event_ms);
        let TopicPartition { topic, partition } = from.clone();
        let id = RecordId { topic, partition, offset: record.offset };
        model.fire(kind, i64::MIN, now_ms);
        said.extend(model.say(rule, &id, -1));
        if record.host == UNSEEN {
            continue;
        }
        if kind == Kind::Kv && record.fails {
            said.push(Said::GivenUp { record: id });
            continue;
        }
        model.record(kind, record, event_ms, now_ms);
        said.extend(model.say(rule, &id, record.timestamp_ms));
        model.fire(kind, now_ms, now_ms);
        said.extend(model.say(rule, &id, -1));
    }
    said
}

impl Model {
    /// What was said since the last call.
    fn say(&mut self, rule: &str, record: &RecordId, event_time_ms: i64) -> Vec<Said> {
        let says = self.says.drain(..).map(|(title, alert_key, window_start_ms)| {
            let notification = Notification {
                alert_key,
                window_start_ms,
                severity: Severity::Warning,
                kind: Does::Fire,
                title: String::new(),
                body: vec![],
                fields: vec![],
                labels: vec![],
                channel: None,
                evidence: vec![],
                excerpt: None,
            };
            let intent = IntentId { record: record.clone(), rule: rule.to_owned(), index: 0 };
            let alert = AlertId::of(&intent, event_time_ms, &notification);
            Said::Notified { record: record.clone(), title, alert }
        });
        says.collect()
    }

    fn record(&mut self, kind: Kind, record: &Seen, event_ms: i64, now_ms: i64) {
        let host = &record.host;
        match kind {
            Kind::Tumbling => self.gather(host, event_ms, now_ms, SIZE_MS),
            Kind::Hopping => self.gather(host, event_ms, now_ms, SIZE_MS / 2),
            Kind::Sliding => self.slide(host, event_ms, now_ms),
            Kind::Session => self.visit(host, event_ms, now_ms),
            Kind::Timers { after_ms } => {
                let due_ms = record.timestamp_ms.max(0) + after_ms;
                self.timers.insert(host.clone(), due_ms);
            }
            Kind::Kv => {
                let count = self.counts.entry(host.clone()).or_default();
                *count += 1;
                self.says.push((format!("{host} seen {count}"), None, None));
            }
            Kind::Heartbeat => {
                let known = self.hosts.get(host).copied();
                let late = known.is_some_and(|(last_ms, _)| record.timestamp_ms < last_ms);
                if record.timestamp_ms < 0 || late {
                    return;
                }
                self.hosts.insert(host.clone(), (record.timestamp_ms, false));
                self.timers.insert(host.clone(), record.timestamp_ms + SILENCE_MS);
                if known.is_some_and(|(_, silent)| silent) {
                    self.says.push((format!("{host} is back"), Some(host.clone()), None));
                }
            }
        }
    }

    /// Tells the timers that are due, the earliest first.
    fn fire(&mut self, kind: Kind, mut reached_ms: i64, now_ms: i64) {
        let earliest = |timers: &BTreeMap<String, i64>| {
            let due = timers.iter().map(|(host, due_ms)| (*due_ms, host.clone())).min();
            due.filter(|(due_ms, _)| *due_ms <= now_ms)
        };
        while let Some((due_ms, host)) = earliest(&self.timers) {
            self.timers.remove(&host);
            reached_ms = reached_ms.max(due_ms);
            if kind == Kind::Heartbeat {
                let title = format!("No record of {host} for 1 second");
                self.says.push((title, Some(host.clone()), None));
                self.hosts.entry(host).and_modify(|known| known.1 = true);
            } else {
                let title = format!("timer {host} due {due_ms}");
                self.says.push((title, Some(host), Some(reached_ms)));
            }
        }
    }

    /// Takes a window in and says it when it crosses.
    fn cross(&mut self, mut it: Gathered) {
        if it.count >= THRESHOLD && !it.crossed {
            it.crossed = true;
            let title = format!("count {} {}", it.host, it.count);
            self.says.push((title, Some(it.host.clone()), Some(it.start_ms)));
        }
        self.gathered.push(it);
    }

    fn gather(&mut self, host: &str, event_ms: i64, now_ms: i64, advance_ms: i64) {
        let starts = event_ms - SIZE_MS + 1..=event_ms;
        for start_ms in starts.filter(|start_ms| start_ms % advance_ms == 0) {
            let end_ms = start_ms + SIZE_MS;
            if end_ms + GRACE_MS <= now_ms {
                continue;
            }
            let same = |it: &Gathered| it.host == host && it.start_ms == start_ms;
            let mut it = match self.gathered.iter().position(same) {
                Some(found) => self.gathered.remove(found),
                None => Gathered::new(host, start_ms, end_ms),
            };
            it.count += 1;
            self.cross(it);
        }
    }

    fn visit(&mut self, host: &str, event_ms: i64, now_ms: i64) {
        let closed = |it: &Gathered| it.end_ms + GRACE_MS <= now_ms;
        let of_host = |it: &Gathered| it.host == host;
        let inside = |it: &Gathered| it.start_ms <= event_ms && event_ms < it.end_ms;
        if self.gathered.iter().any(|it| of_host(it) && inside(it) && closed(it)) {
            return;
        }
        let reached = |it: &Gathered| it.start_ms < event_ms + SIZE_MS && event_ms < it.end_ms;
        let joins = |it: &Gathered| of_host(it) && reached(it) && !closed(it);
        let joined: Vec<Gathered> = self.gathered.iter().filter(|it| joins(it)).cloned().collect();
        let mut all = Gathered::new(host, event_ms, event_ms + SIZE_MS);
        if joined.is_empty() && closed(&all) {
            return;
        }
        self.gathered.retain(|it| !joined.contains(it));
        all.count = 1;
        for it in joined {
            all.start_ms = all.start_ms.min(it.start_ms);
            all.end_ms = all.end_ms.max(it.end_ms);
            all.count += it.count;
            all.crossed |= it.crossed;
        }
        self.cross(all);
    }

    fn slide(&mut self, host: &str, event_ms: i64, now_ms: i64) {
        let horizon_ms = now_ms - SIZE_MS - GRACE_MS;
        if event_ms <= horizon_ms {
            return;
        }
        let (times, above) = self.slid.entry(host.to_owned()).or_default();
        times.retain(|time| *time > horizon_ms);
        let newest_ms = times.iter().copied().max();
        let was_above = *above && newest_ms.is_some();
        times.push(event_ms);
        let within = |time: &&i64| **time > event_ms - SIZE_MS && **time <= event_ms;
        let count = times.iter().filter(within).count();
        let passes = count >= THRESHOLD;
        *above = if passes || newest_ms.is_none_or(|newest_ms| newest_ms <= event_ms) {
            passes
        } else {
            was_above
        };
        if passes && !was_above {
            let title = format!("count {host} {count}");
            self.says.push((title, Some(host.to_owned()), Some(event_ms - SIZE_MS)));
        }
    }
}

impl Gathered {
    fn new(host: &str, start_ms: i64, end_ms: i64) -> Self {
        Self { host: host.to_owned(), start_ms, end_ms, count: 0, crossed: false }
    }
}
