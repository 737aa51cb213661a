//! Whether all workers can go on with a new rule set, before the first of them does.
//!
//! A rule whose values are of another version is handed them by every worker for its own partitions. One
//! that cannot take them over is not to run on some partitions while the version before it runs on others:
//! all workers try, and either all change or none.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What the workers say of a rule set. Each says it once.
#[derive(Debug)]
pub struct Agreement {
    /// Workers that have said nothing yet.
    missing: AtomicUsize,
    refused: AtomicBool,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody has said nothing yet.
    Open,
    /// All can go on with the set.
    Agreed,
    /// Somebody cannot: nobody takes the set.
    Refused,
}

impl Agreement {
    /// Of this many workers.
    pub fn new(workers: usize) -> Self {
        Self { missing: AtomicUsize::new(workers), refused: AtomicBool::new(false) }
    }

    /// A worker can go on with the set.
    pub fn agree(&self) {
        self.missing.fetch_sub(1, Ordering::AcqRel);
    }

    /// A worker cannot.
    pub fn refuse(&self) {
        self.refused.store(true, Ordering::Release);
    }

    /// What all of them have said.
    pub fn verdict(&self) -> Verdict {
        if self.refused.load(Ordering::Acquire) {
            Verdict::Refused
        } else if self.missing.load(Ordering::Acquire) == 0 {
            Verdict::Agreed
        } else {
            Verdict::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_must_agree_and_one_is_enough_to_refuse() {
        let agreement = Agreement::new(2);
        agreement.agree();
        assert_eq!(agreement.verdict(), Verdict::Open);
        agreement.agree();
        assert_eq!(agreement.verdict(), Verdict::Agreed);
        let agreement = Agreement::new(2);
        agreement.agree();
        agreement.refuse();
        assert_eq!(agreement.verdict(), Verdict::Refused);
        assert_eq!(Agreement::new(0).verdict(), Verdict::Agreed, "nobody is there to be asked");
    }
}
