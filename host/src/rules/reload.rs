//! Follows the rules folder and hands new rule sets to the workers.
//!
//! One thread does all of it, in order: wait, load, build what the workers need, publish, drop what is
//! old. A failure at any step leaves everything as it was.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::evaluation::RollBack;
use crate::rules::RuleSet;
use crate::rules::library::{Library, Reloaded};
use crate::rules::publish::Publisher;
use crate::rules::watch::{Wait, Watch};

/// Takes up changes of the folder, one after the other, until the watch is stopped; and versions that
/// do not work, which workers tell by `roll_backs`. `build` makes what a worker needs to run a set.
pub fn follow<T>(
    mut library: Library,
    mut publisher: Publisher<T>,
    mut watch: Watch,
    roll_backs: &Receiver<RollBack>,
    build: impl Fn(&Arc<RuleSet>) -> T,
) {
    loop {
        for wanted in roll_backs.try_iter() {
            if library.roll_back(wanted) == Reloaded::Swapped {
                let set = library.view().current();
                publisher.publish(|| build(&set));
            }
        }
        let loaded = library.folder().clone();
        match watch.wait_and(&loaded, |files| library.compile_ahead(files)) {
            Wait::Stopped => return,
            Wait::Quiet => {}
            Wait::Unreadable(error) => library.folder_is_unreadable(&error),
            Wait::Changed(change) => {
                if library.reload(change) == Reloaded::Swapped {
                    let set = library.view().current();
                    publisher.publish(|| build(&set));
                }
            }
        }
        publisher.collect();
    }
}

#[cfg(test)]
mod tests;
