//! What the system told about the folder since somebody last looked; nothing more than names.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, Flag, ModifyKind, RenameMode};

use crate::rules::folder::{Snapshot, is_rule_file};

/// A writer that has not closed its file for this long after its last write is not waited for.
const OPEN_PATIENCE: Duration = Duration::from_secs(2);

/// Whether the system tells when a writer closes its file.
const CLOSE_IS_TOLD: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// Something was told.
    Told,
    /// The time was over.
    TimeOver,
    /// The host is ending.
    Stopped,
}

/// Ends the waits of one watch.
#[derive(Debug, Clone)]
pub struct Stop(Arc<Events>);

impl Stop {
    pub(super) fn new(events: Arc<Events>) -> Self {
        Self(events)
    }

    /// Ends the wait under way and every later one.
    pub fn stop(&self) {
        self.0.lock().stopped = true;
        self.0.told.notify_all();
    }
}

/// Shared by the system's thread, which notes, and the thread that waits.
#[derive(Debug, Default)]
pub(super) struct Events {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    /// When something was last told that nobody has looked at yet.
    last: Option<Instant>,
    touched: BTreeSet<String>,
    writing: HashMap<String, Writing>,
    folder_lost: bool,
}

/// A file that somebody has open, as far as was told.
#[derive(Debug, Clone, Copy)]
struct Writing {
    last: Instant,
    /// Whether something was written, or the file only made.
    written: bool,
}

impl Events {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the system tells.
    pub(super) fn note(&self, dir: &Path, event: notify::Result<notify::Event>, now: Instant) {
        let mut state = self.lock();
        let before = state.last;
        match event {
            Ok(event) if event.flag() == Some(Flag::Rescan) => {
                // Events were lost: who closed what is no longer known.
                state.writing.clear();
                state.last = Some(now);
            }
            Ok(event) => event.paths.iter().for_each(|path| state.note(dir, path, event.kind, now)),
            Err(_) => state.last = Some(now),
        }
        if state.last != before {
            self.told.notify_all();
        }
    }

    /// Waits until something is told, not beyond `end`.
    pub(super) fn wait(&self, end: Instant) -> Woken {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Woken::Stopped;
            }
            if state.last.is_some() {
                return Woken::Told;
            }
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                return Woken::TimeOver;
            };
            let waited = self.told.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until nothing was told for `quiet` after `since`, not beyond `end`; what was told counts as
    /// looked at.
    pub(super) fn wait_until_quiet(&self, since: Instant, quiet: Duration, end: Instant) -> Woken {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Woken::Stopped;
            }
            let now = Instant::now();
            let quiet_at = state.last.unwrap_or(since).max(since) + quiet;
            let until = quiet_at.min(end);
            if now >= until {
                state.last = None;
                return Woken::TimeOver;
            }
            let waited = self.told.wait_timeout(state, until - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether nothing was told that nobody looked at.
    pub(super) fn is_quiet(&self) -> bool {
        let state = self.lock();
        state.last.is_none() && state.touched.is_empty()
    }

    /// Files that somebody is in the middle of writing.
    pub(super) fn being_written(&self, folder: &Snapshot, now: Instant) -> BTreeSet<String> {
        let mut state = self.lock();
        state.writing.retain(|_, writing| now.duration_since(writing.last) < OPEN_PATIENCE);
        let open = state.writing.iter().filter(|(name, writing)| {
            // A link is made whole and never closed; an empty file that was just made is begun.
            writing.written || folder.files.get(*name).is_some_and(|stamp| stamp.is_empty())
        });
        open.map(|(name, _)| name.clone()).collect()
    }

    /// The files that were touched, but for those that are to be looked at later.
    pub(super) fn take_touched(&self, later: &BTreeSet<String>) -> BTreeSet<String> {
        let mut state = self.lock();
        let (kept, taken) =
            std::mem::take(&mut state.touched).into_iter().partition(|name| later.contains(name));
        state.touched = kept;
        taken
    }

    /// Whether the watched folder itself was deleted or renamed.
    pub(super) fn take_folder_lost(&self) -> bool {
        std::mem::take(&mut self.lock().folder_lost)
    }
}

impl State {
    fn note(&mut self, dir: &Path, path: &Path, kind: EventKind, now: Instant) {
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        if matches!(kind, EventKind::Access(_)) && kind != closed {
            return;
        }
        if path == dir {
            let gone =
                matches!(kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
            self.folder_lost |= gone;
            self.last = Some(now);
            return;
        }
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            return;
        };
        if !is_rule_file(&name) {
            // `..data` of a Kubernetes volume: the files lead elsewhere when it is swapped.
            if name.starts_with("..") {
                self.last = Some(now);
            }
            return;
        }
        match kind {
            EventKind::Create(_) if CLOSE_IS_TOLD => {
                self.writing.insert(name.clone(), Writing { last: now, written: false });
            }
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) if CLOSE_IS_TOLD => {
                self.writing.insert(name.clone(), Writing { last: now, written: true });
            }
            EventKind::Access(_)
            | EventKind::Remove(_)
            | EventKind::Modify(ModifyKind::Name(RenameMode::From | RenameMode::To)) => {
                self.writing.remove(&name);
            }
            _ => {}
        }
        self.touched.insert(name);
        self.last = Some(now);
    }
}
