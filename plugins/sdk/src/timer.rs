//! Timers: what a rule does when time has passed.

use crate::__private::wit;

/// When a timer is due, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// When stream time reaches this: the largest event time that was seen, which goes on by the
    /// wall clock only where the rule says [`State::idle`](crate::State::idle).
    EventTime(i64),
    /// When the wall clock reaches this, whether or not records come.
    WallClock(i64),
}

impl Due {
    /// When stream time reaches this.
    pub fn event_time(timestamp_ms: i64) -> Self {
        Self::EventTime(timestamp_ms)
    }

    /// When the wall clock reaches this.
    pub fn wall_clock(timestamp_ms: i64) -> Self {
        Self::WallClock(timestamp_ms)
    }

    pub(crate) fn lift(due: wit::Due) -> Self {
        match due {
            wit::Due::EventTime(ms) => Self::EventTime(ms),
            wit::Due::WallClock(ms) => Self::WallClock(ms),
        }
    }
}

impl From<Due> for wit::Due {
    fn from(due: Due) -> Self {
        match due {
            Due::EventTime(ms) => Self::EventTime(ms),
            Due::WallClock(ms) => Self::WallClock(ms),
        }
    }
}

/// A timer that is due; see [`Rule::timer`](crate::Rule::timer). It is no longer set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// The key that it was set for.
    pub key: Vec<u8>,
    /// When it was due.
    pub due: Due,
    /// The partition's stream time, milliseconds since the Unix epoch.
    pub stream_time_ms: i64,
    /// What the wall clock showed, where it was the wall clock that moved time on.
    pub wall_clock_ms: Option<i64>,
}

impl Timer {
    /// The key as text.
    pub fn key_text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.key)
    }
}
