//! Slack's own Python client, in a virtual environment below `target/python`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::project;

/// The version of `slack_sdk` that the tests read back with.
pub const SLACK_SDK_VERSION: &str = "3.47.0";

/// A Python that has `slack_sdk`; it is fetched once.
///
/// # Errors
/// When Python, its `venv` or the package can't be had; the error says which, and the cure.
pub fn with_slack_sdk() -> Result<PathBuf> {
    let dir = project::target().join("python");
    fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
    // Other test programs may be fetching at the same moment.
    let lock = File::create(dir.join("lock"))?;
    lock.lock()?;
    let venv = dir.join(format!("slack_sdk-{SLACK_SDK_VERSION}"));
    let python = venv.join("bin/python");
    let complete = venv.join("complete");
    if !complete.exists() {
        make(&venv, &python)?;
        fs::write(complete, "")?;
    }
    Ok(python)
}

fn make(venv: &Path, python: &Path) -> Result<()> {
    ensure!(
        project::is_installed("python3", "--version"),
        "`python3` is not on the PATH: install Python 3.8 or newer, with venv and pip \
         (Debian, Ubuntu: `apt-get install python3-venv`; macOS: `brew install python`)"
    );
    if venv.exists() {
        fs::remove_dir_all(venv)?;
    }
    let mut command = Command::new("python3");
    command.args(["-m", "venv"]).arg(venv);
    output(
        &mut command,
        "Python can't make a virtual environment; install its venv (Debian, Ubuntu: \
         `apt-get install python3-venv`)",
    )?;
    let package = format!("slack_sdk=={SLACK_SDK_VERSION}");
    let mut command = Command::new(python);
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", &package]);
    output(
        &mut command,
        &format!(
            "pip can't fetch {package}; is there a network, or a mirror in pip's configuration?"
        ),
    )
}

fn output(command: &mut Command, cure: &str) -> Result<()> {
    let out = command.output().with_context(|| format!("can't start {command:?}"))?;
    let said = [out.stdout, out.stderr].concat();
    ensure!(out.status.success(), "{cure}\n{}", String::from_utf8_lossy(&said).trim());
    Ok(())
}
