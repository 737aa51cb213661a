//! What a call works on when its rule keeps state: put into the store before the call, taken back
//! after it, whatever came of it.

use std::sync::Arc;

use firebell_state::{Evidence, Moment, RuleState, StateError, WindowState};

use crate::tables::{Table, TableSet};

/// The state of one rule and input partition, and what is known of the call's rows.
#[derive(Debug)]
pub struct StateCall {
    /// The state; begin and undo of the call are the caller's.
    pub state: RuleState,
    /// When each row happens.
    pub moments: Vec<Moment>,
    /// What each row is; empty when rows are firings, which are no records.
    pub records: Vec<RowRecord>,
    /// The row at hand, in the topic that all of them are from.
    pub(super) evidence: Evidence,
    /// Rows that were too late for a window.
    pub late: Vec<LateRow>,
    /// The windows that the rule was shown in this call.
    pub shown: Vec<Shown>,
    /// The first row at which a timer of this call is due; the call is made again up to there.
    pub cut: Option<u32>,
    /// The lookup tables, as they were when the batch began.
    pub tables: TableSet,
}

/// Which record a row is; all of a call are from one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, milliseconds since the Unix epoch; -1 = none.
    pub timestamp_ms: i64,
}

/// A window that a rule was shown at a row: the records in it are behind what it says about that row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The row.
    pub row: u32,
    /// Start of the window, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// The first of its records.
    pub evidence: Vec<Evidence>,
}

/// A record that a window no longer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LateRow {
    /// Its row in the call.
    pub row: u32,
    /// The window's place in the plan.
    pub window: u32,
    /// Whether the window would have crossed with it.
    pub would_cross: bool,
}

/// Why a call was refused what it asked of its state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StateRefused {
    /// No state in this call.
    #[error("state and tables are there in `evaluate` and `elapsed` of a rule that declares them")]
    NoState,
    /// A row that does not exist.
    #[error("row {row} does not exist; the call has {rows}")]
    Row {
        /// What was asked for.
        row: u32,
        /// How many there are.
        rows: usize,
    },
    /// A firing where a record is needed.
    #[error("windows take records, and a firing is none")]
    NoRecord,
    /// Lists that belong together and do not have one length.
    #[error("{rows} rows and {others} keys or values do not belong together")]
    Lengths {
        /// Rows.
        rows: usize,
        /// The other list.
        others: usize,
    },
    /// Ends that descend, or lie outside.
    #[error("the ends of keys or values descend, or lie behind the last byte")]
    Ends,
    /// A table that the rule's plan does not name.
    #[error("table `{0}` is not one that the rule's plan names")]
    Table(String),
    /// What the state says.
    #[error(transparent)]
    State(StateError),
}

impl StateCall {
    /// A call that works on this state, about records of `topic`; its rows are told by whoever makes it.
    pub fn new(state: RuleState, topic: &Arc<str>, tables: &TableSet) -> Box<Self> {
        let topic = Arc::clone(topic);
        Box::new(Self {
            evidence: Evidence { topic, partition: -1, offset: -1, timestamp_ms: -1 },
            state,
            moments: Vec::new(),
            records: Vec::new(),
            late: Vec::new(),
            shown: Vec::new(),
            cut: None,
            tables: tables.clone(),
        })
    }

    /// When a row happens.
    pub(super) fn moment(&self, row: u32) -> Result<Moment, StateRefused> {
        let rows = self.moments.len();
        self.moments.get(row as usize).copied().ok_or(StateRefused::Row { row, rows })
    }

    /// When a row happens; `evidence` is the record that it is, from now on.
    pub(super) fn record(&mut self, row: u32) -> Result<Moment, StateRefused> {
        let moment = self.moment(row)?;
        let record = self.records.get(row as usize).ok_or(StateRefused::NoRecord)?;
        let RowRecord { partition, offset, timestamp_ms } = *record;
        self.evidence.partition = partition;
        self.evidence.offset = offset;
        self.evidence.timestamp_ms = timestamp_ms;
        Ok(moment)
    }

    /// Notes that a timer was set at a row, due at a stream time. One that a later row sets anew is due
    /// all the same, when a row between them reaches it.
    pub(super) fn timer_set(&mut self, row: u32, due_ms: i64) {
        let next = row as usize + 1;
        let is_due = self.moments.get(row as usize).is_some_and(|at| due_ms <= at.stream_ms);
        let later = self.moments.get(next..).unwrap_or_default();
        // Time may go back before it begins; only what is not due yet waits for a later row.
        let waits = || later.partition_point(|moment| moment.stream_ms < due_ms);
        let at = next + if is_due { 0 } else { waits() };
        // Rows are counted in 32 bits.
        let at = at as u32;
        self.cut = Some(self.cut.map_or(at, |cut| cut.min(at)));
    }

    /// Notes that the rule is shown a window at a row.
    pub(super) fn show(&mut self, row: u32, window: &WindowState) {
        if !window.evidence.is_empty() {
            let evidence = window.evidence.clone();
            self.shown.push(Shown { row, start_ms: window.start_ms, evidence });
        }
    }

    /// A table that the rule may read.
    pub(super) fn table(&self, name: &str) -> Result<&Table, StateRefused> {
        self.tables.get(name).ok_or_else(|| StateRefused::Table(name.to_owned()))
    }
}
