//! Delivery against the Slack stand-in and a Kafka in memory: faults, crashes, order.

mod alerts;
mod crashes;
mod digests;
mod faults;
mod pauses;
mod rebalances;
mod refusals;
mod sinks;
mod suppressions;
pub(crate) mod world;
