//! Waits until a folder of rules or of a policy has changed and nobody is writing in it any more.
//!
//! The system tells of changes (inotify on Linux); whether something changed is seen by looking, so
//! nothing is missed when it does not tell: links that are swapped, as Kubernetes does, a folder that
//! was deleted and made again, a network file system. Where the system cannot tell at all, the
//! folder is looked at more often.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tracing::{info, warn};

use crate::rules::folder::{self, FolderError, Snapshot};

mod events;

pub use events::Stop;
use events::{Events, Woken};

/// How often the folder is looked at when the system tells of changes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked at when the system does not.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// A change is taken up when nothing has happened for this long: a save of several files is mostly
/// over by then.
const QUIET: Duration = Duration::from_millis(40);

/// Files that keep changing hold back the others for no longer than this.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// The settled state of the folder after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The folder. A file that is still being written is in it as it was before.
    pub snapshot: Snapshot,
    /// Files to be read again even when their stamp is the same: two writes in one tick of the file
    /// system's clock have one stamp.
    pub touched: BTreeSet<String>,
}

/// What a wait ended with.
#[derive(Debug)]
pub enum Wait {
    /// Something changed and is settled.
    Changed(Change),
    /// Nothing changed for a while.
    Quiet,
    /// The folder cannot be read now.
    Unreadable(FolderError),
    /// [`Stop::stop`] was called.
    Stopped,
}

/// A watched folder. It need not exist.
#[derive(Debug)]
pub struct Watch {
    dir: PathBuf,
    events: Arc<Events>,
    /// `None` = the system does not tell.
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the folder that the system watches; `None` = no folder is watched.
    watched: Option<(u64, u64)>,
    /// The last reason why it does not watch, so that it is said once.
    said: Option<String>,
}

impl Watch {
    /// Watches a folder, with the system's help where that is to be had.
    pub fn new(dir: &Path) -> Self {
        let mut watch = Self::polling(dir);
        let events = Arc::clone(&watch.events);
        let folder = watch.dir.clone();
        let handler = move |event| events.note(&folder, event, Instant::now());
        match notify::recommended_watcher(handler) {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => watch.say_polling(&error),
        }
        watch.follow_folder();
        watch
    }

    /// Watches a folder without the system's help.
    pub fn polling(dir: &Path) -> Self {
        let events = Arc::new(Events::default());
        // The system tells whole paths.
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        Self { dir, events, watcher: None, watched: None, said: None }
    }

    /// Ends every wait, from another thread.
    pub fn stop_handle(&self) -> Stop {
        Stop::new(Arc::clone(&self.events))
    }

    /// Waits until the folder differs from what was loaded, or for about a second.
    pub fn wait(&mut self, loaded: &Snapshot) -> Wait {
        self.wait_and(loaded, |_| ())
    }

    /// The same; while it is not known yet whether the change is over, `ahead` may work with the files
    /// that differ and that nobody seems to be writing.
    pub fn wait_and(&mut self, loaded: &Snapshot, ahead: impl FnOnce(&[&str])) -> Wait {
        let interval = if self.watched.is_some() { LOOK_INTERVAL } else { POLL_INTERVAL };
        if self.events.wait(Instant::now() + interval) == Woken::Stopped {
            return Wait::Stopped;
        }
        self.follow_folder();
        let settled = Snapshot::take(&self.dir).and_then(|first| {
            if self.events.is_quiet() && first == *loaded {
                return Ok(Wait::Quiet);
            }
            let looked = Instant::now();
            let writing = self.events.being_written(&first, looked);
            let differ = loaded.differences(&first);
            let differ: Vec<_> = differ.filter(|name| !writing.contains(*name)).collect();
            ahead(&differ);
            self.settle(loaded, first, looked)
        });
        settled.unwrap_or_else(Wait::Unreadable)
    }

    /// Waits until the folder is the same twice, with nothing told in between; `looked` = when it was
    /// first seen as in `before`.
    fn settle(
        &self,
        loaded: &Snapshot,
        mut before: Snapshot,
        mut looked: Instant,
    ) -> Result<Wait, FolderError> {
        let end = looked + SETTLE_MAX;
        loop {
            if self.events.wait_until_quiet(looked, QUIET, end) == Woken::Stopped {
                return Ok(Wait::Stopped);
            }
            looked = Instant::now();
            let mut after = Snapshot::take(&self.dir)?;
            let moving = before.differences(&after).map(str::to_owned).collect::<BTreeSet<_>>();
            if !moving.is_empty() && Instant::now() < end {
                before = after;
                continue;
            }
            let mut unsettled = self.events.being_written(&after, Instant::now());
            unsettled.extend(moving);
            for name in &unsettled {
                match loaded.files.get(name) {
                    Some(stamp) => after.files.insert(name.clone(), *stamp),
                    None => after.files.remove(name),
                };
            }
            let touched = self.events.take_touched(&unsettled);
            if touched.is_empty() && after == *loaded {
                return Ok(Wait::Quiet);
            }
            return Ok(Wait::Changed(Change { snapshot: after, touched }));
        }
    }

    /// Makes the system watch the folder that the path leads to now.
    fn follow_folder(&mut self) {
        let lost = self.events.take_folder_lost();
        let identity = folder::identity(&self.dir).ok();
        let Some(watcher) = &mut self.watcher else { return };
        if self.watched == identity && !lost {
            return;
        }
        if self.watched.take().is_some() {
            // It fails when the folder is gone, and the watch went with it.
            watcher.unwatch(&self.dir).unwrap_or_default();
        }
        if identity.is_none() {
            return;
        }
        match watcher.watch(&self.dir, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched = identity;
                if self.said.take().is_some() {
                    info!(dir = %self.dir.display(), "the system tells of changes of the folder again");
                }
            }
            Err(error) => self.say_polling(&error),
        }
    }

    fn say_polling(&mut self, error: &notify::Error) {
        let reason = error.to_string();
        if self.said.as_ref() == Some(&reason) {
            return;
        }
        warn!(
            dir = %self.dir.display(),
            reason,
            every_ms = POLL_INTERVAL.as_millis(),
            "the system does not tell of changes of the folder, so it is looked at again and \
             again; on Linux, raise fs.inotify.max_user_instances and fs.inotify.max_user_watches"
        );
        self.said = Some(reason);
    }
}

#[cfg(test)]
mod tests;
