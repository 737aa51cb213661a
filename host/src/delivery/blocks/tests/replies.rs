//! What is said in threads, written down.

use super::*;

const OPENED_MS: i64 = 1_520_176_464_000 - 723_000;

fn told() -> Story<'static> {
    Story { opened_ms: Some(OPENED_MS), ..STORY }
}

/// Text, then a block a line.
fn shape(message: &Message) -> String {
    assert_eq!(complaints(message), Vec::<String>::new());
    let blocks = message.blocks.as_ref().and_then(Value::as_array);
    let lines = blocks.into_iter().flatten().map(Value::to_string);
    std::iter::once(format!("text {}", message.text)).chain(lines).collect::<Vec<_>>().join("\n")
}

fn of(severity: Severity, kind: Kind) -> Entry {
    let body = vec![Span::Text("disk is at 97 %, ".into()), Span::Mention("oncall".into())];
    let mut entry = entry("rpi-03: <!channel> disk", body, vec![]);
    entry.notification.severity = severity;
    entry.notification.kind = kind;
    entry
}

#[test]
fn what_got_worse_says_so_first_and_calls_whom_the_change_calls() {
    let entry = of(Severity::Critical, Kind::Update);
    let message = reply(&entry, &manners(), &told(), News::Worse(Severity::Warning));
    insta::assert_snapshot!(shape(&message), @r##"
    text 🚨 critical, was warning: rpi-03: &lt;!channel&gt; disk
    {"elements":[{"elements":[{"style":{"bold":true},"text":"🚨 critical, was warning: rpi-03: <!channel> disk","type":"text"}],"type":"rich_text_section"},{"elements":[{"text":"disk is at 97 %, ","type":"text"},{"type":"usergroup","usergroup_id":"S0AB"}],"type":"rich_text_section"},{"elements":[{"fallback":"2018-03-04 15:14:24 UTC","format":"{date_num} {time_secs}","timestamp":1520176464,"type":"date"},{"text":" · ","type":"text"},{"text":"Firebell","type":"link","url":"https://firebell.example.com/host"}],"type":"rich_text_section"}],"type":"rich_text"}
    {"elements":[{"emoji":false,"text":"critical · updated · invalid-user · SYSLOG/0/42","type":"plain_text"}],"type":"context"}
    "##);
    insta::assert_snapshot!(message.metadata.to_string(), @r#"{"event_payload":{"id":"1523dd8babe18109bdc75b8f867102c1","intent":"SYSLOG/0/42#invalid-user#0","reply":"worse","severity":"critical"},"event_type":"firebell_reply"}"#);
    let plain = reply_plain(&entry, &manners(), &told(), News::Worse(Severity::Warning));
    insta::assert_snapshot!(shape(&plain), @r##"
    text 🚨 critical, was warning: rpi-03: &lt;!channel&gt; disk
    disk is at 97 %, @oncall
    2018-03-04 15:14:24 UTC
    critical · updated · invalid-user · SYSLOG/0/42
    "##);
}

#[test]
fn what_is_over_says_how_long_it_lasted_and_calls_nobody() {
    let entry = of(Severity::Critical, Kind::Resolve);
    let message = reply(&entry, &manners(), &told(), News::Over);
    insta::assert_snapshot!(shape(&message), @r##"
    text ✅ Resolved after 12 min 3 s: rpi-03: &lt;!channel&gt; disk
    {"elements":[{"elements":[{"style":{"bold":true},"text":"✅ Resolved after 12 min 3 s: rpi-03: <!channel> disk","type":"text"}],"type":"rich_text_section"},{"elements":[{"fallback":"2018-03-04 15:02:21 UTC","format":"{date_num} {time_secs}","timestamp":1520175741,"type":"date"},{"text":" to ","type":"text"},{"fallback":"2018-03-04 15:14:24 UTC","format":"{date_num} {time_secs}","timestamp":1520176464,"type":"date"},{"text":" · ","type":"text"},{"text":"Firebell","type":"link","url":"https://firebell.example.com/host"}],"type":"rich_text_section"}],"type":"rich_text"}
    {"elements":[{"emoji":false,"text":"critical · resolved after 12 min 3 s · invalid-user · SYSLOG/0/42","type":"plain_text"}],"type":"context"}
    "##);
    let plain = reply_plain(&entry, &manners(), &told(), News::Over);
    insta::assert_snapshot!(shape(&plain), @r##"
    text ✅ Resolved after 12 min 3 s: rpi-03: &lt;!channel&gt; disk
    2018-03-04 15:14:24 UTC
    critical · resolved after 12 min 3 s · invalid-user · SYSLOG/0/42
    "##);
    // Who does not know when it began does not say how long it lasted.
    let text = reply(&entry, &manners(), &STORY, News::Over).text;
    assert_eq!(text, "✅ Resolved: rpi-03: &lt;!channel&gt; disk");
}

#[test]
fn a_change_of_what_is_over_does_not_look_as_if_it_fired() {
    let entry = of(Severity::Error, Kind::Update);
    let message = message(&entry, &manners(), &Story { is_over: true, ..told() });
    insta::assert_snapshot!(shape(&message), @r##"
    text ✅ rpi-03: &lt;!channel&gt; disk
    {"text":{"emoji":false,"text":"✅ rpi-03: <!channel> disk","type":"plain_text"},"type":"header"}
    {"elements":[{"elements":[{"text":"disk is at 97 %, ","type":"text"},{"type":"usergroup","usergroup_id":"S0AB"}],"type":"rich_text_section"},{"elements":[{"fallback":"2018-03-04 15:14:24 UTC","format":"{date_num} {time_secs}","timestamp":1520176464,"type":"date"},{"text":" · ","type":"text"},{"text":"Firebell","type":"link","url":"https://firebell.example.com/host"}],"type":"rich_text_section"}],"type":"rich_text"}
    {"elements":[{"emoji":false,"text":"error · resolved · updated · invalid-user · SYSLOG/0/42","type":"plain_text"}],"type":"context"}
    "##);
}

#[test]
fn a_resolved_message_says_from_when_to_when() {
    let entry = of(Severity::Error, Kind::Resolve);
    let message = message(&entry, &manners(), &told());
    insta::assert_snapshot!(shape(&message), @r##"
    text ✅ rpi-03: &lt;!channel&gt; disk
    {"text":{"emoji":false,"text":"✅ rpi-03: <!channel> disk","type":"plain_text"},"type":"header"}
    {"elements":[{"elements":[{"text":"disk is at 97 %, ","type":"text"},{"type":"usergroup","usergroup_id":"S0AB"}],"type":"rich_text_section"},{"elements":[{"fallback":"2018-03-04 15:02:21 UTC","format":"{date_num} {time_secs}","timestamp":1520175741,"type":"date"},{"text":" to ","type":"text"},{"fallback":"2018-03-04 15:14:24 UTC","format":"{date_num} {time_secs}","timestamp":1520176464,"type":"date"},{"text":" · ","type":"text"},{"text":"Firebell","type":"link","url":"https://firebell.example.com/host"}],"type":"rich_text_section"}],"type":"rich_text"}
    {"elements":[{"emoji":false,"text":"error · resolved after 12 min 3 s · invalid-user · SYSLOG/0/42","type":"plain_text"}],"type":"context"}
    "##);
}

#[test]
fn a_length_of_time_that_is_a_mistake_is_not_shown() {
    for (opened_ms, ended_ms) in [(5, 4), (-1, 4), (0, 1_831_300_000_000_000), (0, i64::MAX)] {
        let mut entry = of(Severity::Error, Kind::Resolve);
        entry.event_time_ms = ended_ms;
        let story = Story { opened_ms: Some(opened_ms), ..STORY };
        let message = reply(&entry, &manners(), &story, News::Over);
        assert!(message.text.starts_with("✅ Resolved: "), "{}", message.text);
        assert_eq!(complaints(&message), Vec::<String>::new());
    }
}

#[test]
fn a_reply_to_what_is_far_too_long_is_short() {
    let mut entry = of(Severity::Critical, Kind::Update);
    entry.notification.title = "t".repeat(1 << 20);
    entry.notification.body = vec![Span::Text("\"".repeat(1 << 20)); 200];
    let message = reply(&entry, &manners(), &told(), News::Worse(Severity::Info));
    assert_eq!(complaints(&message), Vec::<String>::new());
    assert!(shape(&message).len() < 6_000, "{}", shape(&message).len());
    assert!(message.text.ends_with("more characters"));
}
