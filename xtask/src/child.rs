//! A child process that never outlives us, even when we are killed.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Waits for the end of its input. A line means that the child was ended in order; an end without one
/// that our process died, and then the child must go too, with its folder.
const REAPER: &str =
    "trap '' HUP INT TERM; read -r ended || { kill -s KILL \"$1\"; rm -rf \"$2\"; }";

/// A running child; killed when dropped.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    /// The shell that runs [`REAPER`].
    reaper: Child,
    reaper_input: Option<ChildStdin>,
}

impl Guarded {
    /// Starts `command` with its output in the file `log`. When our process is killed, the child is
    /// too, and `folder` is removed.
    ///
    /// # Errors
    /// When the program or a shell can't be started.
    pub fn spawn(command: &mut Command, log: &Path, folder: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn().with_context(|| format!("can't start {command:?}"))?;
        let reaper = Command::new("sh")
            .args(["-c", REAPER, "reaper"])
            .arg(child.id().to_string())
            .arg(folder)
            .stdin(Stdio::piped())
            .spawn();
        match reaper {
            Ok(mut reaper) => Ok(Self { child, reaper_input: reaper.stdin.take(), reaper }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error).context("can't start sh")
            }
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, as `TERM`.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn signal(&self, name: &str) -> Result<()> {
        let id = self.id().to_string();
        // The shell's own `kill`: small images have no program of that name.
        let kill = ["-c", "kill -s \"$1\" \"$2\"", "kill", name, &id];
        let out = Command::new("sh").args(kill).output()?;
        let stderr = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "can't send {name} to process {id}: {}", stderr.trim());
        Ok(())
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end; `None` when it still runs after `timeout`.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.try_wait()? {
                None if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                ended => return Ok(ended),
            }
        }
    }

    /// Waits for its end, however long that takes.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn wait_forever(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(mut input) = self.reaper_input.take() {
            drop(input.write_all(b"ended\n"));
        }
        drop(self.reaper.wait());
    }
}
