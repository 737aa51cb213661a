//! Conditions, their errors, and what a scan gives.

mod naive;

use super::*;
use crate::record::Headers;
use crate::subscription::FieldType;

fn field(name: &str, source: &str, field_type: FieldType) -> Field {
    Field { name: name.into(), source: source.parse().unwrap(), field_type }
}

fn fields() -> Vec<Field> {
    vec![
        field("host", "/host", FieldType::Text),
        field("message", "/message", FieldType::Text),
        field("level", "/level", FieldType::Integer),
        field("load", "/load", FieldType::Float),
        field("up", "/up", FieldType::Boolean),
        field("labels", "/labels", FieldType::Json),
        field("key", "$key", FieldType::Text),
        field("log.level", "/log/level", FieldType::Text),
        field("type", "/type", FieldType::Text),
    ]
}

fn rule(condition: &str) -> MatchRule {
    MatchRule { format: Format::Json, fields: fields(), conditions: vec![condition.to_owned()] }
}

fn record(offset: i64, value: Option<&str>) -> Record<'_> {
    Record {
        offset,
        timestamp_ms: offset * 10,
        key: Some(b"k1"),
        value: value.map(str::as_bytes),
        headers: &(),
    }
}

fn scan(matcher: &TopicMatcher, records: &[Record<'_>]) -> Survivors {
    let mut out = Survivors::default();
    matcher.scan(&"t".into(), 3, records, &mut Scratch::default(), &mut out);
    out
}

/// Whether a condition lets a value through.
fn holds(condition: &str, value: &str) -> bool {
    let matcher =
        TopicMatcher::new(vec![rule(condition)]).unwrap_or_else(|error| panic!("{error}"));
    let out = scan(&matcher, &[record(0, Some(value))]);
    assert_eq!(out.undecodable, [], "{value}");
    !out.batches[0].rows.is_empty()
}

const VALUE: &str = r#"{"host":"rpi-03","message":"sshd: Invalid user Bob","level":4,"load":0.5,
    "up":true,"labels":{"env":"prod","zones":["a","b"]},"log":{"level":"warn"},"type":"syslog"}"#;

#[test]
fn conditions_mean_what_they_say() {
    for (condition, expected) in [
        ("host == 'rpi-03'", true),
        ("'rpi-03' == host", true),
        ("host != 'rpi-03'", false),
        ("host in ['a', 'rpi-03']", true),
        ("!(host in ['a', 'b'])", true),
        ("host == 'rpi-03' && message.contains('Invalid user')", true),
        ("host == 'rpi-04' || message.startsWith('sshd')", true),
        ("message.endsWith('Bob')", true),
        ("message.endsWith('bob')", false),
        ("message.lowerAscii().endsWith('bob')", true),
        ("host.upperAscii() == 'RPI-03'", true),
        ("message.matches('user [A-Z]ob$')", true),
        ("!message.matches('^Invalid')", true),
        ("level == 4", true),
        ("level <= 3", false),
        ("4 < level", false),
        ("4 <= level", true),
        ("level < 4.5 && level > 3.5", true),
        ("level in [1, 4]", true),
        ("load > 0", true),
        ("load == 0.5", true),
        ("up", true),
        ("!up", false),
        ("up == false", false),
        ("up != false", true),
        ("has(host) && !has(type) || has(log.level)", true),
        ("log.level == 'warn'", true),
        ("type == 'syslog'", true),
        ("host < 'rpi-04' && host >= 'rpi-03'", true),
        ("size(host) == 6 && host.size() > 5", true),
        ("key == 'k1'", true),
        ("true", true),
        ("false || false", false),
        // The interpreter's.
        ("level + 1 == 5", true),
        ("level > 3 ? host == 'rpi-03' : false", true),
        ("labels.env == 'prod'", true),
        ("has(labels.env) && !has(labels.other)", true),
        ("'a' in labels.zones", true),
        ("labels.zones.exists(z, z == 'b')", true),
        ("labels.zones.all(z, z == 'b')", false),
        ("labels.zones.exists_one(z, z == 'b')", true),
        ("size(labels.zones.filter(host, host != 'a')) == 1", true),
        ("message.split(' ')[1] == 'Invalid'", true),
        ("message.contains(type)", false),
        ("string(level) == '4'", true),
    ] {
        assert_eq!(holds(condition, VALUE), expected, "{condition}");
    }
}

#[test]
fn a_null_field_makes_its_comparison_unknown_and_unknown_never_matches() {
    for null in ["{}", r#"{"host":null,"level":null}"#, r#"{"host":[1],"level":"x","up":"x"}"#] {
        for condition in [
            "host == 'a'",
            "host != 'a'",
            "!(host == 'a')",
            "!(host != 'a')",
            "host in ['a']",
            "!(host in ['a'])",
            "!host.contains('a')",
            "level < 3",
            "!(level < 3)",
            "level != 3",
            "up",
            "!up",
            "has(host)",
            "host == 'a' || false",
            "!(host == 'a' && true)",
            "size(host) == 0",
            "!(size(host) > 3)",
            "!(level + 1 > 3)",
            "level + 1 < 100",
            "host < 'z'",
            "!(host < 'z')",
            "!host.matches('x')",
            "has(level) || level < 9",
        ] {
            assert!(!holds(condition, null), "{condition} on {null}");
        }
        for condition in [
            "!has(host)",
            "!has(host) || host != 'a'",
            "host == 'a' || true",
            "!(host == 'a' && false)",
            "!(has(host) && host == 'a')",
            "true || level + 1 > 3",
            "!has(level) && !has(up)",
        ] {
            assert!(holds(condition, null), "{condition} on {null}");
        }
    }
}

#[test]
fn a_condition_that_cannot_be_used_says_where_and_why() {
    for (condition, message) in [
        (
            "hots == 'a'",
            "condition `hots == 'a'`, column 1: `hots` is not a field of this rule (did you mean \
             `host`?); it has host, message, level, load, up, labels, key, log.level, type",
        ),
        (
            "host == 'ü' && has(levle)",
            "condition `host == 'ü' && has(levle)`, column 20: `levle` is not a field of this rule \
             (did you mean `level`?); it has host, message, level, load, up, labels, key, \
             log.level, type",
        ),
        (
            "level == 'a'",
            "condition `level == 'a'`, column 7: `level` is an integer and cannot be compared with \
             the text \"a\"",
        ),
        (
            "host == 3",
            "condition `host == 3`, column 6: `host` is a text and cannot be compared with the number 3",
        ),
        (
            "host == null",
            "condition `host == null`, column 6: `host` is a text and cannot be compared with null \
             (a field is asked for with `has(name)`)",
        ),
        ("host", "condition `host`, column 1: `host` is a text, not a condition"),
        ("'host'", "condition `'host'`, column 1: the text \"host\" is not a condition"),
        (
            "level + 1",
            "condition `level + 1`, column 7: not a condition: it is neither true nor false",
        ),
        (
            "level.contains('4')",
            "condition `level.contains('4')`, column 1: `level` is an integer; `contains` asks a text",
        ),
        (
            "host.contains(4)",
            "condition `host.contains(4)`, column 15: `contains` asks for a text, not the number 4",
        ),
        (
            "host.startWith('4')",
            "condition `host.startWith('4')`, column 15: `startWith` is not a function (did you mean `startsWith`?)",
        ),
        (
            "level in ['4']",
            "condition `level in ['4']`, column 11: `level` is an integer and is never the text \"4\"",
        ),
        (
            "host.matches(message)",
            "condition `host.matches(message)`, column 13: `matches` takes a field and a literal regular expression",
        ),
    ] {
        let error = check_condition(condition, &fields()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    for condition in [
        "host ==",
        "",
        "(((",
        "host == 'a",
        "host.matches('(')",
        "a.b.c == 1",
        "host == 'a'\n  && bad",
        "has(1)",
        "host + 1 == 'x'",
        "-host == 'x'",
    ] {
        let error = check_condition(condition, &fields()).unwrap_err();
        assert!(!error.to_string().ends_with(": "), "{error}");
    }
    let error = check_condition("host == 'a' &&\n  nohost == 'b'", &fields()).unwrap_err();
    assert_eq!(error.place, Place { line: 2, column: 3 });
    assert!(check_condition("host == 'a'", &[]).unwrap_err().to_string().ends_with("it has none"));
}

#[test]
fn hostile_conditions_are_errors() {
    for condition in [
        "(".repeat(16_000),
        "(".repeat(30),
        "'\\q'".to_owned() + &"(".repeat(16_000),
        "// '\n".to_owned() + &"(".repeat(16_000),
        "r'\\'".to_owned() + &"(".repeat(16_000),
        "\"\"\" \"\" ' \"\"\"".to_owned() + &"(".repeat(16_000),
        "[1].all(a, [1].all(b, a == b))".to_owned(),
        "[1].all(a, a == 1) == up && ".repeat(10) + "up",
        "!".repeat(16_000),
        "[".repeat(8_000),
        "1+".repeat(8_000) + "1 == 1",
        "host.".repeat(3_000) + "x == 1",
        "x".repeat(20_000),
        format!("host.matches('{}')", "(a{1000}){1000}".repeat(3)),
        "up ? ".repeat(3_000) + "up" + &" : up".repeat(3_000),
    ] {
        check_condition(&condition, &fields()).unwrap_err();
    }
    check_condition(&("!".repeat(2_000) + "up"), &fields()).unwrap();
    let chain = vec!["host == 'a'"; 1_000].join(" || ");
    check_condition(&chain, &fields()).unwrap();
}

#[test]
fn survivors_are_columns_in_offset_order() {
    let values = [
        r#"{"host":"a","level":1}"#,
        r#"{"host":"b","level":2}"#,
        "{}",
        r#"{"host":"a","level":"x"}"#,
        r#"{"host":"a","level":"7"}"#,
    ];
    let records: Vec<_> =
        values.iter().enumerate().map(|(i, value)| record(i as i64 + 5, Some(value))).collect();
    let rule = |condition: &str| MatchRule {
        format: Format::Json,
        fields: vec![
            field("host", "/host", FieldType::Text),
            field("level", "/level", FieldType::Integer),
        ],
        conditions: vec![condition.to_owned()],
    };
    let matcher =
        TopicMatcher::new(vec![rule("host == 'a'"), rule("host == 'c'"), rule("true")]).unwrap();
    let mut out = Survivors::default();
    let mut scratch = Scratch::default();
    let topic = "t".into();
    for _ in 0..2 {
        matcher.scan(&topic, 3, &records, &mut scratch, &mut out);
        assert_eq!(out.matched, [0, 2]);
        let RuleBatch { batch, rows, mismatched } = &out.batches[0];
        assert_eq!(*rows, [0, 3, 4]);
        assert_eq!(*mismatched, 1);
        assert_eq!((&*batch.topic, batch.partition), ("t", 3));
        assert_eq!(batch.offsets, [5, 8, 9]);
        assert_eq!(batch.timestamps, [50, 80, 90]);
        assert_eq!(batch.ends, [1, 9, 10, 10, 11, 19]);
        assert_eq!(batch.cells, b"a\x01\0\0\0\0\0\0\0aa\x07\0\0\0\0\0\0\0");
        assert_eq!(batch.nulls, [0b1000]);
        assert_eq!(out.batches[2].batch.nulls, [0b1011_0000, 0]);
        assert_eq!(out.batches[2].mismatched, 1);
    }
    matcher.scan(&topic, 3, &[], &mut scratch, &mut out);
    assert!(out.matched.is_empty() && out.batches.iter().all(|batch| batch.rows.is_empty()));
    assert!(out.batches[0].batch.cells.is_empty() && out.batches[0].batch.nulls.is_empty());
}

#[test]
fn a_record_that_cannot_be_decoded_is_reported_only_if_a_rule_might_want_it() {
    let records = [record(0, Some("no json")), record(1, None), record(2, Some("{}"))];
    let reported = |conditions: &[&str]| {
        let rules = conditions.iter().map(|condition| rule(condition)).collect();
        let out = scan(&TopicMatcher::new(rules).unwrap(), &records);
        let matched: Vec<_> = out.batches.iter().map(|batch| batch.rows.clone()).collect();
        (out.undecodable.iter().map(|undecodable| undecodable.record).collect::<Vec<_>>(), matched)
    };
    assert_eq!(reported(&["level == 3"]), (vec![0], vec![vec![]]));
    assert_eq!(reported(&["true"]), (vec![0], vec![vec![1, 2]]));
    assert_eq!(reported(&["level == 3 && key == 'other'"]), (vec![], vec![vec![]]));
    assert_eq!(reported(&["level == 3 || key == 'k1'"]), (vec![0], vec![vec![1, 2]]));
    assert_eq!(reported(&["false"]), (vec![], vec![vec![]]));

    // A rule without decoded fields gets the record all the same.
    let bare = MatchRule {
        format: Format::Json,
        fields: vec![field("key", "$key", FieldType::Text)],
        conditions: vec!["key == 'k1'".to_owned()],
    };
    let out = scan(&TopicMatcher::new(vec![bare, rule("level == 3")]).unwrap(), &records);
    assert_eq!(out.batches[0].rows, [0, 1, 2]);
    assert_eq!(out.undecodable.len(), 1);
}

#[test]
fn rules_of_one_topic_may_have_different_formats() {
    let line = "<38>Mar  4 15:14:24 rpi-03 sshd[1]: Invalid user";
    let rule = |format, condition: &str| MatchRule {
        format,
        fields: vec![
            field("message", "/message", FieldType::Text),
            field("value", "$value", FieldType::Text),
        ],
        conditions: vec![condition.to_owned()],
    };
    let matcher = TopicMatcher::new(vec![
        rule(Format::Syslog, "message == 'Invalid user'"),
        rule(Format::Text, "message.startsWith('<38>')"),
        rule(Format::Bytes, "value.endsWith('user') && !has(message)"),
        rule(Format::Json, "message != ''"),
        rule(Format::Json, "!has(message)"),
    ])
    .unwrap();
    let records =
        [record(0, Some(line)), record(1, Some(r#"{"message":"Invalid user"}"#)), record(2, None)];
    let out = scan(&matcher, &records);
    let rows: Vec<_> = out.batches.iter().map(|batch| batch.rows.clone()).collect();
    assert_eq!(rows, [vec![0], vec![0], vec![0], vec![1], vec![2]]);
    let reported: Vec<_> = out.undecodable.iter().map(|undecodable| undecodable.record).collect();
    assert_eq!(reported, [0, 1], "neither format can read the other's record");
}

#[test]
fn headers_are_read_only_when_a_rule_asks() {
    struct Untouchable;
    impl Headers for Untouchable {
        fn each(&self, _: &mut dyn FnMut(&str, Option<&[u8]>)) {
            panic!("nobody asked");
        }
    }
    let record = Record { headers: &Untouchable, ..record(0, Some(VALUE)) };
    let matcher = TopicMatcher::new(vec![rule("host == 'rpi-03'")]).unwrap();
    assert_eq!(scan(&matcher, &[record]).matched, [0]);

    let headers = vec![("trace".to_owned(), Some(b"abc".to_vec()))];
    let record = Record { headers: &headers, ..record };
    let asks = MatchRule {
        fields: vec![field("trace", "$headers/trace", FieldType::Text)],
        ..rule("trace == 'abc'")
    };
    let matcher = TopicMatcher::new(vec![asks]).unwrap();
    assert_eq!(scan(&matcher, &[record]).matched, [0]);
}
