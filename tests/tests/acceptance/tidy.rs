//! Rules of the code that a machine can check: who may name what, how big files are, what is released.

pub(crate) mod source;

use sha2::{Digest, Sha256};
use source::{Source, files, read, sources};

/// Whether a path of the host is the module `name`: `name.rs` or a file below `name/`.
fn is_module(path: &str, name: &str) -> bool {
    let inside = path.strip_prefix("host/src/").unwrap_or(path);
    inside == format!("{name}.rs") || inside.starts_with(&format!("{name}/"))
}

fn is_any_module(path: &str, names: &[&str]) -> bool {
    names.iter().any(|name| is_module(path, name))
}

/// The files of the host that name one of `words` and are not `allowed` to, as `path: word`.
fn offenders(words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = vec![];
    for source in sources("host/src").iter().filter(|source| !allowed(&source.path)) {
        let names = words.iter().filter(|word| source.names(word));
        found.extend(names.map(|word| format!("{}: {word}", source.path)));
    }
    found
}

const NOBODY: [&str; 0] = [];

#[test]
fn kafkas_client_is_named_only_in_files_called_kafka() {
    let allowed = |path: &str| path.split('/').any(|part| part == "kafka.rs" || part == "kafka");
    let demo = |path: &str| is_module(path, "demo");
    assert_eq!(offenders(&["rdkafka", "rdkafka_sys"], |path| allowed(path) || demo(path)), NOBODY);
}

#[test]
fn wasmtime_is_named_only_in_the_engine() {
    let words = ["wasmtime", "wasmparser", "wit_component"];
    assert_eq!(offenders(&words, |path| is_module(path, "engine")), NOBODY);
}

#[test]
fn the_http_client_is_named_only_in_delivery_and_where_kafkas_tokens_are_fetched() {
    assert_eq!(offenders(&["reqwest"], |path| is_any_module(path, &["delivery", "oauth"])), NOBODY);
}

#[test]
fn the_file_watcher_is_named_only_in_the_watch() {
    let words = ["notify::", "notify_debouncer_full"];
    assert_eq!(offenders(&words, |path| is_module(path, "rules/watch")), NOBODY);
}

#[test]
fn the_command_line_keeps_its_crates_to_itself() {
    let words = ["clap", "indicatif", "anyhow", "process::exit"];
    assert_eq!(offenders(&words, |path| is_any_module(path, &["main", "cli"])), NOBODY);
}

#[test]
fn the_environment_is_read_only_by_configuration_and_command_line() {
    let words = ["std::env", "env::var", "env::var_os", "env::vars"];
    assert_eq!(offenders(&words, |path| is_any_module(path, &["main", "cli", "config"])), NOBODY);
}

#[test]
fn metrics_are_named_only_in_telemetry() {
    let text = read("docs/metrics.md");
    let documented = text.split('`').filter(|word| word.starts_with("firebell_"));
    let names: Vec<&str> = documented.filter_map(|word| word.split(['{', ' ']).next()).collect();
    assert!(names.len() > 20, "docs/metrics.md has lost its names: {names:?}");
    for source in sources("host/src").iter().filter(|s| {
        // A test may read a figure back by its name.
        !is_module(&s.path, "telemetry") && !s.path.contains("/tests/")
    }) {
        for name in &names {
            // Counters are registered without their end.
            let stem = name.trim_end_matches("_total");
            assert!(!source.code.contains(&format!("\"{stem}")), "{} names {name}", source.path);
        }
    }
}

#[test]
fn the_pure_cores_know_no_io_and_no_clock() {
    const CORES: &[&str] = &[
        "backoff",
        "batch",
        "decode",
        "digest",
        "effect",
        "evaluation",
        "group",
        "limits",
        "matching",
        "nearest",
        "notification",
        "progress",
        "record",
        "subscription",
        "tally",
    ];
    let words = [
        "tokio",
        "std::fs",
        "std::net",
        "thread::sleep",
        "std::process",
        "SystemTime",
        "Instant::now",
        "tracing",
        "axum",
    ];
    assert_eq!(offenders(&words, |path| !is_any_module(path, CORES)), NOBODY);
}

#[test]
fn arrows_point_down_a_records_way() {
    // Who must not know whom.
    const NOT: &[(&str, &[&str])] = &[
        ("record", &["crate::"]),
        ("decode", &["crate::engine", "crate::rules", "crate::delivery", "crate::config"]),
        ("matching", &["crate::engine", "crate::rules", "crate::delivery", "crate::config"]),
        ("engine", &["crate::source", "crate::transaction", "crate::delivery", "crate::ledger"]),
        ("evaluation", &["crate::source", "crate::transaction", "crate::delivery"]),
        ("delivery", &["crate::engine", "crate::rules", "crate::evaluation", "crate::source"]),
    ];
    for (module, words) in NOT {
        assert_eq!(offenders(words, |path| !is_module(path, module)), NOBODY, "{module}");
    }
}

#[test]
fn plugins_know_the_sdk_and_the_contract_only() {
    for manifest in files("plugins", "Cargo.toml") {
        let text = read(&manifest);
        assert!(!text.contains("host\""), "{manifest} depends on the host");
    }
}

#[test]
fn files_stay_readable() {
    /// Lines, tests and all.
    const LONGEST: usize = 450;
    /// Files that are longer, with their length: it may shrink, never grow.
    const EXCEPTIONS: &[(&str, usize)] = &[];
    for source in all_sources() {
        let lines = source.text.lines().count();
        let exception = EXCEPTIONS.iter().find(|(path, _)| *path == source.path);
        let longest = exception.map_or(LONGEST, |(_, longest)| *longest);
        assert!(
            lines <= longest,
            "{} has {lines} lines, {longest} are allowed: look for the second noun in it",
            source.path
        );
        if exception.is_some() {
            assert!(lines > LONGEST, "{} needs no exception any more", source.path);
        }
    }
}

#[test]
fn functions_stay_short_without_exceptions() {
    // Clippy counts (`too_many_lines`, clippy.toml); nobody may switch it off.
    let lint = concat!("clippy::", "too_many_lines");
    let with: Vec<String> =
        all_sources().into_iter().filter(|s| s.code.contains(lint)).map(|s| s.path).collect();
    assert_eq!(with, NOBODY);
}

#[test]
fn nothing_is_left_open() {
    let marks = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
    ];
    for source in all_sources() {
        for mark in marks {
            assert!(!source.text.contains(mark), "{} has a {mark}", source.path);
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    let named = |source: &Source| !source.path.ends_with("/tests.rs");
    for source in sources("host/src").into_iter().filter(named) {
        assert!(source.text.starts_with("//! "), "{} begins without its sentence", source.path);
    }
}

#[test]
fn modules_are_files_of_their_name() {
    let old: Vec<String> = all_sources()
        .into_iter()
        .map(|source| source.path)
        .filter(|path| path.ends_with("/mod.rs"))
        .collect();
    assert_eq!(old, NOBODY);
}

#[test]
fn a_released_contract_never_changes() {
    const RELEASED: &[(&str, &str)] = &[
        ("wit/0.1.0/rule.wit", "5a52d4f211c0dd7841f42990b41282d03b25c63f1a8559acabc9679d9840931e"),
        ("wit/0.1.1/rule.wit", "4e8064e4f43d15cafa8fedf69fd5d1e139298f9e03a91fd2a03f2059f71c205a"),
    ];
    for (path, hash) in RELEASED {
        let digest = Sha256::digest(read(path).as_bytes());
        let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, *hash, "{path} is released: add a new version beside it");
    }
    // A new version is released by adding it above.
    let versions: Vec<String> = files("wit", ".wit");
    assert_eq!(versions, RELEASED.iter().map(|(path, _)| *path).collect::<Vec<_>>());
}

#[test]
fn dependencies_come_from_the_public_registry() {
    let public = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    for line in read("Cargo.lock").lines().filter(|line| line.starts_with("source")) {
        assert_eq!(line, public);
    }
}

fn all_sources() -> Vec<Source> {
    ["host", "plugins", "state", "tests", "xtask"].into_iter().flat_map(sources).collect()
}
