//! The lines below a message: when, who says so, about which record, how long it lasted.

use serde_json::{Value, json};

use super::{DATE_SECONDS_MAX, Manners, Piece, Story, date, text_element};
use crate::delivery::decision::day;
use crate::delivery::text::{shorten, visible};
use crate::group;
use crate::notification::Kind;
use crate::outbox::Entry;
use crate::tally;

/// Who says this, and about which record.
pub(super) fn footer(entry: &Entry, story: &Story<'_>) -> String {
    let severity = entry.notification.severity.as_str();
    let rule = visible(&entry.intent.rule, false);
    if let Some(day) = day(entry) {
        return shorten(&format!("{severity} · {rule} · digest of {}", visible(day, false)), 600);
    }
    if entry.intent.rule == tally::RULE {
        return format!("{severity} · storm · tally {}", entry.alert);
    }
    if group::is_groups(&entry.intent.rule) {
        return format!("{severity} · group {}", entry.alert);
    }
    let state = match entry.notification.kind {
        Kind::Fire => " · firing".to_owned(),
        Kind::Update if story.is_over => " · resolved · updated".to_owned(),
        Kind::Update => " · updated".to_owned(),
        Kind::Resolve => format!(" · {}", resolved(entry, story)),
    };
    let record = visible(&entry.intent.record.to_string(), false);
    shorten(&format!("{severity}{state} · {rule} · {record}"), 600)
}

/// That it is over, and how long it lasted.
pub(super) fn resolved(entry: &Entry, story: &Story<'_>) -> String {
    match lasted_from(entry, story) {
        Some((_, ms)) => format!("resolved after {}", lasted(ms)),
        None => "resolved".into(),
    }
}

/// When what ends with an entry began, and how long it lasted, milliseconds; where both are known and
/// the end is neither before the beginning nor in a year that is a mistake.
fn lasted_from(entry: &Entry, story: &Story<'_>) -> Option<(i64, i64)> {
    let opened_ms = story.opened_ms.filter(|_| entry.notification.kind == Kind::Resolve)?;
    let is_sound = (0..=entry.event_time_ms).contains(&opened_ms)
        && entry.event_time_ms / 1_000 <= DATE_SECONDS_MAX;
    is_sound.then(|| (opened_ms, entry.event_time_ms - opened_ms))
}

/// A length of time in its two largest units: `3 d 4 h`, `1 min 0 s`.
pub(super) fn lasted(ms: i64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// The event's time in the reader's zone, for an end also that of the beginning, and the way to the host's page.
pub(super) fn when(entry: &Entry, manners: &Manners, story: &Story<'_>) -> Vec<Value> {
    let mut line = Vec::new();
    if entry.event_time_ms >= 0 {
        if let Some((opened_ms, _)) = lasted_from(entry, story) {
            line.extend([instant(opened_ms), text_element(" to ", None)]);
        }
        line.push(instant(entry.event_time_ms));
    }
    if let Some(address) = &manners.public_url {
        if !line.is_empty() {
            line.push(text_element(" · ", None));
        }
        let url = format!("{address}/host");
        line.push(json!({"type": "link", "url": url, "text": "Firebell"}));
    }
    line
}

fn instant(ms: i64) -> Value {
    match date(ms) {
        Piece::Element(element, _) => element,
        Piece::Text(text, _) | Piece::Preformatted(text) => text_element(&text, None),
    }
}
