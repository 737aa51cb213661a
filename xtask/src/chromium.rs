//! A real browser without a window, to look at pages as people do.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::project;

/// What Chromium is called on different systems.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// It runs as it is, keeps to itself and asks nobody for anything.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];
/// How much of its own time a page gets. It passes as fast as the page can work.
const PAGE_TIME_MS: u32 = 4_000;
/// How long all of it may take. Two seconds are usual.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The browser's name. Where there is none it is installed, for root on Debian and Ubuntu.
///
/// # Errors
/// When there is none and it can't be installed, with the cure.
pub fn program() -> Result<&'static str> {
    fs::create_dir_all(project::target())?;
    // Other test programs may be installing at the same moment.
    let lock = File::create(project::target().join("chromium.lock"))?;
    lock.lock()?;
    if let Some(name) = installed() {
        return Ok(name);
    }
    let why = install().map_or_else(|error| format!("\n{error:#}"), |()| String::new());
    installed().with_context(|| {
        format!(
            "Chromium is not on the PATH: install it (Debian, Ubuntu: `apt-get install chromium`; \
             macOS: `brew install --cask chromium`){why}"
        )
    })
}

fn installed() -> Option<&'static str> {
    NAMES.into_iter().find(|name| project::is_installed(name, "--version"))
}

fn install() -> Result<()> {
    let id = Command::new("id").arg("-u").output()?;
    let is_root = String::from_utf8_lossy(&id.stdout).trim() == "0";
    if !is_root || !project::is_installed("apt-get", "--version") {
        return Ok(());
    }
    let apt = |arguments: &[&str]| -> Result<()> {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        let out = command.output()?;
        let stderr = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "apt-get {}: {}", arguments.join(" "), stderr.trim());
        Ok(())
    };
    let wanted = ["install", "--yes", "--no-install-recommends", "chromium"];
    apt(&wanted).or_else(|_| apt(&["update"]).and_then(|()| apt(&wanted)))
}

/// The document of a page as it is after its scripts have worked for four seconds of their own time.
///
/// # Errors
/// When there is no browser, or it fails or does not end in time.
pub fn document(address: &str) -> Result<String> {
    let name = program()?;
    let dir = tempfile::Builder::new().prefix("firebell-chromium-").tempdir()?;
    let (document, log) = (dir.path().join("document"), dir.path().join("log"));
    let mut command = Command::new(name);
    command
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
        .arg(format!("--virtual-time-budget={PAGE_TIME_MS}"))
        .args(["--dump-dom", address])
        .stdin(Stdio::null())
        .stdout(File::create(&document)?)
        .stderr(File::create(&log)?);
    let mut child = command.spawn().with_context(|| format!("can't start {name}"))?;
    let deadline = Instant::now() + TIMEOUT;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            None => {
                child.kill()?;
                child.wait()?;
                bail!("{name} did not show {address} within {TIMEOUT:?}");
            }
        }
    };
    let log = fs::read(log)?;
    ensure!(status.success(), "{name} failed: {status}\n{}", String::from_utf8_lossy(&log));
    Ok(String::from_utf8_lossy(&fs::read(document)?).into_owned())
}
