//! What the configuration takes from around the process: environment variables and the machine.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Environment variables, the host's name and its cores, as the process or a test has them.
pub struct Environment {
    /// `None` = the process's own.
    variables: Option<HashMap<String, String>>,
    /// The host's name.
    pub(super) hostname: String,
    /// Processor cores that we may use.
    pub(super) cores: usize,
    /// The variables and files of secrets that are not here and were taken as there; `None` = a secret
    /// that is not here is a problem.
    assumed: Option<Mutex<BTreeSet<String>>>,
}

/// Values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("hostname", &self.hostname).finish_non_exhaustive()
    }
}

impl Environment {
    /// The process's own.
    pub fn process() -> Self {
        let hostname = std::env::var("HOSTNAME")
            .ok()
            .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
            .or_else(|| std::fs::read_to_string("/etc/hostname").ok())
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "localhost".into());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { variables: None, hostname, cores, assumed: None }
    }

    /// These variables only, on a host of this name.
    pub fn of<'a>(
        hostname: &str,
        cores: usize,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        let variables = Some(variables.collect());
        Self { variables, hostname: hostname.into(), cores, assumed: None }
    }

    /// Takes secrets that are not here as there, for who looks at a configuration elsewhere than where
    /// it is used.
    #[must_use]
    pub fn assuming_secrets(self) -> Self {
        Self { assumed: Some(Mutex::default()), ..self }
    }

    /// The variables and files that are not here, by their names, as far as that was assumed.
    pub fn assumed(&self) -> Vec<String> {
        let assumed = self.assumed.as_ref();
        let names =
            assumed.map(|names| names.lock().unwrap_or_else(PoisonError::into_inner).clone());
        names.unwrap_or_default().into_iter().collect()
    }

    /// Notes a secret that is not here; whether it is to be taken as there.
    pub(super) fn assume(&self, name: impl Into<String>) -> bool {
        let Some(assumed) = &self.assumed else { return false };
        assumed.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into());
        true
    }

    /// A variable; `None` = not set, or not Unicode.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        match &self.variables {
            Some(variables) => variables.get(name).cloned(),
            None => std::env::var(name).ok(),
        }
    }

    /// Where compiled rules are cached when nothing is said: `$CACHE_DIRECTORY` (systemd sets it),
    /// `$XDG_CACHE_HOME/firebell` or `$HOME/.cache/firebell`.
    pub(super) fn cache_dir(&self) -> Option<PathBuf> {
        let variable =
            |name| self.variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        variable("CACHE_DIRECTORY")
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("firebell")))
            .or_else(|| Some(variable("HOME")?.join(".cache/firebell")))
    }
}
