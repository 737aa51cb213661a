//! Event time: lateness, edges of windows, times that cannot be.

use std::time::Duration;

use firebell_tests::guests::guest;
use firebell_tests::kafka::Kafka;
use firebell_tests::scene::Scene;
use firebell_tests::site::Host;
use firebell_tests::{eventually, eventually_eq};

use super::{START_MS, seen};

/// A counter of minutes that tells with the second record.
fn counter(stem: &str, config: &str) -> (Scene, Host) {
    let scene = Scene::new(Kafka::newest(), stem);
    let toml = format!("[config]\nthreshold = 2.0\n{config}");
    scene.rule("counter", &guest("counter"), &toml);
    let host = scene.site.start();
    (scene, host)
}

fn late(host: &Host) -> f64 {
    host.metric("firebell_late_records_total", &[("rule", "counter")])
}

/// Waits until both the topic and what was routed of it are read.
fn await_read(scene: &Scene) {
    scene.await_committed();
    let routed = scene.site.repartition();
    let ends: Vec<i64> = scene.kafka.ends(&routed);
    eventually_eq("what is committed of what was routed", &ends, || {
        let committed = scene.kafka.committed(scene.site.group(), &routed);
        committed.into_iter().map(|offset| offset.max(0)).collect()
    });
}

#[test]
fn what_comes_after_the_grace_is_counted_and_what_comes_at_its_end_is_late() {
    let (scene, host) = counter("grace", "grace_ms = 10000");
    let end = START_MS + 60_000;
    // One millisecond before the window closes it still takes what belongs to it.
    let in_time = [seen("a", START_MS), seen("a", end + 9_999), seen("a", START_MS + 1)];
    scene.kafka.produce(&scene.topic, in_time);
    scene.await_titles(["count a 2"]);
    // `b`'s first window closes where the second of these is, once no partition holds time any more.
    scene.kafka.produce(&scene.topic, [seen("b", START_MS + 59_999), seen("b", end + 10_000)]);
    let mut probes = 0;
    eventually("time that goes on", || {
        // Alone in its window: it crosses nothing.
        scene.kafka.produce(&scene.topic, [seen(&format!("probe-{probes}"), START_MS)]);
        probes += 1;
        std::thread::sleep(Duration::from_millis(200));
        (late(&host) > 0.0).then_some(())
    });
    await_read(&scene);
    let before = late(&host);
    scene.kafka.produce(&scene.topic, [seen("b", START_MS + 59_998)]);
    eventually_eq("late records", &(before + 1.0), || late(&host));
    let crossings = [("rule", "counter")];
    assert_eq!(host.metric("firebell_late_crossings_total", &crossings), 1.0);
    await_read(&scene);
    scene.await_titles(["count a 2"]);
    let log = host.log();
    assert!(log.contains("records came too late"), "{log}");
    assert!(log.contains(&format!("{}/0/", scene.topic)), "no record in {log}");
    assert_eq!(scene.dead_letters().len(), 0);
}

#[test]
fn a_record_on_the_edge_belongs_to_the_window_that_begins_there() {
    let (scene, host) = counter("edge", "grace_ms = 60000");
    let end = START_MS + 60_000;
    scene.kafka.produce(&scene.topic, [seen("a", START_MS), seen("a", end)]);
    scene.kafka.produce(&scene.topic, [seen("b", START_MS), seen("b", end - 1)]);
    scene.kafka.produce(&scene.topic, [seen("c", end), seen("c", end + 59_999)]);
    scene.await_titles(["count b 2", "count c 2"]);
    await_read(&scene);
    scene.await_titles(["count b 2", "count c 2"]);
    assert_eq!(late(&host), 0.0);
}

#[test]
fn a_session_ends_when_its_gap_is_reached() {
    let (scene, _host) = counter("session", "shape = \"session\"\nwindow_ms = 1000");
    scene.kafka.produce(&scene.topic, [seen("a", START_MS), seen("a", START_MS + 1_000)]);
    scene.kafka.produce(&scene.topic, [seen("b", START_MS + 2_000), seen("b", START_MS + 2_999)]);
    scene.await_titles(["count b 2"]);
    await_read(&scene);
    scene.await_titles(["count b 2"]);
}

#[test]
fn a_burst_that_straddles_the_minute_is_seen_by_a_sliding_window() {
    let (scene, _host) = counter("straddles", "shape = \"sliding\"");
    let edge = START_MS + 60_000;
    scene.kafka.produce(&scene.topic, [seen("a", edge - 1), seen("a", edge)]);
    scene.await_titles(["count a 2"]);
    // What is exactly as old as the window is long is out of it.
    let exact = [seen("b", edge + 10_000), seen("b", edge + 70_000)];
    scene.kafka.produce(&scene.topic, exact);
    await_read(&scene);
    scene.await_titles(["count a 2"]);
}

#[test]
fn times_that_cannot_be_move_nothing_on() {
    let scene = Scene::new(Kafka::newest(), "absurd");
    // A broker of today takes no time from the future unless it is told to.
    let topic = firebell_tests::unique("absurd");
    let always = [("message.timestamp.after.max.ms", "9223372036854775807")];
    scene.kafka.create_topic(&topic, 4, &always);
    let scene = Scene { topic, ..scene };
    scene.rule("counter", &guest("counter"), "[config]\nthreshold = 2.0\ngrace_ms = 1000");
    let host = scene.site.start();
    let year_10000 = 253_402_300_800_000;
    let records = [
        seen("a", START_MS),
        seen("a", i64::MAX),
        seen("a", year_10000),
        seen("a", -5),
        seen("a", 1),
        seen("a", START_MS + 2_000),
    ];
    scene.kafka.produce(&scene.topic, records);
    await_read(&scene);
    // The first minute of `a` has both of its records; what is before 1970 is late. What is of 1970 is not:
    // as long as nothing came of the topic's other partitions, time has not begun.
    scene.await_titles(["count a 2"]);
    assert_eq!(late(&host), 1.0);
    assert_eq!(scene.dead_letters().len(), 0);
}
