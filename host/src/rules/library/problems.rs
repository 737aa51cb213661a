//! What is wrong in the folder now: told once when it begins, once when it ends, seen all the time.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{info, warn};

use crate::rules::RuleSet;
use crate::rules::finding::Finding;

/// Something that is wrong with a file of the rules folder, or with the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the folder.
    pub file: PathBuf,
    /// The line, from 1, where there is one.
    pub line: Option<usize>,
    /// What is wrong and the cure.
    pub text: String,
    /// When it was first seen.
    pub since: SystemTime,
    /// Rules that go on in their last good version.
    pub kept: Vec<Arc<str>>,
    /// Rules that do not run, since no version of them is good.
    pub missing: Vec<Arc<str>>,
}

impl Problem {
    fn is_same(&self, other: &Self) -> bool {
        (&self.file, self.line, &self.text) == (&other.file, other.line, &other.text)
    }
}

impl fmt::Display for Problem {
    /// `FILE:LINE: TEXT`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// A finding and where it belongs.
#[derive(Debug)]
pub(super) struct Noted {
    /// The file's name; `None` = the folder.
    pub(super) file: Option<String>,
    pub(super) finding: Finding,
    /// The rules that it is about.
    pub(super) rules: Vec<Arc<str>>,
}

/// The problems of now.
#[derive(Debug)]
pub(super) struct Problems {
    dir: PathBuf,
    list: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, list: vec![] }
    }

    /// All of them, by file and line.
    pub(super) fn list(&self) -> Vec<Problem> {
        self.list.clone()
    }

    /// Makes these the problems, and tells the log what is new and what is over; whether something is
    /// new.
    pub(super) fn replace(&mut self, noted: Vec<Noted>, set: &RuleSet) -> bool {
        let now = SystemTime::now();
        let mut list: Vec<Problem> = vec![];
        let mut has_new = false;
        for noted in noted {
            let mut problem = self.problem(noted, set, now);
            if list.iter().any(|known| known.is_same(&problem)) {
                continue;
            }
            match self.list.iter().find(|known| known.is_same(&problem)) {
                Some(known) => problem.since = known.since,
                None => {
                    has_new = true;
                    tell(&problem);
                }
            }
            list.push(problem);
        }
        list.sort_by(|a, b| (&a.file, a.line, &a.text).cmp(&(&b.file, b.line, &b.text)));
        let bad = |list: &[Problem]| -> BTreeSet<PathBuf> {
            list.iter().map(|problem| problem.file.clone()).collect()
        };
        for file in bad(&self.list).difference(&bad(&list)) {
            info!(file = %file.display(), "what was wrong in the rules folder is over");
        }
        self.list = list;
        has_new
    }

    fn problem(&self, noted: Noted, set: &RuleSet, since: SystemTime) -> Problem {
        let (kept, missing) =
            noted.rules.into_iter().partition(|rule| set.rules.contains_key(rule));
        Problem {
            file: noted.file.map_or_else(|| self.dir.clone(), |file| self.dir.join(file)),
            line: noted.finding.line,
            text: noted.finding.text,
            since,
            kept,
            missing,
        }
    }
}

fn tell(problem: &Problem) {
    let names = |rules: &[Arc<str>]| rules.join(", ");
    let what_now = match (problem.kept.as_slice(), problem.missing.as_slice()) {
        ([], []) => "it changes nothing".to_owned(),
        (kept, []) => format!("the last good version of {} runs on", names(kept)),
        ([], missing) => format!("there is no good version of {}", names(missing)),
        (kept, missing) => format!(
            "the last good version of {} runs on, there is none of {}",
            names(kept),
            names(missing)
        ),
    };
    warn!(
        file = %problem.file.display(),
        line = problem.line,
        kept = names(&problem.kept),
        missing = names(&problem.missing),
        "{problem}: {what_now}"
    );
}
