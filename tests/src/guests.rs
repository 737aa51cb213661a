//! Compiled rules: the shipped ones and the test guests.

use std::path::PathBuf;

/// Names the folder with the built test guests (`cargo xtask test` builds them).
pub const GUESTS_ENV: &str = "FIREBELL_TEST_GUESTS";

/// The component of a rule that ships.
pub fn shipped(name: &str) -> PathBuf {
    xtask::project::root().join("plugins/components").join(format!("{name}.wasm"))
}
