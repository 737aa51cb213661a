//! The records of one topic partition that go to one rule, as columns; the contract's `batch`.

use std::sync::Arc;

/// Rows of declared columns: R rows (`offsets.len()`), C columns.
///
/// Cell `i = row * C + column` is `cells[ends[i - 1]..ends[i]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// R offsets, ascending.
    pub offsets: Vec<i64>,
    /// R timestamps, milliseconds since the Unix epoch; -1 = none.
    pub timestamps: Vec<i64>,
    /// The bytes of all cells, row by row.
    pub cells: Vec<u8>,
    /// R * C ends.
    pub ends: Vec<u32>,
    /// A bit per cell, least significant first, 1 = null; empty = no nulls.
    pub nulls: Vec<u8>,
}
