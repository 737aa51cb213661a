//! All rules, each in its last good version.
//!
//! A change of the folder comes in; a new immutable [`RuleSet`] goes out when something is different.
//! A file that is bad keeps what it stood for: the rule's last good version runs on, the other files'
//! changes go live, and the problem is kept until the file is good or gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::info;

use crate::config::Config;
use crate::engine::Engine;
use crate::evaluation::RollBack;
use crate::rules::finding::Finding;
use crate::rules::folder::{FolderError, Snapshot};
use crate::rules::load::Defaults;
use crate::rules::watch::Change;
use crate::rules::{Mode, Rule, RuleSet};
use crate::tables::Tables;
use crate::telemetry::{Metrics, RuleState};

mod files;
mod loader;
mod own;
mod problems;

use files::{Files, WantedRule};
use loader::Loader;
pub use problems::Problem;
use problems::{Noted, Problems};

/// The channel of rules that name none when `[slack]` is not configured.
const DEFAULT_CHANNEL: &str = "general";

/// What everybody may look at while the library changes; cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct View {
    set: Arc<ArcSwap<RuleSet>>,
    problems: Arc<ArcSwap<Vec<Problem>>>,
}

impl View {
    /// The rule set that was loaded last; its generation is at least 1.
    pub fn current(&self) -> Arc<RuleSet> {
        self.set.load_full()
    }

    /// What is wrong in the folder now, by file and line.
    pub fn problems(&self) -> Arc<Vec<Problem>> {
        self.problems.load_full()
    }
}

/// What came of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// There is a new rule set.
    Swapped,
    /// The rules are the same as before.
    Unchanged,
}

/// The rules folder as it is loaded. One thread owns it and lets others look by a [`View`].
#[derive(Debug)]
pub struct Library {
    metrics: Metrics,
    /// What the files were when they were read.
    folder: Snapshot,
    files: Files,
    /// The host's own rule.
    canary: Option<WantedRule>,
    loader: Loader,
    problems: Problems,
    tables: Tables,
    /// The version before the present one of each rule that changed; the last that worked, if one did.
    previous: BTreeMap<Arc<str>, Arc<Rule>>,
    /// Versions that were given up, and why; until their files change.
    given_up: BTreeMap<Arc<str>, RollBack>,
    /// Rules of which no version is good.
    rejected: BTreeSet<Arc<str>>,
    view: View,
}

impl Library {
    /// Loads the whole folder. Files that are bad are no error: see [`View::problems`].
    ///
    /// # Errors
    ///
    /// When the folder cannot be listed.
    pub fn open(config: &Config, engine: Engine, metrics: Metrics) -> Result<Self, FolderError> {
        let channel = config.slack.as_ref().map(|slack| slack.default_channel.clone());
        let channel = channel.unwrap_or_else(|| DEFAULT_CHANNEL.into());
        let dir = &config.rules.dir;
        let snapshot = Snapshot::take(dir)?;
        let tables = Tables::new(config.tables.keys().map(String::as_str));
        let mut library = Self {
            metrics,
            folder: Snapshot::default(),
            files: Files::new(dir.clone()),
            canary: own::canary(config),
            loader: Loader::new(
                engine,
                Defaults { limits: config.rules.limits, channel, tables: tables.clone() },
            ),
            tables,
            problems: Problems::new(dir.clone()),
            previous: BTreeMap::new(),
            given_up: BTreeMap::new(),
            rejected: BTreeSet::new(),
            view: View::default(),
        };
        library.reload(Change { snapshot, touched: BTreeSet::new() });
        Ok(library)
    }

    /// What others may look at.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The lookup tables that its rules read; somebody must fill them.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The folder as it was loaded.
    pub fn folder(&self) -> &Snapshot {
        &self.folder
    }

    /// The folder cannot be read: every rule runs on as it is.
    pub fn folder_is_unreadable(&mut self, error: &FolderError) {
        let set = self.view.current();
        let rules = set.rules.keys().cloned().collect();
        let noted = Noted { file: None, finding: Finding::new(error), rules };
        self.note(vec![noted], &set);
    }

    /// Compiles components that changed before it is known whether the change is over; a
    /// [`reload`](Self::reload) that finds the same bytes need not do it again.
    pub fn compile_ahead(&mut self, files: &[&str]) {
        self.files.compile_ahead(files, &self.loader);
    }

    /// Takes up a change of the folder.
    pub fn reload(&mut self, change: Change) -> Reloaded {
        self.files.update(&self.folder, &change, &self.loader);
        self.folder = change.snapshot;
        let old = self.view.current();
        let mut wanted = self.files.wanted(&old, self.loader.limits());
        if let Some(canary) = &self.canary {
            wanted.names.insert(Arc::clone(&canary.name));
            wanted.rules.push(canary.clone());
        }
        let mut noted = wanted.noted;
        // What was good goes on, unless something better is loaded below.
        let last_good = |name: &Arc<str>| old.rules.get_key_value(name);
        let last_good = wanted.names.iter().filter_map(last_good);
        let mut rules: BTreeMap<Arc<str>, Arc<Rule>> =
            last_good.map(|(name, rule)| (Arc::clone(name), Arc::clone(rule))).collect();
        for rule in &wanted.rules {
            match self.loader.load(rule, &self.files, old.rules.get(&rule.name)) {
                Ok(loaded) => match self.is_given_up(&loaded) {
                    Some(finding) => noted.push(Noted {
                        file: Some(rule.file.clone()),
                        finding,
                        rules: vec![Arc::clone(&rule.name)],
                    }),
                    None => drop(rules.insert(Arc::clone(&rule.name), loaded)),
                },
                Err(findings) => noted.extend(findings.into_iter().map(|finding| Noted {
                    file: Some(rule.file.clone()),
                    finding,
                    rules: vec![Arc::clone(&rule.name)],
                })),
            }
        }
        self.loader.forget_all_but(&wanted.names);
        let outcome = match publishable(&old, rules) {
            Ok(Some(set)) => self.publish(&old, set),
            Ok(None) => Reloaded::Unchanged,
            Err(finding) => {
                let rules = wanted.names.iter().cloned().collect();
                noted.push(Noted { file: None, finding, rules });
                Reloaded::Unchanged
            }
        };
        let set = self.view.current();
        self.reject(&wanted.names, &set);
        let refused = self.note(noted, &set);
        match outcome {
            Reloaded::Swapped => self.metrics.reloads("swapped", 1),
            Reloaded::Unchanged if !refused => self.metrics.reloads("unchanged", 1),
            Reloaded::Unchanged => {}
        }
        outcome
    }

    /// Gives a version of a rule up for the one that workers run, by the last set on which they `agreed`,
    /// or if that is this one, for the one before it. Without one, it stays and is told.
    pub fn roll_back(&mut self, wanted: RollBack, agreed: &RuleSet) -> Reloaded {
        let set = self.view.current();
        let current = set.rules.get(&wanted.rule).filter(|rule| rule.version == wanted.version);
        let Some(current) = current else { return Reloaded::Unchanged };
        if let Some(given_up) = self.given_up.get_mut(&wanted.rule) {
            if given_up.version != wanted.version && !given_up.reason.contains(&wanted.reason) {
                tracing::error!(
                    rule = %wanted.rule,
                    version = wanted.version,
                    "rule was rolled back, and its last version does not work either: {}",
                    wanted.reason
                );
                given_up.reason += &format!("; and its last version: {}", wanted.reason);
                self.reload(Change { snapshot: self.folder.clone(), touched: BTreeSet::new() });
            }
            // Workers that cannot go back run what they run: what else changes must not wait for them.
            let runs = agreed.rules.get(&wanted.rule).filter(|rule| rule.version != wanted.version);
            return runs.map_or(Reloaded::Unchanged, |rule| self.put(&set, rule));
        }
        // Where it works on some records, the version before it may not know what it keeps.
        let runs = agreed.rules.get(&wanted.rule).filter(|rule| rule.version != wanted.version);
        let before = || self.previous.get(&wanted.rule).filter(|_| !current.health.has_worked());
        let Some(previous) = runs.or_else(before).cloned() else {
            self.given_up.insert(Arc::clone(&wanted.rule), wanted);
            self.reload(Change { snapshot: self.folder.clone(), touched: BTreeSet::new() });
            return Reloaded::Unchanged;
        };
        tracing::error!(
            rule = %wanted.rule,
            version = wanted.version,
            "rule is rolled back to its last version: {}", wanted.reason
        );
        self.metrics.reloads("rolled_back", 1);
        self.given_up.insert(Arc::clone(&wanted.rule), wanted);
        let swapped = self.put(&set, &previous);
        // The problem is told beside those of the files.
        self.reload(Change { snapshot: self.folder.clone(), touched: BTreeSet::new() });
        swapped
    }

    /// Publishes the set with this version of a rule.
    fn put(&mut self, set: &RuleSet, rule: &Arc<Rule>) -> Reloaded {
        let mut rules = set.rules.clone();
        rules.insert(Arc::clone(&rule.name), Arc::clone(rule));
        match publishable(set, rules) {
            Ok(Some(next)) => self.publish(set, next),
            Ok(None) | Err(_) => Reloaded::Unchanged,
        }
    }

    /// What is wrong with a version that was given up.
    fn is_given_up(&mut self, rule: &Arc<Rule>) -> Option<Finding> {
        let given_up = self.given_up.get(&rule.name)?;
        if given_up.version == rule.version {
            return Some(Finding::new(GivenUp(given_up.reason.clone())));
        }
        self.given_up.remove(&rule.name);
        None
    }

    fn publish(&mut self, old: &RuleSet, set: RuleSet) -> Reloaded {
        for change in RuleSet::differences(old, &set) {
            match old.rules.get(&change.rule) {
                Some(rule) => {
                    // One that never worked is nothing to go back to while there is one that did.
                    let known = self.previous.get(&change.rule);
                    let is_better =
                        |known: &Arc<Rule>| known.health.has_worked() && !rule.health.has_worked();
                    if !known.is_some_and(is_better) {
                        self.previous.insert(Arc::clone(&change.rule), Arc::clone(rule));
                    }
                }
                None => drop(self.previous.remove(&change.rule)),
            }
            match set.rules.get(&change.rule).map(|rule| rule.mode) {
                Some(Mode::Active) => self.metrics.rule_state(&change.rule, RuleState::Active),
                Some(Mode::Shadow) => self.metrics.rule_state(&change.rule, RuleState::Shadow),
                Some(Mode::Paused) => self.metrics.rule_state(&change.rule, RuleState::Paused),
                None => self.metrics.rule_forget(&change.rule),
            }
            info!(
                rule = %change.rule,
                old_version = change.old,
                new_version = change.new,
                generation = set.generation,
                "rule {}",
                match (&change.old, &change.new) {
                    (None, _) => "added",
                    (_, None) => "removed",
                    _ => "changed",
                }
            );
        }
        self.metrics.generation(set.generation);
        self.view.set.store(Arc::new(set));
        Reloaded::Swapped
    }

    /// Tells telemetry of the rules that have files and no good version.
    fn reject(&mut self, names: &BTreeSet<Arc<str>>, set: &RuleSet) {
        let rejected = names.iter().filter(|name| !set.rules.contains_key(*name));
        let rejected: BTreeSet<Arc<str>> = rejected.cloned().collect();
        for name in &rejected {
            self.metrics.rule_state(name, RuleState::Rejected);
        }
        for name in self.rejected.difference(&rejected) {
            if !set.rules.contains_key(name) {
                self.metrics.rule_forget(name);
            }
        }
        self.rejected = rejected;
    }

    /// Makes these the problems; whether there was a new one.
    fn note(&mut self, noted: Vec<Noted>, set: &RuleSet) -> bool {
        let has_new = self.problems.replace(noted, set);
        self.view.problems.store(Arc::new(self.problems.list()));
        if has_new {
            self.metrics.reloads("rejected", 1);
        }
        has_new
    }
}

/// Why a version does not run though it was loaded.
#[derive(Debug, thiserror::Error)]
#[error("this version was given up: {0}; mend it and save it")]
struct GivenUp(String);

/// The next rule set, unless it would be the same.
fn publishable(
    old: &RuleSet,
    rules: BTreeMap<Arc<str>, Arc<Rule>>,
) -> Result<Option<RuleSet>, Finding> {
    let same = |name, rule| old.rules.get(name).is_some_and(|old| Arc::ptr_eq(old, rule));
    let is_first = old.generation == 0;
    if !is_first
        && old.rules.len() == rules.len()
        && rules.iter().all(|(name, rule)| same(name, rule))
    {
        return Ok(None);
    }
    let set = RuleSet::new(old.generation + 1, rules.into_values());
    set.map(Some).map_err(Finding::new)
}

#[cfg(test)]
mod tests;
