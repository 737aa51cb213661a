//! Times of a week, a month, a year: Alertmanager's time intervals.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Times that are in one of several spans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TimeInterval {
    /// The spans; a time in any of them is in the interval.
    pub spans: Vec<Span>,
}

/// Times that meet all of what is said; a list that is empty says nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span {
    /// Minutes of the day, from the first to before the second; 1440 = its end.
    pub times: Vec<(u16, u16)>,
    /// Days of the week, 0 = Sunday.
    pub weekdays: Vec<RangeInclusive<i8>>,
    /// Days of the month, from 1; negative ones from its end, -1 = the last.
    pub days_of_month: Vec<RangeInclusive<i8>>,
    /// Months, 1 = January.
    pub months: Vec<RangeInclusive<i8>>,
    /// Years.
    pub years: Vec<RangeInclusive<i16>>,
    /// Where the clock hangs; `None` = UTC.
    pub zone: Option<TimeZone>,
}

impl TimeInterval {
    /// Whether a time, milliseconds since the Unix epoch, is in it.
    pub fn contains(&self, time_ms: i64) -> bool {
        self.spans.iter().any(|span| span.contains(time_ms))
    }
}

impl Span {
    fn contains(&self, time_ms: i64) -> bool {
        let Ok(time) = Timestamp::from_millisecond(time_ms) else { return false };
        let time = time.to_zoned(self.zone.clone().unwrap_or(TimeZone::UTC));
        let minute = i16::from(time.hour()) * 60 + i16::from(time.minute());
        let minute = u16::try_from(minute).unwrap_or_default();
        let in_time = |(start, end): &(u16, u16)| (*start..*end).contains(&minute);
        let last = time.days_in_month();
        any(&self.times, in_time)
            && any(&self.days_of_month, |days| is_day(time.day(), last, days))
            && any(&self.months, |months| months.contains(&time.month()))
            && any(&self.weekdays, |days| days.contains(&time.weekday().to_sunday_zero_offset()))
            && any(&self.years, |years| years.contains(&time.year()))
    }
}

/// Whether one is it, or none is asked for.
fn any<T>(wanted: &[T], is: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(is)
}

/// Whether a day of a month with `last` days is one of `days`, cut to that month.
fn is_day(day: i8, last: i8, days: &RangeInclusive<i8>) -> bool {
    let from_start = |day: i8| if day < 0 { last + day + 1 } else { day };
    (from_start(*days.start())..=from_start(*days.end())).contains(&day)
}
