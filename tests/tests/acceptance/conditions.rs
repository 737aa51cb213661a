//! Conditions written by the SDK mean in the host what they say.

use std::sync::Arc;

use firebell::matching::{MatchRule, Scratch, Survivors, TopicMatcher};
use firebell::record::Record;
use firebell::subscription::{Field, FieldType, Format};
use firebell_rule::{Condition, field};

/// Texts that try to leave their quotes, and others that are hard to write.
const TEXTS: [&str; 12] = [
    "rpi-03",
    "",
    r#"a" || true || ""#,
    r"C:\new\u0041\",
    "a\nb\r\tc",
    "\u{0}\u{1f}\u{7f}\u{85}",
    "'single' `back` ${dollar} {{braces}}",
    r#"""""#,
    "ü 👽 \u{202e}",
    "// comment",
    r"\\",
    "null",
];

/// Which of the values of `host` the condition lets through.
fn passed(condition: Condition) -> Vec<usize> {
    let host = Field {
        name: "host".into(),
        source: "/host".parse().unwrap(),
        field_type: FieldType::Text,
    };
    let level = Field {
        name: "level".into(),
        source: "/level".parse().unwrap(),
        field_type: FieldType::Integer,
    };
    let rule = MatchRule {
        format: Format::Json,
        fields: vec![host, level],
        conditions: vec![condition.to_string()],
    };
    let matcher = TopicMatcher::new(vec![rule]).unwrap();
    let values: Vec<String> = TEXTS
        .iter()
        .enumerate()
        .map(|(level, text)| serde_json::json!({"host": text, "level": level}).to_string())
        .chain(["{}".to_owned()])
        .collect();
    let records: Vec<Record<'_>> = values
        .iter()
        .enumerate()
        .map(|(offset, value)| Record {
            offset: offset as i64,
            timestamp_ms: 0,
            key: None,
            value: Some(value.as_bytes()),
            headers: &(),
        })
        .collect();
    let mut out = Survivors::default();
    matcher.scan(&Arc::from("SYSLOG"), 0, &records, &mut Scratch::default(), &mut out);
    out.batches[0].rows.iter().map(|row| *row as usize).collect()
}

#[test]
fn a_text_matches_itself_and_nothing_else() {
    for (index, text) in TEXTS.iter().enumerate() {
        assert_eq!(passed(field("host").eq(*text)), [index], "{text:?}");
        assert_eq!(passed(field("host").is_in([*text])), [index], "{text:?}");
        let others: Vec<usize> = (0..TEXTS.len()).filter(|other| *other != index).collect();
        assert_eq!(passed(field("host").ne(*text)), others, "{text:?}");
        for condition in [
            field("host").contains(text),
            field("host").starts_with(text),
            field("host").ends_with(text),
        ] {
            assert!(passed(condition.clone()).contains(&index), "{condition}");
            assert_eq!(passed(condition.and(field("level").eq(index as i64))), [index]);
        }
    }
}

#[test]
fn numbers_and_connectives_mean_what_they_say() {
    let level = || field("level");
    assert_eq!(passed(level().lt(1).or(level().ge(11))), [0, 11]);
    assert_eq!(passed(level().gt(2).and(level().le(4))), [3, 4]);
    assert_eq!(passed(level().is_in([7, -1, 2])), [2, 7]);
    assert_eq!(passed(level().gt(i64::MIN).and(level().lt(2))), [0, 1]);
    assert_eq!(passed((!level().gt(1)).and(field("host").exists())), [0, 1]);
    let missing = TEXTS.len();
    assert_eq!(passed(!field("host").exists()), [missing]);
    assert_eq!(passed((!level().exists()).or(level().eq(5))), [5, missing]);
    assert_eq!(passed(level().eq(1).or(level().eq(2)).and(level().eq(2))), [2]);
}
