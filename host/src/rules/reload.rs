//! Follows the rules folder and hands new rule sets to the workers.
//!
//! One thread does all of it, in order: wait, load, build what the workers need, publish, drop what is
//! old. A failure at any step leaves everything as it was.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::evaluation::RollBack;
use crate::rules::RuleSet;
use crate::rules::agreement::{Agreement, Verdict};
use crate::rules::library::{Library, Reloaded};
use crate::rules::publish::Publisher;
use crate::rules::watch::{Wait, Watch};

/// Takes up changes of the folder, one after the other, until the watch is stopped; and versions that
/// do not work, which workers tell by `roll_backs`. `build` makes what a worker needs to run a set, which
/// it must not take before all have agreed, where it is given an agreement.
pub fn follow<T>(
    mut library: Library,
    publisher: Publisher<T>,
    mut watch: Watch,
    roll_backs: &Receiver<RollBack>,
    build: impl Fn(&Arc<RuleSet>, Option<&Arc<Agreement>>) -> T,
) {
    let running = library.view().current();
    let agreed = Arc::clone(&running);
    let mut publishing = Publishing { publisher, build, last: None, running, agreed };
    loop {
        for wanted in roll_backs.try_iter() {
            let agreed = publishing.agreed();
            if library.roll_back(wanted, &agreed) == Reloaded::Swapped {
                publishing.publish(library.view().current());
            }
        }
        let loaded = library.folder().clone();
        match watch.wait_and(&loaded, |files| library.compile_ahead(files)) {
            Wait::Stopped => return,
            Wait::Quiet => {}
            Wait::Unreadable(error) => library.folder_is_unreadable(&error),
            Wait::Changed(change) => {
                if library.reload(change) == Reloaded::Swapped {
                    publishing.publish(library.view().current());
                }
            }
        }
        publishing.publisher.collect();
    }
}

/// What was published, and how.
struct Publishing<T, B> {
    publisher: Publisher<T>,
    build: B,
    /// What workers had to agree on, with the last set.
    last: Option<Arc<Agreement>>,
    running: Arc<RuleSet>,
    /// The last set that all workers took or take.
    agreed: Arc<RuleSet>,
}

impl<T, B: Fn(&Arc<RuleSet>, Option<&Arc<Agreement>>) -> T> Publishing<T, B> {
    fn publish(&mut self, set: Arc<RuleSet>) {
        self.publisher.collect();
        self.agreed();
        // Where the last set was not agreed on, it is not what the workers run: what they would hand over
        // is not known here.
        let is_open = self.last.as_ref().is_some_and(|last| last.verdict() != Verdict::Agreed);
        let agreement = (is_open || RuleSet::hands_over(&self.running, &set))
            .then(|| Arc::new(Agreement::new(self.publisher.workers())));
        self.publisher.publish(|| (self.build)(&set, agreement.as_ref()));
        self.last = agreement;
        self.running = set;
    }

    fn agreed(&mut self) -> Arc<RuleSet> {
        if self.last.as_ref().is_none_or(|last| last.verdict() == Verdict::Agreed) {
            self.agreed = Arc::clone(&self.running);
        }
        Arc::clone(&self.agreed)
    }
}

#[cfg(test)]
mod tests;
