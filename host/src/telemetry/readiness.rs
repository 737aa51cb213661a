//! Whether the host can do its work now, part by part; `/readyz` shows it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Which parts of the host can work; cloning shares it.
///
/// A host of which no part has spoken yet is not ready: it is starting.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    parts: Arc<RwLock<BTreeMap<Cow<'static, str>, Option<String>>>>,
}

/// What [`Readiness::snapshot`] saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadinessSnapshot {
    /// Every part that has spoken, and why it is not ready (`None` = it is).
    pub parts: BTreeMap<Cow<'static, str>, Option<String>>,
}

impl ReadinessSnapshot {
    /// Whether some part has spoken and all are ready.
    pub fn is_ready(&self) -> bool {
        !self.parts.is_empty() && self.parts.values().all(Option::is_none)
    }
}

impl Readiness {
    /// A part works.
    pub fn set_ready(&self, part: impl Into<Cow<'static, str>>) {
        self.set(part.into(), None);
    }

    /// A part does not work, and why: people read it in `/readyz` and on the page.
    pub fn set_not_ready(&self, part: impl Into<Cow<'static, str>>, reason: impl Into<String>) {
        self.set(part.into(), Some(reason.into()));
    }

    /// A part is no more, or has nothing to say.
    pub fn forget(&self, part: &str) {
        let known = self.parts.read().unwrap_or_else(PoisonError::into_inner).contains_key(part);
        if known {
            self.parts.write().unwrap_or_else(PoisonError::into_inner).remove(part);
        }
    }

    /// The state of every part.
    pub fn snapshot(&self) -> ReadinessSnapshot {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner).clone();
        ReadinessSnapshot { parts }
    }

    fn set(&self, part: Cow<'static, str>, reason: Option<String>) {
        // Mostly nothing changes, and readers are not disturbed.
        let known =
            self.parts.read().unwrap_or_else(PoisonError::into_inner).get(&part) == Some(&reason);
        if !known {
            self.parts.write().unwrap_or_else(PoisonError::into_inner).insert(part, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_ready_when_every_part_is_and_not_before_one_has_spoken() {
        let readiness = Readiness::default();
        assert!(!readiness.snapshot().is_ready());
        readiness.set_ready("rules");
        assert!(readiness.snapshot().is_ready());
        readiness.set_not_ready("kafka", "no broker answers at 127.0.0.1:9092");
        let snapshot = readiness.snapshot();
        assert!(!snapshot.is_ready());
        assert_eq!(snapshot.parts["rules"], None);
        assert_eq!(snapshot.parts["kafka"].as_deref(), Some("no broker answers at 127.0.0.1:9092"));
        readiness.clone().set_ready("kafka");
        assert!(readiness.snapshot().is_ready());
    }
}
