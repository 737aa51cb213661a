//! Follows `policy.toml`: a good file holds from the next batch on, a bad one changes nothing.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Policy;
use super::live::LivePolicy;
use crate::config::{ConfigErrors, Problem};
use crate::rules::folder::Snapshot;
use crate::rules::watch::{Stop, Wait, Watch};
use crate::target::Targets;
use crate::telemetry::Metrics;

/// Reads a policy's file, which may name these targets.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(path: &Path, targets: &Targets) -> Result<Policy, ConfigErrors> {
    let text = text(path).map_err(|problem| ConfigErrors { problems: vec![problem] })?;
    let policy = Policy::parse(path, &text)?;
    match lacking(&policy, path, targets) {
        problems if problems.is_empty() => Ok(policy),
        problems => Err(ConfigErrors { problems }),
    }
}

/// The targets that a policy names and that are not there. A host that delivers nothing cannot say.
pub fn lacking(policy: &Policy, path: &Path, targets: &Targets) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, receiver) in policy.receivers().filter(|_| !targets.is_empty()) {
        for (message, cure) in receiver.targets.iter().filter_map(|target| targets.lacks(target)) {
            let key = format!("receivers.{name}.channels");
            problems.push(Problem::new(message).file(path).key(key).cure(cure));
        }
    }
    problems
}

/// What stands in a policy's file.
///
/// # Errors
/// When it cannot be read.
pub fn text(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| {
        let cure = "write one (docs/policy.md), or mend `policy` under [delivery]";
        Problem::new(format!("cannot be read: {error}")).file(path).cure(cure)
    })
}

/// Waits for changes of a policy's file.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// The file's name in its folder.
    name: String,
    watch: Watch,
    folder: Snapshot,
    targets: Targets,
}

impl Follower {
    /// Begins to look at the file, before it is read: no change is missed. It may name these targets.
    pub fn new(path: &Path, targets: Targets) -> Self {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let watch = Watch::new(folder);
        let folder = Snapshot::take(folder).unwrap_or_default();
        Self { path: path.to_owned(), name: name.unwrap_or_default(), watch, folder, targets }
    }

    /// Ends [`follow`](Self::follow), from another thread.
    pub fn stop_handle(&self) -> Stop {
        self.watch.stop_handle()
    }

    /// Takes up changes, one after the other, until it is stopped. Blocks.
    pub fn follow(mut self, live: &LivePolicy, metrics: &Metrics) {
        loop {
            let change = match self.watch.wait(&self.folder) {
                Wait::Stopped => return,
                Wait::Quiet => continue,
                Wait::Unreadable(error) => {
                    // The folder is gone, and the file with it; told once.
                    if self.folder.files.remove(&self.name).is_some() {
                        self.reload(live, metrics);
                        tracing::debug!("{error}");
                    }
                    continue;
                }
                Wait::Changed(change) => change,
            };
            let stamp = |folder: &Snapshot| folder.files.get(&self.name).copied();
            let changed = stamp(&self.folder) != stamp(&change.snapshot)
                || change.touched.contains(&self.name);
            self.folder = change.snapshot;
            if changed {
                self.reload(live, metrics);
            }
        }
    }

    fn reload(&self, live: &LivePolicy, metrics: &Metrics) {
        match load(&self.path, &self.targets) {
            Ok(policy) => {
                live.set(policy);
                metrics.policy_reload("swapped");
                tracing::info!(file = %self.path.display(), "the new policy holds");
            }
            Err(errors) => {
                tracing::error!("the old policy holds on: {errors}");
                live.refuse(SystemTime::now(), &errors);
                metrics.policy_reload("rejected");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn until(what: &str, is: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !is() {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_good_file_is_taken_up_and_a_bad_one_keeps_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        let write = |channel: &str| {
            let text =
                format!("[route]\nreceiver = \"r\"\n[receivers.r]\nchannels = [{channel}]\n");
            std::fs::write(&path, text).unwrap();
        };
        write("\"one\"");
        let follower = Follower::new(&path, Targets::default());
        let live = LivePolicy::new(load(&path, &Targets::default()).unwrap());
        let (stop, metrics) = (follower.stop_handle(), Metrics::new());
        let target = || live.current().unwrap().targets(&[].into_iter().collect(), "x", KIND);
        const KIND: crate::notification::Kind = crate::notification::Kind::Fire;
        std::thread::scope(|scope| {
            scope.spawn(|| follower.follow(&live, &metrics));
            assert_eq!(target(), ["one".into()]);
            write("\"two\"");
            until("two", || target() == ["two".into()]);
            assert!(live.problem().is_none());
            write("");
            until("refused", || live.problem().is_some());
            assert_eq!(target(), ["two".into()]);
            let (_, told) = live.problem().unwrap();
            assert!(
                told.contains("policy.toml:4: receivers.r.channels: leads to nobody"),
                "{told}"
            );
            write("\"three\"");
            until("three", || target() == ["three".into()]);
            assert!(live.problem().is_none());
            std::fs::remove_file(&path).unwrap();
            until("gone", || live.problem().is_some());
            stop.stop();
        });
        assert_eq!(target(), ["three".into()]);
        let text = metrics.encode();
        assert!(text.contains("firebell_policy_reloads_total{outcome=\"swapped\"} 2"), "{text}");
        assert!(text.contains("firebell_policy_reloads_total{outcome=\"rejected\"} 2"), "{text}");
    }
}
