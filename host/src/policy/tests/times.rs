//! Time intervals.

use super::{labels, policy};

/// Whether a time is muted by an interval with these lines.
fn muted(lines: &str, time: &str) -> bool {
    let text = format!(
        "[[route.routes]]\nmatchers = ['a=\"1\"']\nmute_time_intervals = ['i']\n\
         [[time_intervals.i.intervals]]\n{lines}\n"
    );
    let at = time.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let manner = policy(&text).manner(&labels([("a", "1"), ("channel", "c")]), "c");
    let name = manner.muted(at);
    assert!(name.is_none_or(|name| name == "i"));
    name.is_some()
}

#[track_caller]
fn check(lines: &str, inside: &[&str], outside: &[&str]) {
    for time in inside {
        assert!(muted(lines, time), "{time} is in {lines}");
    }
    for time in outside {
        assert!(!muted(lines, time), "{time} is not in {lines}");
    }
}

/// The cases of Alertmanager's `timeinterval_test.go`.
#[test]
fn alertmanagers_cases() {
    check("", &["2026-01-01T00:00:00Z"], &[]);
    // 9am to 5pm, Monday to Friday.
    check(
        "times = [{start = '09:00', end = '17:00'}]\nweekdays = ['monday:friday']",
        &["2020-07-08T09:04:00Z", "2020-07-08T16:59:59Z", "2020-07-06T09:00:00Z"],
        &["2020-07-08T08:59:59Z", "2020-07-08T17:00:00Z", "2020-07-11T10:00:00Z"],
    );
    // Easter 2020.
    check(
        "days_of_month = ['4:6']\nmonths = ['4:4']\nyears = ['2020']",
        &["2020-04-04T15:04:00Z", "2020-04-06T23:05:00Z"],
        &["2020-05-03T15:04:00Z", "2021-04-04T15:04:00Z", "2020-04-07T00:00:00Z"],
    );
    // The last three days of a month.
    check(
        "days_of_month = ['-3:-1']",
        &[
            "2021-02-26T00:00:00Z",
            "2021-02-28T23:59:00Z",
            "2020-02-29T10:00:00Z",
            "2021-01-31T10:00:00Z",
        ],
        &["2021-02-25T23:59:00Z", "2021-03-28T10:00:00Z"],
    );
    // From the first to the last, and days that a month does not have.
    check("days_of_month = ['1:-1']", &["2021-02-28T10:00:00Z", "2021-01-31T10:00:00Z"], &[]);
    check("days_of_month = ['31']", &["2021-01-31T10:00:00Z"], &["2021-02-28T10:00:00Z"]);
    check("days_of_month = ['-31:-31']", &["2021-01-01T10:00:00Z"], &["2021-02-01T10:00:00Z"]);
    check(
        "months = ['december', 'may:july']",
        &["2026-12-24T10:00:00Z", "2026-06-24T10:00:00Z"],
        &["2026-08-01T00:00:00Z"],
    );
    check(
        "weekdays = ['saturday', 'Sunday']",
        &["2026-11-28T10:00:00Z", "2026-11-29T10:00:00Z"],
        &["2026-11-26T10:00:00Z"],
    );
}

#[test]
fn the_clock_hangs_where_the_location_says() {
    let nights = "times = [{start = '22:00', end = '24:00'}]\nlocation = 'Europe/Berlin'";
    // UTC+1 in winter, UTC+2 in summer.
    check(
        nights,
        &["2026-11-26T21:00:00Z", "2026-07-01T20:00:00Z"],
        &["2026-11-26T20:59:59Z", "2026-07-01T22:00:00Z"],
    );
    // The day begins there, too.
    check(
        "weekdays = ['friday']\nlocation = 'Australia/Sydney'",
        &["2026-11-26T13:00:00Z"],
        &["2026-11-27T13:00:00Z"],
    );
}

#[test]
fn an_active_interval_mutes_what_is_outside_and_is_not_inherited() {
    let policy = policy(
        r#"
[[route.routes]]
matchers = ['team = "day"']
active_time_intervals = ["office"]
mute_time_intervals = ["noon"]
[[route.routes.routes]]
matchers = ['severity = "critical"']
[time_intervals.office]
location = "Europe/Berlin"
[[time_intervals.office.intervals]]
times = [{ start = "09:00", end = "17:00" }]
[time_intervals.noon]
[[time_intervals.noon.intervals]]
times = [{ start = "12:00", end = "13:00" }]
location = "Europe/Berlin"
"#,
    );
    let at = |time: &str| time.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let day = policy.manner(&labels([("team", "day"), ("channel", "c")]), "c");
    assert_eq!(day.muted(at("2026-11-26T08:00:00Z")), None);
    assert_eq!(day.muted(at("2026-11-26T07:59:00Z")), Some("office"));
    assert_eq!(day.muted(at("2026-11-26T11:30:00Z")), Some("noon"));
    let critical = labels([("team", "day"), ("severity", "critical"), ("channel", "c")]);
    assert_eq!(policy.manner(&critical, "c").muted(at("2026-11-26T00:00:00Z")), None);
}
