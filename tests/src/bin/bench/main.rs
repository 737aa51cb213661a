//! `cargo xtask bench`: what Firebell costs on a real Kafka, each figure beside a yardstick of the
//! same run, since the machine's mood moves both alike.
//!
//! Started by xtask, which builds everything in release mode and starts the broker.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and stops at the first surprise"
)]

mod bare;
mod figures;
mod latency;
mod load;
mod memory;
mod reload;
mod restore;
mod throughput;
mod windows;

use firebell_tests::kafka::Kafka;

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|one| one == name);
    let kafka = Kafka::newest();
    if is_chosen("p1") || is_chosen("p3") {
        let sparse = load::Dataset::write(kafka, "sparse", 2_000_000, load::Share::OneInAThousand);
        if is_chosen("p1") {
            throughput::seed_rule(kafka, &sparse);
        }
        if is_chosen("p3") {
            throughput::many_rules(kafka, &sparse);
        }
    }
    if is_chosen("p4") {
        windows::seed_rule_2(kafka);
    }
    if is_chosen("p5") {
        latency::record_to_slack(kafka);
    }
    if is_chosen("p6") {
        reload::under_load(kafka);
    }
    if is_chosen("p7") {
        memory::host_and_rules(kafka);
    }
    if is_chosen("p8") {
        restore::million_keys(kafka);
    }
}
