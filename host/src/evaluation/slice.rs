//! A part of a batch, as a batch of its own.

use std::ops::Range;
use std::sync::Arc;

use crate::batch::Batch;

/// Makes `part` the rows `rows` of `batch`, reusing its memory.
pub(super) fn slice(batch: &Batch, rows: Range<usize>, part: &mut Batch) {
    let columns = batch.ends.len().checked_div(batch.offsets.len()).unwrap_or(0);
    let cells = rows.start * columns..rows.end * columns;
    let byte = |cell: usize| cell.checked_sub(1).map_or(0, |before| batch.ends[before]);
    let (from, to) = (byte(cells.start), byte(cells.end));
    part.topic = Arc::clone(&batch.topic);
    part.partition = batch.partition;
    part.offsets.clear();
    part.offsets.extend_from_slice(&batch.offsets[rows.clone()]);
    part.timestamps.clear();
    part.timestamps.extend_from_slice(&batch.timestamps[rows]);
    part.cells.clear();
    part.cells.extend_from_slice(&batch.cells[from as usize..to as usize]);
    part.ends.clear();
    part.ends.extend(batch.ends[cells.clone()].iter().map(|end| end - from));
    part.nulls.clear();
    if !batch.nulls.is_empty() {
        part.nulls.resize(cells.len().div_ceil(8), 0);
        for (to, from) in cells.enumerate() {
            let is_null = batch.nulls.get(from / 8).is_some_and(|byte| byte >> (from % 8) & 1 == 1);
            part.nulls[to / 8] |= u8::from(is_null) << (to % 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows of cells; `None` = null.
    type Rows = Vec<Vec<Option<Vec<u8>>>>;

    fn batch(rows: &Rows, first: i64) -> Batch {
        let mut batch = Batch { topic: "t".into(), partition: 3, ..Batch::default() };
        let mut nulls = Vec::new();
        for (row, cells) in rows.iter().enumerate() {
            batch.offsets.push(first + row as i64);
            batch.timestamps.push(1_000 + first + row as i64);
            for cell in cells {
                batch.cells.extend(cell.iter().flatten());
                batch.ends.push(batch.cells.len() as u32);
                nulls.push(cell.is_none());
            }
        }
        if nulls.contains(&true) {
            batch.nulls = vec![0; nulls.len().div_ceil(8)];
            for (cell, _) in nulls.iter().enumerate().filter(|(_, null)| **null) {
                batch.nulls[cell / 8] |= 1 << (cell % 8);
            }
        }
        batch
    }

    fn rows() -> impl Strategy<Value = (Rows, usize, usize)> {
        let cell = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..4));
        (0_usize..4, 1_usize..20)
            .prop_flat_map(move |(columns, rows)| {
                let row = proptest::collection::vec(cell.clone(), columns);
                (proptest::collection::vec(row, rows), 0..=rows, 0..=rows)
            })
            .prop_map(|(rows, a, b)| (rows, a.min(b), a.max(b)))
    }

    proptest! {
        #[test]
        fn a_part_is_what_a_batch_of_its_rows_alone_would_be((rows, from, to) in rows()) {
            let whole = batch(&rows, 0);
            let mut part = Batch { offsets: vec![9], nulls: vec![1], ..Batch::default() };
            slice(&whole, from..to, &mut part);
            let mut alone = batch(&rows[from..to].to_vec(), from as i64);
            // A part keeps the bitmap of a batch that had one, even when it has no null itself.
            if !whole.nulls.is_empty() && alone.nulls.is_empty() {
                alone.nulls = vec![0; alone.ends.len().div_ceil(8)];
            }
            prop_assert_eq!(part, alone);
        }
    }
}
