//! What a rule keeps from record to record: values, windows, timers, tables.

use std::borrow::Cow;
use std::time::Duration;

use crate::__private::wit;
use crate::Window;

/// Keys and values as they are kept; see [`Rule::migrate`](crate::Rule::migrate).
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// What a rule keeps; see [`Rule::state`](crate::Rule::state).
///
/// The host keeps it for each partition by itself. It survives traps, reloads and moves to another
/// host; what a call that fails has done is undone.
///
/// ```
/// use std::time::Duration;
/// use firebell_rule::{State, Window};
///
/// let minute = Duration::from_secs(60);
/// let state = State::new(1)
///     .key_by("host")
///     .event_time("date")
///     .window(Window::tumbling("attempts", minute).count().at_least(4.0).evidence(5))
///     .table("hosts")
///     .idle(minute);
/// assert_eq!(state.windows[0].name, "attempts");
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// The version of the keys and values; 0 = nothing is kept.
    pub version: u32,
    /// The field by which records are brought to one partition.
    pub key_by: Option<Cow<'static, str>>,
    /// The integer field that holds the event time in milliseconds since the Unix epoch; `None` =
    /// the record's timestamp.
    pub event_time: Option<Cow<'static, str>>,
    /// The windows.
    pub windows: Vec<Window>,
    /// The lookup tables, by the operator's names.
    pub tables: Vec<Cow<'static, str>>,
    /// After how long without records time goes on by the wall clock.
    pub idle: Option<Duration>,
    /// Whether windows are brought up to date after each record; see [`in_step`](Self::in_step).
    pub in_step: bool,
}

impl State {
    /// Nothing: the rule looks at one record at a time.
    #[inline(always)]
    pub fn none() -> Self {
        Self::default()
    }

    /// State whose keys and values have this version, from 1. Raise it when their meaning changes,
    /// and write [`Rule::migrate`](crate::Rule::migrate).
    pub fn new(version: u32) -> Self {
        Self { version, ..Self::default() }
    }

    /// Brings records with equal values of this field to one partition, and so to one state. The
    /// operator can say that the topic's key does that already (`keyed = true`).
    #[must_use]
    pub fn key_by(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.key_by = Some(field.into());
        self
    }

    /// Takes the event time from this integer field, in milliseconds since the Unix epoch, instead
    /// of the record's timestamp.
    #[must_use]
    pub fn event_time(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.event_time = Some(field.into());
        self
    }

    /// Keeps a window.
    #[must_use]
    pub fn window(mut self, window: Window) -> Self {
        self.windows.push(window);
        self
    }

    /// Reads a lookup table that the operator has under this name (`[tables]`).
    #[must_use]
    pub fn table(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.tables.push(name.into());
        self
    }

    /// When a partition had no record for so long, and none waits, its time goes on by the wall
    /// clock. Without it time stands still while nothing comes: absence is not noticed.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Brings the windows up to date after each record instead of once for a batch, so that
    /// [`Rule::crossed`](crate::Rule::crossed) may read windows and add to them. It costs a call of
    /// the host, some 100 ns, for each record and window.
    #[must_use]
    pub fn in_step(mut self) -> Self {
        self.in_step = true;
        self
    }

    /// The place of a window in the plan.
    pub(crate) fn window_index(&self, name: &str) -> Option<usize> {
        self.windows.iter().position(|window| window.name == name)
    }
}

/// Milliseconds as the contract counts them.
pub(crate) fn as_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl From<State> for wit::Plan {
    #[inline(always)]
    fn from(state: State) -> Self {
        Self {
            version: state.version,
            key_by: state.key_by.map(Cow::into_owned),
            event_time: state.event_time.map(Cow::into_owned),
            windows: state.windows.into_iter().map(Into::into).collect(),
            tables: state.tables.into_iter().map(Cow::into_owned).collect(),
            idle_ms: state.idle.map(|idle| as_ms(idle).unsigned_abs()),
        }
    }
}
