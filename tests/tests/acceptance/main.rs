//! Acceptance tests: the real program on a real Kafka, and the rules that the code keeps.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "all of it is test code: a failure here is a failed test"
)]

mod alerts;
mod asked;
mod bad_input;
mod broker_away;
mod canary;
mod conditions;
mod crash;
mod grouping;
mod guests;
mod hostile;
mod inhibition;
mod made_anew;
mod ops;
mod pages;
mod policy;
mod reload;
mod sandbox;
mod security;
mod seed;
mod sinks;
mod slack_sdk;
mod slack_tls;
mod stale;
mod state;
mod state_model;
mod storm;
mod threads;
mod tidy;
