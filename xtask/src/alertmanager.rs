//! A real Prometheus Alertmanager, to tell alerts to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::child::Guarded;
use crate::ports::free_port;
use crate::project;

/// What it is called on different systems.
const NAMES: [&str; 2] = ["prometheus-alertmanager", "alertmanager"];
/// Debian's and Ubuntu's package.
const PACKAGE: &str = "prometheus-alertmanager";
/// Where Debian's program looks for its templates, and the same relative to where it is unpacked, of
/// the same length.
const TEMPLATES: (&str, &str) =
    ("/usr/share/prometheus/alertmanager", "usr//share/prometheus/alertmanager");
/// The smallest configuration: it tells nobody.
const CONFIG: &str = "route:\n  receiver: nobody\nreceivers:\n- name: nobody\n";

/// A running Alertmanager; ended when dropped.
#[derive(Debug)]
pub struct Alertmanager {
    process: Guarded,
    /// Its address.
    pub url: String,
    folder: TempDir,
}

impl Alertmanager {
    /// Starts one with an empty memory. Where none is installed it is unpacked from the system's
    /// packages.
    ///
    /// # Errors
    /// When there is none and it can't be had, with the cure.
    pub fn start() -> Result<Self> {
        let program = program()?;
        let folder = tempfile::Builder::new().prefix("firebell-alertmanager-").tempdir()?;
        let config = folder.path().join("alertmanager.yml");
        fs::write(&config, CONFIG)?;
        let port = free_port()?;
        let mut command = Command::new(program);
        command
            .current_dir(unpacked())
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=");
        let log = folder.path().join("log");
        let process = Guarded::spawn(&mut command, &log, folder.path())?;
        Ok(Self { process, url: format!("http://127.0.0.1:{port}"), folder })
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal("TERM")?;
        self.process.wait(Duration::from_secs(10))?.context("Alertmanager does not end")?;
        Ok(())
    }
}

/// The program: installed, or unpacked below `target/`.
fn program() -> Result<PathBuf> {
    fs::create_dir_all(unpacked())?;
    if let Some(name) = NAMES.into_iter().find(|name| project::is_installed(name, "--version")) {
        return Ok(name.into());
    }
    let folder = unpacked();
    // Other test programs may be unpacking at the same moment.
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let program = folder.join(PACKAGE);
    if !program.is_file() {
        unpack(&folder).context(
            "Alertmanager is not on the PATH and can't be unpacked: install it (Debian, Ubuntu: \
             `apt-get install prometheus-alertmanager`)",
        )?;
    }
    Ok(program)
}

/// Where the package is unpacked.
fn unpacked() -> PathBuf {
    project::target().join("alertmanager")
}

/// Fetches the package and unpacks it, without installing anything.
fn unpack(folder: &Path) -> Result<()> {
    let run = |program: &str, arguments: &[&str]| -> Result<()> {
        let mut command = Command::new(program);
        let out = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output();
        let out = out.with_context(|| format!("can't start {program}"))?;
        let stderr = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "{program} {}: {}", arguments.join(" "), stderr.trim());
        Ok(())
    };
    let download = || run("apt-get", &["download", PACKAGE]);
    download().or_else(|_| run("apt-get", &["update"]).and_then(|()| download()))?;
    let files = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.file_name()));
    let package = files
        .filter_map(|name| name.into_string().ok())
        .find(|name| name.starts_with(PACKAGE) && name.ends_with(".deb"))
        .context("apt-get left no package behind")?;
    run("dpkg", &["-x", &package, "."])?;
    let mut program = fs::read(folder.join("usr/bin").join(PACKAGE))?;
    let (installed, here) = TEMPLATES;
    while let Some(at) = position(&program, installed.as_bytes()) {
        program[at..at + here.len()].copy_from_slice(here.as_bytes());
    }
    // Whole or not at all.
    let part = folder.join("part");
    fs::write(&part, program)?;
    fs::set_permissions(&part, fs::metadata(folder.join("usr/bin").join(PACKAGE))?.permissions())?;
    fs::rename(part, folder.join(PACKAGE))?;
    Ok(())
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
