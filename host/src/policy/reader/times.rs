//! `[time_intervals]`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::tz::TimeZone;
use toml::de::DeValue;

use super::super::interval::{Span, TimeInterval};
use super::super::zone;
use crate::config::reader::Table;

const WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The intervals by name.
pub(super) fn read(table: Table<'_, '_>) -> BTreeMap<Arc<str>, Arc<TimeInterval>> {
    let mut intervals = BTreeMap::new();
    for (name, mut table) in table.named_tables() {
        let zone = read_zone(&mut table);
        let spans = table.tables("intervals");
        if spans.is_empty() && table.has("intervals") {
            let cure = format!("write [[time_intervals.{name}.intervals]] and what is in it");
            table.problem("intervals", "is empty", cure);
        } else if spans.is_empty() {
            let cure = format!("write [[time_intervals.{name}.intervals]] and what is in it");
            table.missing("intervals", "is missing", &cure);
        }
        let spans = spans.into_iter().map(|span| read_span(span, zone.clone())).collect();
        table.finish();
        intervals.insert(name.into(), Arc::new(TimeInterval { spans }));
    }
    intervals
}

fn read_zone(table: &mut Table<'_, '_>) -> Option<TimeZone> {
    let name = table.text("location")?;
    let found = zone::zone(name);
    if found.is_none() {
        let cure = match zone::nearest(name) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "write a name of the IANA database such as \"Europe/Berlin\"".into(),
        };
        table.problem("location", format!("there is no time zone \"{name}\""), cure);
    }
    found
}

fn read_span(mut table: Table<'_, '_>, zone: Option<TimeZone>) -> Span {
    let span = Span {
        times: read_times(&mut table),
        weekdays: read_ranges(&mut table, "weekdays", |text| {
            let number = WEEKDAYS.iter().position(|day| *day == text)?;
            i8::try_from(number).ok()
        }),
        days_of_month: read_ranges(&mut table, "days_of_month", |text| {
            let day: i8 = text.parse().ok()?;
            (day != 0 && day.unsigned_abs() <= 31).then_some(day)
        }),
        months: read_ranges(&mut table, "months", |text| {
            let named = MONTHS.iter().position(|month| *month == text);
            let number = named.map(|number| number + 1).or_else(|| text.parse().ok())?;
            i8::try_from(number).ok().filter(|number| (1..=12).contains(number))
        }),
        years: read_ranges(&mut table, "years", |text| {
            text.parse().ok().filter(|year| (1..=9999).contains(year))
        }),
        zone: read_zone(&mut table).or(zone),
    };
    table.finish();
    span
}

/// A list of `FROM:TO` or single ones.
fn read_ranges<T: Copy + PartialOrd + Default>(
    table: &mut Table<'_, '_>,
    key: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Vec<RangeInclusive<T>> {
    let Some(texts) = table.texts(key) else { return Vec::new() };
    if texts.is_empty() {
        table.problem(key, "is empty", "leave the key out: then it says nothing");
    }
    let mut ranges = Vec::new();
    for text in texts {
        let lower = text.to_lowercase();
        let (from, to) = lower.split_once(':').unwrap_or((&lower, &lower));
        let (Some(from), Some(to)) = (read(from.trim()), read(to.trim())) else {
            table.problem(key, format!("\"{text}\" is none"), cure(key));
            continue;
        };
        // From the 5th to the last, `5:-1`, depends on the month; `-1:5` never is.
        let crosses = from >= T::default() && to < T::default();
        let wrong = if from < T::default() { to >= T::default() || to < from } else { to < from };
        if wrong && !crosses {
            let message = format!("\"{text}\" ends before it begins");
            table.problem(key, message, "write two ranges, one to the end and one from the start");
            continue;
        }
        ranges.push(from..=to);
    }
    ranges
}

fn cure(key: &str) -> &'static str {
    match key {
        "weekdays" => "write such as \"saturday\" or \"monday:friday\"",
        "days_of_month" => "write such as \"1\", \"1:5\", or \"-3:-1\" for the last three days",
        "months" => "write such as \"december\", \"may:august\" or \"1:3\"",
        _ => "write such as \"2026\" or \"2026:2028\"",
    }
}

/// `times`: each `{ start = "HH:MM", end = "HH:MM" }`.
fn read_times(table: &mut Table<'_, '_>) -> Vec<(u16, u16)> {
    if table.has("times")
        && table.entries().any(|(key, value)| {
            key == "times" && matches!(value.get_ref(), DeValue::Array(items) if items.is_empty())
        })
    {
        table.problem("times", "is empty", "leave the key out: then it says nothing");
    }
    let mut times = Vec::new();
    for mut table in table.tables("times") {
        let start = read_time(&mut table, "start", "\"22:00\"");
        let end = read_time(&mut table, "end", "\"24:00\"");
        if let (Some(start), Some(end)) = (start, end) {
            if end <= start {
                let cure = "write two, one that ends at \"24:00\" and one that begins at \"00:00\"";
                table.problem("end", "is not after the start", cure);
            }
            times.push((start, end));
        }
        table.finish();
    }
    times
}

fn read_time(table: &mut Table<'_, '_>, key: &'static str, example: &'static str) -> Option<u16> {
    let text = table.required_text(key, example)?;
    let minutes = minutes(text);
    if minutes.is_none() {
        let cure = "write hours and minutes, from \"00:00\" to \"24:00\"";
        table.problem(key, format!("\"{text}\" is not a time of day"), cure);
    }
    minutes
}

/// `HH:MM` in minutes.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= 24 * 60).then_some(hours * 60 + minutes)
}
