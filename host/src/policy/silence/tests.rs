//! Silences, their checks and their wire form.

use super::*;

const NOW: i64 = 1_795_000_000_000;
const HOUR: i64 = 3_600_000;

fn silence(matchers: &[&str]) -> Silence {
    Silence {
        id: "0123456789abcdef0123456789abcdef".into(),
        matchers: Matchers(matchers.iter().map(|text| text.parse().unwrap()).collect()),
        starts_at_ms: NOW,
        ends_at_ms: NOW + 2 * HOUR,
        updated_at_ms: NOW,
        created_by: "ana".into(),
        comment: "maintenance of rpi-03".into(),
    }
}

fn labels() -> Labels {
    [("rule", "ssh-login"), ("host", "rpi-03")].into_iter().collect()
}

#[test]
fn a_silence_holds_from_its_start_to_before_its_end() {
    let silence = silence(&["rule = ssh-login", "host =~ 'rpi-.*'".replace('\'', "\"").as_str()]);
    let at = |now: i64| (silence.state(now), silence.silences(&labels(), now));
    assert_eq!(at(NOW - 1), (SilenceState::Pending, false));
    assert_eq!(at(NOW), (SilenceState::Active, true));
    assert_eq!(at(NOW + 2 * HOUR - 1), (SilenceState::Active, true));
    assert_eq!(at(NOW + 2 * HOUR), (SilenceState::Expired, false));
    let other = [("rule", "ssh-login")].into_iter().collect();
    assert!(!silence.silences(&other, NOW), "all matchers must match");
    assert!(!silence.is_forgotten(NOW + 2 * HOUR + KEPT_MS - 1));
    assert!(silence.is_forgotten(NOW + 2 * HOUR + KEPT_MS));
}

#[test]
fn a_silence_that_cannot_be_meant_is_refused() {
    let good = silence(&["rule = ssh-login"]);
    assert_eq!(good.check(NOW), Ok(()));
    let check = |change: &dyn Fn(&mut Silence)| {
        let mut silence = good.clone();
        change(&mut silence);
        silence.check(NOW).unwrap_err()
    };
    assert_eq!(check(&|s| s.ends_at_ms = s.starts_at_ms), InvalidSilence::Order);
    assert_eq!(check(&|s| s.ends_at_ms = s.starts_at_ms - 1), InvalidSilence::Order);
    let past = |s: &mut Silence| (s.starts_at_ms, s.ends_at_ms) = (NOW - HOUR, NOW);
    assert_eq!(check(&past), InvalidSilence::Past);
    assert_eq!(check(&|s| s.matchers.0.clear()), InvalidSilence::Empty);
    let all = |s: &mut Silence| s.matchers = silence(&["rule !~ x", "host = \"\""]).matchers;
    assert_eq!(check(&all), InvalidSilence::Everything);
    let crit =
        |s: &mut Silence| s.matchers = silence(&["rule = x", "severity =~ \"crit\""]).matchers;
    let told = check(&crit).to_string();
    assert!(told.contains("critical, error, warning, info") && told.contains("crit\""), "{told}");
    let bad = silence(&["rule = x", "severity =~ \"crit.*|error\"", "severity != info"]);
    assert_eq!(bad.check(NOW), Ok(()));
    assert_eq!(check(&|s| s.comment = " ".into()), InvalidSilence::Comment);
    assert_eq!(check(&|s| s.created_by.clear()), InvalidSilence::Author);
}

#[test]
fn an_expired_silence_ends_now() {
    let active = silence(&["rule = ssh-login"]);
    let expired = active.expired(NOW + HOUR).unwrap();
    assert_eq!((expired.starts_at_ms, expired.ends_at_ms), (NOW, NOW + HOUR));
    assert_eq!(expired.expired(NOW + HOUR), None);
    let pending = active.expired(NOW - HOUR).unwrap();
    assert_eq!(pending.state(NOW - HOUR), SilenceState::Expired);
    assert_eq!((pending.starts_at_ms, pending.ends_at_ms), (NOW - HOUR, NOW - HOUR));
}

#[test]
fn version_1_is_written_down_and_reads_back() {
    let silence = silence(&["rule = ssh-login", "host !~ \"a\\\"b|c\"", "x != 1", "y =~ .+"]);
    let bytes = silence.to_bytes();
    insta::assert_snapshot!(String::from_utf8(bytes.clone()).unwrap(), @r##"{"comment":"maintenance of rpi-03","createdBy":"ana","endsAt":"2026-11-18T13:06:40Z","id":"0123456789abcdef0123456789abcdef","matchers":[{"isEqual":true,"isRegex":false,"name":"rule","value":"ssh-login"},{"isEqual":false,"isRegex":true,"name":"host","value":"a\"b|c"},{"isEqual":false,"isRegex":false,"name":"x","value":"1"},{"isEqual":true,"isRegex":true,"name":"y","value":".+"}],"startsAt":"2026-11-18T11:06:40Z","updatedAt":"2026-11-18T11:06:40Z","v":1}"##);
    assert_eq!(Silence::from_bytes(&bytes).unwrap(), silence);
    let newer = String::from_utf8(bytes).unwrap().replace("\"v\":1", "\"v\":2");
    let error = Silence::from_bytes(newer.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("version 2"), "{error}");
    assert!(Silence::from_bytes(b"{\"v\":1}").is_err());
}

#[test]
fn a_request_is_alertmanagers() {
    let body = br#"{"matchers":[{"name":"rule","value":"ssh-.*","isRegex":true}],
        "startsAt":"2026-11-26T10:00:00Z","endsAt":"2026-11-26T12:00:00+02:00","createdBy":"a","comment":"c"}"#;
    let request = |now| SilenceRequest::from_bytes(body).unwrap().silence("i".into(), now);
    let now = "2026-11-26T10:30:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let ended = request(now).unwrap_err();
    assert!(matches!(ended, SilenceError::Invalid(InvalidSilence::Order)), "{ended}");
    let later = std::str::from_utf8(body).unwrap().replace("+02:00", "Z");
    let silence = SilenceRequest::from_bytes(later.as_bytes()).unwrap().silence("i".into(), now);
    assert_eq!(silence.unwrap().matchers.0[0].to_string(), "rule=~\"ssh-.*\"");
    let unknown = later.replace("comment", "coment");
    assert!(SilenceRequest::from_bytes(unknown.as_bytes()).is_err());
}

#[test]
fn silences_are_set_replaced_and_taken_out() {
    let silences = Silences::default();
    let one = silence(&["rule = ssh-login"]);
    silences.set(&one.id, Some(one.clone()));
    assert_eq!(
        silences.silencing(&labels(), NOW).map(|found| found.id.clone()),
        Some(one.id.clone())
    );
    silences.set(&one.id, one.expired(NOW));
    assert_eq!(silences.silencing(&labels(), NOW), None);
    assert_eq!(silences.all().len(), 1);
    assert_eq!(silences.named("0123").unwrap().id, one.id);
    let told = |id: &str| silences.named(id).unwrap_err();
    assert!(told("1").contains("no silence `1`") && told("").contains("no silence"));
    let other = Silence { id: "01ff".into(), ..one.clone() };
    silences.set("01ff", Some(other));
    assert!(told("01").contains("may be 0123456789abcdef0123456789abcdef or 01ff"));
    assert_eq!(silences.named("01ff").unwrap().id, "01ff");
    silences.set("01ff", None);
    silences.set(&one.id, None);
    assert!(silences.all().is_empty() && silences.get(&one.id).is_none());
}
