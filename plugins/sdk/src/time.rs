//! Times as text, for titles. In a body, [`Span::Timestamp`](crate::Span::Timestamp) is shown in
//! the reader's zone and is the better choice.

use std::fmt;

/// A time that prints as `2018-03-04 15:14:24`, in UTC; see [`utc`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utc {
    timestamp_ms: i64,
}

/// The time of a timestamp in milliseconds since the Unix epoch.
///
/// ```
/// assert_eq!(firebell_rule::time::utc(1_520_176_464_000).to_string(), "2018-03-04 15:14:24");
/// ```
pub fn utc(timestamp_ms: i64) -> Utc {
    Utc { timestamp_ms }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.timestamp_ms.div_euclid(1000);
        let (year, month, day) = civil(seconds.div_euclid(86_400));
        let second = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn civil(day: i64) -> (i64, i64, i64) {
    // Days from 0000-03-01: a year that starts in March has its leap day last.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn known_times_are_right() {
        for (timestamp_ms, text) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (951_782_400_000, "2000-02-29 00:00:00"),
            (951_868_799_999, "2000-02-29 23:59:59"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
            (1_795_393_727_384, "2026-11-23 00:28:47"),
            (-62_135_596_800_000, "0001-01-01 00:00:00"),
        ] {
            assert_eq!(utc(timestamp_ms).to_string(), text);
        }
    }

    #[test]
    fn no_timestamp_is_too_far() {
        for timestamp_ms in [i64::MIN, i64::MAX] {
            assert!(!utc(timestamp_ms).to_string().is_empty());
        }
    }
}
