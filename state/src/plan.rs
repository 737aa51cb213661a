//! What a rule declares that it keeps: its windows, tables and where event time comes from.

mod check;

pub use check::InvalidPlan;

/// What a rule keeps. It comes from the rule; [`check`](Plan::check) it before it is used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Version of the rule's keys and values.
    pub version: u32,
    /// The declared field by which records are brought together; none: they stay where they are.
    pub key_by: Option<String>,
    /// The declared field that holds the event time; none: the record's timestamp.
    pub event_time: Option<String>,
    /// The windows; calls name them by their place here.
    pub windows: Vec<Window>,
    /// Lookup tables that the rule reads, by the operator's names.
    pub tables: Vec<String>,
    /// After how long without a record stream time follows the wall clock; none: never.
    pub idle_ms: Option<u64>,
}

/// How the records of a key are gathered.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Unique in the plan. With the shape and the aggregate it identifies what is stored.
    pub name: String,
    pub shape: Shape,
    pub aggregate: Aggregate,
    /// How long after its end, in stream time, a window still takes records.
    pub grace_ms: i64,
    /// When a window has something to tell.
    pub crossing: Crossing,
    /// Of which windows the rule is told that they closed.
    pub closing: Closing,
    /// Contributing records to keep, the first ones.
    pub evidence: u32,
}

/// The extent of windows in milliseconds of event time: half-open, aligned to the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Back to back, of this size.
    Tumbling(i64),
    /// A window of `size_ms` begins every `advance_ms`.
    Hopping { size_ms: i64, advance_ms: i64 },
    /// The records of the last so many milliseconds, `(t - size, t]`, at every record's time `t`.
    Sliding(i64),
    /// As long as no gap between records is this long or longer.
    Session(i64),
}

/// What is computed over a window's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    Count,
    Sum,
    Min,
    Max,
    /// The number of different items.
    Distinct,
}

/// When a window crosses, once for each key and window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Crossing {
    Never,
    /// The value became this or more.
    AtLeast(f64),
    /// The value became this or less.
    AtMost(f64),
}

/// Which windows are told when they close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    None,
    /// Those that crossed.
    Crossed,
    All,
}

impl Plan {
    /// Whether the rule keeps nothing that the plan would have to name. Values and timers need no
    /// plan.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
            && self.tables.is_empty()
            && self.key_by.is_none()
            && self.event_time.is_none()
            && self.idle_ms.is_none()
    }
}

impl Crossing {
    /// Whether a value is past the threshold.
    pub(crate) fn passes(self, value: f64) -> bool {
        match self {
            Self::Never => false,
            Self::AtLeast(threshold) => value >= threshold,
            Self::AtMost(threshold) => value <= threshold,
        }
    }
}

impl Window {
    /// Identifies what is stored for this window, wherever it stands in a plan: the name, the
    /// shape and the aggregate. It is written to the changelog and must never change.
    pub(crate) fn fingerprint(&self) -> u64 {
        let (shape, size, advance) = match self.shape {
            Shape::Tumbling(size) => (1, size, 0),
            Shape::Hopping { size_ms, advance_ms } => (2, size_ms, advance_ms),
            Shape::Sliding(size) => (3, size, 0),
            Shape::Session(gap) => (4, gap, 0),
        };
        let aggregate = match self.aggregate {
            Aggregate::Count => 1,
            Aggregate::Sum => 2,
            Aggregate::Min => 3,
            Aggregate::Max => 4,
            Aggregate::Distinct => 5,
        };
        let name = self.name.bytes();
        let definition = [shape, aggregate].into_iter();
        let sizes = size.to_le_bytes().into_iter().chain(advance.to_le_bytes());
        fnv(name.chain([0xff]).chain(definition).chain(sizes))
    }

    /// The time at which a window with this end takes no more records.
    pub(crate) fn closes_ms(&self, end_ms: i64) -> i64 {
        end_ms.saturating_add(self.grace_ms)
    }
}

/// FNV-1a. Names come from the rule's author, who has no reason to make them collide.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(name: &str, shape: Shape, aggregate: Aggregate) -> Window {
        Window {
            name: name.into(),
            shape,
            aggregate,
            grace_ms: 0,
            crossing: Crossing::Never,
            closing: Closing::None,
            evidence: 0,
        }
    }

    #[test]
    fn what_is_stored_is_identified_by_name_shape_and_aggregate_alone() {
        let one = window("a", Shape::Tumbling(60_000), Aggregate::Count);
        let other = Window { grace_ms: 5, evidence: 3, closing: Closing::All, ..one.clone() };
        assert_eq!(one.fingerprint(), other.fingerprint());
        // Written to changelogs: this number is part of the wire format.
        assert_eq!(one.fingerprint(), 0x65b1_6c27_7d33_7069);
        let hopping = Shape::Hopping { size_ms: 60_000, advance_ms: 60_000 };
        for changed in [
            window("b", Shape::Tumbling(60_000), Aggregate::Count),
            window("a", Shape::Tumbling(60_001), Aggregate::Count),
            window("a", Shape::Sliding(60_000), Aggregate::Count),
            window("a", hopping, Aggregate::Count),
            window("a", Shape::Tumbling(60_000), Aggregate::Sum),
        ] {
            assert_ne!(one.fingerprint(), changed.fingerprint(), "{changed:?}");
        }
    }
}
