//! What is in the rules folder, by name and stamp; contents are not read here.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::nearest::nearest;

/// Tells whether a file is still the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    /// Seconds and nanoseconds of the last write.
    modified: (i64, i64),
    /// Seconds and nanoseconds of the last change of any kind; `cp -p` cannot set it back.
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether there is nothing in the file.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// All rule files of the folder at one moment, by file name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The `*.wasm` and `*.toml` that are not hidden.
    pub files: BTreeMap<String, Stamp>,
}

/// Why the folder says nothing.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read the rules folder `{}`; create it and let this user read it, or name another \
     one: `dir` under [rules]",
    dir.display()
)]
pub struct FolderError {
    /// The folder.
    pub dir: PathBuf,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

impl Snapshot {
    /// Looks at the folder.
    ///
    /// # Errors
    ///
    /// When the folder cannot be listed.
    pub fn take(dir: &Path) -> Result<Self, FolderError> {
        let unreadable = |source| FolderError { dir: dir.to_owned(), source };
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !is_rule_file(&name) {
                continue;
            }
            let path = entry.path();
            // A link to nothing is a file that cannot be read; a file that has just gone is none.
            let metadata = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path));
            if let Ok(metadata) = metadata
                && !metadata.is_dir()
            {
                files.insert(name, Stamp::of(&metadata));
            }
        }
        Ok(Self { files })
    }

    /// The names that are in one of the two only, or changed from one to the other.
    pub fn differences<'s>(&'s self, other: &'s Self) -> impl Iterator<Item = &'s str> {
        let changed =
            self.files.iter().filter(|(name, stamp)| other.files.get(*name) != Some(stamp));
        let added = other.files.keys().filter(|name| !self.files.contains_key(*name));
        changed.map(|(name, _)| name).chain(added).map(String::as_str)
    }
}

/// Whether a name in the folder is that of a rule or a component.
pub fn is_rule_file(name: &str) -> bool {
    !name.starts_with('.') && (name.ends_with(".wasm") || name.ends_with(".toml"))
}

/// The names in the folder that are none, and that are nearly: `a.tml`, `a.TOML`. An unreadable folder has
/// none.
pub fn near_misses(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names
        .filter(|name| !name.starts_with('.') && !is_rule_file(name))
        .filter(|name| {
            let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
            extension.is_some_and(|extension| nearest(extension, ["toml", "wasm"]).is_some())
        })
        .collect();
    names.sort();
    names
}

/// Which folder a path leads to now: device and inode, links followed.
pub(super) fn identity(dir: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(dir).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rule_files_that_are_not_hidden_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.wasm", "b.toml", ".c.wasm", "d.wasm.tmp", "README.md", "e.toml~"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        fs::create_dir(dir.path().join("f.wasm")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("g.toml")).unwrap();
        let snapshot = Snapshot::take(dir.path()).unwrap();
        let names: Vec<_> = snapshot.files.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.wasm", "b.toml", "g.toml"]);
    }

    #[test]
    fn names_that_are_nearly_those_of_rules_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.toml", "b.tml", "c.WASM", "README.md", "d.toml.bak", ".e.tml", "wasm"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(near_misses(dir.path()), ["b.tml", "c.WASM"]);
        assert!(near_misses(Path::new("/no/such/folder")).is_empty());
    }

    #[test]
    fn differences_are_what_came_what_went_and_what_changed() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let take = || Snapshot::take(dir.path()).unwrap();
        ["same.toml", "changed.toml", "gone.toml"].into_iter().for_each(|name| write(name, "x"));
        let before = take();
        assert_eq!(before.differences(&take()).count(), 0);
        write("changed.toml", "longer");
        write("came.toml", "x");
        fs::remove_file(dir.path().join("gone.toml")).unwrap();
        let after = take();
        let mut names: Vec<_> = before.differences(&after).collect();
        names.sort_unstable();
        assert_eq!(names, ["came.toml", "changed.toml", "gone.toml"]);
    }

    #[test]
    fn an_unreadable_folder_is_an_error_that_names_it() {
        let error = Snapshot::take(Path::new("no/such/rules")).unwrap_err();
        assert!(error.to_string().contains("`no/such/rules`"), "{error}");
    }
}
