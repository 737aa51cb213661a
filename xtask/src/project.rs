//! Where things are, and running other programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The workspace's root folder.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Cargo's target folder, where everything that is built or fetched is kept.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    // What the cargo that runs us says of this package: build scripts that look at it (ring's) would run
    // again, and all that depends on them be built again, whenever it is now we who call and now a person.
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| is_about_us(&name.to_string_lossy())) {
        cargo.env_remove(name);
    }
    cargo
}

fn is_about_us(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
}

/// Runs `command` to its end; its output goes where ours does.
///
/// # Errors
/// When it can't be started or does not exit with 0.
pub fn run(command: &mut Command) -> Result<()> {
    let name = format!("{command:?}");
    let status = command.status().with_context(|| format!("can't start {name}"))?;
    ensure!(status.success(), "{name} failed: {status}");
    Ok(())
}

/// Whether a program of this name can be started with this argument.
pub fn is_installed(program: &str, version_argument: &str) -> bool {
    Command::new(program).arg(version_argument).output().is_ok_and(|out| out.status.success())
}
