//! Delivery against the Slack stand-in and a Kafka in memory: faults, crashes, order.

mod alerts;
mod canary;
mod crashes;
mod digests;
mod edits;
mod entries;
mod fallbacks;
mod faults;
mod groups;
mod inhibitions;
mod pauses;
mod rebalances;
mod refusals;
mod sinks;
mod storms;
mod suppressions;
mod threads;
pub(crate) mod world;
