//! Lookup tables: waited for, followed, and told when they cannot be had.

use firebell_tests::guests::guest;
use firebell_tests::kafka::{Kafka, Outgoing};
use firebell_tests::scene::Scene;
use firebell_tests::site::{Host, quoted};
use firebell_tests::{eventually, unique};

use super::{START_MS, seen};

/// A scene whose rule says what a table has of each record's host; the table's topic is not there yet.
fn scene() -> (Scene, String) {
    let mut scene = Scene::with_guest("joined", "table-join");
    let table = unique("HOSTS");
    scene.site.set("tables", "hosts", &quoted(&table));
    (scene, table)
}

fn entry(host: &str, value: Option<&str>) -> Outgoing {
    let value = value.map(|value| value.as_bytes().to_vec());
    Outgoing { key: Some(host.into()), value, ..Outgoing::default() }
}

/// Waits until a record of the host is answered like this; says it again and again.
fn eventually_is(scene: &Scene, host: &str, value: &str) {
    let wanted = format!("{host} is {value}");
    eventually(&wanted, || {
        scene.kafka.produce(&scene.topic, [seen(host, START_MS)]);
        std::thread::sleep(std::time::Duration::from_millis(100));
        scene.titles().contains(&wanted).then_some(())
    });
}

fn await_not_ready(host: &Host, words: &[&str]) {
    eventually("a /readyz that says why", || {
        let says = |body: &str| words.iter().all(|word| body.contains(word));
        host.get("/readyz").filter(|(status, body)| *status == 503 && says(body))
    });
    assert_eq!(host.get("/healthz").unwrap().0, 200);
}

#[test]
fn records_wait_until_the_table_is_read_and_see_its_changes() {
    let (scene, table) = scene();
    scene.kafka.produce(&scene.topic, [seen("rpi-03", START_MS)]);
    let mut host = scene.site.spawn("one");
    await_not_ready(&host, &["hosts", &table, "does not exist"]);
    assert_eq!(scene.titles(), [""; 0]);

    let compact = [("cleanup.policy", "compact")];
    scene.kafka.create_topic(&table, 2, &compact);
    host.await_ready();
    scene.await_titles(["rpi-03 is unknown"]);

    scene
        .kafka
        .produce(&table, [entry("rpi-03", Some("in the attic")), entry("rpi-04", Some("x"))]);
    eventually_is(&scene, "rpi-03", "in the attic");
    scene.kafka.produce(&table, [entry("rpi-03", Some("in the cellar"))]);
    eventually_is(&scene, "rpi-03", "in the cellar");
    eventually_is(&scene, "rpi-04", "x");
    scene.kafka.produce(&table, [entry("rpi-04", None)]);
    eventually_is(&scene, "rpi-04", "unknown");
    assert_eq!(scene.dead_letters().len(), 0);
}

#[test]
fn a_table_is_whole_before_the_first_record_is_evaluated() {
    let (scene, table) = scene();
    scene.kafka.create_topic(&table, 4, &[("cleanup.policy", "compact")]);
    let entries = |value: &'static str| {
        (0..5_000).map(move |number| entry(&format!("host-{number:04}"), Some(value)))
    };
    scene.kafka.produce(&table, entries("old").chain(entries("new")));
    let hosts = (0..100).map(|number| format!("host-{:04}", number * 50));
    let records: Vec<_> = hosts.clone().map(|host| seen(&host, START_MS)).collect();
    scene.kafka.produce(&scene.topic, records);
    let _host = scene.site.start();
    scene.await_titles(hosts.map(|host| format!("{host} is new")));
}

#[test]
fn the_last_records_of_a_table_may_be_of_transactions_that_were_given_up() {
    use rdkafka::producer::{BaseProducer, Producer};
    use std::time::Duration;
    let (scene, table) = scene();
    scene.kafka.create_topic(&table, 1, &[("cleanup.policy", "compact")]);
    scene.kafka.produce(&table, [entry("rpi-03", Some("known"))]);
    let producer: BaseProducer = scene.kafka.client(&[("transactional.id", &unique("aborts"))]);
    producer.init_transactions(Duration::from_secs(20)).unwrap();
    for _ in 0..2 {
        producer.begin_transaction().unwrap();
        for number in 0..5 {
            let record = entry("rpi-03", Some(if number % 2 == 0 { "never" } else { "was" }));
            firebell_tests::kafka::send(&producer, &table, &record);
        }
        producer.flush(Duration::from_secs(20)).unwrap();
        producer.abort_transaction(Duration::from_secs(20)).unwrap();
    }
    let _host = scene.site.start();
    scene.kafka.produce(&scene.topic, [seen("rpi-03", START_MS)]);
    scene.await_titles(["rpi-03 is known"]);
}

#[test]
fn a_rule_that_names_a_table_that_is_not_configured_is_refused_with_the_cure() {
    let scene = Scene::new(Kafka::newest(), "no-table");
    scene.rule("v1", &guest("v1"), "");
    scene.rule("table-join", &guest("table-join"), "");
    let host = scene.site.start();
    scene.kafka.produce(&scene.topic, [seen("a", START_MS)]);
    scene.await_titles(["v1: of a"]);
    let log = host.log();
    for word in ["table-join", "`hosts`", "[tables]"] {
        assert!(log.contains(word), "no `{word}` in {log}");
    }
}
