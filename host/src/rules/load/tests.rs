//! What the operator's words make of what a rule declares.

use super::*;
use crate::subscription::{Field, FieldType};

fn described(topics: &[&str], condition: Option<&str>) -> Subscription {
    let field = |name: &str, source: &str| Field {
        name: name.into(),
        source: source.parse().unwrap(),
        field_type: FieldType::Text,
    };
    Subscription {
        topics: topics.iter().map(|topic| (*topic).into()).collect(),
        fields: vec![field("host", "/host"), field("message", "/message")],
        condition: condition.map(str::to_owned),
    }
}

fn apply(toml: &str, described: &Subscription) -> Result<(Subscription, Vec<String>), Vec<String>> {
    let definition = Definition::parse("bursts", toml, &Limits::default()).unwrap();
    subscribe(&"bursts".into(), &definition, described).map_err(|findings| {
        let line = |finding: &Finding| match finding.line {
            Some(line) => format!("{line}: {}", finding.text),
            None => finding.text.clone(),
        };
        findings.iter().map(line).collect()
    })
}

fn topics(subscription: &Subscription) -> Vec<&str> {
    subscription.topics.iter().map(|topic| &**topic).collect()
}

#[test]
fn the_operator_names_topics_that_the_rule_leaves_open() {
    let (subscription, _) = apply("topics = [\"A\", \"B\"]", &described(&[], None)).unwrap();
    assert_eq!(topics(&subscription), ["A", "B"]);
    let findings = apply("# nothing", &described(&[], None)).unwrap_err();
    insta::assert_snapshot!(findings.join("\n"), @r#"the rule leaves its topics to you and you name none; write them into bursts.toml, such as `topics = ["SYSLOG"]`"#);
}

#[test]
fn the_operator_narrows_the_topics_that_the_rule_declares() {
    let declared = described(&["SYSLOG", "AUTH"], None);
    assert_eq!(topics(&apply("# all", &declared).unwrap().0), ["SYSLOG", "AUTH"]);
    assert_eq!(topics(&apply("topics = [\"AUTH\"]", &declared).unwrap().0), ["AUTH"]);
    let findings = apply("\ntopics = [\"AUHT\", \"other\"]", &declared).unwrap_err();
    insta::assert_snapshot!(findings.join("\n"), @"
    2: `topics` names `AUHT`, and the rule is made for `SYSLOG`, `AUTH` only; did you mean `AUTH`?
    2: `topics` names `other`, and the rule is made for `SYSLOG`, `AUTH` only
    ");
}

#[test]
fn the_operator_says_where_fields_come_from() {
    let toml = "topics = [\"A\"]\n[fields]\nhost = \"/hostname\"";
    let (subscription, _) = apply(toml, &described(&[], None)).unwrap();
    let sources: Vec<_> =
        subscription.fields.iter().map(|field| field.source.to_string()).collect();
    assert_eq!(sources, ["/hostname", "/message"]);
    let toml = "topics = [\"A\"]\n[fields]\nmesage = \"/msg\"\nlevel = \"/level\"";
    let findings = apply(toml, &described(&[], None)).unwrap_err();
    insta::assert_snapshot!(findings.join("\n"), @"
    3: `fields.mesage`: the rule has no field of this name; did you mean `message`?
    4: `fields.level`: the rule has no field of this name; there are `host`, `message`
    ");
}

#[test]
fn both_sides_conditions_must_hold() {
    let declared = described(&["A"], Some("host == 'rpi-03'"));
    let (_, conditions) = apply("where = \"message.contains('x')\"", &declared).unwrap();
    assert_eq!(conditions, ["host == 'rpi-03'", "message.contains('x')"]);
}

#[test]
fn a_wrong_condition_is_told_with_its_side() {
    let findings =
        apply("\nwhere = \"host ==\"", &described(&["A"], Some("hots == 1"))).unwrap_err();
    assert_eq!(findings.len(), 2);
    assert!(
        findings[0].starts_with("the rule's own condition `hots == 1` is wrong; "),
        "{findings:?}"
    );
    assert!(findings[1].starts_with("2: `where` is wrong: "), "{findings:?}");
}

#[test]
fn a_format_in_which_no_field_exists_is_refused() {
    let refused = |toml: &str| apply(toml, &described(&["A"], None)).is_err();
    assert!(refused("format = \"bytes\""));
    assert!(!refused("format = \"bytes\"\n[fields]\nmessage = \"$value\""));
    assert!(!refused("format = \"text\""), "`message` is there");
    assert!(refused("format = \"text\"\n[fields]\nmessage = \"/msg\""));
    let findings = apply("format = \"bytes\"", &described(&["A"], None)).unwrap_err();
    insta::assert_snapshot!(findings.join("\n"), @r#"with `format = "bytes"` a record has only `$key`, `$value` and `$headers/NAME`, and every field of the rule is elsewhere (`host` at `/host`, `message` at `/message`); say under [fields] where they come from"#);
}

#[test]
fn a_version_names_the_components_bytes_and_the_tomls_text() {
    let version = Version::of_component(b"component");
    // printf componenttoml | sha256sum
    let both = "3e68cf8750e728a246436a1b864c25cb6727787709fa0dacc993877f465ee8ac";
    assert_eq!(version.with_toml("toml"), both);
    assert_ne!(version.with_toml(""), both);
}
