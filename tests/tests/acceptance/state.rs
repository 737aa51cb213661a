//! Rules that look at more than one record: windows, values, timers, tables, on a real Kafka.

mod absence;
mod crash;
mod refused;
mod reload;
mod restored;
mod tables;
mod times;
mod windows;

use std::hash::{BuildHasher, Hasher};

use firebell_tests::kafka::Outgoing;
use firebell_tests::records::invalid_user;
use serde_json::json;

/// 2018-03-21 16:21:00 UTC: a full minute, the start of the seed's first window.
const START_MS: i64 = 1_521_649_260_000;

/// An attempt to log in at `host`, in some partition: its key is the sender's address.
fn attempt(host: &str, partition: i32, at_ms: i64) -> Outgoing {
    invalid_user(host, "mini", at_ms).partition(partition)
}

/// A record of the test guests that has a host and a time, in partition 0.
fn seen(host: &str, at_ms: i64) -> Outgoing {
    let value = json!({ "host": host, "message": format!("of {host}") });
    Outgoing::value(value.to_string()).key(host).timestamp_ms(at_ms).partition(0)
}

/// A text as it goes over the wire to Slack, where people read it as it was.
fn as_slack_has_it(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Another number each time, the same in no two runs; which moments are hit should differ.
fn random(below: u64) -> u64 {
    std::hash::RandomState::new().build_hasher().finish() % below
}
