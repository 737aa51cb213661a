//! P4 and P8 without Kafka: seed rule 2, a count by host in windows of a minute, and what many open
//! windows weigh.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use firebell::engine::Engine;
use firebell::evaluation::{Evaluation, WorkerSet};
use firebell::record::{Record, TopicPartition};
use firebell::state::States;
use firebell_tests::guests::shipped;

use super::{BATCH, Report, component, median_ns, records, resident, rule, worker};

/// Records of a run; less than for stateless rules, since the dense one takes longer.
const RECORDS: usize = 400_000;
/// Records between two transactions, as while a backlog is worked off.
const COMMIT: usize = 100_000;
/// Windows that are open at once.
const WINDOWS: usize = 100_000;
/// Attempts in a window that make an alert.
const THRESHOLD: u32 = 4;

/// The seed's records: one in so many is an attempt, on one of eight hosts.
fn values(one_in: usize) -> Vec<Vec<u8>> {
    let value = |n: usize| {
        let host = n * 7 % 8;
        let line = if n.is_multiple_of(one_in) { "Invalid user" } else { "Accepted publickey for" };
        format!(
            "{{\"date\":{},\"facility\":4,\"host\":\"rpi-{host:02}\",\"level\":6,\"message\":\
             \"rpi-{host:02} sshd[24150]: {line} u{n} from 192.168.42.42 port 51514\",\
             \"charset\":\"UTF-8\",\"remote_address\":\"/192.168.10.250:34003\",\
             \"hostname\":\"192.168.10.250\"}}",
            1_520_176_464_000_u64 + n as u64
        )
        .into_bytes()
    };
    (0..RECORDS).map(value).collect()
}

/// What the seed's rule 2 costs a programmer who writes it into the consumer and keeps no promise.
fn native(records: &[Record<'_>]) -> usize {
    #[derive(serde::Deserialize)]
    struct Syslog<'a> {
        host: &'a str,
        message: &'a str,
    }
    let literal = memchr::memmem::Finder::new("Invalid user");
    let mut windows: HashMap<(String, i64), (u32, Vec<i64>)> = HashMap::new();
    let mut titles = Vec::new();
    for record in records {
        let value = record.value.unwrap();
        if literal.find(value).is_none() {
            continue;
        }
        let Syslog { host, message } = serde_json::from_slice(value).unwrap();
        if !message.contains("Invalid user") {
            continue;
        }
        let start_ms = record.timestamp_ms / 60_000 * 60_000;
        let (count, evidence) = windows.entry((host.to_owned(), start_ms)).or_default();
        *count += 1;
        if *count <= THRESHOLD {
            evidence.push(record.offset);
        }
        if *count == THRESHOLD {
            titles.push(format!("{start_ms}: {count} attempts on {host}: {evidence:?}"));
        }
    }
    black_box(titles).len()
}

/// Evaluates all records with a state of its own, which is written as often as a worker does.
fn run(worker: &mut WorkerSet, records: &[Record<'_>]) -> usize {
    let (partition, changelog) = (TopicPartition::new("SYSLOG", 0), Arc::from("changelog"));
    *worker.states() = States::default();
    let mut out = Evaluation::default();
    let mut notifications = 0;
    for records in records.chunks(COMMIT) {
        for records in records.chunks(BATCH) {
            out.clear();
            worker.evaluate(&partition, records, &mut out);
            assert!(out.dead_letters.is_empty());
            notifications += out.entries.len();
        }
        black_box(worker.states().seal(&changelog, 4));
        worker.states().committed();
    }
    notifications
}

/// Seed rule 2, sparse and dense, beside native code.
pub(crate) fn windowed_count(report: &Report) {
    let engine = Engine::new(None).unwrap();
    let burst = component(&engine, &shipped("invalid-login-burst"));
    for (share, one_in) in [("0.1 %", 1_000), ("20 %", 5)] {
        let values = values(one_in);
        let records = records(&values);
        let expected = native(&records);
        let native_ns = median_ns(RECORDS, || {
            assert_eq!(native(black_box(&records)), expected);
        });
        let mut burst = worker([rule("burst", &burst, "{}")]);
        let ns = median_ns(RECORDS, || {
            assert_eq!(run(&mut burst, black_box(&records)), expected);
        });
        let what = format!("seed rule 2 (count in windows), {share} match, per record");
        report.say("P4", &what, ns, "ns", Some(("native with a HashMap", native_ns)));
    }
}

/// How much memory a key takes that has an open window.
pub(crate) fn open_windows(report: &Report) {
    let engine = Engine::new(None).unwrap();
    let burst = component(&engine, &shipped("invalid-login-burst"));
    let mut worker = worker([rule("burst", &burst, "{}")]);
    let value = |n: usize| {
        format!("{{\"host\":\"host-{n:06}\",\"message\":\"Invalid user u from 10.0.0.1\"}}")
    };
    let values: Vec<Vec<u8>> = (0..WINDOWS).map(|n| value(n).into_bytes()).collect();
    let mut records = records(&values);
    records.iter_mut().for_each(|record| record.timestamp_ms = 1_520_176_464_000);
    black_box(run(&mut worker, &records[..BATCH]));
    *worker.states() = States::default();
    let before = resident();
    black_box(run(&mut worker, &records));
    let bytes = (resident() - before) / WINDOWS as f64;
    let what = format!("{WINDOWS} open windows, each");
    report.say("P8", &what, bytes, "bytes", None);
    let mut counted = 0;
    worker.states().each(|_, _, state| counted += state.bytes());
    let counted = counted as f64 / WINDOWS as f64;
    report.say("P8", "the same, as `state_mib` counts it", counted, "bytes", None);
}
