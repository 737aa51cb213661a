//! Compiled rules: the shipped ones and the test guests.

use std::path::PathBuf;
use std::sync::OnceLock;

/// Names the folder with the built test guests; without it a test program builds them.
pub const GUESTS_ENV: &str = "FIREBELL_TEST_GUESTS";

/// The component of a rule that ships.
pub fn shipped(name: &str) -> PathBuf {
    xtask::project::root().join("plugins/components").join(format!("{name}.wasm"))
}

/// A test guest; `tests/guests/guests.rs` lists them.
///
/// # Panics
/// When there is none of that name.
pub fn guest(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match std::env::var_os(GUESTS_ENV) {
        Some(folder) => PathBuf::from(folder),
        None => {
            xtask::guests::build().unwrap();
            xtask::guests::folder()
        }
    });
    let path = folder.join(format!("{name}.wasm"));
    assert!(path.is_file(), "there is no guest {}", path.display());
    path
}
