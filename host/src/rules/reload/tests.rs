//! From a saved file to the set in a worker's hands, with all parts that are between.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::*;
use crate::config::{Config, Environment};
use crate::engine::Engine;
use crate::rules::library::View;
use crate::rules::publish::Slot;
use crate::rules::watch::Stop;
use crate::shipped;
use crate::telemetry::Metrics;

/// What did not come within this time never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A followed folder with one worker.
struct Host {
    dir: tempfile::TempDir,
    slot: Slot<Arc<RuleSet>>,
    view: View,
    stop: Stop,
    roll_backs: SyncSender<RollBack>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    fn start(files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let text = format!(
            "[kafka]\nbootstrap_servers = \"k:9092\"\n[rules]\ndir = {:?}\n",
            dir.path().to_str().unwrap()
        );
        let environment = Environment::of("host", 1, []);
        let config = Config::parse(Path::new("firebell.toml"), &text, &environment).unwrap();
        let watch = Watch::new(dir.path());
        let engine = Engine::new(None).unwrap();
        let library = Library::open(&config, engine, Metrics::new()).unwrap();
        let (view, stop) = (library.view().clone(), watch.stop_handle());
        let mut publisher = Publisher::default();
        let slot = publisher.slot(view.current());
        let (roll_backs, given_up) = sync_channel(1);
        let thread = thread::spawn(move || {
            follow(library, publisher, watch, &given_up, |set, _| Arc::clone(set))
        });
        let host = Self { dir, slot, view, stop, roll_backs, thread: Some(thread) };
        assert_eq!(host.next().generation, 1);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Saves as most tools do: under another name first.
    fn save(&self, name: &str, bytes: &[u8]) {
        let part = self.path(&format!("{name}.part"));
        fs::write(&part, bytes).unwrap();
        fs::rename(part, self.path(name)).unwrap();
    }

    /// The next set that the worker gets.
    fn next(&self) -> Arc<RuleSet> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(set) = self.slot.take() {
                let taken = Arc::clone(&set);
                self.slot.retire(set);
                return taken;
            }
            thread::yield_now();
        }
        panic!("no new set came");
    }

    fn wait_for_problem(&self) -> String {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let [problem, ..] = &self.view.problems()[..] {
                return problem.text.clone();
            }
            thread::yield_now();
        }
        panic!("the problem was not seen");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.stop();
        self.thread.take().map(JoinHandle::join);
    }
}

fn component() -> &'static [u8] {
    shipped::find("invalid-user").unwrap().component
}

fn names(set: &RuleSet) -> Vec<&str> {
    set.rules.keys().map(|name| &**name).collect()
}

const TOML: &[u8] = b"component = \"user.wasm\"\ntopics = [\"SYSLOG\"]\n";

#[test]
fn new_changed_and_removed_files_reach_the_worker() {
    let host = Host::start(&[("user.wasm", component()), ("a.toml", TOML)]);
    host.save("b.toml", TOML);
    assert_eq!(names(&host.next()), ["a", "b"]);
    host.save("a.toml", b"component = \"user.wasm\"\ntopics = [\"AUTH\"]\n");
    let set = host.next();
    assert_eq!(set.generation, 3);
    assert_eq!(*set.rules["a"].subscription.topics[0], *"AUTH");
    fs::remove_file(host.path("b.toml")).unwrap();
    assert_eq!(names(&host.next()), ["a"]);
}

#[test]
fn a_component_that_is_written_slowly_is_taken_up_whole_and_never_half() {
    let host = Host::start(&[("a.wasm", component()), ("a.toml", b"topics = [\"SYSLOG\"]")]);
    let before = host.view.current().rules["a"].version.clone();
    // A custom section at the end makes it another component.
    let another = [component(), &[0, 2, 1, b'x']].concat();
    let mut file = File::create(host.path("a.wasm")).unwrap();
    for part in another.chunks(another.len() / 4 + 1) {
        file.write_all(part).unwrap();
        assert_eq!(host.slot.take().map(|set| set.generation), None);
        // Longer than the watch waits for a folder that is quiet, and than it takes to refuse half a
        // component.
        thread::sleep(Duration::from_millis(200));
        assert_eq!(*host.view.problems(), [], "half of a component was looked at");
    }
    drop(file);
    let set = host.next();
    assert_eq!(set.generation, 2, "the only swap");
    assert_ne!(set.rules["a"].version, before);
    assert!(host.view.problems().is_empty());
}

#[test]
fn a_bad_file_is_seen_and_the_set_stays() {
    let host = Host::start(&[("user.wasm", component()), ("a.toml", TOML)]);
    host.save("a.toml", b"mode = 1");
    assert!(host.wait_for_problem().contains("`mode` must be a string"));
    assert!(host.slot.take().is_none());
    host.save("a.toml", b"component = \"user.wasm\"\ntopics = [\"AUTH\"]\n");
    assert_eq!(host.next().generation, 2);
    assert!(host.view.problems().is_empty());
}

#[test]
fn a_version_that_does_not_work_gives_way_to_the_last_one_until_it_is_saved_anew() {
    let host = Host::start(&[("user.wasm", component()), ("invalid-user.toml", TOML)]);
    let version = |set: &RuleSet| set.rules["invalid-user"].version.clone();
    let good = version(&host.view.current());
    let with = |line: &str| [TOML, line.as_bytes()].concat();
    host.save("invalid-user.toml", &with("mode = \"shadow\"\n"));
    let bad = version(&host.next());
    assert_ne!(good, bad);
    let wanted = |version: &str| RollBack {
        rule: "invalid-user".into(),
        version: version.into(),
        reason: "it fails".into(),
    };
    // A version that does not run any more is nobody's to give up.
    host.roll_backs.send(wanted("another")).unwrap();
    host.roll_backs.send(wanted(&bad)).unwrap();
    assert_eq!(version(&host.next()), good);
    assert!(host.wait_for_problem().contains("it fails"));
    host.save("invalid-user.toml", &with("mode = \"paused\"\n"));
    let mended = version(&host.next());
    assert!(mended != good && mended != bad);
    assert!(host.view.problems().is_empty());
}

#[test]
fn a_version_that_works_on_some_records_is_told_of_and_stays() {
    let host = Host::start(&[("user.wasm", component()), ("invalid-user.toml", TOML)]);
    host.save("invalid-user.toml", &[TOML, b"mode = \"shadow\"\n"].concat());
    let set = host.next();
    let rule = &set.rules["invalid-user"];
    rule.health.succeeded();
    host.roll_backs.send(RollBack::of(rule, "it cannot read partition 3".into())).unwrap();
    assert!(host.wait_for_problem().contains("it cannot read partition 3"));
    assert_eq!(host.view.current().rules["invalid-user"].version, rule.version);
    assert!(host.slot.take().is_none());
}

#[test]
fn a_version_that_was_gone_back_to_and_does_not_work_either_does_not_bring_the_other_back() {
    let host = Host::start(&[("user.wasm", component()), ("invalid-user.toml", TOML)]);
    let first = Arc::clone(&host.view.current().rules["invalid-user"]);
    host.save("invalid-user.toml", &[TOML, b"mode = \"shadow\"\n"].concat());
    let second = Arc::clone(&host.next().rules["invalid-user"]);
    host.roll_backs.send(RollBack::of(&second, "it fails".into())).unwrap();
    assert_eq!(host.next().rules["invalid-user"].version, first.version);
    host.roll_backs.send(RollBack::of(&first, "so does this".into())).unwrap();
    let end = Instant::now() + PATIENCE;
    while !host.wait_for_problem().contains("it fails; and its last version: so does this") {
        assert!(Instant::now() < end, "only {}", host.wait_for_problem());
        thread::yield_now();
    }
    assert_eq!(host.view.current().rules["invalid-user"].version, first.version);
    assert!(host.slot.take().is_none());
}

#[test]
fn a_version_that_never_worked_is_nothing_to_go_back_to() {
    let host = Host::start(&[("user.wasm", component()), ("invalid-user.toml", TOML)]);
    let first = Arc::clone(&host.view.current().rules["invalid-user"]);
    first.health.succeeded();
    host.save("invalid-user.toml", &[TOML, b"mode = \"shadow\"\n"].concat());
    host.next();
    host.save("invalid-user.toml", &[TOML, b"mode = \"active\"\n"].concat());
    let third = Arc::clone(&host.next().rules["invalid-user"]);
    host.roll_backs.send(RollBack::of(&third, "it fails".into())).unwrap();
    assert_eq!(host.next().rules["invalid-user"].version, first.version);
}
