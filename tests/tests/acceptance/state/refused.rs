//! Bad topics, bad entries, bad settings, too much: each is told, and nothing else suffers.

use firebell_tests::guests::{guest, shipped};
use firebell_tests::kafka::{Kafka, Outgoing};
use firebell_tests::scene::{Scene, message};
use firebell_tests::{eventually, eventually_eq};
use serde_json::json;

use super::{START_MS, seen};

/// Starts a host that ends at once, and looks what it says.
fn ends_with(scene: &Scene, words: &[&str]) {
    let mut host = scene.site.spawn("one");
    let status = host.await_end();
    let log = host.log();
    assert_eq!(status.code(), Some(1), "{log}");
    for word in words {
        assert!(log.contains(word), "no `{word}` in {log}");
    }
}

#[test]
fn a_changelog_that_is_not_compacted_is_told_with_its_cure() {
    let scene = Scene::with_guest("policy", "kv");
    let changelog = scene.site.changelog();
    scene.kafka.create_topic(&changelog, 4, &[("cleanup.policy", "delete")]);
    let alter = format!("--alter --topic {changelog} --add-config cleanup.policy=compact");
    ends_with(&scene, &[&changelog, "cleanup.policy is `delete`", "must be `compact`", &alter]);
}

#[test]
fn topics_of_state_that_do_not_fit_each_other_are_told_with_their_cure() {
    let scene = Scene::with_guest("partitions", "kv");
    scene.kafka.create_topic(&scene.site.changelog(), 4, &[("cleanup.policy", "compact")]);
    let repartition = scene.site.repartition();
    scene.kafka.create_topic(&repartition, 3, &[]);
    let words = [&repartition, "number of partitions is 3, but must be 4", "delete the topic"];
    ends_with(&scene, &words);
}

/// A scene whose rule has kept something, and the entry that it wrote for `a`.
fn kept() -> (Scene, Outgoing) {
    let scene = Scene::with_guest("kept", "kv");
    let host = scene.site.start();
    scene.kafka.produce(&scene.topic, [seen("a", START_MS)]);
    scene.await_titles(["a seen 1"]);
    scene.await_committed();
    assert!(host.terminate().success());
    let entries = scene.kafka.read(&scene.site.changelog());
    let entry = entries.into_iter().find(|entry| entry.key.as_ref().unwrap().ends_with(b"a"));
    let entry = entry.unwrap();
    let (key, value) = (entry.key, entry.value);
    (scene, Outgoing { partition: Some(entry.partition), key, value, ..Outgoing::default() })
}

/// The host does not begin with the partition, and says why.
fn waits_and_says(scene: &Scene, words: &[&str]) {
    let host = scene.site.spawn("one");
    scene.kafka.produce(&scene.topic, [seen("a", START_MS)]);
    eventually("a /readyz that says why", || {
        let says = |body: &str| words.iter().all(|word| body.contains(word));
        host.get("/readyz").filter(|(status, body)| *status == 503 && says(body))
    });
    let log = host.log();
    for word in words.iter().chain(&[scene.site.changelog().as_str()]) {
        assert!(log.contains(word), "no `{word}` in {log}");
    }
    assert_eq!(scene.titles(), ["a seen 1"], "state was guessed");
}

#[test]
fn an_entry_of_a_newer_firebell_is_not_guessed() {
    let (scene, mut entry) = kept();
    entry.value.as_mut().unwrap()[0] = 2;
    scene.kafka.produce(&scene.site.changelog(), [entry]);
    waits_and_says(&scene, &["version 2", "newer Firebell"]);
}

#[test]
fn a_key_of_a_newer_firebell_is_not_guessed() {
    let (scene, mut entry) = kept();
    entry.key.as_mut().unwrap()[0] = 9;
    scene.kafka.produce(&scene.site.changelog(), [entry]);
    waits_and_says(&scene, &["version 9", "newer"]);
}

#[test]
fn a_damaged_entry_is_not_guessed() {
    let (scene, mut entry) = kept();
    *entry.value.as_mut().unwrap().last_mut().unwrap() ^= 1;
    scene.kafka.produce(&scene.site.changelog(), [entry]);
    waits_and_says(&scene, &["checksum", "damaged"]);
}

#[test]
fn what_can_not_be_counted_is_refused_in_the_rules_words() {
    let scene = Scene::with_guest("no-burst", "v1");
    let burst = shipped("invalid-login-burst");
    scene.rule("no-threshold", &burst, "[config]\nthreshold = 0");
    scene.rule("no-window", &burst, "[config]\nwindow_seconds = 0");
    scene.rule("no-host", &guest("counter"), "[config]\nwindow_ms = 0");
    let host = scene.site.start();
    scene.say(["hello"]);
    scene.await_titles(["v1: hello"]);
    for rule in ["no-threshold", "no-window", "no-host"] {
        let rejected = [("rule", rule), ("state", "rejected")];
        eventually_eq(rule, &1.0, || host.metric("firebell_rule_state", &rejected));
    }
    let log = host.log();
    for words in [
        "threshold: no attempt at all is no burst",
        "window_seconds: a window has to last",
        "window `count`",
    ] {
        assert!(log.contains(words), "no `{words}` in {log}");
    }
}

#[test]
fn too_much_state_is_a_dead_letter_of_that_rule_and_record_only() {
    let scene = Scene::with_guest("hog", "v1");
    let limits = "[limits]\nstate_mib = 4\nfuel_per_record = 1_000_000_000";
    scene.rule("state-hog", &guest("state-hog"), limits);
    let host = scene.site.start();
    scene.say(["before", "please hog", "after"]);
    let by_v1 = ["v1: before", "v1: please hog", "v1: after"];
    scene.await_titles(by_v1.into_iter().chain(["before", "after"]));
    let letter = scene.await_dead_letters(1).remove(0);
    assert!(letter.text().contains("please hog"));
    assert_eq!(letter.header("x-firebell-rule"), "state-hog");
    assert_eq!(letter.header("x-firebell-reason"), "state_limit");
    let message = letter.header("__connect.errors.exception.message");
    assert!(message.contains("state_mib"), "{message}");
    let failures = [("rule", "state-hog"), ("reason", "state_limit")];
    eventually("the failure in the metrics", || {
        (host.metric("firebell_rule_call_failures_total", &failures) >= 1.0).then_some(())
    });
    // Nothing of it stays, so that there is room again.
    scene.await_committed();
    let kept = scene.kafka.read(&scene.site.changelog());
    assert!(kept.iter().all(|entry| entry.value.as_ref().is_none_or(|v| v.len() < 1_000)));
}

#[test]
fn a_key_of_a_megabyte_is_refused_for_that_record() {
    let scene = Scene::new(Kafka::newest(), "large");
    let topic = firebell_tests::unique("large");
    scene.kafka.create_topic(&topic, 1, &[("max.message.bytes", "4000000")]);
    let scene = Scene { topic, ..scene };
    let fuel = "[limits]\nfuel_per_record = 1_000_000_000";
    scene.rule("kv", &guest("kv"), fuel);
    scene.rule("counter", &guest("counter"), &format!("[config]\nthreshold = 2.0\n{fuel}"));
    let _host = scene.site.start();
    let large = json!({ "host": "x".repeat(1 << 20), "message": "large" }).to_string();
    let large = Outgoing::value(large).timestamp_ms(START_MS).partition(0);
    let records = [seen("a", START_MS), large, seen("a", START_MS)];
    scene.kafka.produce(&scene.topic, records);
    scene.await_titles(["a seen 1", "a seen 2", "count a 2"]);
    let letters = scene.await_dead_letters(2);
    let mut rules: Vec<&str> = letters.iter().map(|l| l.header("x-firebell-rule")).collect();
    rules.sort_unstable();
    assert_eq!(rules, ["counter", "kv"]);
    for letter in &letters {
        assert_eq!(letter.header("x-firebell-reason"), "invalid_state");
        let message = letter.header("__connect.errors.exception.message");
        assert!(message.contains("a key of 1048576 bytes is too long"), "{message}");
    }
    scene.await_committed();
}

#[test]
fn a_record_of_somebody_else_in_the_repartition_topic_stops_nobody() {
    let scene = Scene::new(Kafka::newest(), "foreign");
    scene.rule("counter", &guest("counter"), "[config]\nthreshold = 1.0");
    let host = scene.site.start();
    let foreign = (0..4).map(|partition| message("not ours").partition(partition));
    scene.kafka.produce(&scene.site.repartition(), foreign);
    scene.kafka.produce(&scene.topic, [seen("a", START_MS)]);
    scene.await_titles(["count a 1"]);
    eventually("what is wrong in the log", || {
        host.log().contains("do not say where they are from").then_some(())
    });
}
