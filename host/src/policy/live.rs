//! The policy that holds now, shared by those who ask for it.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;

use super::Policy;
use crate::config::ConfigErrors;

/// A handle of the policy that holds; clones share it. Empty = no policy: every alert goes where its
/// rule says.
#[derive(Debug, Clone, Default)]
pub struct LivePolicy {
    current: Arc<ArcSwapOption<Policy>>,
    problem: Arc<ArcSwapOption<(SystemTime, String)>>,
}

impl LivePolicy {
    /// A handle that begins with this policy.
    pub fn new(policy: Policy) -> Self {
        Self { current: Arc::new(ArcSwapOption::from_pointee(policy)), problem: Arc::default() }
    }

    /// The policy that holds now; ask again for every batch.
    pub fn current(&self) -> Option<Arc<Policy>> {
        self.current.load_full()
    }

    /// From now on this policy holds.
    pub fn set(&self, policy: Policy) {
        self.current.store(Some(Arc::new(policy)));
        self.problem.store(None);
    }

    /// The file is wrong, and the policy that holds stays.
    pub fn refuse(&self, at: SystemTime, errors: &ConfigErrors) {
        self.problem.store(Some(Arc::new((at, errors.to_string()))));
    }

    /// Why the file as it is does not hold, and since when; `None` = it holds.
    pub fn problem(&self) -> Option<(SystemTime, String)> {
        self.problem.load_full().map(|problem| (problem.0, problem.1.clone()))
    }
}
