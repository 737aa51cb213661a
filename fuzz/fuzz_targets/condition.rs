//! Any text as a condition: it is refused with words, or it can be evaluated.
#![no_main]

use std::sync::Arc;

use firebell::matching::{MatchRule, Scratch, Survivors, TopicMatcher};
use firebell::record::Record;
use firebell::subscription::{Field, FieldType, Format};
use libfuzzer_sys::fuzz_target;

const VALUES: [&str; 4] = [
    "{}",
    r#"{"a":"text","b":3,"c":0.5,"d":true,"e":{"f":[1,"x",null]}}"#,
    r#"{"a":null,"b":"3","c":"x","d":"true","e":[{"f":1}]}"#,
    "not json",
];

fuzz_target!(|text: &str| {
    let field = |name: &str, field_type| Field {
        name: name.into(),
        source: format!("/{name}").parse().unwrap(),
        field_type,
    };
    let rule = MatchRule {
        format: Format::Json,
        fields: vec![
            field("a", FieldType::Text),
            field("b", FieldType::Integer),
            field("c", FieldType::Float),
            field("d", FieldType::Boolean),
            field("e", FieldType::Json),
        ],
        conditions: vec![text.to_owned()],
    };
    let matcher = match TopicMatcher::new(vec![rule; 6]) {
        Ok(matcher) => matcher,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let records: Vec<_> = (0..)
        .zip(VALUES)
        .map(|(offset, value)| Record {
            offset,
            timestamp_ms: 0,
            key: None,
            value: Some(value.as_bytes()),
            headers: &(),
        })
        .collect();
    let mut out = Survivors::default();
    matcher.scan(&Arc::from("t"), 0, &records, &mut Scratch::default(), &mut out);
    assert!(out.batches.iter().all(|batch| batch.rows == out.batches[0].rows));
});
