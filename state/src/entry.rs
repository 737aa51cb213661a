//! What is stored under a key, what it costs and when time does something to it.

use std::sync::Arc;

use crate::limits::{ENTRY_BYTES, RETENTION_MS};
use crate::moment::Due;
use crate::plan::{Closing, Plan, Shape, Window};
use crate::sliding::Sliding;
use crate::sources::Sources;
use crate::tally::Tally;

/// What is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    Meta(Meta),
    Value {
        bytes: Box<[u8]>,
        /// The stream time from which on it is gone; none: never.
        expires_ms: Option<i64>,
    },
    Timer(Due),
    /// A window or a session.
    Tally(Tally),
    Sliding(Box<Sliding>),
}

/// About the state itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Meta {
    /// Version of the rule's keys and values.
    pub(crate) version: Option<u32>,
    /// The rule's stream time.
    pub(crate) stream_ms: Option<i64>,
    /// How far the partitions are that feed a rule whose records are grouped.
    pub(crate) sources: Arc<Sources>,
    /// The windows that have entries or may get some, by their fingerprints.
    pub(crate) windows: Arc<[(u64, Window)]>,
}

/// A window of the plan that is taken up.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) fingerprint: u64,
    /// Its place in the plan.
    pub(crate) position: u32,
    pub(crate) window: Window,
}

/// The windows of a plan, by their places.
#[derive(Debug, Default)]
pub(crate) struct Definitions(pub(crate) Vec<Definition>);

impl Definitions {
    pub(crate) fn of(plan: &Plan) -> Self {
        let windows = (0..).zip(&plan.windows);
        Self(
            windows
                .map(|(position, window)| Definition {
                    fingerprint: window.fingerprint(),
                    position,
                    window: window.clone(),
                })
                .collect(),
        )
    }

    /// Those of a stored state, for who reads it without its rule.
    pub(crate) fn of_meta(meta: &Meta) -> Self {
        let windows = (0..).zip(&*meta.windows).map(|(position, (fingerprint, window))| {
            Definition { fingerprint: *fingerprint, position, window: window.clone() }
        });
        Self(windows.collect())
    }

    /// A plan has few windows: looking at each is quicker than hashing.
    pub(crate) fn find(&self, fingerprint: u64) -> Option<&Definition> {
        self.0.iter().find(|definition| definition.fingerprint == fingerprint)
    }
}

/// When time does something to an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// The stream time at which the rule is told something.
    pub(crate) notice_ms: Option<i64>,
    /// The stream time at which it goes silently.
    pub(crate) expiry_ms: Option<i64>,
    /// The wall clock's time at which the rule is told something.
    pub(crate) wall_ms: Option<i64>,
}

impl Entry {
    /// When time does something to it; windows that are not in the plan stay.
    pub(crate) fn deadlines(&self, definition: Option<&Definition>) -> Deadlines {
        let mut deadlines = Deadlines::default();
        match (self, definition) {
            (Self::Value { expires_ms, .. }, _) => deadlines.expiry_ms = *expires_ms,
            (Self::Timer(Due::EventTime(due_ms)), _) => deadlines.notice_ms = Some(*due_ms),
            (Self::Timer(Due::WallClock(due_ms)), _) => deadlines.wall_ms = Some(*due_ms),
            (Self::Tally(tally), Some(Definition { window, .. })) => {
                let closes_ms = window.closes_ms(tally.end_ms);
                let tells = match window.closing {
                    Closing::None => false,
                    Closing::Crossed => tally.crossed,
                    Closing::All => true,
                };
                // What the rule still has to be told must not go before.
                if tells && !tally.told {
                    deadlines.notice_ms = Some(closes_ms);
                } else {
                    deadlines.expiry_ms = Some(closes_ms.saturating_add(RETENTION_MS));
                }
            }
            (Self::Sliding(sliding), Some(Definition { window, .. })) => {
                if let (Shape::Sliding(size_ms), Some(last_ms)) = (window.shape, sliding.last_ms())
                {
                    deadlines.expiry_ms = Some(window.closes_ms(last_ms.saturating_add(size_ms)));
                }
            }
            (Self::Meta(_) | Self::Tally(_) | Self::Sliding(_), _) => {}
        }
        deadlines
    }

    /// What it costs with its key: an estimate, but always the same one.
    pub(crate) fn cost(&self, key_bytes: usize) -> usize {
        let content = match self {
            Self::Meta(meta) => {
                let windows = meta.windows.iter().map(|(_, window)| window.name.len() + 96);
                windows.sum::<usize>() + meta.sources.list.len() * 40
            }
            Self::Value { bytes, .. } => bytes.len(),
            Self::Timer(_) => 0,
            Self::Tally(tally) => tally.cost(),
            Self::Sliding(sliding) => sliding.cost(),
        };
        ENTRY_BYTES + key_bytes + content
    }
}
