//! When records happen: event time and stream time.

use firebell_state::{Moment, RuleState, Sources};

use crate::batch::Batch;
use crate::engine::RowRecord;
use crate::record::{Record, TopicPartition};

/// The last millisecond of the year 9999: a time behind it is a mistake and moves nothing on.
const TIME_MS_MAX: i64 = 253_402_300_799_999;
/// How far a declared event time may lie behind its record's timestamp and still move time on.
const AHEAD_MS_MAX: i64 = 24 * 60 * 60 * 1_000;

/// Whether stream time follows a record of this time.
fn moves_time(event_ms: i64) -> bool {
    (0..=TIME_MS_MAX).contains(&event_ms)
}

/// Stream time of a partition at each of its records, from where it stood.
pub(super) fn streams(stream_ms: Option<i64>, records: &[Record<'_>], out: &mut Vec<Option<i64>>) {
    out.clear();
    let mut now = stream_ms;
    out.extend(records.iter().map(|record| {
        if moves_time(record.timestamp_ms) {
            now = now.max(Some(record.timestamp_ms));
        }
        now
    }));
}

/// The survivors' times and identities.
#[derive(Debug, Default)]
pub(super) struct Moments {
    pub(super) moments: Vec<Moment>,
    pub(super) records: Vec<RowRecord>,
}

impl Moments {
    /// Those of rows that follow their partition's time, which is at least `floor`: where the wall
    /// clock had moved it on.
    pub(super) fn follow(
        &mut self,
        (partition, streams, floor): (i32, &[Option<i64>], Option<i64>),
        records: &[Record<'_>],
        rows: &[u32],
    ) {
        self.clear();
        for row in rows {
            let record = &records[*row as usize];
            let stream_ms = streams[*row as usize].max(floor);
            let event_ms =
                if record.timestamp_ms >= 0 { record.timestamp_ms } else { stream_ms.unwrap_or(0) };
            let stream_ms = stream_ms.unwrap_or(event_ms);
            self.moments.push(Moment { event_ms, stream_ms });
            self.records.push(row_record(partition, record));
        }
    }

    /// Those of rows whose rule has a time of its own: by a declared field, or since its records came
    /// from several partitions; the slowest of those says it. Until all have come it stands at the earliest
    /// that came, or what is read first would make the others late. Moves that time on.
    pub(super) fn own(
        &mut self,
        (own, origins): (&TopicPartition, Option<&[i32]>),
        records: &[Record<'_>],
        rows: &[u32],
        (batch, column): (&Batch, Option<usize>),
        state: &mut RuleState,
    ) {
        self.clear();
        let mut now = state.stream_ms();
        let mut sources = origins.map(|_| (*state.sources()).clone());
        let mut all_ms = sources.as_ref().and_then(Sources::together_ms);
        for (row, index) in rows.iter().enumerate() {
            let record = &records[*index as usize];
            let declared = column.and_then(|column| integer(batch, row, column));
            let event_ms = declared.unwrap_or(record.timestamp_ms);
            let plausible = declared.is_none()
                || record.timestamp_ms < 0
                || event_ms <= record.timestamp_ms.saturating_add(AHEAD_MS_MAX);
            if moves_time(event_ms) && plausible {
                now = match (&mut sources, origins) {
                    (Some(sources), Some(origins)) => {
                        let moved = sources.saw(&own.topic, origins[*index as usize], event_ms);
                        // Only the slowest moves the time that all have.
                        if moved.is_some_and(|before_ms| before_ms <= all_ms) {
                            all_ms = sources.together_ms();
                        }
                        match (now, all_ms) {
                            (now, Some(_)) if sources.has_begun() => now.max(all_ms),
                            (_, Some(_)) => {
                                sources.begin();
                                all_ms
                            }
                            (Some(now), None) if !sources.has_begun() => Some(now.min(event_ms)),
                            (now, None) => now.or(Some(event_ms)),
                        }
                    }
                    _ => now.max(Some(event_ms)),
                };
            }
            let event_ms = if event_ms == -1 { now.unwrap_or(0) } else { event_ms };
            self.moments.push(Moment { event_ms, stream_ms: now.unwrap_or(event_ms) });
            let from = origins.map_or(own.partition, |origins| origins[*index as usize]);
            self.records.push(row_record(from, record));
        }
        let stands = sources.is_some() && !state.sources().has_begun();
        if let Some(sources) = sources {
            state.set_sources(sources);
        }
        match now {
            Some(now) if stands => state.stand_at(now),
            Some(now) => state.advance(now),
            None => {}
        }
    }

    /// Time without rows.
    pub(super) fn clear(&mut self) {
        self.moments.clear();
        self.records.clear();
    }
}

fn row_record(partition: i32, record: &Record<'_>) -> RowRecord {
    let Record { offset, timestamp_ms, .. } = *record;
    RowRecord { partition, offset, timestamp_ms }
}

/// The integer in a cell; `None` = null.
fn integer(batch: &Batch, row: usize, column: usize) -> Option<i64> {
    let columns = batch.ends.len().checked_div(batch.offsets.len())?;
    let cell = row * columns + column;
    let is_null = batch.nulls.get(cell / 8).is_some_and(|byte| byte >> (cell % 8) & 1 == 1);
    if is_null {
        return None;
    }
    cell_bytes(batch, cell).try_into().ok().map(i64::from_le_bytes)
}

/// The bytes of a cell; empty for null.
pub(super) fn cell_bytes(batch: &Batch, cell: usize) -> &[u8] {
    let start = cell.checked_sub(1).map_or(0, |before| batch.ends[before]);
    &batch.cells[start as usize..batch.ends[cell] as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(timestamp_ms: i64) -> Record<'static> {
        Record { offset: 0, timestamp_ms, key: None, value: None, headers: &() }
    }

    #[test]
    fn stream_time_never_goes_back_and_no_absurd_time_moves_it() {
        let times = [-1, 10, 5, i64::MAX, -7, 20];
        let mut out = Vec::new();
        streams(None, &times.map(record), &mut out);
        assert_eq!(out, [None, Some(10), Some(10), Some(10), Some(10), Some(20)]);
        streams(Some(15), &times.map(record), &mut out);
        assert_eq!(out[1..], [Some(15), Some(15), Some(15), Some(15), Some(20)]);
    }
}
