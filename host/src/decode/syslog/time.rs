//! Times as syslog spells them.

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAY_MS: i64 = 86_400_000;
/// The end of the year 9999; a record's timestamp behind it says nothing about a year.
const TIMESTAMP_MAX_MS: i64 = 253_402_300_799_999;

/// The time that a line starts with, and its length: RFC 3339, or `Mar  4 15:14:24`, whose year is
/// the one that brings it nearest to the record's timestamp. Without a timestamp, the date is unknown.
pub(super) fn at_start(line: &[u8], timestamp_ms: i64) -> Option<(Option<i64>, usize)> {
    if let Some((date, length)) = rfc3339(line) {
        return Some((Some(date), length));
    }
    let stamp: &[u8; 15] = line.first_chunk()?;
    let [month @ .., b' ', d1, d2, b' ', _, _, b':', _, _, b':', _, _] = stamp else {
        return None;
    };
    let month = MONTHS.iter().position(|name| name[..] == *month)? as i64 + 1;
    let day = match d1 {
        b' ' => digits(&[*d2])?,
        _ => digits(&[*d1, *d2])?,
    };
    let time = clock(&stamp[7..])?;
    if digits(&stamp[7..9]).is_none() || line.get(15).is_some_and(|byte| !b" :".contains(byte)) {
        return None;
    }
    if !(0..=TIMESTAMP_MAX_MS).contains(&timestamp_ms) {
        return Some((None, 15));
    }
    let year = year_of(timestamp_ms);
    let date = (year - 1..=year + 1)
        .filter_map(|year| Some(days(year, month, day)? * DAY_MS + time))
        .min_by_key(|date| (date - timestamp_ms).abs());
    Some((date, 15))
}

/// `2003-10-11T22:14:15.003Z` or with an offset `-07:00`, and its length.
pub(super) fn rfc3339(text: &[u8]) -> Option<(i64, usize)> {
    let start: &[u8; 19] = text.first_chunk()?;
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't', ..] = start else { return None };
    let date = days(digits(&start[..4])?, digits(&start[5..7])?, digits(&start[8..10])?)?;
    let mut ms = date * DAY_MS + clock(&start[11..])?;
    let mut at = 19;
    if text.get(at) == Some(&b'.') {
        let fraction = text[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if fraction == 0 {
            return None;
        }
        let mut unit = 100;
        for digit in &text[at + 1..at + 1 + fraction] {
            ms += i64::from(digit - b'0') * unit;
            unit /= 10;
        }
        at += 1 + fraction;
    }
    match text.get(at)? {
        b'Z' | b'z' => at += 1,
        sign @ (b'+' | b'-') => {
            let [h1, h2, b':', m1, m2] = *text[at + 1..].first_chunk()? else { return None };
            let (hours, minutes) = (digits(&[h1, h2])?, digits(&[m1, m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = (hours * 60 + minutes) * 60_000;
            ms += if *sign == b'+' { -offset } else { offset };
            at += 6;
        }
        _ => return None,
    }
    Some((ms, at))
}

/// `hh:mm:ss` in milliseconds; a leap second is the first of the next minute.
fn clock(text: &[u8]) -> Option<i64> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *text.first_chunk()? else { return None };
    let (hour, minute, second) = (digits(&[h1, h2])?, digits(&[m1, m2])?, digits(&[s1, s2])?);
    (hour < 24 && minute < 60 && second <= 60)
        .then_some(((hour * 60 + minute) * 60 + second) * 1000)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// Days since 1970-01-01; none for a day that the month does not have.
///
/// Howard Hinnant, "chrono-compatible low-level date algorithms".
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn year_of(ms: i64) -> i64 {
    let day = ms.div_euclid(DAY_MS);
    // Too early by a year in 500, which the loop makes good.
    let mut year = 1970 + day.div_euclid(366);
    while days(year + 1, 1, 1).is_some_and(|first| first <= day) {
        year += 1;
    }
    year
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_read_with_fraction_and_offset() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2003-10-11T22:14:15.003Z", 1_065_910_455_003),
            ("2003-08-24T05:14:15.000003-07:00", 1_061_727_255_000),
            ("1985-04-12T19:20:50.52-04:00", 482_196_050_520),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ] {
            assert_eq!(rfc3339(text.as_bytes()), Some((ms, text.len())), "{text}");
        }
        for text in ["2003-10-11T22:14:15", "2003-13-11T22:14:15Z", "2003-02-29T22:14:15Z", "x"] {
            assert_eq!(rfc3339(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_year_is_the_one_nearest_to_the_record() {
        let at = |text: &[u8], timestamp| at_start(text, timestamp).and_then(|(date, _)| date);
        let new_year = 1_767_225_600_000; // 2026-01-01T00:00:00Z
        assert_eq!(at(b"Dec 31 23:59:59 h", new_year + 5_000), Some(new_year - 1_000));
        assert_eq!(at(b"Jan  1 00:00:01 h", new_year - 5_000), Some(new_year + 1_000));
        assert_eq!(at(b"Mar  4 15:14:24 rpi-03", 1_772_637_264_384), Some(1_772_637_264_000));
        assert_eq!(at_start(b"Mar  4 15:14:24 rpi-03", -1), Some((None, 15)));
        assert_eq!(at_start(b"Mar 32 15:14:24 rpi-03", 0).and_then(|(date, _)| date), None);
        assert_eq!(at_start(b"March 4", 0), None);
    }

    #[test]
    fn a_year_is_found_for_every_day() {
        for (ms, year) in [(0, 1970), (951_782_400_000, 2000), (4_102_444_799_999, 2099)] {
            assert_eq!(year_of(ms), year);
        }
    }
}
