//! Windows: how a key's records are gathered, and what comes of it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::__private::wit;
use crate::state::as_ms;

/// How a key's records are gathered, by event time. Windows are aligned to the Unix epoch and
/// half-open: a record at the end is not in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Back to back, of this size.
    Tumbling(Duration),
    /// Overlapping where the advance is smaller than the size.
    Hopping {
        /// From start to end.
        size: Duration,
        /// From one start to the next.
        advance: Duration,
    },
    /// The records of the last so long, looked at whenever one comes: not aligned, so that a burst
    /// can't straddle an edge.
    Sliding(Duration),
    /// As long as no gap is this long or longer.
    Session(Duration),
}

/// What a window makes of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aggregate {
    /// How many.
    #[default]
    Count,
    /// The sum of their values.
    Sum,
    /// The least of their values.
    Min,
    /// The greatest of their values.
    Max,
    /// How many different items.
    Distinct,
}

/// When [`Rule::crossed`](crate::Rule::crossed) is called, once for each key and window.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Crossing {
    /// Never.
    #[default]
    Never,
    /// The value became this or more.
    AtLeast(f64),
    /// The value became this or less.
    AtMost(f64),
}

/// Of which windows [`Rule::closed`](crate::Rule::closed) is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Closing {
    /// Of none.
    #[default]
    None,
    /// Of those that crossed.
    Crossed,
    /// Of all.
    All,
}

/// A window that a rule keeps for each key; it counts unless something else is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The name that the rule uses.
    pub name: Cow<'static, str>,
    /// How records are gathered.
    pub shape: Shape,
    /// What is made of them.
    pub aggregate: Aggregate,
    /// How long after its end, in stream time, a window still takes records.
    pub grace: Duration,
    /// When the rule is told that it crossed.
    pub crossing: Crossing,
    /// Whether the rule is told that it closed.
    pub closing: Closing,
    /// How many contributing records to keep, the first ones; 100 at most.
    pub evidence: u32,
}

impl Window {
    fn new(name: Cow<'static, str>, shape: Shape) -> Self {
        Self {
            name,
            shape,
            aggregate: Aggregate::default(),
            grace: Duration::ZERO,
            crossing: Crossing::default(),
            closing: Closing::default(),
            evidence: 0,
        }
    }

    /// Windows back to back, of this size.
    pub fn tumbling(name: impl Into<Cow<'static, str>>, size: Duration) -> Self {
        Self::new(name.into(), Shape::Tumbling(size))
    }

    /// Windows of this size that start every `advance`.
    pub fn hopping(name: impl Into<Cow<'static, str>>, size: Duration, advance: Duration) -> Self {
        Self::new(name.into(), Shape::Hopping { size, advance })
    }

    /// The records of the last `size`, looked at whenever one comes.
    pub fn sliding(name: impl Into<Cow<'static, str>>, size: Duration) -> Self {
        Self::new(name.into(), Shape::Sliding(size))
    }

    /// A window that lasts as long as no gap between records is as long as `gap`.
    pub fn session(name: impl Into<Cow<'static, str>>, gap: Duration) -> Self {
        Self::new(name.into(), Shape::Session(gap))
    }

    /// Counts records.
    #[must_use]
    pub fn count(self) -> Self {
        self.aggregate(Aggregate::Count)
    }

    /// Adds up values.
    #[must_use]
    pub fn sum(self) -> Self {
        self.aggregate(Aggregate::Sum)
    }

    /// Keeps the least value.
    #[must_use]
    pub fn min(self) -> Self {
        self.aggregate(Aggregate::Min)
    }

    /// Keeps the greatest value.
    #[must_use]
    pub fn max(self) -> Self {
        self.aggregate(Aggregate::Max)
    }

    /// Counts different items; exact, all of them are kept.
    #[must_use]
    pub fn distinct(self) -> Self {
        self.aggregate(Aggregate::Distinct)
    }

    fn aggregate(mut self, aggregate: Aggregate) -> Self {
        self.aggregate = aggregate;
        self
    }

    /// Tells the rule when the value became this or more.
    #[must_use]
    pub fn at_least(mut self, threshold: f64) -> Self {
        self.crossing = Crossing::AtLeast(threshold);
        self
    }

    /// Tells the rule when the value became this or less.
    #[must_use]
    pub fn at_most(mut self, threshold: f64) -> Self {
        self.crossing = Crossing::AtMost(threshold);
        self
    }

    /// Takes records until so long after its end, in stream time.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Keeps where the first so many contributing records are; 100 at most.
    #[must_use]
    pub fn evidence(mut self, records: u32) -> Self {
        self.evidence = records;
        self
    }

    /// Tells the rule when windows closed.
    #[must_use]
    pub fn tell_closed(mut self, closing: Closing) -> Self {
        self.closing = closing;
        self
    }
}

impl From<Window> for wit::Window {
    fn from(window: Window) -> Self {
        Self {
            name: window.name.into_owned(),
            shape: match window.shape {
                Shape::Tumbling(size) => wit::WindowShape::Tumbling(as_ms(size)),
                Shape::Hopping { size, advance } => {
                    wit::WindowShape::Hopping((as_ms(size), as_ms(advance)))
                }
                Shape::Sliding(size) => wit::WindowShape::Sliding(as_ms(size)),
                Shape::Session(gap) => wit::WindowShape::Session(as_ms(gap)),
            },
            aggregate: match window.aggregate {
                Aggregate::Count => wit::Aggregate::Count,
                Aggregate::Sum => wit::Aggregate::Sum,
                Aggregate::Min => wit::Aggregate::Min,
                Aggregate::Max => wit::Aggregate::Max,
                Aggregate::Distinct => wit::Aggregate::Distinct,
            },
            grace_ms: as_ms(window.grace),
            crossing: match window.crossing {
                Crossing::Never => wit::Crossing::Never,
                Crossing::AtLeast(value) => wit::Crossing::AtLeast(value),
                Crossing::AtMost(value) => wit::Crossing::AtMost(value),
            },
            closing: match window.closing {
                Closing::None => wit::Closing::None,
                Closing::Crossed => wit::Closing::Crossed,
                Closing::All => wit::Closing::All,
            },
            evidence: window.evidence,
        }
    }
}

/// A window of a key as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowState {
    /// The window's name.
    pub window: Cow<'static, str>,
    /// The key that the rule gave.
    pub key: Vec<u8>,
    /// Where it starts, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Where it ends; a record at this time is not in it.
    pub end_ms: i64,
    /// The aggregate; of `count` and `distinct` a whole number.
    pub value: f64,
    /// Records in it.
    pub count: u64,
    /// The first contributing records, as many as the window declared.
    pub evidence: Vec<Evidence>,
}

impl WindowState {
    /// The key as text.
    pub fn key_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.key)
    }

    /// The evidence as text, for a notification's field: `SYSLOG/0/17, SYSLOG/0/19`.
    pub fn evidence_text(&self) -> String {
        let places: Vec<String> = self.evidence.iter().map(Evidence::to_string).collect();
        places.join(", ")
    }

    pub(crate) fn lift(state: wit::WindowState, windows: &[Window]) -> Self {
        let window = windows.get(state.window as usize).map(|window| window.name.clone());
        Self {
            window: window.unwrap_or_default(),
            key: state.key,
            start_ms: state.start,
            end_ms: state.end,
            value: state.value,
            count: state.count,
            evidence: state.evidence.into_iter().map(Evidence::lift).collect(),
        }
    }
}

/// Where a contributing record is; prints as `TOPIC/PARTITION/OFFSET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The record's timestamp, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

impl Evidence {
    fn lift(wit::Evidence { topic, partition, offset, timestamp }: wit::Evidence) -> Self {
        Self { topic, partition, offset, timestamp_ms: timestamp }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}
