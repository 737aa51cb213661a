//! What can be wrong with a plan, in words for the rule's author.

use std::collections::HashSet;

use thiserror::Error;

use super::{Aggregate, Closing, Crossing, Plan, Shape, Window};

/// Windows of a plan.
const WINDOWS_MAX: usize = 32;
/// Hopping windows that one record is in.
const HOPS_MAX: i64 = 1_000;
/// The longest grace: 366 days, in milliseconds.
const GRACE_MS_MAX: i64 = 366 * 24 * 60 * 60 * 1_000;
/// Contributing records that a window keeps.
const EVIDENCE_MAX: u32 = 100;
/// Bytes of a window's name.
const NAME_BYTES_MAX: usize = 200;

/// Why a plan is refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum InvalidPlan {
    #[error("the plan has {found} windows, {WINDOWS_MAX} are allowed: split the rule")]
    TooManyWindows { found: usize },
    #[error("window {position} has no name: name it, its state is found by that")]
    EmptyName { position: usize },
    #[error("the name of window {position} is {bytes} bytes long, {NAME_BYTES_MAX} are allowed")]
    LongName { position: usize, bytes: usize },
    #[error("two windows are named `{window}`: give each a name of its own")]
    DuplicateName { window: String },
    #[error("window `{window}` has a size of {size_ms} ms: make it 1 or more")]
    Size { window: String, size_ms: i64 },
    #[error(
        "window `{window}` advances by {advance_ms} ms: make that 1 or more, and no more than \
         its size of {size_ms} ms, or records would be left out"
    )]
    Advance { window: String, advance_ms: i64, size_ms: i64 },
    #[error(
        "window `{window}` puts every record into {hops} windows, {HOPS_MAX} are allowed: make \
         the advance larger, or use a sliding window"
    )]
    Hops { window: String, hops: i64 },
    #[error(
        "window `{window}` has a grace of {grace_ms} ms: it is a time from 0 to 366 days \
         ({GRACE_MS_MAX} ms)"
    )]
    Grace { window: String, grace_ms: i64 },
    #[error("window `{window}` has the threshold {threshold}: it must be a finite number")]
    Threshold { window: String, threshold: f64 },
    #[error(
        "window `{window}` crosses at {threshold} or more: a threshold of 0 is always passed, \
         the first record counts 1; use `never` and `closing`, or a threshold above 0"
    )]
    AlwaysPassed { window: String, threshold: f64 },
    #[error(
        "window `{window}` crosses at {threshold} or less: that is never reached, the first \
         record counts 1; to notice that nothing comes, use a timer"
    )]
    NeverPassed { window: String, threshold: f64 },
    #[error("window `{window}` keeps {evidence} records as evidence: {EVIDENCE_MAX} are allowed")]
    Evidence { window: String, evidence: u32 },
    #[error(
        "window `{window}` slides and never closes: set `closing` to none, and use a session \
         window or a timer to notice that it became quiet"
    )]
    SlidingCloses { window: String },
    #[error("a table without a name: use a name from the operator's `[tables]`")]
    EmptyTable,
    #[error("the table `{table}` is named twice: once is enough")]
    DuplicateTable { table: String },
    #[error("idle_ms is 0: stream time would always be the wall clock; make it 1 or more")]
    Idle,
}

impl Plan {
    /// Finds the first thing that is wrong.
    ///
    /// # Errors
    /// [`InvalidPlan`] names the window and what to do about it.
    pub fn check(&self) -> Result<(), InvalidPlan> {
        if self.windows.len() > WINDOWS_MAX {
            return Err(InvalidPlan::TooManyWindows { found: self.windows.len() });
        }
        let mut names = HashSet::new();
        for (position, window) in self.windows.iter().enumerate() {
            if window.name.trim().is_empty() {
                return Err(InvalidPlan::EmptyName { position });
            }
            if window.name.len() > NAME_BYTES_MAX {
                return Err(InvalidPlan::LongName { position, bytes: window.name.len() });
            }
            if !names.insert(window.name.as_str()) {
                return Err(InvalidPlan::DuplicateName { window: window.name.clone() });
            }
            window.check()?;
        }
        let mut tables = HashSet::new();
        for table in &self.tables {
            if table.is_empty() {
                return Err(InvalidPlan::EmptyTable);
            }
            if !tables.insert(table.as_str()) {
                return Err(InvalidPlan::DuplicateTable { table: table.clone() });
            }
        }
        if self.idle_ms == Some(0) { Err(InvalidPlan::Idle) } else { Ok(()) }
    }
}

impl Window {
    fn check(&self) -> Result<(), InvalidPlan> {
        let window = || self.name.clone();
        self.check_shape()?;
        self.check_crossing()?;
        if !(0..=GRACE_MS_MAX).contains(&self.grace_ms) {
            return Err(InvalidPlan::Grace { window: window(), grace_ms: self.grace_ms });
        }
        if self.evidence > EVIDENCE_MAX {
            return Err(InvalidPlan::Evidence { window: window(), evidence: self.evidence });
        }
        if matches!(self.shape, Shape::Sliding(_)) && self.closing != Closing::None {
            return Err(InvalidPlan::SlidingCloses { window: window() });
        }
        Ok(())
    }

    fn check_shape(&self) -> Result<(), InvalidPlan> {
        let window = || self.name.clone();
        let (Shape::Tumbling(size_ms)
        | Shape::Hopping { size_ms, .. }
        | Shape::Sliding(size_ms)
        | Shape::Session(size_ms)) = self.shape;
        if size_ms <= 0 {
            return Err(InvalidPlan::Size { window: window(), size_ms });
        }
        if let Shape::Hopping { size_ms, advance_ms } = self.shape {
            if advance_ms <= 0 || advance_ms > size_ms {
                return Err(InvalidPlan::Advance { window: window(), advance_ms, size_ms });
            }
            let hops = size_ms / advance_ms + i64::from(size_ms % advance_ms != 0);
            if hops > HOPS_MAX {
                return Err(InvalidPlan::Hops { window: window(), hops });
            }
        }
        Ok(())
    }

    fn check_crossing(&self) -> Result<(), InvalidPlan> {
        let window = || self.name.clone();
        let (Crossing::AtLeast(threshold) | Crossing::AtMost(threshold)) = self.crossing else {
            return Ok(());
        };
        if !threshold.is_finite() {
            return Err(InvalidPlan::Threshold { window: window(), threshold });
        }
        let counts = matches!(self.aggregate, Aggregate::Count | Aggregate::Distinct);
        match self.crossing {
            Crossing::AtLeast(_) if counts && threshold <= 0.0 => {
                Err(InvalidPlan::AlwaysPassed { window: window(), threshold })
            }
            Crossing::AtMost(_) if counts && threshold < 1.0 => {
                Err(InvalidPlan::NeverPassed { window: window(), threshold })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        Window {
            name: "burst".into(),
            shape: Shape::Tumbling(60_000),
            aggregate: Aggregate::Count,
            grace_ms: 0,
            crossing: Crossing::AtLeast(4.0),
            closing: Closing::Crossed,
            evidence: 5,
        }
    }

    fn plan(window: Window) -> Plan {
        Plan { windows: vec![window], ..Plan::default() }
    }

    #[test]
    fn plans_at_the_limits_are_taken() {
        let day = 24 * 3_600_000;
        for good in [
            window(),
            Window { grace_ms: 366 * day, evidence: 100, ..window() },
            Window { shape: Shape::Hopping { size_ms: 1_000, advance_ms: 1 }, ..window() },
            Window { shape: Shape::Hopping { size_ms: 7, advance_ms: 7 }, ..window() },
            Window { shape: Shape::Session(1), aggregate: Aggregate::Distinct, ..window() },
            Window {
                shape: Shape::Sliding(i64::MAX),
                aggregate: Aggregate::Distinct,
                closing: Closing::None,
                ..window()
            },
            Window { aggregate: Aggregate::Min, crossing: Crossing::AtMost(-3.0), ..window() },
            Window { aggregate: Aggregate::Sum, crossing: Crossing::AtLeast(0.0), ..window() },
        ] {
            assert_eq!(plan(good.clone()).check(), Ok(()), "{good:?}");
        }
        assert_eq!(Plan::default().check(), Ok(()));
        assert!(Plan::default().is_empty());
        assert!(!plan(window()).is_empty());
    }

    #[test]
    fn a_plan_with_a_mistake_is_refused_with_the_windows_name_and_the_cure() {
        let hopping = |size_ms, advance_ms| Shape::Hopping { size_ms, advance_ms };
        let cases = [
            (Window { shape: Shape::Tumbling(0), ..window() }, "size of 0 ms"),
            (Window { shape: Shape::Session(-1), ..window() }, "size of -1 ms"),
            (Window { shape: hopping(10, 0), ..window() }, "advances by 0 ms"),
            (Window { shape: hopping(10, 11), ..window() }, "advances by 11 ms"),
            (Window { shape: hopping(1_001, 1), ..window() }, "into 1001 windows"),
            (Window { shape: hopping(i64::MAX, 1), ..window() }, "make the advance larger"),
            (Window { grace_ms: -1, ..window() }, "grace of -1 ms"),
            (Window { grace_ms: i64::MAX, ..window() }, "366 days"),
            (Window { crossing: Crossing::AtLeast(f64::NAN), ..window() }, "finite"),
            (Window { crossing: Crossing::AtMost(f64::INFINITY), ..window() }, "finite"),
            (Window { crossing: Crossing::AtLeast(0.0), ..window() }, "always passed"),
            (Window { crossing: Crossing::AtMost(0.0), ..window() }, "never reached"),
            (Window { evidence: 101, ..window() }, "101 records"),
            (Window { shape: Shape::Sliding(1), ..window() }, "never closes"),
        ];
        for (bad, words) in cases {
            let error = plan(bad.clone()).check().unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("`burst`"), "{bad:?}: {error}");
        }
    }

    #[test]
    fn names_and_numbers_of_a_plan_are_looked_at_too() {
        let two = Plan { windows: vec![window(), window()], ..Plan::default() };
        assert!(two.check().unwrap_err().to_string().contains("two windows are named `burst`"));
        let unnamed = plan(Window { name: " ".into(), ..window() });
        assert_eq!(unnamed.check(), Err(InvalidPlan::EmptyName { position: 0 }));
        let long = plan(Window { name: "x".repeat(201), ..window() });
        assert_eq!(long.check(), Err(InvalidPlan::LongName { position: 0, bytes: 201 }));
        let many = (0..33).map(|n| Window { name: n.to_string(), ..window() }).collect();
        let many = Plan { windows: many, ..Plan::default() };
        assert_eq!(many.check(), Err(InvalidPlan::TooManyWindows { found: 33 }));
        let idle = Plan { idle_ms: Some(0), ..Plan::default() };
        assert_eq!(idle.check(), Err(InvalidPlan::Idle));
        let tables = Plan { tables: vec!["t".into(), "t".into()], ..Plan::default() };
        assert_eq!(tables.check(), Err(InvalidPlan::DuplicateTable { table: "t".into() }));
    }
}
