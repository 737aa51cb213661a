//! What adding to windows costs, in time and in memory: `cargo run --release -p firebell-state
//! --example state_bench`.

#![allow(clippy::print_stdout, reason = "it prints its figures")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use firebell_state::{
    Aggregate, Closing, Crossing, Evidence, Moment, Plan, RuleState, Shape, StateError, Window,
};

/// Bytes that are allocated now.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting.
struct Counting;

#[allow(unsafe_code, reason = "an allocator is unsafe; it hands everything on")]
// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KEYS: usize = 1_000;
const ROWS_PER_CALL: usize = 1_000;
const CALLS_PER_TRANSACTION: usize = 10;
const CALLS: usize = 2_000;
const WINDOWS: usize = 100_000;

fn window(name: &str, shape: Shape, aggregate: Aggregate) -> Window {
    Window {
        name: name.into(),
        shape,
        aggregate,
        grace_ms: 10_000,
        crossing: Crossing::AtLeast(1e15),
        closing: Closing::None,
        evidence: 5,
    }
}

fn state(window: Window) -> RuleState {
    let mut state = RuleState::new(1 << 30);
    state.adopt(Arc::new(Plan { windows: vec![window], ..Plan::default() }));
    state
}

fn keys(number: usize) -> Vec<Vec<u8>> {
    (0..number).map(|n| format!("host-{n:06}.example.org").into_bytes()).collect()
}

/// Adds rows over all keys, a batch a call, with a seal every few calls; a row is `row_ms` after
/// the one before.
fn adds(name: &str, window: Window, keys_number: usize, row_us: i64) -> Result<(), StateError> {
    let distinct = window.aggregate == Aggregate::Distinct;
    let mut state = state(window);
    let keys = keys(keys_number);
    let mut record = Evidence { topic: "T".into(), partition: 0, offset: 0, timestamp_ms: 0 };
    let (mut calls, mut in_seals, mut sealed) = (vec![], 0, 0_u64);
    let mut rows = 0_usize;
    for call in 0..CALLS {
        let began = Instant::now();
        state.begin_call();
        for _ in 0..ROWS_PER_CALL {
            let event_ms = rows as i64 * row_us / 1_000;
            let at = Moment { event_ms, stream_ms: event_ms };
            let key = &keys[rows.wrapping_mul(7_919) % keys.len()];
            record.offset = rows as i64;
            if distinct {
                let item = (rows / keys.len() % 20).to_le_bytes();
                black_box(state.add_item(0, at, &record, key, &item)?);
            } else {
                black_box(state.add(0, at, &record, key, 1.0)?);
            }
            rows += 1;
        }
        state.expire(rows as i64 * row_us / 1_000);
        calls.push(began.elapsed().as_nanos() / ROWS_PER_CALL as u128);
        if call % CALLS_PER_TRANSACTION == 0 {
            let began = Instant::now();
            state.seal(&mut |key, value| {
                sealed += 1;
                black_box((key, value));
            });
            state.committed();
            in_seals += began.elapsed().as_nanos();
        }
    }
    calls.sort_unstable();
    println!(
        "{name:<40} {:>5} ns/add (median call, best {:>5}), seals {:>5} ns/entry ({} entries)",
        calls[CALLS / 2],
        calls[CALLS / 100],
        in_seals / u128::from(sealed.max(1)),
        sealed
    );
    Ok(())
}

/// Opens windows, one for each key.
fn memory(evidence: u32) -> Result<(), StateError> {
    let keys = keys(WINDOWS);
    let record = Evidence { topic: "T".into(), partition: 0, offset: 1, timestamp_ms: 1 };
    let before = ALLOCATED.load(Ordering::Relaxed);
    let window = window("w", Shape::Tumbling(60_000), Aggregate::Count);
    let mut state = state(Window { evidence, ..window });
    let at = Moment { event_ms: 0, stream_ms: 0 };
    let began = Instant::now();
    for key in &keys {
        state.add(0, at, &record, key, 1.0)?;
    }
    let opened_ns = began.elapsed().as_nanos() / WINDOWS as u128;
    let began = Instant::now();
    let mut written = vec![];
    state.seal(&mut |key, value| written.push((key, value)));
    state.committed();
    let sealed_ns = began.elapsed().as_nanos() / WINDOWS as u128;
    let wire: usize =
        written.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
    let plan = state.plan().map(Arc::clone).unwrap_or_default();
    let estimate = state.bytes() / WINDOWS;
    drop(state);
    let without = ALLOCATED.load(Ordering::Relaxed);
    let began = Instant::now();
    let mut restored = RuleState::new(1 << 30);
    for (key, value) in &written {
        assert!(restored.restore(key, value.as_deref()).is_ok());
    }
    restored.adopt(plan);
    let restored_ns = began.elapsed().as_nanos() / WINDOWS as u128;
    let real = (ALLOCATED.load(Ordering::Relaxed) - without) / WINDOWS;
    drop(written);
    drop(restored);
    assert!(ALLOCATED.load(Ordering::Relaxed) < before + (1 << 20));
    println!(
        "{WINDOWS} windows, {evidence} records as evidence each: {real} bytes a window ({estimate} \
         counted, {} on the wire), {opened_ns} ns to open, {sealed_ns} to write, {restored_ns} to \
         restore",
        wire / WINDOWS
    );
    Ok(())
}

fn main() -> Result<(), StateError> {
    let tumbling = window("w", Shape::Tumbling(60_000), Aggregate::Count);
    adds("count, tumbling, 1,000 keys", tumbling.clone(), KEYS, 10)?;
    adds("count, tumbling, 1 key", tumbling.clone(), 1, 10)?;
    adds("count, tumbling, 100,000 keys", tumbling, WINDOWS, 10)?;
    let hopping = Shape::Hopping { size_ms: 60_000, advance_ms: 10_000 };
    adds("sum, hopping in 6, 1,000 keys", window("w", hopping, Aggregate::Sum), KEYS, 10)?;
    let session = Shape::Session(60_000);
    adds("count, session, 1,000 keys", window("w", session, Aggregate::Count), KEYS, 10)?;
    let distinct = window("w", Shape::Tumbling(60_000), Aggregate::Distinct);
    adds("20 distinct, tumbling, 1,000 keys", distinct, KEYS, 10)?;
    let sliding = |aggregate| Window { evidence: 0, ..window("w", Shape::Sliding(50), aggregate) };
    adds("count, sliding over 10 s, 1,000 keys", sliding(Aggregate::Count), KEYS, 10)?;
    memory(0)?;
    memory(1)
}
