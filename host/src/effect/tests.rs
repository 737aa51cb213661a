use proptest::prelude::*;

use super::*;
use crate::notification::{Kind, Severity};

fn notify(row: u32, title: &str) -> RowEffect {
    let notification = Notification {
        alert_key: None,
        window_start_ms: None,
        severity: Severity::Info,
        kind: Kind::Fire,
        title: title.into(),
        body: vec![],
        fields: vec![],
        labels: vec![],
        channel: None,
        evidence: vec![],
        excerpt: None,
    };
    RowEffect { row, effect: Effect::Notify(Box::new(notification)) }
}

fn emit(row: u32, topic: &str) -> RowEffect {
    RowEffect { row, effect: Effect::Emit { topic: topic.into(), content: EmittedContent::Whole } }
}

#[test]
fn effects_come_into_row_order_and_keep_their_order_within_a_row() {
    let mut effects = [notify(1, "b"), emit(0, "t"), notify(1, "c"), notify(0, "a")];
    check(&mut effects, 2, &Limits::default()).unwrap();
    assert_eq!(effects, [emit(0, "t"), notify(0, "a"), notify(1, "b"), notify(1, "c")]);
}

#[test]
fn what_means_nothing_is_refused() {
    let limits = Limits::default();
    let refused = |effect: RowEffect| check(&mut [effect], 2, &limits).unwrap_err();
    assert!(matches!(refused(notify(2, "t")), InvalidEffects::Row { row: 2, rows: 2, .. }));
    assert!(matches!(refused(notify(0, " \n")), InvalidEffects::Title { index: 0 }));
    for topic in ["", ".", "..", "a b", "ä", &"x".repeat(250)] {
        assert!(matches!(refused(emit(0, topic)), InvalidEffects::Topic { .. }), "{topic}");
    }
    assert!(is_topic_name("SYSLOG_INVALID.users-2"));
}

#[test]
fn limits_are_per_record_for_counts_and_per_call_for_bytes() {
    let limits = Limits {
        notifications_per_record: 2,
        emits_per_record: 1,
        output_bytes: 200,
        ..Limits::default()
    };
    let mut fits = [notify(0, "t"), notify(1, "t"), notify(0, "t"), emit(0, "t"), emit(1, "t")];
    check(&mut fits, 2, &limits).unwrap();
    let mut three = [notify(0, "t"), notify(0, "t"), notify(0, "t")];
    let refused = check(&mut three, 1, &limits).unwrap_err();
    assert_eq!(refused, InvalidEffects::Notifications { row: 0, max: 2 });
    let refused = check(&mut [emit(1, "t"), emit(1, "t")], 2, &limits).unwrap_err();
    assert_eq!(refused, InvalidEffects::Emits { row: 1, max: 1 });
    let refused = check(&mut [notify(0, &"x".repeat(200))], 1, &limits).unwrap_err();
    assert_eq!(refused, InvalidEffects::Output { bytes: 216, max: 200 });
}

fn effects() -> impl Strategy<Value = Vec<RowEffect>> {
    let text = || prop_oneof![Just(String::new()), ".{0,8}", "[a-z]{0,300}"];
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
    let span = || {
        prop_oneof![
            text().prop_map(Span::Text),
            (text(), text()).prop_map(|(url, label)| Span::Link { url, label }),
            any::<i64>().prop_map(Span::Timestamp),
        ]
    };
    let notification = (
        (proptest::option::of(text()), proptest::option::of(any::<i64>()), text()),
        proptest::collection::vec(span(), 0..4),
        proptest::collection::vec((text(), proptest::collection::vec(span(), 0..2)), 0..3),
    )
        .prop_map(|((alert_key, window_start_ms, title), body, fields)| {
            let RowEffect { effect: Effect::Notify(simple), .. } = notify(0, &title) else {
                unreachable!("notify makes notifications")
            };
            let notification = Notification { alert_key, window_start_ms, body, fields, ..*simple };
            Effect::Notify(Box::new(notification))
        });
    let emit = (text(), bytes(), bytes()).prop_map(|(topic, key, value)| Effect::Emit {
        topic,
        content: EmittedContent::Derived { key, value, headers: vec![] },
    });
    let effect = prop_oneof![notification, emit];
    let row = prop_oneof![0_u32..4, any::<u32>()];
    proptest::collection::vec((row, effect), 0..40)
        .prop_map(|all| all.into_iter().map(|(row, effect)| RowEffect { row, effect }).collect())
}

proptest! {
    #[test]
    fn checking_never_panics_and_what_passes_is_ordered_and_within_limits(
        mut effects in effects(),
        rows in 0_usize..5,
        max in 0_u32..20,
    ) {
        let limits = Limits {
            notifications_per_record: max,
            emits_per_record: max,
            output_bytes: 2_000,
            ..Limits::default()
        };
        let before = effects.clone();
        if check(&mut effects, rows, &limits).is_ok() {
            prop_assert!(effects.is_sorted_by_key(|effect| effect.row));
            prop_assert!(effects.iter().all(|effect| (effect.row as usize) < rows));
            prop_assert!(effects.iter().map(|e| e.effect.bytes()).sum::<usize>() <= 2_000);
            prop_assert!(effects.len() <= rows * 2 * max as usize);
            prop_assert_eq!(effects.len(), before.len());
        }
    }
}
