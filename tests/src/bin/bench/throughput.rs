//! P1 and P3: records per second through the real program, beside a bare consumer.

use std::time::{Duration, Instant};

use firebell_tests::guests::guest;
use firebell_tests::kafka::Kafka;
use firebell_tests::site::Site;

use crate::bare;
use crate::figures::{compare, median};
use crate::load::Dataset;

/// Runs of each kind, in turn.
const ROUNDS: usize = 3;

/// Where the rules find their fields in these records.
pub(crate) const FIELDS: &str = "[fields]\nhost = \"/HOST\"\nmessage = \"/MESSAGE\"\n";

/// P1: seed rule 1, exactly-once into the outbox, against a bare consumer that only counts.
pub(crate) fn seed_rule(kafka: &Kafka, dataset: &Dataset) {
    for workers in [1, 2] {
        let (mut ours, mut bare) = (vec![], vec![]);
        for _ in 0..ROUNDS {
            bare.push(bare::records_per_second(kafka, dataset));
            let mut site = site(kafka, workers);
            seed_rule_on(&mut site, dataset);
            ours.push(records_per_second(&site, dataset));
        }
        let what = format!("P1 seed rule 1, {workers} worker(s)");
        compare(&what, median(&mut ours), ("bare consumer", median(&mut bare)), "records/s");
    }
}

/// P3: a thousand rules with hosts and words of their own, against one.
pub(crate) fn many_rules(kafka: &Kafka, dataset: &Dataset) {
    let (mut one, mut many) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        for (rules, figures) in [(1, &mut one), (1_000, &mut many)] {
            let site = site(kafka, 1);
            site.put("predicate.wasm", &std::fs::read(guest("predicate")).unwrap());
            // The component itself is a rule too unless a toml says otherwise.
            site.put("predicate.toml", b"mode = \"paused\"\ntopics = [\"none\"]\n");
            for number in 0..rules {
                let toml = format!(
                    "component = \"predicate.wasm\"\ntopics = [{:?}]\nstale_after = \"off\"\n\
                     where = \"host == 'rpi-{:02}' && message.contains('Invalid user u{number:04}')\"\n\
                     {FIELDS}",
                    dataset.topic,
                    number % 100,
                );
                site.put(&format!("rule-{number:04}.toml"), toml.as_bytes());
            }
            figures.push(records_per_second(&site, dataset));
        }
    }
    compare("P3 1,000 rules", median(&mut many), ("1 rule", median(&mut one)), "records/s");
}

pub(crate) fn site(kafka: &Kafka, workers: usize) -> Site {
    let mut site = Site::new(kafka, "http://127.0.0.1:9/api/");
    site.set("kafka", "workers", &workers.to_string());
    site
}

fn seed_rule_on(site: &mut Site, dataset: &Dataset) {
    let toml = format!(
        "component = \"builtin:invalid-user\"\ntopics = [{:?}]\nstale_after = \"off\"\n\
         [config]\nhost = \"rpi-03\"\n{FIELDS}date = \"/TIMESTAMP\"\n",
        dataset.topic
    );
    site.put("invalid-user.toml", toml.as_bytes());
}

/// Records a second of a host that evaluates the whole topic, from its first record to its last.
fn records_per_second(site: &Site, dataset: &Dataset) -> f64 {
    const PAUSE: Duration = Duration::from_millis(10);
    let host = site.spawn_with("bench", &["--only", "evaluate"]);
    let topic = [("topic", dataset.topic.as_str())];
    let records = || host.metric("firebell_records_total", &topic);
    let mut first = (Instant::now(), 0.0);
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let (now, count) = (Instant::now(), records());
        if first.1 == 0.0 {
            first = (now, count);
        }
        if count >= dataset.records as f64 {
            return (count - first.1) / (now - first.0).as_secs_f64();
        }
        assert!(now < deadline, "the host does not come to the end; its log:\n{}", host.log());
        std::thread::sleep(PAUSE);
    }
}
