//! The forms of messages, written down, and inputs that nobody sends on purpose.

use super::context::lasted;
use super::*;

/// Text, then a block a line, so that a change is seen at a glance.
fn shape(message: &Message) -> String {
    let blocks = message.blocks.as_ref().and_then(Value::as_array).unwrap();
    let lines = blocks.iter().map(Value::to_string);
    std::iter::once(format!("text {}", message.text)).chain(lines).collect::<Vec<_>>().join("\n")
}

fn of(severity: Severity, kind: Kind) -> Entry {
    let fields = vec![("host".into(), vec![Span::Code("rpi-03".into())])];
    let mut entry = entry("5 invalid logins", vec![Span::Text("from one address".into())], fields);
    entry.notification.severity = severity;
    entry.notification.kind = kind;
    entry
}

#[test]
fn each_severity_and_kind_begins_with_its_mark_and_its_title() {
    let mut heads = Vec::new();
    for (severity, _) in MARKS {
        for kind in [Kind::Fire, Kind::Update, Kind::Resolve] {
            let entry = of(severity, kind);
            let opened_ms = Some(entry.event_time_ms - 250_000);
            let message = message(&entry, &manners(), &Story { opened_ms, ..STORY });
            assert_eq!(complaints(&message), Vec::<String>::new());
            let blocks = message.blocks.unwrap();
            assert_eq!(blocks[0]["text"]["text"], message.text);
            heads.push(format!(
                "{} | {}",
                message.text,
                blocks[2]["elements"][0]["text"].as_str().unwrap()
            ));
        }
    }
    insta::assert_snapshot!(heads.join("\n"), @r"
    🔵 5 invalid logins | info · firing · invalid-user · SYSLOG/0/42
    🔵 5 invalid logins | info · updated · invalid-user · SYSLOG/0/42
    ✅ 5 invalid logins | info · resolved after 4 min 10 s · invalid-user · SYSLOG/0/42
    🟡 5 invalid logins | warning · firing · invalid-user · SYSLOG/0/42
    🟡 5 invalid logins | warning · updated · invalid-user · SYSLOG/0/42
    ✅ 5 invalid logins | warning · resolved after 4 min 10 s · invalid-user · SYSLOG/0/42
    🔴 5 invalid logins | error · firing · invalid-user · SYSLOG/0/42
    🔴 5 invalid logins | error · updated · invalid-user · SYSLOG/0/42
    ✅ 5 invalid logins | error · resolved after 4 min 10 s · invalid-user · SYSLOG/0/42
    🚨 5 invalid logins | critical · firing · invalid-user · SYSLOG/0/42
    🚨 5 invalid logins | critical · updated · invalid-user · SYSLOG/0/42
    ✅ 5 invalid logins | critical · resolved after 4 min 10 s · invalid-user · SYSLOG/0/42
    ");
}

#[test]
fn a_title_that_no_header_holds_is_bold_text_and_whole() {
    for (length, kind) in [(147, "header"), (148, "rich_text"), (900, "rich_text")] {
        let title = "t".repeat(length);
        let message = render(&entry(&title, vec![], vec![]));
        let blocks = message.blocks.clone().unwrap();
        assert_eq!(blocks[0]["type"], kind, "{length}");
        assert!(blocks.to_string().contains(&title), "{length}");
        assert_eq!(complaints(&message), Vec::<String>::new());
    }
}

#[test]
fn what_is_left_out_is_counted_and_its_place_is_named() {
    let fields = (0..10_000).map(|n| (format!("f{n}"), vec![Span::Text(n.to_string())])).collect();
    let message = render(&entry("many", vec![Span::Text("x".repeat(1 << 20))], fields));
    assert_eq!(complaints(&message), Vec::<String>::new());
    let shape = shape(&message);
    assert!(
        shape.contains(" more fields; shortened, whole in the outbox topic: alert "),
        "{shape}"
    );
    assert!(shape.contains("1523dd8babe18109bdc75b8f867102c1"), "{shape}");
    // What is whole does not send people elsewhere.
    let whole = render(&of(Severity::Info, Kind::Fire));
    assert!(!self::shape(&whole).contains("shortened"));
}

#[test]
fn a_time_that_slack_cannot_show_is_shown_in_words() {
    const YEAR_60000_MS: i64 = 1_831_300_000_000_000;
    for (event_time_ms, words) in
        [(YEAR_60000_MS, "1831300000000000 ms"), (i64::MAX, "9223372036854775807 ms")]
    {
        let mut entry = entry("late", vec![Span::Timestamp(event_time_ms)], vec![]);
        entry.event_time_ms = event_time_ms;
        let message = render(&entry);
        assert_eq!(complaints(&message), Vec::<String>::new());
        assert_eq!(shape(&message).matches(words).count(), 2, "{}", shape(&message));
    }
    let mut none = entry("none", vec![], vec![]);
    none.event_time_ms = -1;
    assert!(!shape(&render(&none)).contains("date"));
}

#[test]
fn a_length_of_time_has_its_two_largest_units() {
    let shown = [0, 59_999, 60_000, 3_600_000, 90_061_000].map(lasted);
    assert_eq!(shown, ["0 s", "59 s", "1 min 0 s", "1 h 0 min", "1 d 1 h"]);
}

#[test]
fn the_oracle_knows_bad_payloads() {
    let good = render(&of(Severity::Info, Kind::Fire));
    let wrong_with = |change: &dyn Fn(&mut Message)| {
        let mut bad = good.clone();
        change(&mut bad);
        !complaints(&bad).is_empty()
    };
    assert!(wrong_with(&|bad| bad.text = "<!channel>".into()));
    assert!(wrong_with(&|bad| bad.text = "x".repeat(4_001)));
    let with = |element: Value| {
        wrong_with(&|bad| {
            bad.blocks.as_mut().unwrap()[1]["elements"][0]["elements"][0] = element.clone()
        })
    };
    assert!(with(json!({"type": "mrkdwn", "text": "x"})));
    assert!(with(json!({"type": "broadcast", "range": "here"})));
    assert!(with(json!({"type": "link", "url": "https://evil.example/", "text": "x"})));
    assert!(with(json!({"type": "text", "text": "\u{202e}x"})));
    assert!(with(json!({"type": "emoji", "name": "x"})));
    assert!(wrong_with(
        &|bad| bad.blocks.as_mut().unwrap()[0]["text"]["text"] = "x".repeat(151).into()
    ));
    assert!(wrong_with(&|bad| bad.blocks.as_mut().unwrap()[0]["text"]["emoji"] = true.into()));
}
