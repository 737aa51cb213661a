//! What is read, and how what is wrong is told.

use super::*;

fn parse(text: &str) -> Result<Definition, Vec<Finding>> {
    Definition::parse("bursts", text, &Limits::default())
}

/// What is wrong with a text, one finding per line, as `LINE: TEXT`.
fn wrong(text: &str) -> String {
    let findings = parse(text).expect_err("this toml should be refused");
    let line = |finding: &Finding| match finding.line {
        Some(line) => format!("{line}: {}", finding.text),
        None => finding.text.clone(),
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_key_is_read() {
    let text = r#"
component = "threshold.wasm"
topics = ["SYSLOG", "SYSLOG", "auth"]
format = "syslog"
channels = ["general", "ops"]
emit = ["SYSLOG_INVALID_USERS"]
mode = "shadow"
where = "facility == 4"
stale_after = "2h"
[fields]
host = "/hostname"
trace = "$headers/trace"
[config]
threshold = 4
ratio = 0.5
since = 2018-03-21
on = true
[config.nested]
list = ["a", 0x10]
[limits]
fuel_per_record = 1_000
memory_mib = 16
output_bytes = 2048
notifications_per_record = 0
emits_per_record = 2
log_lines = 3
quarantine_after = 4
"#;
    let definition = parse(text).unwrap();
    assert_eq!(definition.component.value, ComponentSource::File("threshold.wasm".into()));
    let topics: Vec<_> =
        definition.topics.iter().map(|topic| (topic.line, &*topic.value)).collect();
    assert_eq!(topics, [(Some(3), "SYSLOG"), (Some(3), "auth")]);
    assert_eq!(definition.format, Format::Syslog);
    assert_eq!(definition.channels, ["general", "ops"]);
    assert_eq!(definition.emit, ["SYSLOG_INVALID_USERS"]);
    assert_eq!(definition.mode, Mode::Shadow);
    let condition = At { line: Some(8), value: "facility == 4".to_owned() };
    assert_eq!(definition.condition, Some(condition));
    assert_eq!(definition.stale_after, Some(Duration::from_secs(7200)));
    assert_eq!(definition.fields["host"].value, "/hostname".parse().unwrap());
    assert_eq!(definition.fields["trace"].value, FieldSource::Header("trace".into()));
    let config: serde_json::Value = serde_json::from_str(&definition.config_json.value).unwrap();
    assert_eq!(
        config,
        serde_json::json!({
            "threshold": 4, "ratio": 0.5, "since": "2018-03-21", "on": true,
            "nested": { "list": ["a", 16] },
        })
    );
    let limits = Limits {
        fuel_per_record: 1_000,
        memory_mib: 16,
        output_bytes: 2048,
        notifications_per_record: 0,
        emits_per_record: 2,
        log_lines: 3,
        state_mib: 256,
        quarantine_after: 4,
    };
    assert_eq!(definition.limits, limits);
}

#[test]
fn a_toml_that_says_nothing_is_a_bare_rule() {
    let limits = Limits { memory_mib: 7, ..Limits::default() };
    let said = Definition::parse("bursts", "# as it comes\n", &limits).unwrap();
    assert_eq!(said, Definition::bare("bursts", &limits));
    assert_eq!(said.component.value, ComponentSource::File("bursts.wasm".into()));
}

#[test]
fn everything_wrong_with_a_file_is_said_at_once() {
    let text = r#"topcis = ["SYSLOG"]
format = "avro"
channels = "general"
mode = "actve"
threshold = 4
stale_after = "soon"
emit = ["a b", 7]
[fields]
host = "hostname"
[config]
far = inf
[limits]
fuel = 1
memory_mib = 0
log_lines = "many"
"#;
    insta::assert_snapshot!(wrong(text), @r#"
    1: unknown key `topcis`; did you mean `topics`?
    2: `format`: `avro` is not supported yet; a topic can be read as json, text, syslog, bytes
    3: `channels` must be a list of strings such as ["a", "b"], and this is a string
    4: `mode`: `actve` is not one of active, shadow, paused
    5: unknown key `threshold`; known are component, topics, format, keyed, channels, emit, mode, where, stale_after, fields, config, limits; what the rule itself is to know goes under [config]
    6: `stale_after`: `soon` is not a length of time; write a whole number and a unit (s, m, h or d) such as `90s`, `15m`, `12h`, `2d`, or `off`
    7: `emit` must be a list of strings such as ["a", "b"], and this is a whole number
    7: `emit`: `a b` is not a topic's name; it has only letters, digits, `.`, `_` and `-`
    9: `fields.host`: `hostname` names no place in a record; write a JSON pointer such as `/host`, or `$key`, `$value`, `$headers/NAME`
    11: `config.far`: `inf` cannot be handed to the rule; write a finite number
    13: unknown key `limits.fuel`; did you mean `limits.fuel_per_record`?
    14: `limits.memory_mib` must be a whole number from 1 to 4096, and this is 0
    15: `limits.log_lines` must be a whole number, and this is a string
    "#);
}

#[test]
fn broken_toml_is_told_with_its_line() {
    insta::assert_snapshot!(wrong("topics = [\"SYSLOG\"\nmode = \"active\"\n"), @"2: this is not TOML: missing comma between array elements, expected `,`");
    insta::assert_snapshot!(wrong("mode = \"active\"\nmode = \"paused\"\n"), @"2: this is not TOML: duplicate key");
    insta::assert_snapshot!(wrong("a b c"), @"1: this is not TOML: key with no value, expected `=`");
}

#[test]
fn an_empty_file_is_not_a_rule_that_says_nothing() {
    insta::assert_snapshot!(wrong(""), @"the file is empty; write what the rule is to do, or remove it, or put a comment in it when nothing is to be configured");
}

#[test]
fn a_component_is_a_file_in_the_folder_or_one_that_ships() {
    let component =
        |text: &str| parse(&format!("component = \"{text}\"")).map(|d| d.component.value);
    let shipped = ComponentSource::Builtin("invalid-user".into());
    assert_eq!(component("builtin:invalid-user").unwrap(), shipped);
    for outside in ["../a.wasm", "/etc/a.wasm", "a", "a.toml", ".a.wasm", ""] {
        assert!(component(outside).is_err(), "{outside}");
    }
}

#[test]
fn stale_after_takes_a_number_and_a_unit_or_off() {
    let stale = |text: &str| parse(&format!("stale_after = \"{text}\"")).map(|d| d.stale_after);
    assert_eq!(stale("off").unwrap(), None);
    assert_eq!(stale("90s").unwrap(), Some(Duration::from_secs(90)));
    assert_eq!(stale("2 d").unwrap(), Some(Duration::from_secs(172_800)));
    for wrong in
        ["", "15", "m", "-1m", "1.5h", "1w", "99999999999999999999s", "999999999999999999d"]
    {
        assert!(stale(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_rules_name_has_only_plain_letters() {
    for name in ["invalid-user", "a", "rule.v2_x", "0"] {
        assert_eq!(check_name(name), Ok(()));
    }
    for (name, suggestion) in
        [("Bursts", "bursts"), ("a b", "a-b"), ("ü", "my-rule"), ("", "my-rule")]
    {
        assert_eq!(check_name(name).unwrap_err().suggestion, suggestion);
    }
}

/// The operator's page, with the toml in it that has every key.
const PAGE: &str = include_str!("../../../../docs/rules.md");

/// All keys as the page names them.
fn all_keys() -> Vec<String> {
    let limits = Limits::KEYS.iter().map(|key| format!("limits.{key}"));
    let keys = KEYS.iter().map(|key| match *key {
        "fields" | "config" => format!("{key}.*"),
        key => key.to_owned(),
    });
    keys.filter(|key| key != "limits").chain(limits).collect()
}

#[test]
fn every_key_is_documented_and_every_documented_key_is_read() {
    let documented = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut documented: Vec<_> = documented.filter_map(|line| line.split('`').next()).collect();
    let mut keys = all_keys();
    documented.sort_unstable();
    keys.sort_unstable();
    assert_eq!(documented, keys);
}

#[test]
fn the_documented_toml_has_every_key_and_works() {
    let (_, rest) = PAGE.split_once("```toml\n# NAME.toml").unwrap();
    let text = rest.split_once("```").unwrap().0;
    let definition = parse(text).unwrap();
    assert_eq!(definition.limits, Limits::default(), "the documented limits are the defaults");
    assert_eq!(definition.stale_after, Some(DEFAULT_STALE_AFTER));
    let document: toml::Table = text.parse().unwrap();
    assert!(KEYS.iter().all(|key| document.contains_key(*key)), "{document}");
    let limits = document["limits"].as_table().unwrap();
    assert!(Limits::KEYS.iter().all(|key| limits.contains_key(*key)), "{limits}");
}
