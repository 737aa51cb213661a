//! State comes back after a restart and a move, and holds nothing of what failed.

use firebell_tests::eventually;
use firebell_tests::guests::guest;
use firebell_tests::kafka::{Kafka, Outgoing};
use firebell_tests::scene::Scene;
use serde_json::json;

use super::{START_MS, seen};

/// A message of `host` in some partition.
fn said(host: &str, message: &str, partition: i32) -> Outgoing {
    let value = json!({ "host": host, "message": message }).to_string();
    Outgoing::value(value).key(message).partition(partition)
}

fn counts(host: &str, up_to: u32) -> Vec<String> {
    (1..=up_to).map(|count| format!("{host} seen {count}")).collect()
}

#[test]
fn values_and_windows_survive_a_restart() {
    let scene = Scene::with_guest("restart", "kv");
    scene.rule("counter", &guest("counter"), "[config]\nthreshold = 4.0");
    let host = scene.site.start();
    let three = (0..3).map(|second| seen("a", START_MS + second * 1_000));
    scene.kafka.produce(&scene.topic, three);
    scene.await_titles(counts("a", 3));
    scene.await_committed();
    assert!(host.terminate().success());

    let host = scene.site.start();
    scene.kafka.produce(&scene.topic, [seen("a", START_MS + 4_000)]);
    scene.await_titles(counts("a", 4).into_iter().chain(["count a 4".into()]));
    assert!(host.metric("firebell_restored_entries_total", &[]) >= 2.0);

    // Nor does a host need to end in order.
    host.kill();
    let _host = scene.site.start();
    scene.kafka.produce(&scene.topic, [seen("a", START_MS + 5_000)]);
    scene.await_titles(counts("a", 5).into_iter().chain(["count a 4".into()]));
}

#[test]
fn state_moves_with_its_partitions() {
    moves(("session.timeout.ms", "6000"));
}

/// The same where the broker decides who has what (KIP-848).
#[test]
fn state_moves_when_the_broker_assigns_partitions() {
    moves(("group.protocol", "consumer"));
}

fn moves((property, value): (&str, &str)) {
    let mut scene = Scene::with_guest("move", "kv");
    scene.site.set("kafka", "workers", "1");
    scene.site.set("kafka.properties", &format!("{property:?}"), &format!("{value:?}"));
    let one = scene.site.start();
    let all =
        |message: &str| (0..4).map(|p| said(&format!("h{p}"), message, p)).collect::<Vec<_>>();
    let wanted = |up_to| (0..4).flat_map(|p| counts(&format!("h{p}"), up_to)).collect::<Vec<_>>();
    scene.kafka.produce(&scene.topic, all("first"));
    scene.await_titles(wanted(1));

    // Half of them go to another host, which has never seen a record.
    let two = scene.site.spawn("two");
    let owned = |host: &firebell_tests::site::Host| {
        let (_, page) = host.get("/metrics").unwrap_or_default();
        let topic = format!("topic=\"{}\"", scene.topic);
        let lags = page.lines().filter(|line| line.starts_with("firebell_lag_records{"));
        lags.filter(|line| line.contains(&topic)).count()
    };
    eventually("half of the partitions for each", || {
        (owned(&one) == 2 && owned(&two) == 2).then_some(())
    });
    scene.kafka.produce(&scene.topic, all("second"));
    scene.await_titles(wanted(2));

    // And back, with what came meanwhile.
    two.kill();
    scene.kafka.produce(&scene.topic, all("third"));
    scene.await_titles(wanted(3));
    assert_eq!(scene.dead_letters().len(), 0);
    drop(one);
}

#[test]
fn a_record_that_fails_leaves_nothing_in_the_state() {
    let scene = Scene::with_guest("fails", "kv");
    let host = scene.site.start();
    let messages = ["one", "two", "please fail", "three"];
    scene.kafka.produce(&scene.topic, messages.map(|message| said("a", message, 0)));
    scene.await_titles(counts("a", 3));
    let letters = scene.await_dead_letters(1);
    assert!(letters[0].text().contains("please fail"));
    assert_eq!(letters[0].header("x-firebell-rule"), "kv");
    assert_eq!(letters[0].header("x-firebell-reason"), "refused");
    let message = letters[0].header("__connect.errors.exception.message");
    assert!(message.contains("told to fail at 3"), "{message}");

    // Not before a restart, and not after it.
    host.kill();
    let _host = scene.site.start();
    scene.kafka.produce(&scene.topic, [said("a", "four", 0)]);
    scene.await_titles(counts("a", 4));
    scene.await_dead_letters(1);
}

#[test]
fn rules_and_partitions_keep_their_state_apart() {
    let scene = Scene::with_guest("apart", "kv");
    scene.rule("other", &guest("kv"), "where = \"message.contains('both')\"");
    let _host = scene.site.start();
    let records = [said("a", "both", 0), said("a", "one", 0), said("a", "both", 1)];
    scene.kafka.produce(&scene.topic, records);
    // By `kv`: two in partition 0, one in 1. By `other`: one in each.
    let of_kv = ["a seen 1", "a seen 2", "a seen 1"];
    scene.await_titles(of_kv.into_iter().chain(["a seen 1", "a seen 1"]));
}

#[test]
fn a_topic_that_is_read_by_nobody_for_a_while_goes_on_with_its_state() {
    let scene = Scene::new(Kafka::newest(), "pause");
    scene.rule("kv", &guest("kv"), "");
    let host = scene.site.start();
    scene.kafka.produce(&scene.topic, [said("a", "one", 0)]);
    scene.await_titles(counts("a", 1));
    scene.site.remove("kv.toml").remove("kv.wasm");
    eventually("no rule", || {
        (host.metric("firebell_rule_state", &[("rule", "kv"), ("state", "active")]) == 0.0)
            .then_some(())
    });
    scene.rule("kv", &guest("kv"), "");
    scene.kafka.produce(&scene.topic, [said("a", "two", 0)]);
    scene.await_titles(counts("a", 2));
}
