//! The seed's second rule: a burst of attempts to log in is one alert for each host and minute.

use firebell::outbox::Entry;
use firebell_tests::eventually;
use firebell_tests::guests::{guest, shipped};
use firebell_tests::kafka::{Kafka, Outgoing};
use firebell_tests::scene::Scene;

use super::{START_MS, as_slack_has_it, attempt};

/// Attempts in each of the seed's minutes; the host that is below the threshold comes beside it.
const SEEDS_WINDOWS: [i32; 4] = [12, 5, 6, 4];

/// The seed's four minutes in the order of time; attempts on one host lie on all partitions.
fn four_minutes() -> Vec<Outgoing> {
    let mut records = vec![];
    for (minute, count) in (0_i64..).zip(SEEDS_WINDOWS) {
        let at = |number: i32| START_MS + minute * 60_000 + i64::from(number) * 4_000;
        records.extend((0..count).map(|number| attempt("rpi-03", number % 4, at(number))));
        records.extend((0..3).map(|number| attempt("rpi-04", number + 1, at(number) + 1)));
    }
    records.sort_by_key(|record| record.timestamp_ms);
    records
}

fn title(minute: i64) -> String {
    as_slack_has_it(&format!(
        "2018-03-21 16:{}:00: ❗ On rpi-03 there were 4 invalid user login attempts in the last \
         minute (threshold is >=4)",
        21 + minute
    ))
}

fn four_titles() -> [String; 4] {
    [0, 1, 2, 3].map(title)
}

fn scene(kafka: &Kafka) -> Scene {
    let scene = Scene::new(kafka, "SYSLOG");
    let toml = "component = \"builtin:invalid-login-burst\"\n";
    scene.site.put("burst.toml", scene.toml(toml).as_bytes());
    scene
}

/// The posts stay as they are when everything has been read.
fn exactly_four(scene: &Scene) {
    scene.await_titles(four_titles());
    scene.await_committed();
    eventually("everything routed to be read", || {
        let topic = scene.site.repartition();
        let committed = scene.kafka.committed(scene.site.group(), &topic);
        let ends = scene.kafka.ends(&topic);
        committed.iter().zip(&ends).all(|(at, end)| *at.max(&0) >= *end).then_some(())
    });
    scene.await_titles(four_titles());
    assert_eq!(scene.dead_letters().len(), 0);
}

fn four_windows_are_four_alerts(kafka: &Kafka) {
    let scene = scene(kafka);
    let host = scene.site.start();
    kafka.produce(&scene.topic, four_minutes());
    exactly_four(&scene);
    assert_eq!(host.metric("firebell_late_records_total", &[]), 0.0);
    // Nor does a restart say anything again.
    assert!(host.terminate().success());
    let mut host = scene.site.start();
    kafka.produce(&scene.topic, [attempt("rpi-03", 2, START_MS + 30_000)]);
    exactly_four(&scene);
    host.await_ready();
}

#[test]
fn the_seeds_four_windows_are_four_alerts_on_the_newest_kafka() {
    four_windows_are_four_alerts(Kafka::newest());
}

#[test]
fn the_seeds_four_windows_are_four_alerts_on_the_older_kafka() {
    four_windows_are_four_alerts(Kafka::older());
}

#[test]
fn a_backlog_of_four_windows_is_four_alerts() {
    let scene = scene(Kafka::newest());
    scene.kafka.produce(&scene.topic, four_minutes());
    let _host = scene.site.start();
    exactly_four(&scene);
}

#[test]
fn three_hosts_make_of_four_windows_four_alerts() {
    let scene = scene(Kafka::newest());
    let mut hosts = ["one", "two", "three"].map(|name| scene.site.spawn(name));
    hosts.iter_mut().for_each(|host| host.await_ready());
    for record in four_minutes() {
        scene.kafka.produce(&scene.topic, [record]);
    }
    exactly_four(&scene);
    let late = |host: &firebell_tests::site::Host| host.metric("firebell_late_records_total", &[]);
    assert_eq!(hosts.iter().map(late).sum::<f64>(), 0.0);
}

#[test]
fn an_alert_names_the_records_that_it_is_about() {
    let scene = scene(Kafka::newest());
    let _host = scene.site.start();
    for number in 0..4 {
        scene.kafka.produce(&scene.topic, [attempt("rpi-03", number, START_MS + 1_000)]);
    }
    scene.await_titles([title(0)]);
    let blocks = scene.slack.posts().remove(0).blocks;
    for partition in 0..4 {
        let record = format!("{}/{partition}/0", scene.topic);
        assert!(blocks.contains(&record), "no {record} in {blocks}");
    }
    // The host knows them too, whatever the rule shows, and says how to read them.
    let outbox = scene.kafka.read(&scene.site.outbox());
    let entry = Entry::from_bytes(outbox[0].value.as_deref().unwrap()).unwrap();
    let mut places: Vec<String> =
        entry.notification.evidence.iter().map(ToString::to_string).collect();
    places.sort();
    let all = [0, 1, 2, 3].map(|partition| format!("{}/{partition}/0", scene.topic));
    assert_eq!(places, all);
    let command = format!("firebell state {} --records", entry.intent.rule);
    assert!(blocks.contains(&command), "no {command} in {blocks}");
    // What is in the one that made the window tell is shown, and in no other.
    let last = entry.notification.excerpt.as_deref().unwrap();
    let caused = &scene.kafka.read(&scene.topic);
    let caused = caused.iter().find(|one| one.partition == entry.intent.record.partition).unwrap();
    assert_eq!(last, caused.text());
    let (_, shown) = blocks.split_once("record: ").unwrap();
    assert!(shown.contains("Invalid user mini"), "{blocks}");
}

#[test]
fn a_rule_whose_topic_is_keyed_by_what_it_groups_by_routes_nothing() {
    let scene = Scene::new(Kafka::newest(), "keyed");
    scene.rule("counter", &guest("counter"), "keyed = true\n[config]\nthreshold = 3.0");
    let _host = scene.site.start();
    let keyed = |host: &str, number: i64| Outgoing {
        partition: None,
        ..super::seen(host, START_MS + number * 1_000)
    };
    let records = (0..3).flat_map(|number| ["a", "b", "c"].map(|host| keyed(host, number)));
    scene.kafka.produce(&scene.topic, records);
    scene.await_titles(["count a 3", "count b 3", "count c 3"]);
    assert_eq!(scene.kafka.ends(&scene.site.repartition()).iter().sum::<i64>(), 0);
}

#[test]
fn windows_of_every_shape_tell_once() {
    for (shape, titles) in [
        // 0, 30 s, 61 s, 62 s and 63 s: in the second minute there are three.
        ("tumbling", vec!["count h 3"]),
        // Minutes that begin every half: (30, 90) has four and (60, 120) three.
        ("hopping", vec!["count h 3", "count h 3"]),
        // The last minute up to 61 s has two of before and itself; 0 is out at 60.
        ("sliding", vec!["count h 3"]),
        ("session", vec!["count h 3"]),
    ] {
        let scene = Scene::new(Kafka::newest(), shape);
        let toml = format!("[config]\nshape = {shape:?}\nthreshold = 3.0");
        scene.rule("counter", &guest("counter"), &toml);
        let _host = scene.site.start();
        let at = [0, 30, 61, 62, 63].map(|s| super::seen("h", START_MS + s * 1_000));
        scene.kafka.produce(&scene.topic, at);
        scene.await_committed();
        scene.await_titles(titles);
    }
}

#[test]
fn what_ships_can_be_used_by_its_file_as_well() {
    let scene = Scene::new(Kafka::newest(), "SYSLOG");
    scene.rule("burst", &shipped("invalid-login-burst"), "[config]\nthreshold = 2");
    let _host = scene.site.start();
    let two = [0, 1].map(|n| attempt("rpi-03", n, START_MS + i64::from(n)));
    scene.kafka.produce(&scene.topic, two);
    scene.await_titles([title(0).replace("were 4", "were 2").replace("=4)", "=2)")]);
}
