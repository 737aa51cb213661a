//! What needs more than one cargo command: a real Kafka for tests, the whole test run, the shipped
//! components, benchmarks.
//!
//! A library beside the binary, so that tests can start a broker of their own.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line")]

pub mod alertmanager;
pub mod bench;
pub mod child;
pub mod chromium;
pub mod guests;
pub mod kafka;
pub mod ports;
pub mod project;
pub mod python;
pub mod rules;
pub mod test;
