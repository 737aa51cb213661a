//! A scan against an evaluator that knows nothing of trees, indexes and prefilters: it reads the
//! whole record with `serde_json` and asks every rule.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A condition as a test writes it.
#[derive(Debug, Clone)]
enum Expr {
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Has(&'static str),
    Up,
    Text(&'static str, &'static str, String),
    In(&'static str, Vec<String>),
    Level(&'static str, i64),
    LevelFloat(&'static str, f64),
    Load(&'static str, f64),
    LevelIn(Vec<i64>),
    Size(&'static str, i64),
    /// Left to the interpreter.
    Sum(i64),
    Fixed(bool),
}

impl Expr {
    fn cel(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let joined = |all: &[Self], with: &str| {
            let all: Vec<_> = all.iter().map(|expr| format!("({})", expr.cel())).collect();
            all.join(with)
        };
        match self {
            Self::Not(expr) => format!("!({})", expr.cel()),
            Self::And(all) => joined(all, " && "),
            Self::Or(any) => joined(any, " || "),
            Self::Has(field) => format!("has({field})"),
            Self::Up => "up".to_owned(),
            Self::Text(field, operation, text) => match *operation {
                operator @ ("==" | "!=" | "<" | ">=") => {
                    format!("{field} {operator} {}", quoted(text))
                }
                "lower" => format!("{field}.lowerAscii().contains({})", quoted(text)),
                function => format!("{field}.{function}({})", quoted(text)),
            },
            Self::In(field, texts) => {
                let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
                format!("{field} in [{}]", texts.join(", "))
            }
            Self::Level(operator, number) => format!("level {operator} {number}"),
            Self::LevelFloat(operator, number) => format!("level {operator} {number:?}"),
            Self::Load(operator, number) => format!("load {operator} {number:?}"),
            Self::LevelIn(numbers) => format!("level in {numbers:?}"),
            Self::Size(field, size) => format!("size({field}) == {size}"),
            Self::Sum(number) => format!("level + 1 > {number}"),
            Self::Fixed(value) => value.to_string(),
        }
    }

    /// True, false, or none for unknown.
    fn value(&self, record: &Value) -> Option<bool> {
        let text = |field: &str| match (field, record.get(field)?) {
            ("key", _) => None,
            (_, Value::String(text)) => Some(text.clone()),
            (_, Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let text = |field: &str| if field == "key" { Some("k1".to_owned()) } else { text(field) };
        let number = |field: &str| match record.get(field)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let level = || number("level").filter(|number| number.fract() == 0.0);
        let compared = |operator: &str, a: f64, b: f64| match operator {
            "==" => a == b,
            "!=" => a != b,
            "<" => a < b,
            "<=" => a <= b,
            ">" => a > b,
            _ => a >= b,
        };
        let up = || match record.get("up")? {
            Value::Bool(value) => Some(*value),
            Value::String(text) => text.to_lowercase().parse().ok(),
            _ => None,
        };
        Some(match self {
            Self::Not(expr) => !expr.value(record)?,
            Self::And(all) => {
                let values: Vec<_> = all.iter().map(|expr| expr.value(record)).collect();
                if values.contains(&Some(false)) {
                    false
                } else if values.contains(&None) {
                    return None;
                } else {
                    true
                }
            }
            Self::Or(any) => {
                let values: Vec<_> = any.iter().map(|expr| expr.value(record)).collect();
                if values.contains(&Some(true)) {
                    true
                } else if values.contains(&None) {
                    return None;
                } else {
                    false
                }
            }
            Self::Has("level") => level().is_some(),
            Self::Has("load") => number("load").is_some(),
            Self::Has("up") => up().is_some(),
            Self::Has(field) => text(field).is_some(),
            Self::Up => up()?,
            Self::Text(field, operation, literal) => {
                let text = text(field)?;
                match *operation {
                    "==" => text == *literal,
                    "!=" => text != *literal,
                    "<" => text < *literal,
                    ">=" => text >= *literal,
                    "contains" => text.contains(literal.as_str()),
                    "startsWith" => text.starts_with(literal.as_str()),
                    "endsWith" => text.ends_with(literal.as_str()),
                    _ => text.to_ascii_lowercase().contains(literal.as_str()),
                }
            }
            Self::In(field, texts) => texts.contains(&text(field)?),
            Self::Level(operator, number) => compared(operator, level()?, *number as f64),
            Self::LevelFloat(operator, number) => compared(operator, level()?, *number),
            Self::Load(operator, value) => compared(operator, number("load")?, *value),
            Self::LevelIn(numbers) => {
                let level = level()?;
                numbers.iter().any(|number| *number as f64 == level)
            }
            Self::Size(field, size) => text(field)?.chars().count() as i64 == *size,
            Self::Sum(number) => level()? + 1.0 > *number as f64,
            Self::Fixed(value) => *value,
        })
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "a", "b", "abc", "alpha", "beta", "alpha beta", "Invalid user", "Inval", "user", "rpi-01", "rpi-02",
            "1", "12", "x/y z", "a\"bcd", "a\\bcd", "ünder", "tab\there", "", "\u{fffd}xyz",
        ]).prop_map(str::to_owned),
        1 => "[ab ]{0,6}",
    ]
}

fn expr() -> impl Strategy<Value = Expr> {
    let texts = prop::sample::select(vec!["host", "message", "key"]);
    let operators = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        8 => (texts.clone(), prop::sample::select(vec![
            "==", "==", "!=", "<", ">=", "contains", "contains", "contains", "startsWith", "endsWith", "lower",
        ]), word()).prop_map(|(field, operation, text)| Expr::Text(field, operation, text)),
        2 => (texts.clone(), prop::collection::vec(word(), 0..4)).prop_map(|(field, texts)| Expr::In(field, texts)),
        2 => (operators(), -3_i64..4).prop_map(|(operator, number)| Expr::Level(operator, number)),
        1 => (operators(), -3_i64..4).prop_map(|(operator, number)| Expr::LevelFloat(operator, number as f64 / 2.0)),
        1 => (operators(), -3_i64..4).prop_map(|(operator, number)| Expr::Load(operator, number as f64 / 2.0)),
        1 => prop::collection::vec(-3_i64..4, 0..3).prop_map(Expr::LevelIn),
        1 => prop::sample::select(vec!["host", "message", "key", "level", "load", "up"]).prop_map(Expr::Has),
        1 => Just(Expr::Up),
        1 => (texts, 0_i64..8).prop_map(|(field, size)| Expr::Size(field, size)),
        1 => (-3_i64..4).prop_map(Expr::Sum),
        1 => any::<bool>().prop_map(Expr::Fixed),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            1 => inner.clone().prop_map(|expr| Expr::Not(Box::new(expr))),
            4 => prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            2 => prop::collection::vec(inner, 2..4).prop_map(Expr::Or),
        ]
    })
}

fn record_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        6 => prop::collection::vec(word(), 1..4).prop_map(|words| json!(words.join(" "))),
        6 => word().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => (-3..4).prop_map(Value::from),
        1 => Just(json!([1])),
    ];
    let number = prop_oneof![
        6 => (-3..4).prop_map(Value::from),
        2 => (-3..4).prop_map(|number| json!(f64::from(number) / 2.0)),
        1 => (-3_i64..4).prop_map(|number| json!(number.to_string())),
        1 => Just(json!("x")),
        1 => Just(Value::Null),
    ];
    let up =
        prop::sample::select(vec![json!(true), json!(false), json!("true"), json!("x"), json!(1)]);
    let field = prop_oneof![
        (Just("host"), text.clone()),
        (Just("message"), text),
        (Just("level"), number.clone()),
        (Just("load"), number),
        (Just("up"), up),
        (Just("other"), Just(json!({"host": "rpi-01", "message": ["Invalid user"]}))),
    ];
    prop::collection::vec(field, 0..9).prop_map(|fields| {
        Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    })
}

/// JSON text with letters and slashes spelled as escapes.
fn escaped(text: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                out.push('\\');
                out.extend(characters.next());
                continue;
            }
            '"' => inside = !inside,
            'a' if inside => {
                out.push_str("\\u0061");
                continue;
            }
            '/' if inside => out.push('\\'),
            _ => {}
        }
        out.push(character);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]

    #[test]
    fn a_scan_finds_what_asking_every_rule_finds(
        rules in prop::collection::vec((expr(), prop::option::of(expr())), 1..24),
        values in prop::collection::vec((record_value(), any::<bool>()), 1..20),
    ) {
        let conditions: Vec<Vec<&Expr>> =
            rules.iter().map(|(first, second)| std::iter::once(first).chain(second).collect()).collect();
        let matcher = TopicMatcher::new(
            conditions
                .iter()
                .map(|all| MatchRule {
                    conditions: all.iter().map(|expr| expr.cel()).collect(),
                    ..rule("true")
                })
                .collect(),
        )
        .unwrap();
        let texts: Vec<_> = values
            .iter()
            .map(|(value, hide)| if *hide { escaped(&value.to_string()) } else { value.to_string() })
            .collect();
        let records: Vec<_> =
            (0..).zip(&texts).map(|(offset, text)| record(offset, Some(text))).collect();
        let out = scan(&matcher, &records);
        prop_assert_eq!(&out.undecodable, &[]);
        for (all, batch) in conditions.iter().zip(&out.batches) {
            let expected: Vec<u32> = (0..)
                .zip(&values)
                .filter(|(_, (value, _))| all.iter().all(|expr| expr.value(value) == Some(true)))
                .map(|(index, _)| index)
                .collect();
            prop_assert_eq!(&batch.rows, &expected, "{:?}", all.iter().map(|e| e.cel()).collect::<Vec<_>>());
        }
    }

    /// Few rules that all need a literal: the prefilter is at work.
    #[test]
    fn the_prefilter_drops_no_match(
        rules in prop::collection::vec(
            (prop::sample::select(vec!["contains", "startsWith", "endsWith", "=="]),
                prop::sample::select(vec!["alpha", "a\"bcd", "ünder", "x/y z", "Invalid user", "abc", "tab\there"])),
            1..5,
        ),
        values in prop::collection::vec((record_value(), any::<bool>()), 1..150),
    ) {
        let exprs: Vec<_> = rules
            .into_iter()
            .map(|(operation, text)| Expr::Text("message", operation, text.to_owned()))
            .collect();
        let matcher = TopicMatcher::new(exprs.iter().map(|expr| rule(&expr.cel())).collect()).unwrap();
        let texts: Vec<_> = values
            .iter()
            .map(|(value, hide)| if *hide { escaped(&value.to_string()) } else { value.to_string() })
            .collect();
        let records: Vec<_> =
            (0..).zip(&texts).map(|(offset, text)| record(offset, Some(text))).collect();
        let out = scan(&matcher, &records);
        for (expr, batch) in exprs.iter().zip(&out.batches) {
            let expected: Vec<u32> = (0..)
                .zip(&values)
                .filter(|(_, (value, _))| expr.value(value) == Some(true))
                .map(|(index, _)| index)
                .collect();
            prop_assert_eq!(&batch.rows, &expected, "{}", expr.cel());
        }
    }
}

/// A thousand rules of every shape that the index files differently.
#[test]
fn a_thousand_rules_find_what_asking_each_finds() {
    let shapes: [fn(usize) -> String; 10] = [
        |i| format!("host == 'rpi-{:02}' && message.contains('word {i}')", i % 7),
        |i| format!("message.contains('word {i}')"),
        |i| format!("message.startsWith('word {i}') && level <= {}", i % 9),
        |i| format!("level > {}", i % 50),
        |i| format!("level <= {} && load >= {}.5", i % 40, i % 3),
        |i| format!("host in ['rpi-{:02}', 'other'] && message.endsWith('{i}')", i % 7),
        |i| format!("level == {} || host == 'rpi-{:02}'", i % 40, i % 30),
        |i| format!("has(up) && message.contains('ord {i}') || up && level == {}", i % 40),
        |i| format!("(host == 'rpi-01' || message.contains('word {}')) && load < {}", i % 5, i % 4),
        |i| format!("!(level == {}) && message == 'word {i}'", i % 40),
    ];
    let rules: Vec<_> = (0..1_000).map(|i| rule(&shapes[i % 10](i))).collect();
    let matcher = TopicMatcher::new(rules.clone()).unwrap();
    let texts: Vec<_> = (0..300)
        .map(|i| {
            let value = json!({
                "host": format!("rpi-{:02}", i % 9), "message": format!("word {} and word {}", i * 3, i * 7 % 1_000),
                "level": i % 45, "load": f64::from(i % 5), "up": i % 2 == 0,
            });
            let mut value = value;
            if i % 11 == 0 {
                value["message"] = json!(format!("word {i}"));
            }
            if i % 13 == 0 {
                value["level"] = Value::Null;
            }
            value.to_string()
        })
        .collect();
    let records: Vec<_> =
        (0..).zip(&texts).map(|(offset, text)| record(offset, Some(text))).collect();
    let out = scan(&matcher, &records);
    for (rule, batch) in rules.iter().zip(&out.batches) {
        let alone = Group::new(Format::Json, std::slice::from_ref(rule)).unwrap();
        let mut slots = Slots::default();
        let expected: Vec<u32> = (0..)
            .zip(&records)
            .filter(|(_, record)| {
                let (fields, decoded) = alone.decoder.decode(record, &mut slots);
                decoded.unwrap();
                alone.rules[0].condition.holds(&fields)
            })
            .map(|(index, _)| index)
            .collect();
        assert_eq!(batch.rows, expected, "{:?}", rule.conditions);
    }
}
