//! The survivors of a batch for a rule that keeps state, and where things happen among them.

use std::sync::Arc;

use firebell_state::Moment;

use crate::batch::Batch;
use crate::engine::{RowRecord, StateCall};
use crate::record::{Record, RecordId, TopicPartition};

/// The survivors of a batch for a rule that keeps state.
pub(super) struct Input<'a> {
    /// Where the records are from; some of them may be from another of its topic's partitions.
    pub(super) partition: &'a TopicPartition,
    /// Their columns.
    pub(super) batch: &'a Batch,
    /// Row to index into the records.
    pub(super) rows: &'a [u32],
    /// When each row happens.
    pub(super) moments: &'a [Moment],
    /// What each row is.
    pub(super) records: &'a [RowRecord],
    /// Stream time after the last record.
    pub(super) end_ms: Option<i64>,
    /// All records of the batch, also those that are no rows.
    pub(super) all: &'a [Record<'a>],
    /// Stream time at each of `all`; empty for a rule whose time only its rows move on.
    pub(super) streams: &'a [Option<i64>],
}

/// Where something happens in a batch: before the record of this index, and the record that made it
/// happen.
pub(super) type Place = (u32, RecordId);

impl Input<'_> {
    /// Stream time at a row, or behind the last one.
    pub(super) fn stream_ms(&self, row: usize) -> Option<i64> {
        self.moments.get(row).map(|moment| moment.stream_ms).or(self.end_ms)
    }

    /// Where something happens that is due at `due_ms`, when the rows before `from` are done. It is the
    /// same place however the records are cut into batches.
    pub(super) fn place(&self, from: usize, due_ms: i64) -> Place {
        let done = from.checked_sub(1);
        let after = done.and_then(|row| self.rows.get(row)).map_or(0, |record| record + 1);
        if let Some(done) = done
            && self.moments.get(done).is_some_and(|moment| due_ms <= moment.stream_ms)
        {
            // The last row set it, for a time that had passed.
            return (after, self.id(done));
        }
        if self.streams.is_empty() {
            let reached = self.rows.get(from).copied().unwrap_or(after);
            return (reached, self.id(from));
        }
        let later = self.streams.get(after as usize..).unwrap_or_default();
        // A batch has far fewer than 2^32 records.
        let reached = after + later.partition_point(|stream_ms| *stream_ms < Some(due_ms)) as u32;
        let offset = self.all.get(reached as usize).map(|record| record.offset);
        let last = self.last();
        (reached, RecordId { offset: offset.unwrap_or(last.offset), ..last })
    }

    /// Which record a row is; behind the last one, the last record of the batch.
    pub(super) fn id(&self, row: usize) -> RecordId {
        let Some(RowRecord { partition, offset, .. }) = self.records.get(row) else {
            return self.last();
        };
        let topic = Arc::clone(&self.partition.topic);
        RecordId { topic, partition: *partition, offset: *offset }
    }

    /// The last record of the batch.
    fn last(&self) -> RecordId {
        RecordId {
            topic: Arc::clone(&self.partition.topic),
            partition: self.partition.partition,
            offset: self.all.last().map_or(-1, |record| record.offset),
        }
    }

    /// The first row after `from` and before `limit` at which the rule must first be told something.
    pub(super) fn cut(&self, from: usize, limit: usize, state: &Option<Box<StateCall>>) -> usize {
        let notice = state.as_ref().and_then(|state| state.state.next_notice_ms());
        let Some(notice) = notice else { return limit };
        // Stream time goes back only before it begins, to what is before any notice.
        let later = self.moments.get(from + 1..limit).unwrap_or_default();
        from + 1 + later.partition_point(|moment| moment.stream_ms < notice)
    }
}
