//! P2, P4, P7 and P8: evaluation without Kafka, and what instances cost.
//!
//! Every figure is printed beside its yardstick of the same run; `--output json` prints one object a
//! line. Run by `cargo xtask bench`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark: a failure is a failed run"
)]

mod stateful;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firebell::batch::Batch;
use firebell::engine::{Component, Engine, Instance};
use firebell::evaluation::{Evaluation, Health, WorkerSet};
use firebell::limits::Limits;
use firebell::record::{Record, TopicPartition};
use firebell::rules::{Mode, Rule, RuleSet};
use firebell::subscription::Format;
use firebell::tables::TableSet;
use firebell_tests::guests::{guest, shipped};

/// Records of the main run.
const RECORDS: usize = 1_000_000;
/// One record in so many is an attempt on rpi-03.
const HIT_EVERY: usize = 1_000;
/// Records in a batch, as a busy worker polls them.
const BATCH: usize = 1_000;
/// Rounds of each; the median counts.
const ROUNDS: usize = 7;
/// How long a round lasts at least.
const ROUND: Duration = Duration::from_millis(150);
/// Baselines section 2: Extism 1.30, a call per record, on the machine of the baselines.
const EXTISM_NS: f64 = 9_608.0;

fn main() {
    let json = std::env::args().any(|arg| arg == "json");
    let report = Report { json };
    stateful::open_windows(&report);
    let values = values();
    evaluation(&report, &values);
    stateful::windowed_count(&report);
    calls(&report);
    loading(&report);
    memory(&report);
}

/// Prints figures.
struct Report {
    json: bool,
}

impl Report {
    fn say(&self, id: &str, what: &str, value: f64, unit: &str, yardstick: Option<(&str, f64)>) {
        let ratio = yardstick.map(|(_, yardstick)| value / yardstick);
        if self.json {
            let object = serde_json::json!({
                "id": id,
                "what": what,
                "value": value,
                "unit": unit,
                "yardstick": yardstick.map(|(name, _)| name),
                "yardstick_value": yardstick.map(|(_, value)| value),
                "ratio": ratio,
            });
            println!("{object}");
            return;
        }
        print!("{id:3} {what:58} {value:10.1} {unit:9}");
        match yardstick.zip(ratio) {
            Some(((name, yardstick), ratio)) => {
                println!(" = {ratio:8.3} x {name} ({yardstick:.1})");
            }
            None => println!(),
        }
    }
}

/// The seed's records, as the connector writes them: 0.1 % are attempts on rpi-03.
fn values() -> Vec<Vec<u8>> {
    (0..RECORDS)
        .map(|n| {
            let (host, line) = match n % HIT_EVERY {
                500 => (3, format!("Invalid user u{n} from 192.168.42.42")),
                250 => (5, format!("Invalid user u{n} from 192.168.42.42")),
                _ => (n % 8, format!("Accepted publickey for u{n} from 192.168.42.42 port 51514")),
            };
            format!(
                "{{\"date\":{},\"facility\":4,\"host\":\"rpi-{host:02}\",\"level\":6,\"message\":\
                 \"rpi-{host:02} sshd[24150]: {line}\",\"charset\":\"UTF-8\",\
                 \"remote_address\":\"/192.168.10.250:34003\",\"hostname\":\"192.168.10.250\"}}",
                1_520_176_464_000_u64 + n as u64
            )
            .into_bytes()
        })
        .collect()
}

fn records(values: &[Vec<u8>]) -> Vec<Record<'_>> {
    let numbered = values.iter().zip(0_i64..);
    numbered
        .map(|(value, offset)| Record {
            offset,
            timestamp_ms: 1_520_176_464_000 + offset,
            key: None,
            value: Some(value),
            headers: &(),
        })
        .collect()
}

/// The median of `ROUNDS` rounds, nanoseconds of this thread on a processor for each of `units`; what
/// else the machine does is left out as far as can be.
fn median_ns(units: usize, mut run: impl FnMut()) -> f64 {
    median(std::iter::repeat_with(|| round_ns(units, &mut run)))
}

/// The round with the median ratio of two that run in turns, so that what else the machine does
/// falls on both.
fn medians_in_turns_ns(
    units: usize,
    mut first: impl FnMut(),
    mut second: impl FnMut(),
) -> (f64, f64) {
    let mut rounds =
        [(); ROUNDS].map(|()| (round_ns(units, &mut first), round_ns(units, &mut second)));
    rounds.sort_by(|(first, second), (other_first, other_second)| {
        (first / second).total_cmp(&(other_first / other_second))
    });
    rounds[ROUNDS / 2]
}

fn round_ns(units: usize, mut run: impl FnMut()) -> f64 {
    let (begin, on_processor) = (Instant::now(), on_processor());
    let mut runs = 0_usize;
    while begin.elapsed() < ROUND {
        run();
        runs += 1;
    }
    (self::on_processor() - on_processor).as_nanos() as f64 / (runs * units) as f64
}

/// The same by the clock on the wall, for what uses several threads.
fn median_wall_ns(mut run: impl FnMut()) -> f64 {
    let round = || {
        let begin = Instant::now();
        run();
        begin.elapsed().as_nanos() as f64
    };
    median(std::iter::repeat_with(round))
}

fn median(rounds: impl Iterator<Item = f64>) -> f64 {
    let mut rounds: Vec<f64> = rounds.take(ROUNDS).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// How long this thread was on a processor. The kernel counts by the tick, so rounds are long.
fn on_processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn component(engine: &Engine, path: &std::path::Path) -> Component {
    engine.compile(&std::fs::read(path).unwrap()).unwrap()
}

fn rule(name: &str, component: &Component, config: &str) -> Arc<Rule> {
    let name: Arc<str> = name.into();
    let limits = Limits::default();
    let described = component.instantiate(&name, &limits).unwrap().describe(config).unwrap();
    let mut subscription = described.subscription.clone();
    subscription.topics = vec!["SYSLOG".into()];
    Arc::new(Rule {
        version: component.hash().to_owned(),
        name,
        component: component.clone(),
        config_json: config.into(),
        conditions: subscription.condition.iter().cloned().collect(),
        described: described.subscription,
        plan: Arc::new(described.plan),
        keyed: true,
        tables: TableSet::default(),
        subscription,
        format: Format::Json,
        channels: vec!["general".into()],
        emit: vec![],
        mode: Mode::Active,
        stale_after: None,
        limits,
        health: Health::default(),
    })
}

fn worker(rules: impl IntoIterator<Item = Arc<Rule>>) -> WorkerSet {
    WorkerSet::new(Arc::new(RuleSet::new(1, rules).unwrap()))
}

/// Evaluates all records in batches of `batch`; returns the number of notifications.
fn run(worker: &mut WorkerSet, records: &[Record<'_>], batch: usize) -> usize {
    let partition = TopicPartition::new(Arc::clone(topic_of(worker)), 0);
    let mut out = Evaluation::default();
    let mut notifications = 0;
    for records in records.chunks(batch) {
        out.clear();
        worker.evaluate(&partition, records, &mut out);
        assert!(out.dead_letters.is_empty());
        notifications += out.entries.len();
    }
    notifications
}

fn topic_of(worker: &WorkerSet) -> &Arc<str> {
    worker.set().topics.keys().next().unwrap()
}

/// What the seed's rule 1 costs a programmer who writes it into the consumer.
fn native(records: &[Record<'_>]) -> usize {
    #[derive(serde::Deserialize)]
    struct Syslog<'a> {
        date: i64,
        host: &'a str,
        message: &'a str,
    }
    let literal = memchr::memmem::Finder::new("Invalid user");
    let mut titles = Vec::new();
    for record in records {
        let value = record.value.unwrap();
        if literal.find(value).is_none() {
            continue;
        }
        let Syslog { date, host, message } = serde_json::from_slice(value).unwrap();
        if host == "rpi-03" && message.contains("Invalid user") {
            titles.push(format!("{date} 👽 {message} 👽"));
        }
    }
    black_box(titles).len()
}

fn evaluation(report: &Report, values: &[Vec<u8>]) {
    let engine = Engine::new(None).unwrap();
    let records = records(values);
    let hits = RECORDS / HIT_EVERY;
    let invalid_user = component(&engine, &shipped("invalid-user"));
    let mut host_decides = worker([rule("invalid-user", &invalid_user, r#"{"host":"rpi-03"}"#)]);
    let (ns, native_ns) = medians_in_turns_ns(
        RECORDS,
        || assert_eq!(run(&mut host_decides, black_box(&records), BATCH), hits),
        || assert_eq!(native(black_box(&records)), hits),
    );
    report.say("P2", "seed rule 1, per record", ns, "ns", Some(("native", native_ns)));

    let few = &records[..RECORDS / 20];
    let predicate = component(&engine, &guest("predicate"));
    let mut guest_decides = worker([rule("predicate", &predicate, "{}")]);
    let all_ns = median_ns(few.len(), || {
        black_box(run(&mut guest_decides, few, BATCH));
    });
    report.say(
        "P2",
        "the same, the guest decides on cells",
        all_ns,
        "ns",
        Some(("native", native_ns)),
    );

    let parses = component(&engine, &guest("parses-value"));
    let mut parses_alone = worker([rule("parses", &parses, "{}")]);
    let alone_ns = median_ns(few.len(), || {
        black_box(run(&mut parses_alone, few, 1));
    });
    report.say("P2", "seed rule 1, per record", ns, "ns", Some(("a call per record", alone_ns)));
    report.say("P2", "seed rule 1, per record", ns, "ns", Some(("Extism (baselines)", EXTISM_NS)));
}

/// A batch of cells `host`, `message`, none of them a hit.
fn batch(rows: usize) -> Batch {
    let mut batch = Batch { topic: "SYSLOG".into(), ..Batch::default() };
    for row in 0..rows {
        batch.offsets.push(row as i64);
        batch.timestamps.push(1_520_176_464_000);
        for cell in ["rpi-04 sshd[24150]: Accepted publickey for u1 from 192.168.42.42", "rpi-04"] {
            batch.cells.extend(cell.as_bytes());
            batch.ends.push(batch.cells.len() as u32);
        }
    }
    batch
}

/// What the guest `predicate` does, in the host.
fn native_on_cells(batch: &Batch) -> usize {
    let mut hits = 0;
    let mut start = 0;
    for ends in batch.ends.chunks_exact(2) {
        let message = &batch.cells[start..ends[0] as usize];
        let host = &batch.cells[ends[0] as usize..ends[1] as usize];
        start = ends[1] as usize;
        let message = str::from_utf8(message).unwrap();
        hits += usize::from(host == b"rpi-03" && message.contains("Invalid user"));
    }
    hits
}

fn instance(component: &Component, config: &str) -> Instance {
    let mut instance = component.instantiate(&"bench".into(), &Limits::default()).unwrap();
    instance.describe(config).unwrap();
    instance
}

fn calls(report: &Report) {
    let engine = Engine::new(None).unwrap();
    let mut predicate = instance(&component(&engine, &guest("predicate")), "{}");
    for rows in [1, 10, 100, 1_000, 4_000] {
        let batch = batch(rows);
        // Looking at the clock costs as much as a small call.
        let calls = (4_000 / rows).max(1);
        let ns = median_ns(rows * calls, || {
            for _ in 0..calls {
                black_box(predicate.evaluate(black_box(&batch)).unwrap());
            }
        });
        let native_ns = median_ns(rows * calls, || {
            for _ in 0..calls {
                black_box(native_on_cells(black_box(&batch)));
            }
        });
        let what = format!("a call with {rows} rows of two cells, per row");
        report.say("P2", &what, ns, "ns", Some(("native", native_ns)));
    }
}

fn loading(report: &Report) {
    let bytes = std::fs::read(shipped("invalid-user")).unwrap();
    let engine = Engine::new(None).unwrap();
    let ms = |ns: f64| ns / 1e6;
    let us = |ns: f64| ns / 1e3;
    let compiled = ms(median_wall_ns(|| drop(black_box(engine.compile(&bytes).unwrap()))));
    report.say("P6", "compile a shipped component", compiled, "ms", None);
    let dir = tempfile::tempdir().unwrap();
    let cached = Engine::new(Some(dir.path())).unwrap();
    cached.compile(&bytes).unwrap();
    let loaded = ms(median_ns(1, || drop(black_box(cached.compile(&bytes).unwrap()))));
    report.say("P6", "the same from the cache", loaded, "ms", Some(("compiling", compiled)));

    let component = engine.compile(&bytes).unwrap();
    let fresh = us(median_ns(1_000, || {
        for _ in 0..1_000 {
            drop(black_box(component.instantiate(&"r".into(), &Limits::default()).unwrap()));
        }
    }));
    report.say("P6", "instantiate and drop", fresh, "us", None);
    let described = us(median_ns(1_000, || {
        for _ in 0..1_000 {
            drop(black_box(instance(&component, r#"{"host":"rpi-03"}"#)));
        }
    }));
    report.say("P6", "instantiate, describe and drop", described, "us", None);
    let rules: Vec<_> = (0..100)
        .map(|n| rule(&format!("rule-{n}"), &component, &format!("{{\"host\":\"rpi-{n}\"}}")))
        .collect();
    let set = Arc::new(RuleSet::new(1, rules).unwrap());
    let made = us(median_ns(1, || drop(black_box(WorkerSet::new(Arc::clone(&set))))));
    report.say("P6", "make and drop 100 rules for a worker (off its thread)", made, "us", None);
}

/// Resident memory of this process, bytes.
fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096.0
}

fn memory(report: &Report) {
    const INSTANCES: usize = 1_000;
    let engine = Engine::new(None).unwrap();
    let component = component(&engine, &guest("predicate"));
    // Whatever the first instance costs once is not of interest here.
    let mut first = instance(&component, "{}");
    let batch = batch(BATCH);
    first.evaluate(&batch).unwrap();
    let before = resident();
    let mut instances: Vec<_> = (0..INSTANCES).map(|_| instance(&component, "{}")).collect();
    let kib = |bytes: f64| bytes / INSTANCES as f64 / 1_024.0;
    report.say("P7", "a described instance", kib(resident() - before), "KiB", None);
    for instance in &mut instances {
        instance.evaluate(&batch).unwrap();
    }
    report.say(
        "P7",
        "the same after 1,000 rows of two cells",
        kib(resident() - before),
        "KiB",
        None,
    );
    let virtual_kib = instances.iter().map(Instance::memory_bytes).sum::<usize>() as f64;
    report.say("P7", "its linear memory", kib(virtual_kib), "KiB", None);
}
