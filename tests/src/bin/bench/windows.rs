//! P4: seed rule 2, a count by host in windows of a minute, by way of the repartition topic and exactly
//! once, beside a bare consumer of the same records.

use std::time::{Duration, Instant};

use firebell_tests::kafka::Kafka;
use firebell_tests::site::Site;

use crate::bare;
use crate::figures::{compare, median};
use crate::load::{Dataset, Share};
use crate::throughput::{FIELDS, site};

/// Runs of each kind, in turn.
const ROUNDS: usize = 3;
/// Records of each kind, as the peers' scripts write them.
const SPARSE: u64 = 2_000_000;
const DENSE: u64 = 1_000_000;

/// One run of a host.
struct Run {
    records_per_second: f64,
    resident_bytes: f64,
    alerts: u64,
    /// Records that came too late for their window.
    late: f64,
    /// Records that were evaluated more than once, since their transaction was given up.
    again: f64,
}

/// Rule 2 on few and on many matching records.
pub(crate) fn seed_rule_2(kafka: &Kafka) {
    for (what, records, share) in
        [("0.1 %", SPARSE, Share::OneInAThousand), ("20 %", DENSE, Share::OneInFive)]
    {
        let dataset = Dataset::write(kafka, "windows", records, share);
        for workers in [1, 2] {
            let (mut ours, mut bare, mut bytes) = (vec![], vec![], vec![]);
            let (mut alerts, mut late, mut again) = (vec![], vec![], vec![]);
            for _ in 0..ROUNDS {
                bare.push(bare::records_per_second(kafka, &dataset));
                let run = run(kafka, &dataset, workers);
                ours.push(run.records_per_second);
                bytes.push(run.resident_bytes);
                alerts.push(run.alerts);
                late.push(run.late);
                again.push(run.again);
            }
            let name = format!("P4 seed rule 2, {what} match, {workers} worker(s)");
            compare(&name, median(&mut ours), ("bare consumer", median(&mut bare)), "records/s");
            println!(
                "   resident: {:.0} MiB; alerts: {alerts:?} of {} bursts; late: {late:?}; read again: {again:?}",
                median(&mut bytes) / f64::from(1 << 20),
                dataset.bursts
            );
        }
    }
}

fn run(kafka: &Kafka, dataset: &Dataset, workers: usize) -> Run {
    const PAUSE: Duration = Duration::from_millis(10);
    let site: Site = site(kafka, workers);
    let toml = format!(
        "component = \"builtin:invalid-login-burst\"\ntopics = [{:?}]\nstale_after = \"off\"\n{FIELDS}",
        dataset.topic
    );
    site.put("burst.toml", toml.as_bytes());
    let host = site.spawn_with("bench", &["--only", "evaluate"]);
    let repartition = format!("{}.repartition", site.group());
    let of = |topic: &str| host.metric("firebell_records_total", &[("topic", topic)]);
    let mut first = (Instant::now(), 0.0);
    let deadline = Instant::now() + Duration::from_secs(300);
    let mut records_per_second = loop {
        let (now, read) = (Instant::now(), of(&dataset.topic));
        if first.1 == 0.0 {
            first = (now, read);
        }
        // Both the records and what was routed of them.
        let all = read >= dataset.records as f64;
        if all && of(&repartition) >= dataset.matching as f64 {
            break (read - first.1) / first.0.elapsed().as_secs_f64();
        }
        assert!(now < deadline, "the host does not come to the end; its log:\n{}", host.log());
        std::thread::sleep(PAUSE);
    };
    let resident_bytes = host.metric("process_resident_memory_bytes", &[]);
    // Records whose transaction was given up are counted twice: then this was not the end.
    let counted = |topics: [&str; 2]| topics.iter().map(|topic| of(topic)).sum::<f64>();
    let wanted = (dataset.records + dataset.matching) as f64;
    let early = counted([&dataset.topic, &repartition]) > wanted;
    let group = site.group();
    for topic in [&dataset.topic, &repartition] {
        let ends = kafka.ends(topic);
        while kafka.committed(group, topic) != ends {
            assert!(Instant::now() < deadline, "{topic} is not committed:\n{}", host.log());
        }
    }
    if early {
        records_per_second = (dataset.records as f64 - first.1) / first.0.elapsed().as_secs_f64();
    }
    let again = counted([&dataset.topic, &repartition]) - wanted;
    let late = host.metric("firebell_late_records_total", &[]);
    if late > 0.0 {
        let log = host.log();
        let lines = log.lines().filter(|line| line.contains("too late for a window"));
        lines.for_each(|line| println!("   {line}"));
    }
    assert!(host.terminate().success(), "the host did not end well");
    let alerts = kafka.read(&site.outbox()).len() as u64;
    Run { records_per_second, resident_bytes, alerts, late, again }
}
