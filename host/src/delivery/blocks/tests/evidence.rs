//! The line about the records behind a notification.

use super::super::evidence::{evidence, evidence_words};
use super::*;

fn record(topic: &str, partition: i32, offset: i64) -> RecordId {
    RecordId { topic: topic.into(), partition, offset }
}

fn of(records: Vec<RecordId>) -> Entry {
    let mut entry = entry("4 invalid logins", vec![], vec![]);
    entry.notification.evidence = records;
    entry
}

fn said(entry: &Entry, max: usize) -> String {
    let line = evidence(entry, max);
    line.iter().map(|element| element["text"].as_str().unwrap()).collect()
}

#[test]
fn the_records_behind_a_notification_are_named_and_it_is_said_how_to_read_them() {
    let records = [(0, 17), (0, 19), (0, 23), (2, 5), (0, 31)];
    let entry = of(records.map(|(partition, offset)| record("SYSLOG", partition, offset)).into());
    let all = "records: SYSLOG/0/17, 19, 23 · SYSLOG/2/5 · SYSLOG/0/31 · read by \
               firebell state invalid-user --records";
    assert_eq!(said(&entry, 5), all);
    assert_eq!(evidence_words(&entry, 5), all);
    let some = said(&entry, 2);
    assert!(some.starts_with("records: SYSLOG/0/17, 19 … 3 more · read by "), "{some}");
    let message = render(&entry);
    assert_eq!(complaints(&message), Vec::<String>::new());
    assert!(message.blocks.unwrap().to_string().contains("SYSLOG/0/17, 19, 23"));
    assert!(plain(&entry, &manners(), &STORY).text.contains("firebell state invalid-user"));
    assert!(said(&of(vec![]), 5).is_empty() && evidence_words(&of(vec![]), 5).is_empty());
}

#[test]
#[allow(clippy::invisible_characters, reason = "word joiners are what keeps formatting off")]
fn what_is_in_the_record_at_hand_is_shown_as_it_is_unless_that_is_off() {
    let mut entry = of(vec![record("SYSLOG", 0, 17)]);
    let value =
        "{\"message\":\"Invalid user <!channel> *now* `x` https://evil.example/\"}\n\u{202e}";
    entry.notification.excerpt = Some(value.into());
    let message = render(&entry);
    assert_eq!(complaints(&message), Vec::<String>::new());
    insta::assert_snapshot!(message.blocks.as_ref().unwrap()[1]["elements"][1], @r#"{"elements":[{"style":{"bold":true},"text":"record: ","type":"text"},{"style":{"code":true},"text":"{\"message\":\"Invalid user <!channel> *now* `x` https://evil.example/\"} \\u{202e}","type":"text"}],"type":"rich_text_section"}"#);
    insta::assert_snapshot!(plain(&entry, &manners(), &STORY).text.replace('\u{2060}', "[j]"), @r#"
    🟡 4 invalid logins
    records: SYSLOG/0/17 · read by firebell state invalid-user --records
    record: {"message":"Invalid user &lt;!channel&gt; [j]*[j]now[j]*[j] [j]`[j]x[j]`[j] https[j]://evil.example/"} \u{202e}
    2018-03-04 15:14:24 UTC
    warning · firing · invalid-user · SYSLOG/0/42
    "#);
    let shy = Manners { hides_values: true, ..manners() };
    for hidden in [super::message(&entry, &shy, &STORY), plain(&entry, &shy, &STORY)] {
        let all = format!("{} {:?}", hidden.text, hidden.blocks);
        assert!(!all.contains("Invalid user") && all.contains("SYSLOG/0/17"), "{all}");
    }
    // Hidden characters are longer when they are shown.
    entry.notification.excerpt = Some("\u{202e}".repeat(100));
    let long = render(&entry);
    assert_eq!(complaints(&long), Vec::<String>::new());
    assert!(long.blocks.unwrap().to_string().contains("more characters"));
}

#[test]
fn records_that_the_rule_shows_itself_are_not_named_twice() {
    let mut entry = of(vec![record("SYSLOG", 0, 17), record("SYSLOG", 0, 19)]);
    let shown = vec![Span::Text("SYSLOG/0/17, SYSLOG/0/19".into())];
    entry.notification.fields = vec![("records".into(), shown)];
    assert_eq!(said(&entry, 5), "records: read by firebell state invalid-user --records");
    entry.notification.fields[0].1 = vec![Span::Text("SYSLOG/0/17, SYSLOG/0/190".into())];
    assert!(said(&entry, 5).contains("SYSLOG/0/17, 19 · "));
}

#[test]
fn names_of_topics_are_text_like_any_other() {
    let entry = of(vec![record("\u{202e}<!channel>", 0, 1), record(&"t".repeat(3_000), 1, 2)]);
    let message = render(&entry);
    assert_eq!(complaints(&message), Vec::<String>::new());
    assert_eq!(complaints(&plain(&entry, &manners(), &STORY)), Vec::<String>::new());
}
