//! Every guest in the sandbox, without Kafka: each is reported as what it is, and what ships does
//! what its source says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use firebell::batch::Batch;
use firebell::effect::{Effect, EmittedContent, RowEffect};
use firebell::engine::{CallFailure, Called, Component, Engine, FailureReason, Instance};
use firebell::limits::Limits;
use firebell::shipped;
use firebell::subscription::Subscription;

/// What a host says to a guest.
enum Verdict {
    /// Its file is refused, with this in the reason.
    NotLoaded(&'static str),
    /// Its description is refused, with this in the reason.
    NotDescribed(&'static str),
    /// The call with this message fails, for this reason and with this in its text.
    Fails(&'static str, FailureReason, &'static str),
    /// The call with this message gives so many effects.
    Works(&'static str, usize),
}
use Verdict::{Fails, NotDescribed, NotLoaded, Works};

/// What is said to each guest of `tests/guests`.
fn verdict(guest: &str) -> Verdict {
    match guest {
        "trap" => Fails("a trap", FailureReason::Trap, "unreachable"),
        "panic-text" => {
            Fails("panic!", FailureReason::Panic, "cannot read the message: panic! (tests/guests/")
        }
        "endless-loop" => Fails("loop", FailureReason::OutOfFuel, "`fuel_per_record`"),
        "memory-hog" => Fails("hog", FailureReason::MemoryLimit, "`memory_mib`"),
        "huge-output" => Fails("huge", FailureReason::OutputLimit, "`output_bytes`"),
        "many-notifications" => {
            Fails("many", FailureReason::NotificationLimit, "`notifications_per_record`")
        }
        "returns-error" => Fails("error", FailureReason::Refused, "cannot judge: error"),
        "bad-row" => Fails("row", FailureReason::InvalidEffect, "4294967295"),
        "log-flood" => Works("flood", 2),
        "emits" => Works("key=value", 2),
        "v1" | "v2" => Works("anything", 2),
        "unstable-describe" => Works("anything", 2),
        "predicate" => Works("Invalid user mini", 1),
        "refuses-config" => NotDescribed("threshold must be at least 1"),
        "foreign-imports" => NotLoaded("`wasi:clocks/wall-clock@0.2.6`"),
        "foreign-env" => NotLoaded("`env"),
        "wrong-world" => NotLoaded("exports `greeting`"),
        "newer-contract" => NotLoaded("`firebell:rule/guest@0.9.0`"),
        "no-interface" => NotLoaded("without Firebell's interface"),
        other => panic!("guest {other} has no verdict here: no guest without a test"),
    }
}

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

/// Gives a guest an ordinary record and then one with `message`.
fn call(
    instance: &mut Instance,
    subscription: &Subscription,
    message: &str,
) -> Result<Called, CallFailure> {
    let row = |message| -> Vec<Option<&str>> {
        let cell = |name: &str| if name == "host" { "rpi-03" } else { message };
        subscription.fields.iter().map(|field| Some(cell(&field.name))).collect()
    };
    instance.evaluate(&batch(&[&row("ordinary"), &row(message)]))
}

/// What happens to the guest in `file` that is not as its verdict says.
fn surprise(engine: &Engine, file: &Path, verdict: &Verdict) -> Option<String> {
    let component = match (engine.compile(&std::fs::read(file).unwrap()), verdict) {
        (Ok(component), _) => component,
        (Err(error), NotLoaded(reason)) if error.to_string().contains(reason) => return None,
        (Err(error), _) => return Some(format!("is not loaded: {error}")),
    };
    let mut instance = rule(&component);
    let subscription = match (instance.describe(r#"{"topic": "DERIVED"}"#), verdict) {
        (Ok(subscription), _) => subscription,
        (Err(error), NotDescribed(reason)) if error.to_string().contains(reason) => return None,
        (Err(error), _) => return Some(format!("is not described: {error}")),
    };
    match verdict {
        NotLoaded(_) => Some("is loaded".into()),
        NotDescribed(_) => Some("is described".into()),
        Fails(message, reason, text) => match call(&mut instance, &subscription, message) {
            Ok(called) => Some(format!("gives {:?}", called.effects)),
            Err(failure) => (failure.reason != *reason || !failure.message.contains(text))
                .then(|| format!("fails: {}: {failure}", failure.reason)),
        },
        Works(message, effects) => match call(&mut instance, &subscription, message) {
            Ok(called) => {
                (called.effects.len() != *effects).then(|| format!("gives {:?}", called.effects))
            }
            Err(failure) => Some(format!("fails: {}: {failure}", failure.reason)),
        },
    }
}

#[test]
fn every_guest_is_reported_as_what_it_is_as_component_and_as_core_module() {
    let engine = Engine::new(None).unwrap();
    let mut surprises = vec![];
    for guest in xtask::guests::build().unwrap().iter().filter(|guest| !guest.ships) {
        let verdict = verdict(&guest.name);
        for file in [&guest.component, &guest.core] {
            let surprise = surprise(&engine, file, &verdict);
            surprises.extend(surprise.map(|surprise| format!("{} {surprise}", file.display())));
        }
    }
    assert_eq!(surprises, Vec::<String>::new());
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
fn answers(component: &Component, config: &str) -> (Option<Subscription>, String) {
    let mut instance = rule(component);
    let subscription = match instance.describe(config) {
        Ok(subscription) => subscription,
        Err(error) => return (None, error.to_string()),
    };
    // Numbers are eight bytes, and so are these texts.
    let texts = ["rpi-03: ", "<!here> ", "a\nb\nc\nd\n", "\u{1f47d}\u{1f47d}"];
    let columns = subscription.fields.len();
    let rows: Vec<Vec<Option<&str>>> = (0..1_usize << columns)
        .map(|present| {
            (0..columns)
                .map(|column| (present >> column & 1 == 1).then(|| texts[(present + column) % 4]))
                .collect()
        })
        .collect();
    let rows: Vec<&[Option<&str>]> = rows.iter().map(Vec::as_slice).collect();
    let called = instance.evaluate(&batch(&rows)).unwrap();
    assert!(!called.effects.is_empty());
    (Some(subscription), format!("{:?} {:?}", called.effects, called.logs))
}

#[test]
fn the_seeds_first_rule_says_what_the_seed_says_and_passes_the_record_on() {
    let engine = Engine::new(None).unwrap();
    let invalid_user = shipped::find("invalid-user").unwrap();
    let mut instance = rule(&engine.compile(invalid_user.component).unwrap());
    let subscription =
        instance.describe(r#"{"host": "rpi-03", "emit_to": "SYSLOG_INVALID_USERS"}"#).unwrap();
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
fn a_rule_that_describes_itself_differently_is_one_that_a_host_can_tell() {
    let engine = Engine::new(None).unwrap();
    let file = std::fs::read(firebell_tests::guests::guest("unstable-describe")).unwrap();
    let component = engine.compile(&file).unwrap();
    let mut instance = rule(&component);
    let first = instance.describe("{}").unwrap();
    assert_ne!(first, instance.describe("{}").unwrap());
    // Without a clock and without chance, new instances cannot differ.
    assert_eq!(first, rule(&component).describe("{}").unwrap());
}
