//! The demo's rules: a temporary folder of toml files that a person may edit while it runs.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The rules, with the comments that invite to change them.
const FILES: &[(&str, &str)] = &[
    ("invalid-login-burst.toml", include_str!("folder/invalid-login-burst.toml")),
    ("invalid-user.toml", include_str!("folder/invalid-user.toml")),
    ("notify-relay.toml", include_str!("folder/notify-relay.toml")),
];

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the demo's rules to `{}`; set TMPDIR to a folder that can be written to", path.display())]
pub struct FolderError {
    path: PathBuf,
    source: io::Error,
}

/// A folder with the rules; dropping it removes it.
#[derive(Debug)]
pub(super) struct Folder {
    dir: TempDir,
}

impl Folder {
    /// Writes the rules to a new temporary folder.
    pub(super) fn create() -> Result<Self, FolderError> {
        let failed = |path: &Path, source| FolderError { path: path.to_owned(), source };
        let dir = TempDir::with_prefix("firebell-demo-");
        let dir = dir.map_err(|source| failed(Path::new("a temporary folder"), source))?;
        for (name, text) in FILES {
            let path = dir.path().join(name);
            std::fs::write(&path, text).map_err(|source| failed(&path, source))?;
        }
        Ok(Self { dir })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_those_that_ship_and_go_with_the_folder() {
        let folder = Folder::create().unwrap();
        let path = folder.path().to_owned();
        for entry in std::fs::read_dir(&path).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let toml: toml::Table = text.parse().unwrap();
            let component = toml["component"].as_str().unwrap().strip_prefix("builtin:").unwrap();
            assert!(crate::shipped::find(component).is_some());
        }
        drop(folder);
        assert!(!path.exists());
    }
}
