//! What a rule keeps between records: values, windows and timers of one rule and input partition.
//!
//! [`RuleState`] takes records in and says which windows crossed or closed; every change can be
//! undone until its transaction is committed, and comes out as entries for a changelog topic. It
//! knows neither Kafka nor rules nor a clock: the host and the tests of a rule's author share it,
//! so both see the very same windows.

mod entry;
mod key;
mod limits;
mod moment;
mod plan;
mod questions;
mod sliding;
mod sources;
mod state;
mod store;
mod tally;
mod time;
mod values;
mod windows;
mod wire;

#[cfg(test)]
mod tests;

pub use limits::{
    ENTRY_BYTES_MAX, KEY_BYTES_MAX, RETENTION_MS, StateError, VALUE_BYTES_MAX, WIRE_BYTES_MAX,
};
pub use moment::{Added, Dropped, Due, Evidence, Firing, Late, Moment, WindowState};
pub use plan::{Aggregate, Closing, Crossing, InvalidPlan, Plan, Shape, Window};
pub use sources::Sources;
pub use state::RuleState;
pub use values::Values;
pub use wire::WireError;
