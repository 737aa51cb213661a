//! What ships does what its source says, and no guest is without a use.

use std::sync::Arc;

use firebell::batch::Batch;
use firebell::effect::{Effect, EmittedContent, RowEffect};
use firebell::engine::{Component, Described, Engine, Instance, RowRecord, StateCall};
use firebell::limits::Limits;
use firebell::shipped;
use firebell::tables::TableSet;
use firebell_state::{Moment, RuleState};

use crate::tidy::source::{files, read};

fn rule(component: &Component) -> Instance {
    component.instantiate(&Arc::from("guest"), &Limits::default()).unwrap()
}

/// Rows of cells of text, `None` = null, at the seed's time.
fn batch(rows: &[&[Option<&str>]]) -> Batch {
    let mut batch = Batch { topic: "SYSLOG".into(), ..Batch::default() };
    let count: usize = rows.iter().map(|row| row.len()).sum();
    batch.nulls = vec![0; count.div_ceil(8)];
    for (offset, row) in rows.iter().enumerate() {
        batch.offsets.push(offset as i64);
        batch.timestamps.push(1_520_176_464_000);
        for cell in *row {
            let at = batch.ends.len();
            match cell {
                Some(text) => batch.cells.extend_from_slice(text.as_bytes()),
                None => batch.nulls[at / 8] |= 1 << (at % 8),
            }
            batch.ends.push(batch.cells.len() as u32);
        }
    }
    batch
}

#[test]
fn no_guest_is_without_a_use() {
    let folders = ["tests/tests/acceptance", "tests/benches"];
    let files = folders.into_iter().flat_map(|folder| files(folder, ".rs"));
    let text: String = files.map(|file| read(&file)).collect();
    for guest in xtask::guests::build().unwrap().iter().filter(|guest| !guest.ships) {
        assert!(text.contains(&format!("\"{}\"", guest.name)), "nothing names {}", guest.name);
    }
}

#[test]
fn what_ships_is_built_from_its_source_and_embedded() {
    let engine = Engine::new(None).unwrap();
    let built = xtask::guests::build().unwrap();
    let names: Vec<&str> =
        built.iter().filter(|guest| guest.ships).map(|guest| guest.name.as_str()).collect();
    assert_eq!(names, shipped::SHIPPED.iter().map(|shipped| shipped.name).collect::<Vec<_>>());
    for guest in built.iter().filter(|guest| guest.ships) {
        let embedded = engine.compile(shipped::find(&guest.name).unwrap().component).unwrap();
        let rebuilt = engine.compile(&std::fs::read(&guest.component).unwrap()).unwrap();
        for config in ["{}", r#"{"host": "rpi-03", "emit_to": "COPIES"}"#, r#"{"no": 1}"#, "[]"] {
            let answers = [&embedded, &rebuilt].map(|component| answers(component, config));
            assert_eq!(answers[0], answers[1], "{} with {config}", guest.name);
        }
    }
}

/// What a rule declares, and what it makes of texts in every field, of none and of some.
fn answers(component: &Component, config: &str) -> (Option<Described>, String) {
    let mut instance = rule(component);
    let described = match instance.describe(config) {
        Ok(described) => described,
        Err(error) => return (None, error.to_string()),
    };
    // Numbers are eight bytes, and so are these texts.
    let texts = ["rpi-03: ", "<!here> ", "a\nb\nc\nd\n", "\u{1f47d}\u{1f47d}"];
    let columns = described.subscription.fields.len();
    let rows: Vec<Vec<Option<&str>>> = (0..1_usize << columns)
        .map(|present| {
            (0..columns)
                .map(|column| (present >> column & 1 == 1).then(|| texts[(present + column) % 4]))
                .collect()
        })
        .collect();
    let rows: Vec<&[Option<&str>]> = rows.iter().map(Vec::as_slice).collect();
    let batch = batch(&rows);
    let mut state = (described.plan.version > 0).then(|| state_for(&batch, &described));
    let called = instance.evaluate_with(&batch, &mut state).unwrap();
    assert!(!called.effects.is_empty() || state.is_some());
    let mut kept = vec![];
    if let Some(call) = &mut state {
        call.state.seal(&mut |key, value| kept.push((key, value)));
        assert!(!kept.is_empty());
    }
    (Some(described), format!("{:?} {:?} {kept:?}", called.effects, called.logs))
}

/// What a rule that keeps state is lent for a call with a batch.
fn state_for(batch: &Batch, described: &Described) -> Box<StateCall> {
    let mut state = RuleState::new(usize::MAX);
    state.adopt(Arc::new(described.plan.clone()));
    let mut call = StateCall::new(state, &batch.topic, &TableSet::default());
    for (offset, timestamp_ms) in batch.offsets.iter().zip(&batch.timestamps) {
        let (offset, timestamp_ms) = (*offset, *timestamp_ms);
        call.moments.push(Moment { event_ms: timestamp_ms, stream_ms: timestamp_ms });
        call.records.push(RowRecord { partition: batch.partition, offset, timestamp_ms });
    }
    call
}

#[test]
fn the_seeds_first_rule_says_what_the_seed_says_and_passes_the_record_on() {
    let engine = Engine::new(None).unwrap();
    let invalid_user = shipped::find("invalid-user").unwrap();
    let mut instance = rule(&engine.compile(invalid_user.component).unwrap());
    let config = r#"{"host": "rpi-03", "emit_to": "SYSLOG_INVALID_USERS"}"#;
    let subscription = instance.describe(config).unwrap().subscription;
    assert_eq!(
        subscription.condition.as_deref(),
        Some(r#"host == "rpi-03" && message.contains("Invalid user")"#)
    );
    let row: Vec<Option<&str>> = subscription
        .fields
        .iter()
        .map(|field| match &*field.name {
            "host" => Some("rpi-03"),
            "message" => Some("rpi-03 sshd[24150]: Invalid user mini from 192.168.42.42"),
            _ => None,
        })
        .collect();
    let called = instance.evaluate(&batch(&[&row])).unwrap();
    let [RowEffect { row: 0, effect: Effect::Notify(notification) }, emitted] = &called.effects[..]
    else {
        panic!("{:?}", called.effects);
    };
    assert_eq!(
        notification.title,
        "2018-03-04 15:14:24 👽 rpi-03 sshd[24150]: Invalid user mini from 192.168.42.42 👽"
    );
    let topic = "SYSLOG_INVALID_USERS".into();
    let whole = Effect::Emit { topic, content: EmittedContent::Whole };
    assert_eq!(*emitted, RowEffect { row: 0, effect: whole });
}

#[test]
fn a_condition_in_a_guest_finds_what_it_should() {
    let engine = Engine::new(None).unwrap();
    let file = firebell_tests::guests::guest("predicate");
    let mut instance = rule(&engine.compile(&std::fs::read(file).unwrap()).unwrap());
    assert_eq!(instance.describe("{}").unwrap().subscription.condition, None);
    let here = Some("rpi-03");
    let rows: [&[Option<&str>]; 5] = [
        &[Some("Invalid user mini"), here],
        &[Some("Invalid user mini"), Some("rpi-04")],
        &[Some("session opened"), here],
        &[None, here],
        &[Some("an Invalid user"), here],
    ];
    let called = instance.evaluate(&batch(&rows)).unwrap();
    assert_eq!(called.effects.iter().map(|effect| effect.row).collect::<Vec<_>>(), [0, 4]);
}

#[test]
fn the_two_versions_of_a_rule_tell_themselves_apart() {
    let engine = Engine::new(None).unwrap();
    let titles = ["v1", "v2"].map(|version| {
        let file = std::fs::read(firebell_tests::guests::guest(version)).unwrap();
        let mut instance = rule(&engine.compile(&file).unwrap());
        instance.describe("{}").unwrap();
        match instance.evaluate(&batch(&[&[Some("hello")]])).unwrap().effects.as_slice() {
            [RowEffect { effect: Effect::Notify(notification), .. }] => notification.title.clone(),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(titles, ["v1: hello", "v2: hello"]);
}
