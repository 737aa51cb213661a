//! Decoding against `serde_json`, and every kind of cell.

mod syslog;

use proptest::prelude::*;
use serde_json::Value;

use super::cell::Cell;
use super::*;

fn record(value: Option<&[u8]>) -> Record<'_> {
    Record { offset: 7, timestamp_ms: 1_772_637_264_384, key: Some(b"k"), value, headers: &() }
}

fn source(text: &str) -> FieldSource {
    text.parse().unwrap()
}

/// The JSON texts that a decoder finds at these places.
fn found(
    format: Format,
    value: &[u8],
    places: &[&str],
) -> Result<Vec<Option<String>>, DecodeError> {
    let decoder = Decoder::new(format, places.iter().map(|place| source(place)).collect());
    let mut room = Slots::default();
    let record = record(Some(value));
    let (fields, decoded) = decoder.decode(&record, &mut room);
    decoded?;
    Ok((0..places.len()).map(|slot| fields.json(slot).value().map(Into::into)).collect())
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-c~/\"\\\\ ]{0,3}",
        any::<String>(),
        Just("0".to_owned()),
        Just("1".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// All pointers that lead somewhere.
fn pointers(value: &Value, here: &str, to: &mut Vec<String>) {
    let mut below = |name: &str, value: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        to.push(format!("{here}/{name}"));
        pointers(value, &format!("{here}/{name}"), to);
    };
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| below(&index.to_string(), item));
        }
        _ => {}
    }
}

/// Rewrites JSON text: more whitespace, and escapes where none are needed.
fn disguised(text: &str, seed: u64) -> String {
    let (mut out, mut inside, mut escaped, mut state) = (String::new(), false, false, seed | 1);
    for character in text.chars() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let chance = (state >> 33) % 4 == 0;
        if escaped {
            escaped = false;
            out.push(character);
        } else if inside && chance && !matches!(character, '"' | '\\') {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(character);
            escaped = inside && character == '\\';
            inside ^= character == '"';
            if !inside && chance && matches!(character, '{' | '}' | '[' | ']' | ',' | ':') {
                out.push_str(" \n");
            }
        }
    }
    out
}

fn check_against_serde(text: &[u8], places: &[String]) -> Result<(), TestCaseError> {
    let whole: Value = serde_json::from_slice(text).unwrap();
    let places: Vec<_> = places.iter().map(String::as_str).collect();
    let found = found(Format::Json, text, &places).unwrap();
    for (place, found) in places.iter().zip(found) {
        let found = found.map(|found| serde_json::from_str::<Value>(&found).unwrap());
        prop_assert_eq!(found.as_ref(), whole.pointer(place), "{}", place);
    }
    Ok(())
}

proptest! {
    #[test]
    fn json_finds_what_serde_json_finds(
        value in any_json(),
        seed in any::<u64>(),
        others in prop::collection::vec("(/[a-c01]{0,2}){1,3}", 0..4),
    ) {
        let mut places = others;
        pointers(&value, "", &mut places);
        places.sort();
        places.dedup();
        let text = disguised(&value.to_string(), seed);
        check_against_serde(text.as_bytes(), &places)?;
    }

    #[test]
    fn the_last_of_duplicate_keys_wins_as_in_serde_json(
        values in prop::collection::vec(("[ab]", any_json()), 1..6),
    ) {
        let entries: Vec<_> = values
            .iter()
            .map(|(key, value)| format!("{}:{value}", Value::from(key.as_str())))
            .collect();
        let text = format!("{{{}}}", entries.join(","));
        let mut places = vec!["/a".to_owned(), "/b".to_owned()];
        values.iter().for_each(|(key, value)| pointers(value, &format!("/{key}"), &mut places));
        places.sort();
        places.dedup();
        check_against_serde(text.as_bytes(), &places)?;
    }

    #[test]
    fn what_was_decoded_before_changes_nothing(
        keys in prop::sample::subsequence(
            vec!["a", "b", "host", "message", "a_key_of_eight", "0123456789012345678901234567890", "a\"b", ""],
            1..8,
        ),
        documents in prop::collection::vec(
            (any::<bool>(), 0_usize..3, prop::collection::vec((any::<prop::sample::Index>(), any_json()), 0..8)),
            1..40,
        ),
    ) {
        let places: Vec<String> = keys.iter().step_by(2).map(|key| format!("/{key}")).collect();
        let decoder =
            Decoder::new(Format::Json, places.iter().map(|place| source(place)).collect());
        let mut room = Slots::default();
        for (usual, space, others) in &documents {
            let colon = [":", ": ", " :\n"][*space];
            let entry = |key: &str, value: &Value| format!("{}{colon}{value}", Value::from(key));
            let mut entries: Vec<_> =
                others.iter().map(|(key, value)| entry(key.get::<&str>(&keys), value)).collect();
            if *usual {
                entries = keys.iter().map(|key| entry(key, &Value::from(*key))).collect();
            }
            let text = format!("{{{}}}", entries.join(","));
            let whole: Value = serde_json::from_str(&text).unwrap();
            let record = record(Some(text.as_bytes()));
            let (fields, decoded) = decoder.decode(&record, &mut room);
            prop_assert_eq!(decoded, Ok(()), "{}", text);
            for (slot, place) in places.iter().enumerate() {
                let found = fields.json(slot).value();
                let found = found.map(|json| serde_json::from_str::<Value>(&json).unwrap());
                prop_assert_eq!(found.as_ref(), whole.pointer(place), "{} in {}", place, text);
            }
        }
    }

    #[test]
    fn no_bytes_make_decoding_panic(
        bytes in prop::collection::vec(
            prop_oneof![
                prop::sample::select(b"{}[]\":,\\u0dtrueflsn1-+.eE <>/ab\xff\xc3".to_vec()),
                any::<u8>(),
            ],
            0..300,
        ),
        cut in 0_usize..4,
    ) {
        let places = ["/a", "/a/b", "/0", "/a/0", "/message", "/date", "/host", "/b/a",
            "/app", "/procid", "/structured_data", "$value", "$key", "$headers/x"];
        let prefixes: [&[u8]; 4] =
            [b"", b"{\"a\":", b"<34>1 2003-10-11T22:14:15.003Z h a p m ", b"<4>Mar  4 15:14:24 "];
        let value = [prefixes[cut], &bytes].concat();
        for format in [Format::Json, Format::Text, Format::Syslog, Format::Bytes] {
            let decoder =
                Decoder::new(format, places.iter().map(|place| source(place)).collect());
            let mut room = Slots::default();
            let record = record(Some(&value));
            let (fields, _) = decoder.decode(&record, &mut room);
            let mut cells = Vec::new();
            for slot in 0..places.len() {
                for field_type in [FieldType::Text, FieldType::Integer, FieldType::Float,
                    FieldType::Boolean, FieldType::Bytes, FieldType::Json] {
                    let start = cells.len();
                    let cell = fields.write(slot, field_type, &mut cells);
                    prop_assert_eq!(cell == Cell::Value(()), fields.has(slot, field_type));
                    if field_type == FieldType::Text {
                        prop_assert!(std::str::from_utf8(&cells[start..]).is_ok());
                    }
                }
            }
        }
    }

    #[test]
    fn a_valid_document_that_is_cut_is_undecodable(value in any_json(), at in any::<prop::sample::Index>()) {
        let text = format!("{{\"a\":{value}}}");
        let cut = at.index(text.len());
        prop_assert!(found(Format::Json, &text.as_bytes()[..cut], &["/a"]).is_err());
    }
}

use crate::subscription::FieldType;

#[test]
fn nesting_is_limited_where_serde_json_limits_it() {
    for depth in [126, 127, 128, 100_000] {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let serde = serde_json::from_str::<Value>(&text).is_ok();
        for place in ["/0", "/0/0/0", "/x"] {
            assert_eq!(found(Format::Json, text.as_bytes(), &[place]).is_ok(), serde, "{depth}");
        }
    }
    let deep = "/0".repeat(200);
    assert_eq!(found(Format::Json, b"[[]]", &[&deep]).unwrap(), [None]);
}

#[test]
fn what_is_not_json_says_where() {
    for (text, message) in [
        (&b""[..], "not JSON: the end of the value at byte 0"),
        (b"hello", "not JSON: no value where one must be at byte 0"),
        (b"{\"a\":1} x", "not JSON: something behind the document at byte 8"),
        (b"{\"a\":01}", "not JSON: no value where one must be at byte 5"),
        (b"{\"a\":NaN}", "not JSON: no value where one must be at byte 5"),
        (b"{\"a\" 1}", "not JSON: no `:` behind a key at byte 5"),
        (b"{a:1}", "not JSON: no key where one must be at byte 1"),
        (
            b"{\"a\":1 \"b\":2}",
            "not JSON: neither `,` nor a closing bracket behind an item at byte 7",
        ),
        (b"{\"a\":\"x\\q\"}", "not JSON: an escape that JSON does not have at byte 7"),
        (b"{\"b\":[1,2}", "not JSON: the end of the value at byte 10"),
        (b"{\"a\":1,}", "not JSON: no key where one must be at byte 7"),
    ] {
        let error = found(Format::Json, text, &["/a"]).unwrap_err();
        assert_eq!(error.to_string(), message, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn invalid_utf_8_becomes_the_replacement_character() {
    let value = b"{\"a\":\"x\xffy\",\"b\":1}";
    assert_eq!(
        found(Format::Json, value, &["/a", "/b"]).unwrap(),
        [Some("\"x\u{fffd}y\"".to_owned()), Some("1".to_owned())]
    );
    assert_eq!(
        found(Format::Text, b"x\xff", &["/message"]).unwrap(),
        [Some("\"x\u{fffd}\"".to_owned())]
    );
}

#[test]
fn half_a_surrogate_pair_becomes_the_replacement_character() {
    let decoder = Decoder::new(Format::Json, vec![source("/a")]);
    let mut room = Slots::default();
    let record = record(Some(br#"{"a":"\ud83d\ude00 \ud83d \ude00x"}"#));
    let (fields, decoded) = decoder.decode(&record, &mut room);
    decoded.unwrap();
    assert_eq!(fields.lossy_text(0).value().unwrap(), "😀 \u{fffd} \u{fffd}x");
}

#[test]
fn many_places_are_found() {
    let entries: Vec<_> = (0..500).map(|i| format!("\"key{i}\":{i}")).collect();
    let text = format!("{{{}}}", entries.join(","));
    let places: Vec<_> = (0..600).map(|i| format!("/key{i}")).collect();
    check_against_serde(text.as_bytes(), &places).unwrap();
    let places: Vec<_> = (0..600).map(|i| format!("/{i}")).collect();
    let items: Vec<_> = (0..500).map(|i| i.to_string()).collect();
    check_against_serde(format!("[{}]", items.join(",")).as_bytes(), &places).unwrap();
}

#[test]
fn a_value_of_ten_megabytes_is_read() {
    let long = "x\\\"".repeat(3 << 20);
    let value = format!(r#"{{"a":"{long}","b":"here"}}"#);
    let found = found(Format::Json, value.as_bytes(), &["/b"]).unwrap();
    assert_eq!(found, [Some("\"here\"".to_owned())]);
}

#[test]
fn a_tombstone_has_no_fields_and_is_no_error() {
    for format in [Format::Json, Format::Text, Format::Syslog, Format::Bytes] {
        let decoder =
            Decoder::new(format, vec![source("/message"), source("$value"), source("$key")]);
        let mut room = Slots::default();
        let record = record(None);
        let (fields, decoded) = decoder.decode(&record, &mut room);
        decoded.unwrap();
        assert_eq!(fields.text(0), Cell::Null);
        assert_eq!(fields.text(1), Cell::Null);
        assert_eq!(fields.text(2), Cell::Value(&b"k"[..]));
    }
}

#[test]
fn the_last_header_of_a_name_is_the_field() {
    let headers: Vec<(String, Option<Vec<u8>>)> = vec![
        ("trace".into(), Some(b"1".into())),
        ("other".into(), Some(b"2".into())),
        ("trace".into(), Some(b"3".into())),
        ("empty".into(), Some(b"4".into())),
        ("empty".into(), None),
    ];
    let record = Record { headers: &headers, ..record(Some(b"not json")) };
    let decoder =
        Decoder::new(Format::Json, vec![source("$headers/trace"), source("$headers/empty")]);
    let mut room = Slots::default();
    let (fields, decoded) = decoder.decode(&record, &mut room);
    decoded.unwrap();
    assert_eq!(fields.integer(0), Cell::Value(3));
    assert_eq!(fields.text(1), Cell::Null);
}

#[test]
fn cells_are_read_as_the_declared_type() {
    use FieldType::{Boolean, Bytes, Float, Integer, Json, Text};
    let float = |value: f64| Cell::Value(value.to_le_bytes().to_vec());
    let integer = |value: i64| Cell::Value(value.to_le_bytes().to_vec());
    let bytes = |value: &str| Cell::Value(value.as_bytes().to_vec());
    for (json, field_type, expected) in [
        (r#""a\n""#, Text, bytes("a\n")),
        ("12.50", Text, bytes("12.50")),
        ("true", Text, Cell::Mismatch),
        ("[1]", Text, Cell::Mismatch),
        ("null", Text, Cell::Null),
        ("-3", Integer, integer(-3)),
        ("3.0", Integer, integer(3)),
        ("3e2", Integer, integer(300)),
        ("3.5", Integer, Cell::Mismatch),
        ("9223372036854775807", Integer, integer(i64::MAX)),
        ("-9223372036854775808", Integer, integer(i64::MIN)),
        ("9223372036854775808", Integer, Cell::Mismatch),
        (r#""38""#, Integer, integer(38)),
        (r#""-38""#, Integer, integer(-38)),
        (r#""x""#, Integer, Cell::Mismatch),
        (r#""""#, Integer, Cell::Mismatch),
        (r#""-""#, Integer, Cell::Mismatch),
        ("true", Integer, Cell::Mismatch),
        ("2", Float, float(2.0)),
        ("1e999", Float, Cell::Mismatch),
        (r#""2.5""#, Float, float(2.5)),
        (r#""inf""#, Float, Cell::Mismatch),
        (r#""nan""#, Float, Cell::Mismatch),
        ("false", Boolean, Cell::Value(vec![0])),
        (r#""True""#, Boolean, Cell::Value(vec![1])),
        ("1", Boolean, Cell::Mismatch),
        (r#""\u0041""#, Bytes, bytes("A")),
        ("1", Bytes, Cell::Mismatch),
        (r#""\u0041""#, Json, bytes(r#""\u0041""#)),
        (r#"{"b": [1]}"#, Json, bytes(r#"{"b": [1]}"#)),
        ("null", Json, bytes("null")),
    ] {
        let value = format!(r#"{{"a": {json} }}"#);
        let decoder = Decoder::new(Format::Json, vec![source("/a")]);
        let mut room = Slots::default();
        let record = record(Some(value.as_bytes()));
        let (fields, decoded) = decoder.decode(&record, &mut room);
        decoded.unwrap();
        let mut cells = Vec::new();
        let cell = match fields.write(0, field_type, &mut cells) {
            Cell::Value(()) => Cell::Value(cells),
            Cell::Null => Cell::Null,
            Cell::Mismatch => Cell::Mismatch,
        };
        assert_eq!(cell, expected, "{json} as {field_type:?}");
    }
}
