//! P8: restoring the state of a million keys, beside a bare consumer of the same changelog topic.

use std::sync::Arc;
use std::time::Duration;

use firebell::record::TopicPartition;
use firebell::state::wire::{EntryKey, partition_of};
use firebell_state::{
    Aggregate, Closing, Crossing, Evidence, Moment, Plan, RuleState, Shape, Window,
};
use firebell_tests::eventually_eq;
use firebell_tests::kafka::{Kafka, Outgoing, send};
use firebell_tests::unique;
use rdkafka::producer::{BaseProducer, Producer};

use crate::bare;
use crate::figures::{compare, median};
use crate::load::Dataset;
use crate::throughput::{FIELDS, site};

/// Runs of each kind, in turn.
const ROUNDS: usize = 3;
/// Keys with an open window, in all partitions together.
const KEYS: u64 = 1_000_000;
const PARTITIONS: i32 = 4;
/// The rule whose windows they are.
const RULE: &str = "burst";

/// Fills a changelog as the rule would, and starts hosts on it.
pub(crate) fn million_keys(kafka: &Kafka) {
    let (mut ours, mut bare, mut bytes) = (vec![], vec![], vec![]);
    let topic = unique("restore");
    kafka.create_topic(&topic, PARTITIONS, &[]);
    let site = site(kafka, 1);
    let toml = format!(
        "component = \"builtin:invalid-login-burst\"\ntopics = [{topic:?}]\nkeyed = true\n{FIELDS}"
    );
    site.put(&format!("{RULE}.toml"), toml.as_bytes());
    // It makes the internal topics.
    site.start().terminate();
    let changelog = format!("{}.changelog", site.group());
    let partitions = kafka.partitions(&changelog).unwrap();
    let written = fill(kafka, &changelog, partitions, &topic);
    let dataset = Dataset::of(&changelog, written, partitions);
    for _ in 0..ROUNDS {
        bare.push(bare::records_per_second(kafka, &dataset));
        let mut host = site.spawn_with("bench", &["--only", "evaluate"]);
        host.await_ready();
        eventually_eq("restored entries", &(written as f64), || {
            host.metric("firebell_restored_entries_total", &[])
        });
        let seconds = host.metric("firebell_restore_seconds_sum", &[]);
        ours.push(written as f64 / seconds);
        bytes.push(host.metric("process_resident_memory_bytes", &[]));
        host.terminate();
    }
    let what = format!("P8 restore of {KEYS} keys, 1 worker");
    compare(&what, median(&mut ours), ("bare consumer", median(&mut bare)), "entries/s");
    let resident = median(&mut bytes);
    println!("   resident: {:.0} MiB, {:.0} bytes a key", resident / f64::from(1 << 20), {
        resident / KEYS as f64
    });
}

/// Writes the windows of all keys; the number of entries.
fn fill(kafka: &Kafka, changelog: &str, partitions: i32, topic: &str) -> u64 {
    let producer: BaseProducer = kafka.client(&[
        ("linger.ms", "20"),
        ("batch.num.messages", "10000"),
        ("queue.buffering.max.messages", "500000"),
    ]);
    let window = Window {
        name: "attempts".into(),
        shape: Shape::Tumbling(60_000),
        aggregate: Aggregate::Count,
        grace_ms: 0,
        crossing: Crossing::AtLeast(4.0),
        closing: Closing::None,
        evidence: 4,
    };
    let plan = Plan { version: 1, windows: vec![window], ..Plan::default() };
    let source: Arc<str> = topic.into();
    let mut written = 0;
    for partition in 0..PARTITIONS {
        let input = TopicPartition::new(topic, partition);
        let to = partition_of(&input, partitions);
        let mut state = RuleState::new(usize::MAX);
        state.adopt(Arc::new(plan.clone()));
        state.set_version(1);
        for number in 0..KEYS / PARTITIONS as u64 {
            let timestamp_ms = 1_795_377_600_000 + number as i64 % 60_000;
            let at = Moment { event_ms: timestamp_ms, stream_ms: timestamp_ms };
            let offset = number as i64;
            let record = Evidence { topic: Arc::clone(&source), partition, offset, timestamp_ms };
            let key = format!("host-{partition}-{number:07}");
            state.add(0, at, &record, key.as_bytes(), 1.0).unwrap();
        }
        state.seal(&mut |key, value| {
            written += 1;
            let key = EntryKey { input: &input, rule: RULE, key: &key }.to_bytes();
            let record = Outgoing { key: Some(key), value, ..Outgoing::default() };
            send(&producer, changelog, &record.partition(to));
        });
    }
    producer.flush(Duration::from_secs(120)).unwrap();
    written
}
