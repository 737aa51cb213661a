use super::*;

/// What `seconds` of a stream bring, in steps of 10 ms.
fn made(rate: f64, seconds: u64) -> Vec<Fed> {
    let mut stream = Stream::new(7, rate);
    let mut out = Vec::new();
    for step in 0..seconds * 100 {
        let now_ms = 1_795_393_727_345 + i64::try_from(step).unwrap() * 10;
        stream.advance(Duration::from_millis(10), now_ms, &mut out);
    }
    out
}

fn value(fed: &Fed) -> serde_json::Value {
    serde_json::from_str(&fed.value).unwrap()
}

#[test]
fn the_rate_is_what_was_asked_for() {
    for rate in [1.0, 50.0, 777.0] {
        let count = made(rate, 60).len() as f64;
        assert!((count - rate * 60.0).abs() <= 3.0, "{count} of {rate} a second");
    }
}

#[test]
fn attempts_come_at_once_and_at_a_pace_that_a_channel_takes() {
    let seconds = 600;
    let attempts = |fed: &[Fed]| fed.iter().filter(|fed| fed.attempt).count();
    assert!(attempts(&made(50.0, 1)) >= 1);
    let a_second = attempts(&made(50.0, seconds)) as f64 / seconds as f64;
    assert!((0.6..=0.85).contains(&a_second), "{a_second}");
    let many = attempts(&made(1_000.0, 60)) as f64 / 60.0;
    assert!((0.5..=0.95).contains(&many), "{many}");
    let few = made(1.0, seconds);
    let share = attempts(&few) as f64 / few.len() as f64;
    assert!((0.1..=0.25).contains(&share), "{share}");
}

#[test]
fn only_attempts_have_what_the_rule_looks_for() {
    let records = made(50.0, 120);
    for fed in records.iter().filter(|fed| fed.topic == SYSLOG) {
        let message = value(fed)["message"].as_str().unwrap().to_owned();
        assert_eq!(message.contains("Invalid user"), fed.attempt, "{message}");
    }
    assert!(records.iter().any(|fed| fed.line.contains("for invalid user")));
}

#[test]
fn records_have_the_connectors_form() {
    let records = made(50.0, 10);
    let fed = records.iter().find(|fed| fed.attempt).unwrap();
    let value = value(fed);
    let names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    let mut wanted =
        ["date", "facility", "host", "level", "message", "charset", "remote_address", "hostname"];
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    assert_eq!(value["date"].as_i64().unwrap() % 1_000, 0);
    assert_eq!((&value["facility"], &value["level"]), (&4.into(), &6.into()));
    assert!(value["message"].as_str().unwrap().starts_with("rpi-03 sshd["), "{value}");
    let key: serde_json::Value = serde_json::from_str(fed.key.as_ref().unwrap()).unwrap();
    assert_eq!(key["remote_address"], value["remote_address"]);
    assert!(value["remote_address"].as_str().unwrap().starts_with("/192.168.42.13:"));
}

#[test]
fn a_hostile_name_is_among_the_first_and_a_notification_follows_a_burst() {
    let records = made(50.0, 8);
    assert!(records.iter().any(|fed| fed.attempt && fed.line.contains("<!channel>")));
    let told = records.iter().find(|fed| fed.topic == NOTIFY).unwrap();
    let value = value(told);
    assert_eq!(value.as_object().unwrap().len(), 2);
    assert!(value["TEXT"].is_string() && value["CHANNEL"].is_string(), "{value}");
}

#[test]
fn the_same_seed_makes_the_same_stream() {
    assert_eq!(made(50.0, 30), made(50.0, 30));
}

#[test]
fn a_process_that_stood_still_does_not_flood() {
    let mut out = Vec::new();
    Stream::new(1, 100.0).advance(Duration::from_secs(3_600), 0, &mut out);
    assert!(out.len() <= 26, "{}", out.len());
}
