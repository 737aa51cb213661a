//! What becomes of files that are no rules, and of rules that misbehave.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::testing::{embed, guest};
use super::*;
use crate::batch::Batch;
use crate::effect::Effect;
use crate::limits::Limits;
use crate::subscription::{FieldSource, FieldType};

fn engine() -> Engine {
    Engine::new(None).unwrap()
}

fn batch(offsets: std::ops::Range<i64>) -> Batch {
    let rows = (offsets.end - offsets.start) as usize;
    Batch {
        topic: "SYSLOG".into(),
        partition: 0,
        timestamps: vec![0; rows],
        offsets: offsets.collect(),
        cells: b"rpi-03".repeat(rows),
        ends: (1..=rows as u32).map(|row| row * 6).collect(),
        nulls: vec![],
    }
}

fn instance_with(each_row: &str, limits: &Limits) -> Instance {
    let component = engine().compile(&guest(each_row)).unwrap();
    let mut instance = component.instantiate(&"hostile".into(), limits).unwrap();
    instance.describe("{}").unwrap();
    instance
}

fn failure_with(each_row: &str, limits: &Limits) -> CallFailure {
    let mut instance = instance_with(each_row, limits);
    let failure = instance.evaluate(&batch(0..4)).unwrap_err();
    assert_eq!(instance.memory_bytes(), 0, "the store is dropped after an error");
    let again = instance.evaluate(&batch(0..4)).unwrap_err();
    assert_eq!(again.reason, FailureReason::Instantiate, "a dead instance stays dead");
    failure
}

fn failure(each_row: &str) -> CallFailure {
    failure_with(each_row, &Limits::default())
}

#[test]
fn a_rule_describes_itself_and_returns_effects_in_row_order() {
    let mut instance = instance_with("(call $notify (local.get $row))", &Limits::default());
    let subscription = instance.describe("{}").unwrap().subscription;
    assert_eq!(subscription.topics.len(), 0);
    assert_eq!(subscription.condition, None);
    let field = &subscription.fields[0];
    assert_eq!((&*field.name, field.field_type), ("host", FieldType::Text));
    assert_eq!(field.source, FieldSource::Pointer(vec!["host".into()]));

    let called = instance.evaluate(&batch(0..3)).unwrap();
    assert_eq!(called.effects.iter().map(|e| e.row).collect::<Vec<_>>(), [0, 1, 2]);
    let Effect::Notify(notification) = &called.effects[0].effect else { panic!("a notification") };
    assert_eq!(notification.title, "tally");
    assert!(called.fuel > 0 && called.fuel < 10_000, "{}", called.fuel);
    let same = instance.evaluate(&batch(0..3)).unwrap();
    assert_eq!(same, called, "the same batch gives the same effects and burns the same fuel");
}

#[test]
fn a_trap_is_told_as_a_trap() {
    let failure = failure("(if (i64.eq (local.get $offset) (i64.const 2)) (then unreachable))");
    assert_eq!(failure.reason, FailureReason::Trap);
    assert!(failure.message.contains("unreachable"), "{failure}");
}

#[test]
fn an_endless_loop_runs_out_of_fuel_in_proportion_to_the_rows() {
    let limits = Limits { fuel_per_record: 50_000, ..Limits::default() };
    let failure = failure_with("(loop $l (br $l))", &limits);
    assert_eq!(failure.reason, FailureReason::OutOfFuel);
    assert!(failure.message.contains("`fuel_per_record` is 50000"), "{failure}");
    assert!((200_000..400_000).contains(&failure.fuel), "{}", failure.fuel);
}

#[test]
fn an_endless_recursion_is_a_trap_of_the_guest_alone() {
    let failure = failure("(call $deep)");
    assert_eq!(failure.reason, FailureReason::Trap);
    assert!(failure.message.contains("stack"), "{failure}");
}

#[test]
fn a_memory_hog_is_told_as_out_of_memory() {
    let limits = Limits { memory_mib: 2, ..Limits::default() };
    let failure = failure_with("(call $grow (i32.const 16))", &limits);
    assert_eq!(failure.reason, FailureReason::MemoryLimit);
    assert!(failure.message.contains("2 MiB (`memory_mib`)"), "{failure}");
}

#[test]
fn a_component_that_is_larger_than_its_limit_is_not_instantiated() {
    let component = engine().compile(&guest("(call $grow (i32.const 16))")).unwrap();
    let limits = Limits { memory_mib: 0, ..Limits::default() };
    let failure = component.instantiate(&"large".into(), &limits).unwrap_err();
    assert_eq!(failure.reason, FailureReason::MemoryLimit);
}

#[test]
fn a_panic_carries_its_text_and_the_lines_before_it() {
    let failure = failure("(call $line) (call $panic)");
    assert_eq!(failure.reason, FailureReason::Panic);
    assert_eq!(failure.message, "boom at row");
    assert_eq!(failure.logs.lines.len(), 1);
    assert_eq!(failure.logs.lines[0].message, "a line");
}

#[test]
fn an_error_that_a_rule_returns_is_its_own_words() {
    let failure = failure("(global.set $refused (i32.const 1))");
    assert_eq!(failure.reason, FailureReason::Refused);
    assert_eq!(failure.message, "I refuse");
}

#[test]
fn too_much_output_is_refused_before_and_after_it_reaches_the_host() {
    // 2 MiB of one title: over `output_bytes`, but not more than the host would take.
    let title = |bytes: u32| {
        format!(
            "(call $grow (i32.const 200)) (global.set $title_len (i32.const {bytes}))
             (call $notify (i32.const 0))"
        )
    };
    let limits = Limits { notifications_per_record: 100, ..Limits::default() };
    for bytes in [1 << 19, 2 << 20, 8 << 20] {
        let failure = failure_with(&title(bytes), &limits);
        assert_eq!(failure.reason, FailureReason::OutputLimit, "{bytes}: {failure}");
        assert!(failure.message.contains("`output_bytes`"), "{failure}");
    }
}

#[test]
fn too_many_notifications_and_emits_for_one_record_are_refused() {
    let many = |call: &str| format!("{} ", call.repeat(17));
    let failure = failure_with(&many("(call $notify (local.get $row))"), &Limits::default());
    assert_eq!(failure.reason, FailureReason::NotificationLimit);
    let failure = failure_with(&many("(call $emit (local.get $row))"), &Limits::default());
    assert_eq!(failure.reason, FailureReason::EmitLimit);
}

#[test]
fn an_effect_about_a_row_that_does_not_exist_is_refused() {
    let failure = failure("(call $notify (local.get $rows))");
    assert_eq!(failure.reason, FailureReason::InvalidEffect);
    assert!(failure.message.contains("row 4, but the batch has 4"), "{failure}");
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    let limits = Limits::default();
    // The title's length reaches into the batch, which has a timestamp of all ones.
    let each = "(global.set $title_len (i32.const 65400)) (call $notify (i32.const 0))";
    let mut batch = batch(0..1);
    batch.timestamps[0] = -1;
    let failure = instance_with(each, &limits).evaluate(&batch).unwrap_err();
    assert_eq!(failure.reason, FailureReason::InvalidEffect);
    assert!(failure.message.contains("utf-8"), "{failure}");
}

#[test]
fn lines_over_the_limit_are_counted() {
    let limits = Limits { log_lines: 2, ..Limits::default() };
    let called = instance_with("(call $line)", &limits).evaluate(&batch(0..5)).unwrap();
    assert_eq!(called.logs.lines.len(), 2);
    assert_eq!(called.logs.dropped, 3);
}

fn load_error(bytes: &[u8]) -> String {
    engine().compile(bytes).unwrap_err().to_string()
}

#[test]
fn a_file_that_is_no_rule_is_refused_with_what_it_is_and_the_cure() {
    let module = guest("");
    let component = wit_component::ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .unwrap();
    let said = |bytes: &[u8], expected: &str| {
        let error = load_error(bytes);
        assert!(error.contains(expected), "expected `{expected}` in `{error}`");
    };
    said(b"", "the file is empty");
    said(b"\0as", "ends in the middle, after 3 bytes");
    said(b"\0asm\x01\0", "ends in the middle");
    for cut in [module.len() / 2, module.len() - 1] {
        said(&module[..cut], "ends in the middle");
    }
    for cut in [component.len() / 2, component.len() - 1] {
        said(&component[..cut], "ends in the middle");
    }
    said(b"#!/bin/sh\necho", "not WebAssembly: it begins with `#!/bin/sh");
    said(b"\x7fELF\x02\x01\x01\0", "compiled machine code, which is never loaded");
    said(b"  (module)", "wasm-tools parse");
    said(b"\0asm\x09\0\0\0", "unknown version");
    said(&wat::parse_str("(module)").unwrap(), "core module without Firebell's interface");
    said(b"\0asm\x0d\0\x01\0", "exports nothing, not `firebell:rule/guest@0.1.0`");
    let mut damaged = component;
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    let error = load_error(&damaged);
    assert!(error.contains("not valid") || error.contains("ends in the middle"), "{error}");
}

#[test]
fn foreign_imports_are_named_with_their_cure() {
    let wasi = r#"(component (import "wasi:cli/environment@0.2.6" (instance)))"#;
    let error = load_error(&wat::parse_str(wasi).unwrap());
    assert!(error.contains("`wasi:cli/environment@0.2.6`"), "{error}");
    assert!(error.contains("build for wasm32-unknown-unknown"), "{error}");
    let other = r#"(component (import "acme:db/store@1.0.0" (instance)))"#;
    let error = load_error(&wat::parse_str(other).unwrap());
    assert!(error.contains("`acme:db/store@1.0.0`"), "{error}");
    let core = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#;
    let error = load_error(&wat::parse_str(core).unwrap());
    assert!(error.contains("`wasi_snapshot_preview1`"), "{error}");
}

#[test]
fn another_version_of_the_contract_is_told_as_such() {
    let newer = r#"(component (instance $i) (export "firebell:rule/guest@0.9.0" (instance $i)))"#;
    let error = load_error(&wat::parse_str(newer).unwrap());
    assert_eq!(
        error,
        "the component is built against `firebell:rule/guest@0.9.0`; this host speaks 0.1: upgrade \
         the host, or build against 0.1"
    );
    let added = r#"(component (import "firebell:rule/history@0.1.7" (instance)))"#;
    let error = load_error(&wat::parse_str(added).unwrap());
    assert!(
        error.contains("`firebell:rule/history@0.1.7`") && error.contains("upgrade"),
        "{error}"
    );
    let wrong = r#"(component (instance $i) (export "firebell:rule/guest@0.1.0" (instance $i)))"#;
    let error = load_error(&wat::parse_str(wrong).unwrap());
    assert!(error.contains("does not fit the world"), "{error}");
}

#[test]
fn a_module_whose_code_lacks_an_export_is_not_wrapped() {
    let mut module = wat::parse_str("(module (memory (export \"memory\") 1))").unwrap();
    embed(&mut module);
    let error = load_error(&module);
    assert!(error.contains("cannot be made a component"), "{error}");
}

proptest! {
    #[test]
    fn whatever_a_file_holds_it_is_looked_at_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in 0_usize..2_000,
        layer in prop_oneof![Just(b"\0asm\x0d\0\x01\0"), Just(b"\0asm\x01\0\0\0")],
    ) {
        let alone = [layer.as_slice(), &bytes].concat();
        let mut damaged = guest("");
        let at = at.min(damaged.len());
        let end = damaged.len().min(at + bytes.len());
        damaged[at..end].copy_from_slice(&bytes[..end - at]);
        for file in [&bytes, &alone, &damaged] {
            // What it says is tested above.
            let _kind = inspect::inspect(file);
        }
    }
}

fn only_entry(dir: &Path) -> PathBuf {
    let entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

#[test]
fn compiled_code_is_cached_and_a_damaged_or_foreign_file_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("compiled");
    let engine = Engine::new(Some(&cache)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    let module = guest("(call $notify (local.get $row))");
    let works = |component: &Component| {
        let mut instance = component.instantiate(&"r".into(), &Limits::default()).unwrap();
        instance.describe("{}").unwrap();
        assert_eq!(instance.evaluate(&batch(0..2)).unwrap().effects.len(), 2);
    };
    let first = engine.compile(&module).unwrap();
    works(&first);
    let entry = only_entry(&cache);
    assert_eq!(mode(&entry), 0o600);
    let code = std::fs::read(&entry).unwrap();

    let second = Engine::new(Some(&cache)).unwrap().compile(&module).unwrap();
    works(&second);
    assert_eq!(first.hash(), second.hash());
    assert_eq!(std::fs::read(&entry).unwrap(), code, "an entry that is good is not written again");

    let mut damaged = code.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for bad in [&damaged[..], &code[..code.len() / 2], b""] {
        std::fs::write(&entry, bad).unwrap();
        works(&engine.compile(&module).unwrap());
        assert_eq!(std::fs::read(&entry).unwrap(), code, "the damaged entry was replaced");
    }

    std::fs::set_permissions(&entry, std::fs::Permissions::from_mode(0o666)).unwrap();
    works(&engine.compile(&module).unwrap());
    assert_eq!(mode(&entry), 0o600, "an entry that others may write was replaced");
    assert_eq!(only_entry(&cache), entry);
}

#[test]
fn a_cache_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Engine::new(Some(file.path())).unwrap_err().to_string();
    assert!(error.contains("`rules.cache_dir`"), "{error}");
}
