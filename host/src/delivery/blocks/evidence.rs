//! The records behind a notification: where they are, how to read them, and what is in the last one.
//!
//! A notification has their places; of what is in them only the beginning of the record that caused it.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Manners, text_element};
use crate::delivery::text::{shorten, visible};
use crate::notification::Span;
use crate::outbox::Entry;
use crate::record::RecordId;

/// Units of the list; topics have long names.
const LIST_UNITS_MAX: usize = 600;
/// Units of what is in a record; hidden characters become longer when they are shown.
const EXCERPT_UNITS_MAX: usize = 400;

/// The line about them as elements, with at most `max` of them; empty where none are known.
pub(super) fn evidence(entry: &Entry, max: usize) -> Vec<Value> {
    let records = &entry.notification.evidence;
    if records.is_empty() {
        return Vec::new();
    }
    let mut line = vec![text_element("records: ", Some("bold"))];
    if !is_shown(entry) {
        line.push(text_element(&list(records, max), Some("code")));
        line.push(text_element(&left_out(records, max), None));
    }
    line.push(text_element("read by ", None));
    line.push(text_element(&command(entry), Some("code")));
    line
}

/// The same in words.
pub(super) fn evidence_words(entry: &Entry, max: usize) -> String {
    let records = &entry.notification.evidence;
    match records.is_empty() {
        true => String::new(),
        false if is_shown(entry) => format!("records: read by {}", command(entry)),
        false => {
            let (list, left_out) = (list(records, max), left_out(records, max));
            format!("records: {list}{left_out}read by {}", command(entry))
        }
    }
}

/// The beginning of the record that caused a notification, on one line; `None` = it is not known, or not
/// to be shown.
pub(super) fn excerpt(entry: &Entry, manners: &Manners) -> Option<String> {
    let text = entry.notification.excerpt.as_deref().filter(|_| !manners.hides_values)?;
    let shown = visible(text, false);
    (!shown.trim().is_empty()).then(|| shorten(&shown, EXCERPT_UNITS_MAX))
}

fn command(entry: &Entry) -> String {
    shorten(&format!("firebell state {} --records", visible(&entry.intent.rule, false)), 300)
}

fn left_out(records: &[RecordId], max: usize) -> String {
    match records.len().saturating_sub(max) {
        0 => " · ".into(),
        more => format!(" … {more} more · "),
    }
}

/// Places, with a topic and partition once for all that follow: `SYSLOG/0/17, 19 · SYSLOG/2/5`.
fn list(records: &[RecordId], max: usize) -> String {
    let mut list = String::new();
    let mut before: Option<&RecordId> = None;
    for record in records.iter().take(max) {
        let same = |before: &RecordId| {
            (&before.topic, before.partition) == (&record.topic, record.partition)
        };
        // Writing to a text cannot fail.
        let _written = match before {
            Some(before) if same(before) => write!(list, ", {}", record.offset),
            Some(_) => write!(list, " · {record}"),
            None => write!(list, "{record}"),
        };
        before = Some(record);
    }
    shorten(&visible(&list, false), LIST_UNITS_MAX)
}

/// Whether the rule shows all of them itself, in one of its fields.
fn is_shown(entry: &Entry) -> bool {
    let has_all = |spans: &Vec<Span>| {
        let mut places: Vec<&str> = Vec::new();
        for span in spans {
            if let Span::Text(text) | Span::Code(text) | Span::Emphasis(text) = span {
                places.extend(text.split(", ").map(str::trim));
            }
        }
        let has = |record: &RecordId| places.contains(&record.to_string().as_str());
        entry.notification.evidence.iter().all(has)
    };
    entry.notification.fields.iter().any(|(_, spans)| has_all(spans))
}
