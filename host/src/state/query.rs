//! Questions about what the host keeps: windows, values and timers of a rule, by key and time.

use std::collections::BTreeSet;

use firebell_state::{Due, Evidence, RuleState};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::States;
use crate::record::TopicPartition;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The rule.
    pub rule: String,
    /// Only this key; `None` = all.
    pub key: Option<Vec<u8>>,
    /// Only windows that end after this, milliseconds since the Unix epoch.
    pub from_ms: Option<i64>,
    /// Only windows that begin before this, milliseconds since the Unix epoch.
    pub to_ms: Option<i64>,
}

/// A window of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRow {
    /// The input partition that it belongs to.
    pub input: TopicPartition,
    /// The window's name.
    pub window: String,
    /// The key.
    pub key: Vec<u8>,
    /// Its first millisecond since the Unix epoch.
    pub start_ms: i64,
    /// The one after its last.
    pub end_ms: i64,
    /// The aggregate.
    pub value: f64,
    /// Records in it.
    pub count: u64,
    /// It takes no more records.
    pub closed: bool,
    /// The rule was told that it crossed.
    pub crossed: bool,
    /// The first records that made it.
    pub evidence: Vec<Evidence>,
}

/// A value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueRow {
    /// The input partition that it belongs to.
    pub input: TopicPartition,
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// Stream time at which it expires; `None` = never.
    pub expires_at_ms: Option<i64>,
}

/// A timer of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerRow {
    /// The input partition that it belongs to.
    pub input: TopicPartition,
    /// The key.
    pub key: Vec<u8>,
    /// When it is due.
    pub due: Due,
}

/// What a rule keeps, as far as it was asked for; ordered by key and time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The windows.
    pub windows: Vec<WindowRow>,
    /// The values; none where a time was asked for.
    pub values: Vec<ValueRow>,
    /// The timers; none where a time was asked for.
    pub timers: Vec<TimerRow>,
    /// Other rules that keep something, when this one keeps nothing at all.
    pub others: BTreeSet<String>,
}

impl Question {
    /// Answers from these states.
    pub fn answer(&self, states: &States) -> Answer {
        let mut answer = Answer::default();
        states.each(|input, rule, state| {
            if **rule == *self.rule {
                self.collect(input, state, &mut answer);
            }
        });
        answer
            .windows
            .sort_by(|a, b| (&a.key, a.start_ms, &a.window).cmp(&(&b.key, b.start_ms, &b.window)));
        answer.values.sort_by(|a, b| a.key.cmp(&b.key));
        answer.timers.sort_by(|a, b| a.key.cmp(&b.key));
        answer
    }

    fn collect(&self, input: &TopicPartition, state: &RuleState, answer: &mut Answer) {
        let asked = |key: &[u8]| self.key.as_deref().is_none_or(|wanted| wanted == key);
        state.each_window(&mut |window, found, closed, crossed| {
            let in_time = self.from_ms.is_none_or(|from| found.end_ms > from)
                && self.to_ms.is_none_or(|to| found.start_ms < to);
            if asked(&found.key) && in_time {
                answer.windows.push(WindowRow {
                    input: input.clone(),
                    window: window.to_owned(),
                    key: found.key,
                    start_ms: found.start_ms,
                    end_ms: found.end_ms,
                    value: found.value,
                    count: found.count,
                    closed,
                    crossed,
                    evidence: found.evidence,
                });
            }
        });
        if self.from_ms.is_some() || self.to_ms.is_some() {
            return;
        }
        state.each_value(&mut |key, value, expires_at_ms| {
            if asked(key) {
                let (key, value) = (key.to_vec(), value.to_vec());
                answer.values.push(ValueRow { input: input.clone(), key, value, expires_at_ms });
            }
        });
        state.each_timer(&mut |key, due| {
            if asked(key) {
                answer.timers.push(TimerRow { input: input.clone(), key: key.to_vec(), due });
            }
        });
    }
}

impl Answer {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.values.is_empty() && self.timers.is_empty()
    }

    /// The answer for programs. Keys and values that are not UTF-8 have U+FFFD in them.
    pub fn to_json(&self, rule: &str) -> Value {
        let windows = self.windows.iter().map(|row| {
            json!({
                "input": row.input.to_string(),
                "window": row.window,
                "key": text(&row.key),
                "start": time(row.start_ms),
                "end": time(row.end_ms),
                "start_ms": row.start_ms,
                "end_ms": row.end_ms,
                "value": row.value,
                "count": row.count,
                "closed": row.closed,
                "crossed": row.crossed,
                "evidence": row.evidence.iter().map(evidence).collect::<Vec<_>>(),
            })
        });
        let values = self.values.iter().map(|row| {
            json!({
                "input": row.input.to_string(),
                "key": text(&row.key),
                "value": text(&row.value),
                "expires_at_ms": row.expires_at_ms,
            })
        });
        let timers = self.timers.iter().map(|row| {
            let (clock, due_ms) = match row.due {
                Due::EventTime(ms) => ("event_time", ms),
                Due::WallClock(ms) => ("wall_clock", ms),
            };
            json!({
                "input": row.input.to_string(),
                "key": text(&row.key),
                "clock": clock,
                "due": time(due_ms),
                "due_ms": due_ms,
            })
        });
        json!({
            "rule": rule,
            "windows": windows.collect::<Vec<_>>(),
            "values": values.collect::<Vec<_>>(),
            "timers": timers.collect::<Vec<_>>(),
        })
    }
}

/// Where a contributing record is, as it is asked for: `TOPIC/PARTITION/OFFSET`.
fn evidence(evidence: &Evidence) -> Value {
    let Evidence { topic, partition, offset, timestamp_ms } = evidence;
    json!({ "record": format!("{topic}/{partition}/{offset}"), "timestamp_ms": timestamp_ms })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A time as people and programs read it, RFC 3339 in UTC; outside of its years the bare number.
pub fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no time; write one such as 2018-03-21T16:21:00Z, 2018-03-21 16:21 (UTC), 2018-03-21, \
     or milliseconds since 1970"
)]
pub struct InvalidTime(pub String);

/// Reads a time: RFC 3339, a date with or without a time of day in UTC, or milliseconds.
///
/// # Errors
///
/// It is none of these.
pub fn parse_time(written: &str) -> Result<i64, InvalidTime> {
    if let Ok(ms) = written.parse::<i64>() {
        return Ok(ms);
    }
    if let Ok(time) = written.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let civil = written.parse::<jiff::civil::DateTime>().ok();
    let zoned = civil.and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC).ok());
    zoned
        .map(|zoned| zoned.timestamp().as_millisecond())
        .ok_or_else(|| InvalidTime(written.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use firebell_state::{Aggregate, Closing, Crossing, Moment, Plan, Shape, Window};

    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (written, ms) in [
            ("1521649260000", 1_521_649_260_000),
            ("2018-03-21T16:21:00Z", 1_521_649_260_000),
            ("2018-03-21 16:21", 1_521_649_260_000),
            ("2018-03-21", 1_521_590_400_000),
        ] {
            assert_eq!(parse_time(written), Ok(ms), "{written}");
        }
        assert!(parse_time("yesterday").is_err());
        assert_eq!(time(1_521_649_260_000), "2018-03-21T16:21:00Z");
    }

    #[test]
    fn windows_are_found_by_key_and_time_with_their_records() {
        let window = Window {
            name: "attempts".into(),
            shape: Shape::Tumbling(60_000),
            aggregate: Aggregate::Count,
            grace_ms: 0,
            crossing: Crossing::Never,
            closing: Closing::None,
            evidence: 2,
        };
        let plan = Arc::new(Plan { version: 1, windows: vec![window], ..Plan::default() });
        let mut state = RuleState::new(usize::MAX);
        state.adopt(plan);
        for (offset, (key, event_ms)) in
            [("a", 1_000), ("a", 2_000), ("b", 3_000), ("a", 61_000)].into_iter().enumerate()
        {
            let record = Evidence {
                topic: "T".into(),
                partition: 0,
                offset: offset as i64,
                timestamp_ms: event_ms,
            };
            let at = Moment { event_ms, stream_ms: event_ms };
            state.add(0, at, &record, key.as_bytes(), 1.0).unwrap();
        }
        state.put(61_000, b"a", b"7", None).unwrap();
        let (input, mut answer) = (TopicPartition::new("T", 0), Answer::default());
        let question = Question { key: Some(b"a".to_vec()), ..Question::default() };
        question.collect(&input, &state, &mut answer);
        let found: Vec<_> = answer.windows.iter().map(|row| (row.start_ms, row.count)).collect();
        assert_eq!((found.len(), answer.values.len()), (2, 1));
        let mut early = Answer::default();
        let question = Question { to_ms: Some(60_000), ..question };
        question.collect(&input, &state, &mut early);
        assert_eq!((early.windows.len(), early.values.len()), (1, 0));
        assert_eq!((early.windows[0].count, early.windows[0].evidence.len()), (2, 2));
        let json = early.to_json("burst");
        assert_eq!(json["windows"][0]["start"], "1970-01-01T00:00:00Z");
        assert_eq!(json["windows"][0]["evidence"][1]["record"], "T/0/1");
    }
}
