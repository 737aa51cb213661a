//! How one version of a rule fares, shared by all workers, telemetry and the page.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::engine::FailureReason;
use crate::record::RecordId;

/// Failed records in a row, without one that went well, after which a new version is given up.
const FIRST_FAILURES: u32 = 3;

/// The last record that a rule failed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFailure {
    /// The record.
    pub record: RecordId,
    /// What happened.
    pub reason: FailureReason,
    /// The same for people.
    pub message: String,
}

/// Whether a rule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Its last record went well, or it had none yet.
    Healthy,
    /// Its last records failed.
    Failing,
    /// It is not called any more, until its file changes.
    Quarantined,
}

impl State {
    /// The word in metrics and on the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failing => "failing",
            Self::Quarantined => "quarantined",
        }
    }
}

/// Counts failed records in a row. A new version of the rule begins with a new one.
#[derive(Debug, Default)]
pub struct Health {
    in_a_row: AtomicU32,
    failed: AtomicU64,
    quarantined: AtomicBool,
    /// A call went well once.
    worked: AtomicBool,
    last: Mutex<Option<LastFailure>>,
}

impl Health {
    /// Whether the rule runs.
    pub fn state(&self) -> State {
        if self.is_quarantined() {
            State::Quarantined
        } else if self.in_a_row.load(Ordering::Relaxed) > 0 {
            State::Failing
        } else {
            State::Healthy
        }
    }

    /// Whether the rule must not be called any more.
    pub fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Records that failed since the rule was loaded.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// The last record that failed.
    pub fn last_failure(&self) -> Option<LastFailure> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a call of this version went well once.
    pub fn has_worked(&self) -> bool {
        self.worked.load(Ordering::Relaxed)
    }

    /// Whether this version fails from its first record on: the one before it is to run again.
    pub fn fails_from_the_start(&self) -> bool {
        !self.has_worked() && self.in_a_row.load(Ordering::Relaxed) >= FIRST_FAILURES
    }

    /// A call went well.
    pub fn succeeded(&self) {
        if !self.has_worked() {
            self.worked.store(true, Ordering::Relaxed);
        }
        // Read first: workers share this line of memory, and nearly all calls go well.
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// A record failed. True when this put the rule into quarantine, which happens once.
    pub fn failed_record(&self, failure: LastFailure, quarantine_after: u32) -> bool {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        self.failed.fetch_add(1, Ordering::Relaxed);
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        quarantine_after > 0
            && in_a_row >= quarantine_after
            && !self.quarantined.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(offset: i64) -> LastFailure {
        LastFailure {
            record: RecordId { topic: "t".into(), partition: 0, offset },
            reason: FailureReason::Trap,
            message: "trap".into(),
        }
    }

    #[test]
    fn only_failures_in_a_row_lead_to_quarantine_and_it_is_told_once() {
        let health = Health::default();
        assert!(!health.failed_record(failure(1), 2));
        assert_eq!(health.state(), State::Failing);
        health.succeeded();
        assert_eq!(health.state(), State::Healthy);
        assert!(!health.failed_record(failure(2), 2));
        assert!(health.failed_record(failure(3), 2));
        assert!(!health.failed_record(failure(4), 2));
        health.succeeded();
        assert_eq!(health.state(), State::Quarantined);
        assert_eq!(health.failed(), 4);
        assert_eq!(health.last_failure(), Some(failure(4)));
    }

    #[test]
    fn a_version_that_never_worked_fails_from_the_start_and_one_that_did_does_not() {
        let (new, old) = (Health::default(), Health::default());
        old.succeeded();
        for offset in 0..3 {
            assert!(!new.fails_from_the_start());
            new.failed_record(failure(offset), 0);
            old.failed_record(failure(offset), 0);
        }
        assert!(new.fails_from_the_start() && !old.fails_from_the_start());
    }

    #[test]
    fn zero_never_quarantines() {
        let health = Health::default();
        assert!((0..1000).all(|offset| !health.failed_record(failure(offset), 0)));
    }
}
