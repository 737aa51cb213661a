//! What guests may ask of their state and of tables: the contract's `state` and `tables`.
//!
//! All of it works on the [`StateCall`] that the host put into the store for this call. An error
//! traps, so that nothing of the call happens.

use firebell_state::{
    Added, Aggregate, Closing, Crossing, Due, Evidence, Firing, Plan, Shape, Window, WindowState,
};

use super::{state, stateful, tables, types};
use crate::engine::instance::State;
use crate::engine::state_call::{LateRow, StateCall, StateRefused};

impl State {
    fn call(&mut self) -> wasmtime::Result<&mut StateCall> {
        self.call.as_deref_mut().ok_or_else(|| StateRefused::NoState.into())
    }
}

/// Pairs rows with the pieces of `bytes` that end at `ends`.
fn pieces<'b>(
    rows: &[u32],
    bytes: &'b [u8],
    ends: &'b [u32],
) -> wasmtime::Result<impl Iterator<Item = &'b [u8]>> {
    if rows.len() != ends.len() {
        return Err(StateRefused::Lengths { rows: rows.len(), others: ends.len() }.into());
    }
    cut(bytes, ends)
}

/// The pieces of `bytes` that end at `ends`.
fn cut<'b>(bytes: &'b [u8], ends: &'b [u32]) -> wasmtime::Result<impl Iterator<Item = &'b [u8]>> {
    let ascending = ends.is_sorted() && ends.last().is_none_or(|end| *end as usize <= bytes.len());
    if !ascending {
        return Err(StateRefused::Ends.into());
    }
    let mut from = 0;
    Ok(ends.iter().map(move |end| {
        let piece = bytes.get(from..*end as usize).unwrap_or_default();
        from = *end as usize;
        piece
    }))
}

impl StateCall {
    fn noted(&mut self, row: u32, window: u32, added: Added, out: &mut Vec<state::Crossed>) {
        if let Some(late) = added.late {
            self.late.push(LateRow { row, window, would_cross: late.would_cross });
        }
        for crossed in added.crossed {
            self.show(row, &crossed);
            out.push(state::Crossed { row, state: crossed.into() });
        }
    }
}

impl state::Host for State {
    fn add(
        &mut self,
        window: u32,
        rows: Vec<u32>,
        keys: Vec<u8>,
        key_ends: Vec<u32>,
        values: Vec<f64>,
    ) -> wasmtime::Result<Vec<state::Crossed>> {
        let call = self.call()?;
        if !values.is_empty() && values.len() != rows.len() {
            return Err(StateRefused::Lengths { rows: rows.len(), others: values.len() }.into());
        }
        let mut crossed = Vec::new();
        for (at, key) in pieces(&rows, &keys, &key_ends)?.enumerate() {
            let row = rows[at];
            let value = values.get(at).copied().unwrap_or(1.0);
            let moment = call.record(row)?;
            let added = call.state.add(window, moment, &call.evidence, key, value);
            call.noted(row, window, added.map_err(StateRefused::State)?, &mut crossed);
        }
        Ok(crossed)
    }

    fn add_items(
        &mut self,
        window: u32,
        rows: Vec<u32>,
        keys: Vec<u8>,
        key_ends: Vec<u32>,
        items: Vec<u8>,
        item_ends: Vec<u32>,
    ) -> wasmtime::Result<Vec<state::Crossed>> {
        let call = self.call()?;
        let mut crossed = Vec::new();
        let items = pieces(&rows, &items, &item_ends)?;
        for ((at, key), item) in pieces(&rows, &keys, &key_ends)?.enumerate().zip(items) {
            let row = rows[at];
            let moment = call.record(row)?;
            let added = call.state.add_item(window, moment, &call.evidence, key, item);
            call.noted(row, window, added.map_err(StateRefused::State)?, &mut crossed);
        }
        Ok(crossed)
    }

    fn windows(
        &mut self,
        row: u32,
        window: u32,
        key: Vec<u8>,
    ) -> wasmtime::Result<Vec<types::WindowStateResult>> {
        let call = self.call()?;
        let moment = call.moment(row)?;
        let found = call.state.windows(window, moment, &key).map_err(StateRefused::State)?;
        found.iter().for_each(|window| call.show(row, window));
        Ok(found.into_iter().map(types::WindowStateResult::from).collect())
    }

    fn get(
        &mut self,
        rows: Vec<u32>,
        keys: Vec<u8>,
        key_ends: Vec<u32>,
    ) -> wasmtime::Result<Vec<Option<Vec<u8>>>> {
        let call = self.call()?;
        let mut found = Vec::with_capacity(rows.len());
        for (row, key) in rows.iter().zip(pieces(&rows, &keys, &key_ends)?) {
            let stream_ms = call.moment(*row)?.stream_ms;
            let value = call.state.get(stream_ms, key).map_err(StateRefused::State)?;
            found.push(value.map(<[u8]>::to_vec));
        }
        Ok(found)
    }

    fn put(
        &mut self,
        row: u32,
        key: Vec<u8>,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<()> {
        let call = self.call()?;
        let stream_ms = call.moment(row)?.stream_ms;
        Ok(call.state.put(stream_ms, &key, &value, ttl_ms).map_err(StateRefused::State)?)
    }

    fn insert(
        &mut self,
        rows: Vec<u32>,
        keys: Vec<u8>,
        key_ends: Vec<u32>,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Vec<bool>> {
        let call = self.call()?;
        let mut new = Vec::with_capacity(rows.len());
        for (row, key) in rows.iter().zip(pieces(&rows, &keys, &key_ends)?) {
            let stream_ms = call.moment(*row)?.stream_ms;
            let inserted = call.state.insert(stream_ms, key, &value, ttl_ms);
            new.push(inserted.map_err(StateRefused::State)?);
        }
        Ok(new)
    }

    fn delete(&mut self, row: u32, key: Vec<u8>) -> wasmtime::Result<()> {
        let call = self.call()?;
        call.moment(row)?;
        Ok(call.state.delete(&key).map_err(StateRefused::State)?)
    }

    fn set_timer(&mut self, row: u32, key: Vec<u8>, due: types::Due) -> wasmtime::Result<()> {
        let call = self.call()?;
        call.moment(row)?;
        let due = match due {
            types::Due::EventTime(ms) => {
                call.timer_set(row, ms);
                Due::EventTime(ms)
            }
            types::Due::WallClock(ms) => Due::WallClock(ms),
        };
        Ok(call.state.set_timer(&key, due).map_err(StateRefused::State)?)
    }

    fn clear_timer(&mut self, row: u32, key: Vec<u8>) -> wasmtime::Result<()> {
        let call = self.call()?;
        call.moment(row)?;
        call.state.clear_timer(&key);
        Ok(())
    }
}

impl tables::Host for State {
    fn get(
        &mut self,
        table: String,
        keys: Vec<u8>,
        key_ends: Vec<u32>,
    ) -> wasmtime::Result<Vec<Option<Vec<u8>>>> {
        let call = self.call()?;
        let found = call.table(&table)?;
        Ok(cut(&keys, &key_ends)?.map(|key| found.get(key)).collect())
    }
}

/// What time did, as the contract has it; `evidence` is that of each firing, see [`evidence`].
pub(super) fn firing<'f>(
    firing: &'f Firing,
    evidence: &'f [types::EvidenceParam<'f>],
) -> stateful::Firing<'f> {
    match firing {
        Firing::Timer { key, due } => {
            let due = match due {
                Due::EventTime(ms) => types::Due::EventTime(*ms),
                Due::WallClock(ms) => types::Due::WallClock(*ms),
            };
            stateful::Firing::Timer(stateful::Timer { key, due })
        }
        Firing::Closed(window) => stateful::Firing::Closed(types::WindowStateParam {
            window: window.window,
            key: &window.key,
            start: window.start_ms,
            end: window.end_ms,
            value: window.value,
            count: window.count,
            evidence,
        }),
    }
}

/// The evidence of a firing as it is lowered.
pub(super) fn evidence(firing: &Firing) -> Vec<types::EvidenceParam<'_>> {
    let Firing::Closed(window) = firing else { return Vec::new() };
    let lowered = window.evidence.iter().map(|evidence| types::EvidenceParam {
        topic: &evidence.topic,
        partition: evidence.partition,
        offset: evidence.offset,
        timestamp: evidence.timestamp_ms,
    });
    lowered.collect()
}

impl From<Evidence> for types::EvidenceResult {
    fn from(evidence: Evidence) -> Self {
        Self {
            topic: evidence.topic.to_string(),
            partition: evidence.partition,
            offset: evidence.offset,
            timestamp: evidence.timestamp_ms,
        }
    }
}

impl From<WindowState> for types::WindowStateResult {
    fn from(from: WindowState) -> Self {
        Self {
            window: from.window,
            key: from.key,
            start: from.start_ms,
            end: from.end_ms,
            value: from.value,
            count: from.count,
            evidence: from.evidence.into_iter().map(types::EvidenceResult::from).collect(),
        }
    }
}

impl From<types::Plan> for Plan {
    fn from(plan: types::Plan) -> Self {
        Self {
            version: plan.version,
            key_by: plan.key_by,
            event_time: plan.event_time,
            windows: plan.windows.into_iter().map(Window::from).collect(),
            tables: plan.tables,
            idle_ms: plan.idle_ms,
        }
    }
}

impl From<types::Window> for Window {
    fn from(window: types::Window) -> Self {
        Self {
            name: window.name,
            shape: match window.shape {
                types::WindowShape::Tumbling(size_ms) => Shape::Tumbling(size_ms),
                types::WindowShape::Hopping((size_ms, advance_ms)) => {
                    Shape::Hopping { size_ms, advance_ms }
                }
                types::WindowShape::Sliding(size_ms) => Shape::Sliding(size_ms),
                types::WindowShape::Session(gap_ms) => Shape::Session(gap_ms),
            },
            aggregate: match window.aggregate {
                types::Aggregate::Count => Aggregate::Count,
                types::Aggregate::Sum => Aggregate::Sum,
                types::Aggregate::Min => Aggregate::Min,
                types::Aggregate::Max => Aggregate::Max,
                types::Aggregate::Distinct => Aggregate::Distinct,
            },
            grace_ms: window.grace_ms,
            crossing: match window.crossing {
                types::Crossing::Never => Crossing::Never,
                types::Crossing::AtLeast(value) => Crossing::AtLeast(value),
                types::Crossing::AtMost(value) => Crossing::AtMost(value),
            },
            closing: match window.closing {
                types::Closing::None => Closing::None,
                types::Closing::Crossed => Closing::Crossed,
                types::Closing::All => Closing::All,
            },
            evidence: window.evidence,
        }
    }
}
