//! Reloads of real files, with components that ship.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use super::*;
use crate::config::Environment;
use crate::shipped;

/// One engine for all tests: they compile the same components.
static ENGINE: LazyLock<(tempfile::TempDir, Engine)> = LazyLock::new(|| {
    let cache = tempfile::tempdir().unwrap();
    let engine = Engine::new(Some(&cache.path().join("cache"))).unwrap();
    (cache, engine)
});

/// A toml that makes the shipped component a rule.
const GOOD: &str = "topics = [\"SYSLOG\"]\n";

/// A rules folder and its library.
struct Folder {
    dir: tempfile::TempDir,
    library: Library,
    metrics: Metrics,
}

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let metrics = Metrics::new();
        let library = Library::open(&config(dir.path()), ENGINE.1.clone(), metrics.clone());
        Self { library: library.unwrap(), dir, metrics }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Takes up the folder as it is.
    fn reload(&mut self) -> Reloaded {
        let snapshot = Snapshot::take(self.dir.path()).unwrap();
        // Writes of a test are too near to each other for stamps.
        let touched = snapshot.files.keys().cloned().collect();
        self.library.reload(Change { snapshot, touched })
    }

    fn write(&mut self, name: &str, bytes: impl AsRef<[u8]>) -> Reloaded {
        fs::write(self.path(name), bytes).unwrap();
        self.reload()
    }

    fn remove(&mut self, name: &str) -> Reloaded {
        fs::remove_file(self.path(name)).unwrap();
        self.reload()
    }

    fn set(&self) -> Arc<RuleSet> {
        self.library.view().current()
    }

    fn rule(&self, name: &str) -> Arc<Rule> {
        Arc::clone(self.set().rules.get(name).expect("the rule is in the set"))
    }

    fn names(&self) -> Vec<String> {
        self.set().rules.keys().map(ToString::to_string).collect()
    }

    /// `FILE:LINE: TEXT` of every problem.
    fn problems(&self) -> Vec<String> {
        let dir = format!("{}/", self.dir.path().display());
        let problems = self.library.view().problems();
        problems.iter().map(|problem| problem.to_string().replace(&dir, "")).collect()
    }
}

fn config(dir: &Path) -> Config {
    let text = format!(
        "[kafka]\nbootstrap_servers = \"k:9092\"\n[rules]\ndir = {:?}\n[slack]\ntoken_env = \
         \"TOKEN\"\ndefault_channel = \"alerts\"\n",
        dir.to_str().unwrap()
    );
    let environment = Environment::of("host", 1, [("TOKEN", "xoxb-1")]);
    Config::parse(Path::new("firebell.toml"), &text, &environment).unwrap()
}

fn invalid_user() -> Vec<u8> {
    shipped::find("invalid-user").unwrap().component.to_vec()
}

fn relay() -> Vec<u8> {
    shipped::find("notify-relay").unwrap().component.to_vec()
}

/// The same component with other bytes: a custom section at its end.
fn another(mut component: Vec<u8>) -> Vec<u8> {
    component.extend([0, 2, 1, b'x']);
    component
}

fn toml_for(component: &str, rest: &str) -> String {
    format!("component = {component:?}\n{GOOD}{rest}")
}

#[test]
fn a_toml_makes_its_component_a_rule_and_the_component_is_none_of_its_own() {
    let folder = Folder::new(&[
        ("user.wasm", &invalid_user()),
        ("a.toml", toml_for("user.wasm", "channels = [\"ops\"]").as_bytes()),
        ("b.toml", toml_for("user.wasm", "[config]\nhost = \"rpi-03\"").as_bytes()),
        ("c.toml", toml_for("builtin:notify-relay", "mode = \"shadow\"").as_bytes()),
    ]);
    assert_eq!(folder.problems(), [""; 0]);
    assert_eq!(folder.names(), ["a", "b", "c"]);
    assert_eq!(folder.set().generation, 1);
    let (a, b) = (folder.rule("a"), folder.rule("b"));
    assert_eq!((&a.channels[..], &b.channels[..]), (&["ops".into()][..], &["alerts".into()][..]));
    assert_eq!(a.component.hash(), b.component.hash());
    assert_ne!(a.version, b.version);
    assert_eq!(folder.rule("c").mode, Mode::Shadow);
    assert!(b.conditions[0].contains("rpi-03"), "{:?}", b.conditions);
    let topics: Vec<_> = folder.set().topics.keys().map(ToString::to_string).collect();
    assert_eq!(topics, ["SYSLOG"]);
    let states = folder.metrics.snapshot().rules;
    assert_eq!(states["a"].state, Some(RuleState::Active));
    assert_eq!(states["c"].state, Some(RuleState::Shadow));
}

#[test]
fn a_changed_rule_is_a_new_version_and_the_others_stay_what_they_are() {
    let files: [(&str, &[u8]); 4] = [
        ("a.wasm", &invalid_user()),
        ("a.toml", GOOD.as_bytes()),
        ("b.wasm", &relay()),
        ("b.toml", GOOD.as_bytes()),
    ];
    let mut folder = Folder::new(&files);
    let (a, b, set) = (folder.rule("a"), folder.rule("b"), folder.set());
    assert_eq!(folder.write("a.wasm", another(invalid_user())), Reloaded::Swapped);
    assert_eq!(folder.set().generation, 2);
    assert!(Arc::ptr_eq(&folder.rule("b"), &b));
    let changes = RuleSet::differences(&set, &folder.set());
    let new = folder.rule("a").version.clone();
    let change = crate::rules::RuleChange {
        rule: "a".into(),
        old: Some(a.version.clone()),
        new: Some(new.clone()),
    };
    assert_eq!(changes, [change]);
    folder.write("a.toml", format!("{GOOD}# a comment\n"));
    assert_ne!(folder.rule("a").version, new, "a version names the toml's text");
}

#[test]
fn a_set_that_differs_in_nothing_is_not_published() {
    let mut folder = Folder::new(&[("a.wasm", &invalid_user()), ("a.toml", GOOD.as_bytes())]);
    let set = folder.set();
    assert_eq!(folder.reload(), Reloaded::Unchanged);
    assert_eq!(folder.write("a.wasm", invalid_user()), Reloaded::Unchanged);
    assert!(Arc::ptr_eq(&folder.set(), &set));
    let reloads = folder.metrics.snapshot().reloads;
    assert_eq!((reloads["swapped"], reloads["unchanged"]), (1, 2));
}

#[test]
fn what_was_compiled_ahead_goes_live_only_with_the_change_and_as_it_is_then() {
    let mut folder = Folder::new(&[("a.wasm", &invalid_user()), ("a.toml", GOOD.as_bytes())]);
    let old = folder.rule("a").version.clone();
    let changed = another(invalid_user());
    fs::write(folder.path("a.wasm"), &changed).unwrap();
    folder.library.compile_ahead(&["a.wasm", "a.toml", "gone.wasm"]);
    assert_eq!(folder.rule("a").version, old);
    assert_eq!(folder.reload(), Reloaded::Swapped);
    let second = folder.rule("a");
    assert_eq!(second.component.hash(), digest(&changed));

    // Half a file is no problem as long as it is not taken up.
    fs::write(folder.path("a.wasm"), &changed[..changed.len() / 2]).unwrap();
    folder.library.compile_ahead(&["a.wasm"]);
    assert!(folder.problems().is_empty());
    let whole = another(changed);
    assert_eq!(folder.write("a.wasm", &whole), Reloaded::Swapped);
    assert_eq!(folder.rule("a").component.hash(), digest(&whole));
    assert!(folder.problems().is_empty());
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_removed_file_removes_its_rule() {
    let b = toml_for("a.wasm", "");
    let mut folder = Folder::new(&[
        ("a.wasm", &invalid_user()),
        ("a.toml", GOOD.as_bytes()),
        ("b.toml", b.as_bytes()),
    ]);
    assert_eq!(folder.remove("b.toml"), Reloaded::Swapped);
    assert_eq!(folder.names(), ["a"]);
    assert!(!folder.metrics.encode().contains("rule=\"b\""), "it is in no state");
    folder.remove("a.toml");
    folder.remove("a.wasm");
    assert_eq!(folder.names(), [""; 0]);
    assert_eq!(folder.problems(), [""; 0]);
}

#[test]
fn a_component_that_is_gone_while_its_toml_is_there_keeps_the_rule() {
    let b = toml_for("user.wasm", "");
    let mut folder = Folder::new(&[("user.wasm", &invalid_user()), ("b.toml", b.as_bytes())]);
    assert_eq!(folder.remove("user.wasm"), Reloaded::Unchanged);
    assert_eq!(folder.names(), ["b"]);
    insta::assert_snapshot!(
        folder.problems().join("\n"),
        @"b.toml:1: there is no component `user.wasm` in the rules folder"
    );
}

/// What may be found in place of `bad.wasm` or `bad.toml`, and what is said about it.
fn bad_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let newer = "(component (import \"firebell:rule/log@0.9.0\" (instance)))";
    let wasi = "(component (import \"wasi:clocks/wall-clock@0.2.0\" (instance)))";
    vec![
        ("bad.wasm", half(invalid_user()), "bad.wasm: the file ends in the middle"),
        ("bad.wasm", vec![], "bad.wasm: the file is empty"),
        ("bad.wasm", b"hello".to_vec(), "bad.wasm: the file is not WebAssembly"),
        ("bad.wasm", wat("(module)"), "bad.wasm: the file is a core module without"),
        ("bad.wasm", wat(newer), "bad.wasm: the component is built against `firebell:rule/log@0.9"),
        ("bad.wasm", wat(wasi), "bad.wasm: the component imports `wasi:clocks/wall-clock@0.2.0`"),
        ("bad.toml", vec![], "bad.toml: the file is empty"),
        ("bad.toml", b"topics = [".to_vec(), "bad.toml:1: this is not TOML"),
        ("bad.toml", b"\xff\xfe".to_vec(), "bad.toml: the file is not text (UTF-8)"),
        ("bad.toml", b"\ntopcs = []".to_vec(), "bad.toml:2: unknown key `topcs`; did you mean"),
        ("bad.toml", b"\n\nmode = 1".to_vec(), "bad.toml:3: `mode` must be a string"),
        (
            "bad.toml",
            b"format = \"avro\"".to_vec(),
            "bad.toml:1: `format`: `avro` is not supported",
        ),
        ("bad.toml", b"mode = \"shadow\"".to_vec(), "bad.toml: the rule leaves its topics to you"),
        (
            "bad.toml",
            toml_for("builtin:invalid-usr", "").into(),
            "bad.toml:1: no component of the name `invalid-usr` ships with firebell; did you mean",
        ),
        ("bad.toml", toml_for("nowhere.wasm", "").into(), "bad.toml:1: there is no component"),
        (
            "bad.toml",
            format!("{GOOD}[config]\nhots = \"rpi-03\"").into(),
            "bad.toml:2: the rule refuses its configuration: [config] unknown field `hots`",
        ),
        (
            "bad.toml",
            format!("{GOOD}[fields]\nhots = \"/host\"").into(),
            "bad.toml:3: `fields.hots`: the rule has no field of this name; did you mean `host`?",
        ),
    ]
}

/// Whether this is what is told, but for a component that nobody names any more because of it.
fn is_only(problems: &[String], told: &str) -> bool {
    let (first, rest) = problems.split_first().expect("something is told");
    first.starts_with(told) && rest.iter().all(|other| other.starts_with("bad.wasm: no rule uses"))
}

#[test]
fn a_bad_file_keeps_the_old_version_while_other_changes_go_live() {
    let files: [(&str, &[u8]); 4] = [
        ("bad.wasm", &invalid_user()),
        ("bad.toml", GOOD.as_bytes()),
        ("good.wasm", &relay()),
        ("good.toml", GOOD.as_bytes()),
    ];
    for (file, bytes, told) in bad_files() {
        let mut folder = Folder::new(&files);
        let (bad, good) = (folder.rule("bad"), folder.rule("good"));
        fs::write(folder.path("good.toml"), format!("{GOOD}# changed\n")).unwrap();
        assert_eq!(folder.write(file, &bytes), Reloaded::Swapped, "{told}");
        assert!(Arc::ptr_eq(&folder.rule("bad"), &bad), "{told}");
        assert_ne!(folder.rule("good").version, good.version, "{told}");
        let problems = folder.problems();
        assert!(is_only(&problems, told), "{told}: {problems:#?}");
        let problem = folder.library.view().problems()[0].clone();
        assert_eq!((&problem.kept[..], problem.missing.len()), (&["bad".into()][..], 0));
        assert_eq!(folder.metrics.snapshot().reloads["rejected"], 1, "{told}");
        // Told and counted once, seen as long as it lasts, with the time when it began.
        folder.reload();
        assert_eq!(folder.library.view().problems()[0], problem);
        assert_eq!(folder.metrics.snapshot().reloads["rejected"], 1, "{told}");
        let good = if file == "bad.wasm" { invalid_user() } else { GOOD.into() };
        folder.write(file, good);
        assert_eq!(folder.problems(), [""; 0], "{told}");
        assert!(Arc::ptr_eq(&folder.rule("bad"), &bad), "it is the version that ran on");
    }
}

#[test]
fn a_file_that_is_bad_from_the_start_is_no_rule_and_holds_no_other_back() {
    for (file, bytes, told) in bad_files() {
        let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::from([
            ("bad.wasm", invalid_user()),
            ("bad.toml", GOOD.into()),
            ("good.wasm", relay()),
            ("good.toml", GOOD.into()),
        ]);
        files.insert(file, bytes);
        let files: Vec<_> = files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
        let folder = Folder::new(&files);
        assert_eq!(folder.names(), ["good"], "{told}");
        let problems = folder.problems();
        assert!(is_only(&problems, told), "{told}: {problems:#?}");
        let problem = &folder.library.view().problems()[0];
        assert_eq!((problem.kept.len(), &problem.missing[..]), (0, &["bad".into()][..]));
        let states = folder.metrics.snapshot().rules;
        assert_eq!(states["bad"].state, Some(RuleState::Rejected), "{told}");
    }
}

#[test]
fn a_bad_component_is_told_once_with_all_its_rules() {
    let (a, b) = (toml_for("user.wasm", "# a"), toml_for("user.wasm", "# b"));
    let mut folder = Folder::new(&[
        ("user.wasm", &invalid_user()),
        ("a.toml", a.as_bytes()),
        ("b.toml", b.as_bytes()),
    ]);
    folder.write("user.wasm", "");
    let problems = folder.library.view().problems();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].kept, ["a".into(), "b".into()]);
}

#[test]
fn a_bad_toml_makes_no_rule_of_the_component_that_it_names() {
    let broken = "component = \"user.wasm\"\ntopics = [";
    let folder = Folder::new(&[("user.wasm", &invalid_user()), ("a.toml", broken.as_bytes())]);
    assert_eq!(folder.names(), [""; 0]);
    assert!(folder.problems().iter().all(|problem| problem.starts_with("a.toml:")));
    let a = toml_for("user.wasm", "");
    let mut folder = Folder::new(&[("user.wasm", &invalid_user()), ("a.toml", a.as_bytes())]);
    folder.write("a.toml", "oh = [");
    assert_eq!(folder.names(), ["a"]);
    assert_eq!(folder.library.view().problems().len(), 1);
}

#[test]
fn a_component_that_no_rule_can_use_is_told() {
    let a = toml_for("builtin:notify-relay", "");
    let folder = Folder::new(&[("a.wasm", &invalid_user()), ("a.toml", a.as_bytes())]);
    assert_eq!(folder.names(), ["a"]);
    insta::assert_snapshot!(folder.problems().join("\n"), @"a.wasm: no rule uses this component: a.toml is the rule `a` and names another one; rename this file, or remove it");
}

#[test]
fn a_name_that_is_none_is_told_and_a_component_may_have_any() {
    let a = toml_for("My Rule.wasm", "");
    let folder = Folder::new(&[
        ("My Rule.wasm", &invalid_user()),
        ("a.toml", a.as_bytes()),
        ("Über.toml", a.as_bytes()),
    ]);
    assert_eq!(folder.names(), ["a"]);
    insta::assert_snapshot!(folder.problems().join("\n"), @"Über.toml: `Über` is not a rule's name: it has only lower-case letters, digits, `.`, `_` and `-`; rename the file, to `-ber` for example");
}

#[test]
fn a_folder_that_cannot_be_read_keeps_every_rule() {
    let mut folder = Folder::new(&[("a.wasm", &invalid_user()), ("a.toml", GOOD.as_bytes())]);
    let set = folder.set();
    let error = Snapshot::take(Path::new("no/such/rules")).unwrap_err();
    folder.library.folder_is_unreadable(&error);
    folder.library.folder_is_unreadable(&error);
    assert!(Arc::ptr_eq(&folder.set(), &set));
    assert_eq!(folder.library.view().problems()[0].kept, ["a".into()]);
    assert_eq!(folder.metrics.snapshot().reloads["rejected"], 1);
    folder.reload();
    assert_eq!(folder.problems(), [""; 0]);
}

#[test]
fn a_library_opens_only_on_a_folder() {
    let error = Library::open(&config(Path::new("no/such")), ENGINE.1.clone(), Metrics::new());
    assert!(error.unwrap_err().to_string().contains("no/such"));
}
