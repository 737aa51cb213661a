//! Sums, their words and their JSON.

use proptest::prelude::*;

use super::*;

const SEED_MS: i64 = 1_520_176_464_000;

fn id(n: u128) -> AlertId {
    format!("{n:032x}").parse().unwrap()
}

fn told_in(rule: &str, key: Option<&str>, severity: Severity, at: i64) -> ToldIn {
    let notification = Notification {
        alert_key: key.map(str::to_owned),
        window_start_ms: None,
        severity,
        kind: Kind::Fire,
        title: "t".into(),
        body: vec![],
        fields: vec![],
        labels: vec![],
        evidence: vec![],
        excerpt: None,
        channel: None,
    };
    ToldIn::new(id(1), rule, &notification, at)
}

fn words(notification: &Notification) -> String {
    let word = |span: &Span| match span {
        Span::Text(text) | Span::Code(text) => text.clone(),
        Span::Timestamp(ms) => format!("<{ms}>"),
        other => panic!("{other:?}"),
    };
    notification.body.iter().map(word).collect()
}

#[test]
fn a_tally_counts_by_rule_and_key_and_sums_the_rest() {
    let mut sum = Sum::default();
    for n in 0..40 {
        // rpi-00 has the most, rpi-07 the least.
        for _ in 0..=(39 - n) / 5 {
            let key = format!("rpi-{:02}", n / 5);
            sum.add(&told_in("disk-full", Some(&key), Severity::Error, SEED_MS + n), n % 8 == 0);
        }
    }
    sum.add(&told_in("invalid-user", None, Severity::Warning, SEED_MS - 1), false);
    for n in 0..6 {
        sum.add(&told_in(&format!("other-{n}"), None, Severity::Info, SEED_MS), false);
    }
    let place = [Span::Text("in the ledger".into())];
    let notification = sum.notification(false, &place);
    assert_eq!((notification.kind, notification.severity), (Kind::Update, Severity::Error));
    assert_eq!(
        notification.title,
        "187 alerts told together: disk-full 180, invalid-user 1, 6 more rules 6"
    );
    assert_eq!(
        words(&notification),
        "From <1520176463999> to <1520176464039>:\n\
         • 180 alerts (26 resolved) of disk-full: rpi-00 40, rpi-01 35, rpi-02 30, rpi-03 25, \
         rpi-04 20, 3 more keys 30\n\
         • 1 alert of invalid-user\n\
         • 1 alert of other-0\n\
         • 1 alert of other-1\n\
         • 1 alert of other-2\n\
         • 3 alerts of 3 more rules\n\
         The storm goes on: they came faster than this channel is posted to. Critical alerts are \
         posted one by one. Each alert: in the ledger"
    );
}

#[test]
fn it_is_over_when_the_storm_and_all_its_alerts_are() {
    let mut sum = Sum::default();
    sum.add(&told_in("disk-full", Some("a"), Severity::Error, SEED_MS), true);
    assert_eq!(sum.notification(false, &[]).kind, Kind::Update);
    let over = sum.notification(true, &[]);
    assert_eq!(over.kind, Kind::Resolve);
    assert_eq!(over.title, "1 alert told together, all resolved: disk-full 1");
    assert!(words(&over).contains("The storm is over"));
    sum.add(&told_in("disk-full", Some("b"), Severity::Error, SEED_MS), false);
    assert_eq!(sum.notification(true, &[]).kind, Kind::Update);
    let said = Said { alerts: 2, resolved: 1, severity: Severity::Error, closed: true };
    assert_eq!((sum.said(true), sum.is_empty(), sum.last_ms()), (said, false, SEED_MS));
    assert!(Sum::default().is_empty());
}

#[test]
fn an_alert_that_fires_again_in_the_same_tally_is_counted_again() {
    let first = told_in("disk-full", Some("a"), Severity::Error, SEED_MS);
    let again = told_in("disk-full", Some("a"), Severity::Warning, SEED_MS + 5);
    let both = again.clone().after(Some(&first));
    assert_eq!((both.fires, both.first_ms, both.last_ms), (2, SEED_MS, SEED_MS + 5));
    assert_eq!(both.severity, Severity::Warning);
    let other = ToldIn { tally: id(2), ..first };
    assert_eq!(again.clone().after(Some(&other)), again);
    assert_eq!(again.clone().after(None), again);
}

#[test]
fn its_json_is_written_down() {
    let told_in = told_in("disk-full", Some(&"ä".repeat(80)), Severity::Error, SEED_MS);
    let json = serde_json::to_string(&told_in).unwrap();
    assert_eq!(serde_json::from_str::<ToldIn>(&json).unwrap(), told_in);
    assert!(told_in.key.unwrap().len() <= KEY_BYTES_MAX);
    let said = Said { alerts: 2, resolved: 1, severity: Severity::Error, closed: false };
    let tally = Tally { offset: 17, opened_ms: SEED_MS, closed_ms: None, said: Some(said) };
    let json = serde_json::to_string(&tally).unwrap();
    let expected = format!(
        r#"{{"offset":17,"opened_ms":{SEED_MS},"said":{{"alerts":2,"resolved":1,"severity":"error","closed":false}}}}"#
    );
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_str::<Tally>(&json).unwrap(), tally);
    // A newer member is none that this one must know.
    let newer = json.replace("\"offset\"", "\"more\":1,\"offset\"");
    assert_eq!(serde_json::from_str::<Tally>(&newer).unwrap(), tally);
    assert!(serde_json::from_str::<Tally>(&json.replace("error", "fatal")).is_err());
}

proptest! {
    #[test]
    fn a_sum_does_not_depend_on_the_order(
        all in proptest::collection::vec((0..3_usize, 0..4_usize, 0..1_000_i64, any::<bool>()), 1..40),
        seed: u64,
    ) {
        let add = |sum: &mut Sum, &(rule, key, at, over): &(usize, usize, i64, bool)| {
            let key = (key > 0).then(|| key.to_string());
            sum.add(&told_in(&rule.to_string(), key.as_deref(), Severity::Info, at), over);
        };
        let (mut one, mut other) = (Sum::default(), Sum::default());
        all.iter().for_each(|alert| add(&mut one, alert));
        let mut shuffled = all.clone();
        shuffled.rotate_left(usize::try_from(seed % all.len() as u64).unwrap());
        shuffled.iter().rev().for_each(|alert| add(&mut other, alert));
        prop_assert_eq!(one, other);
    }
}
