//! What goes into a rule's state and what it answers.

use std::sync::Arc;

/// The time of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The record's event time, milliseconds since the Unix epoch.
    pub event_ms: i64,
    /// The largest event time seen, this record included.
    pub stream_ms: i64,
}

/// Where a contributing record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// The record's timestamp, milliseconds since the Unix epoch; -1 = none.
    pub timestamp_ms: i64,
}

/// A window of a key as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowState {
    /// Its place in the plan.
    pub window: u32,
    pub key: Vec<u8>,
    /// Milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Milliseconds since the Unix epoch. A record at the end is not in the window, but for
    /// sliding windows, whose end is the time of the record that was looked at.
    pub end_ms: i64,
    /// The aggregate.
    pub value: f64,
    /// Records in it.
    pub count: u64,
    /// The first of its records, as many as the plan says.
    pub evidence: Vec<Evidence>,
}

/// When a timer is due, milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// When stream time reaches this.
    EventTime(i64),
    /// When the wall clock reaches this.
    WallClock(i64),
}

/// Something that time did.
#[derive(Debug, Clone, PartialEq)]
pub enum Firing {
    Timer {
        key: Vec<u8>,
        due: Due,
    },
    /// A window that takes no more records.
    Closed(WindowState),
}

/// What adding a record did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Added {
    /// Windows that crossed by it, in the order of their starts; usually empty.
    pub crossed: Vec<WindowState>,
    /// Set when it came too late for some of its windows.
    pub late: Option<Late>,
}

/// A record that came too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    /// Whether a closed window that had not crossed would have crossed with this record. What is
    /// no longer retained counts as a window without records.
    pub would_cross: bool,
    /// Windows of the record that were closed.
    pub windows: u32,
}

/// Entries that a new plan has no place for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The window's name in the plan that made the entries.
    pub window: String,
    /// Number of entries.
    pub entries: usize,
    /// Whether the new plan has a window of this name, defined otherwise.
    pub redefined: bool,
}
