//! The watch on real folders.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::thread;

use super::*;

/// A change that was not seen for this long is never seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A watched temporary folder and the state that counts as loaded.
struct Watched {
    dir: tempfile::TempDir,
    watch: Watch,
    loaded: Snapshot,
}

impl Watched {
    fn new() -> Self {
        Self::with(Watch::new)
    }

    fn with(watch: impl Fn(&Path) -> Watch) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("rules");
        fs::create_dir(&folder).unwrap();
        Self { watch: watch(&folder), loaded: Snapshot::default(), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("rules").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The next change, which from then on counts as loaded.
    fn change(&mut self) -> Change {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Wait::Changed(change) = self.watch.wait(&self.loaded) {
                self.loaded = change.snapshot.clone();
                return change;
            }
        }
        panic!("the change was not seen");
    }

    /// The change that is under way is told by the system, not found by looking.
    fn assert_told(&self) {
        assert_eq!(self.watch.events.wait(Instant::now() + PATIENCE), Woken::Told);
    }

    /// What all files of the next change contain.
    fn contents(&mut self) -> Vec<(String, String)> {
        let files = self.change().snapshot.files.into_keys();
        files.map(|name| (name.clone(), fs::read_to_string(self.path(&name)).unwrap())).collect()
    }
}

fn file(name: &str, text: &str) -> (String, String) {
    (name.into(), text.into())
}

#[test]
fn only_whole_files_that_differ_are_worked_with_ahead() {
    let mut watched = Watched::new();
    watched.write("same.toml", "x");
    watched.change();
    watched.write("whole.wasm", "x");
    let mut open = File::create(watched.path("open.wasm")).unwrap();
    open.write_all(b"x").unwrap();
    // Until the system has told of all of it.
    let differs = |watched: &Watched| {
        let now = Snapshot::take(&watched.path("")).unwrap();
        watched.watch.events.being_written(&now, Instant::now()) == ["open.wasm".to_owned()].into()
    };
    let end = Instant::now() + PATIENCE;
    while !differs(&watched) {
        assert!(Instant::now() < end, "the open file was not told");
    }
    let mut ahead = vec![];
    let wait = watched.watch.wait_and(&watched.loaded, |files| {
        ahead.extend(files.iter().map(|file| (*file).to_owned()));
    });
    assert_eq!(ahead, ["whole.wasm"]);
    let Wait::Changed(change) = wait else { panic!("{wait:?}") };
    let files: Vec<_> = change.snapshot.files.into_keys().collect();
    assert_eq!(files, ["same.toml", "whole.wasm"]);
}

#[test]
fn a_new_a_changed_and_a_removed_file_are_seen() {
    let mut watched = Watched::new();
    watched.write("a.toml", "one");
    assert_eq!(watched.contents(), [file("a.toml", "one")]);
    watched.write("a.toml", "two");
    watched.write("b.wasm", "x");
    assert_eq!(watched.contents(), [file("a.toml", "two"), file("b.wasm", "x")]);
    fs::remove_file(watched.path("a.toml")).unwrap();
    assert_eq!(watched.contents(), [file("b.wasm", "x")]);
}

#[test]
fn a_folder_in_which_nothing_changed_is_quiet() {
    let mut watched = Watched::new();
    watched.write("a.toml", "one");
    watched.change();
    fs::read(watched.path("a.toml")).unwrap();
    watched.write("README.md", "not a rule");
    watched.write("a.toml.swp", "not a rule");
    for _ in 0..2 {
        assert!(matches!(watched.watch.wait(&watched.loaded), Wait::Quiet));
    }
}

#[test]
fn a_file_written_under_another_name_and_renamed_is_seen_whole() {
    let mut watched = Watched::new();
    watched.write("a.wasm", "old");
    watched.change();
    watched.write("a.wasm.part", "new and whole");
    fs::rename(watched.path("a.wasm.part"), watched.path("a.wasm")).unwrap();
    assert_eq!(watched.contents(), [file("a.wasm", "new and whole")]);
}

#[test]
fn a_file_that_is_still_being_written_is_waited_for_and_holds_no_other_back() {
    let mut watched = Watched::new();
    let mut slow = File::create(watched.path("slow.toml")).unwrap();
    slow.write_all(b"first, ").unwrap();
    watched.write("other.toml", "x");
    assert_eq!(watched.contents(), [file("other.toml", "x")]);
    // Only the close tells that the file is whole: it comes after pauses longer than `QUIET`.
    let writer = thread::spawn(move || {
        for part in ["second, ", "third"] {
            thread::sleep(QUIET * 3);
            slow.write_all(part.as_bytes()).unwrap();
        }
    });
    let seen = watched.contents();
    writer.join().unwrap();
    assert_eq!(seen, [file("other.toml", "x"), file("slow.toml", "first, second, third")]);
}

#[test]
fn two_writes_within_one_tick_of_the_file_systems_clock_are_two_changes() {
    let mut watched = Watched::new();
    watched.write("a.toml", "1");
    let first = watched.change();
    let written = fs::metadata(watched.path("a.toml")).unwrap().modified().unwrap();
    watched.write("a.toml", "2");
    File::options()
        .write(true)
        .open(watched.path("a.toml"))
        .unwrap()
        .set_modified(written)
        .unwrap();
    // As if the stamp were the same altogether.
    watched.loaded = Snapshot::take(watched.watch.dir.as_path()).unwrap();
    assert_ne!(first.snapshot, watched.loaded, "the time of change cannot be set back");
    assert_eq!(watched.change().touched.into_iter().collect::<Vec<_>>(), ["a.toml"]);
}

#[test]
fn links_that_are_swapped_as_kubernetes_does_are_told_by_the_system() {
    let mut watched = Watched::new();
    for (version, text) in [("..v1", "one"), ("..v2", "two")] {
        fs::create_dir(watched.path(version)).unwrap();
        watched.write(&format!("{version}/a.toml"), text);
    }
    symlink("..v1", watched.path("..data")).unwrap();
    symlink("..data/a.toml", watched.path("a.toml")).unwrap();
    assert_eq!(watched.contents(), [file("a.toml", "one")]);
    symlink("..v2", watched.path("..data_tmp")).unwrap();
    fs::rename(watched.path("..data_tmp"), watched.path("..data")).unwrap();
    watched.assert_told();
    assert_eq!(watched.contents(), [file("a.toml", "two")]);
}

#[test]
fn a_file_behind_a_link_out_of_the_folder_is_seen_by_looking() {
    let mut watched = Watched::new();
    let target = watched.dir.path().join("built.wasm");
    fs::write(&target, "one").unwrap();
    symlink(&target, watched.path("a.wasm")).unwrap();
    assert_eq!(watched.contents(), [file("a.wasm", "one")]);
    fs::write(&target, "two!").unwrap();
    assert_eq!(watched.contents(), [file("a.wasm", "two!")]);
}

#[test]
fn a_folder_that_is_deleted_and_made_again_is_followed() {
    let mut watched = Watched::new();
    watched.write("a.toml", "one");
    watched.change();
    let folder = watched.path("");
    fs::remove_dir_all(&folder).unwrap();
    let end = Instant::now() + PATIENCE;
    while !matches!(watched.watch.wait(&watched.loaded), Wait::Unreadable(_)) {
        assert!(Instant::now() < end, "a folder that is gone is told");
    }
    fs::create_dir(&folder).unwrap();
    watched.write("a.toml", "two");
    assert_eq!(watched.contents(), [file("a.toml", "two")]);
    watched.write("b.toml", "three");
    watched.assert_told();
    assert_eq!(watched.contents(), [file("a.toml", "two"), file("b.toml", "three")]);
}

#[test]
fn without_the_systems_help_changes_are_seen_by_polling() {
    let mut watched = Watched::with(Watch::polling);
    watched.write("a.toml", "one");
    assert_eq!(watched.contents(), [file("a.toml", "one")]);
    watched.write("a.toml", "two!");
    assert_eq!(watched.contents(), [file("a.toml", "two!")]);
}

#[test]
fn a_stop_ends_the_wait_under_way_and_every_later_one() {
    let mut watched = Watched::new();
    let stop = watched.watch.stop_handle();
    let waiting = thread::spawn(move || {
        while !matches!(watched.watch.wait(&watched.loaded), Wait::Stopped) {}
        matches!(watched.watch.wait(&watched.loaded), Wait::Stopped)
    });
    stop.stop();
    assert!(waiting.join().unwrap());
}
