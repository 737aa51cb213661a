//! What is wrong with what the operator wrote: the file, the place, and the cure.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong, shown as `FILE:LINE: KEY: MESSAGE; CURE`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    /// The file that it is in.
    pub file: Option<PathBuf>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The key or other thing that it is about, such as `kafka.group_id` or `topic SYSLOG`.
    pub key: Option<String>,
    /// What is wrong; it shows no secret.
    pub message: String,
    /// What to do.
    pub cure: Option<String>,
}

impl Problem {
    /// A problem without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// In this file.
    #[must_use]
    pub fn file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    /// In this line, from 1.
    #[must_use]
    pub fn line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// About this key or thing.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With this cure.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.cure {
            Some(cure) => write!(f, "; {cure}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// The problems, in the order of the file.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [problem] => write!(f, "{problem}"),
            problems => {
                write!(f, "the configuration has {} problems:", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n{problem}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_tells_file_line_key_and_cure_as_far_as_they_are_known() {
        let problem = Problem::new("unknown key");
        assert_eq!(problem.to_string(), "unknown key");
        let problem = problem.key("kafka.x").cure("did you mean `y`?");
        assert_eq!(problem.to_string(), "kafka.x: unknown key; did you mean `y`?");
        let problem = problem.file(Path::new("firebell.toml"));
        assert_eq!(problem.to_string(), "firebell.toml: kafka.x: unknown key; did you mean `y`?");
        let problem = problem.line(3);
        assert_eq!(problem.to_string(), "firebell.toml:3: kafka.x: unknown key; did you mean `y`?");
        let two = ConfigErrors { problems: vec![problem.clone(), problem] };
        assert!(
            two.to_string().starts_with("the configuration has 2 problems:\nfirebell.toml:3: ")
        );
    }
}
