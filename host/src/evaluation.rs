//! Evaluation: from the records of a partition to effects, for live, tests, benchmarks, backtests.

pub mod health;

pub use health::Health;
