//! Bad records, topics, answers and settings: each is told clearly, and nothing else suffers.

use std::process::Output;

use firebell_tests::guests::{guest, shipped};
use firebell_tests::kafka::{Kafka, Outgoing};
use firebell_tests::records::SEED_MS;
use firebell_tests::scene::{Scene, message};
use firebell_tests::site::{Site, TOKEN};
use firebell_tests::{eventually, eventually_eq, unique};
use serde_json::json;

#[test]
fn what_is_not_json_goes_whole_to_the_dead_letters() {
    let scene = Scene::with_guest("not-json", "v1");
    let host = scene.site.start();
    let bad = Outgoing::value("{\"message\": \"half")
        .key("the key")
        .timestamp_ms(SEED_MS)
        .partition(2)
        .header("trace", "abc");
    scene.kafka.produce(&scene.topic, [bad.clone(), message("good")]);
    scene.await_titles(["v1: good"]);
    let letter = scene.await_dead_letters(1).remove(0);
    assert_eq!((letter.key.clone(), letter.value.clone()), (bad.key, bad.value));
    assert_eq!(letter.header("x-firebell-timestamp-ms"), SEED_MS.to_string());
    for (name, value) in [
        ("trace", "abc"),
        ("__connect.errors.topic", scene.topic.as_str()),
        ("__connect.errors.partition", "2"),
        ("__connect.errors.offset", "0"),
        ("__connect.errors.connector.name", scene.site.group()),
        ("__connect.errors.stage", "decode"),
    ] {
        assert_eq!(letter.header(name), value, "{name}");
    }
    assert!(!letter.headers.contains_key("x-firebell-rule"), "no rule is to blame");
    scene.await_committed();
    let topic = [("topic", scene.topic.as_str())];
    eventually_eq("undecodable", &1.0, || {
        host.metric("firebell_undecodable_records_total", &topic)
    });
}

#[test]
fn null_values_missing_fields_and_other_types_are_no_errors() {
    let scene = Scene::new(Kafka::newest(), "odd");
    scene.rule("invalid-user", &shipped("invalid-user"), "[config]\nhost = \"rpi-03\"");
    let _host = scene.site.start();
    let tombstone = Outgoing { key: Some(b"k".to_vec()), ..Outgoing::default() };
    let values = [
        json!({}),
        json!([]),
        json!(null),
        json!(7),
        json!("Invalid user on rpi-03"),
        json!({ "host": "rpi-03" }),
        json!({ "message": "Invalid user x" }),
        json!({ "host": 3, "message": "Invalid user x" }),
        json!({ "host": "rpi-03", "message": ["Invalid user x"] }),
        json!({ "host": "rpi-03", "message": null }),
        json!({ "host": { "name": "rpi-03" }, "message": { "text": "Invalid user x" } }),
    ];
    let records = values.iter().map(|value| Outgoing::value(value.to_string()));
    let good = json!({ "host": "rpi-03", "message": "Invalid user good", "date": "yesterday" });
    let good = Outgoing::value(good.to_string()).timestamp_ms(SEED_MS);
    scene.kafka.produce(&scene.topic, records.chain([tombstone, good]));
    scene.await_titles(["2018-03-04 15:14:24 👽 rpi-03 Invalid user good 👽"]);
    scene.await_committed();
    assert_eq!(scene.dead_letters().len(), 0);
}

#[test]
fn invalid_utf_8_is_shown_as_such_and_breaks_nothing() {
    let scene = Scene::with_guest("utf-8", "v1");
    let _host = scene.site.start();
    let bad = b"{\"host\":\"h\",\"message\":\"caf\xff\xfe good\"}".to_vec();
    scene.kafka.produce(&scene.topic, [Outgoing::value(bad), message("next")]);
    scene.await_titles(["v1: caf\u{fffd}\u{fffd} good", "v1: next"]);
}

#[test]
fn ten_megabytes_are_a_record_like_any_other() {
    let mut scene = Scene::new(Kafka::newest(), "small");
    scene.topic = unique("ten-megabytes");
    scene.kafka.create_topic(&scene.topic, 1, &[("max.message.bytes", "16000000")]);
    scene.rule("v1", &guest("v1"), "[limits]\nfuel_per_record = 1_000_000_000");
    let _host = scene.site.start();
    let padding = "x".repeat(10 << 20);
    let elsewhere = json!({ "message": "big elsewhere", "padding": padding }).to_string();
    let records = [
        Outgoing::value(elsewhere),
        // More than the rule may return.
        Outgoing::value(json!({ "message": padding }).to_string()),
        // Nobody can read it, and it does not fit into the dead-letter topic either.
        Outgoing::value(padding),
        message("next"),
    ];
    scene.kafka.produce(&scene.topic, records);
    scene.await_titles(["v1: big elsewhere", "v1: next"]);
    let letters = scene.await_dead_letters(2);
    let mut about: Vec<_> = letters
        .iter()
        .map(|letter| {
            (letter.header("__connect.errors.offset"), letter.header("x-firebell-reason"))
        })
        .collect();
    about.sort_unstable();
    assert_eq!(about[0], ("1", "output_limit"));
    assert_eq!(about[1].0, "2");
    scene.await_committed();
}

#[test]
fn a_topic_that_disappears_stops_only_itself_and_may_come_back() {
    let scene = Scene::with_guest("stays", "v1");
    let gone = unique("goes");
    scene.kafka.create_topic(&gone, 2, &[]);
    let toml = format!("topics = [{gone:?}]\nstale_after = \"off\"\n");
    scene.site.rule("v2", &guest("v2"), &toml);
    let mut host = scene.site.start();
    scene.kafka.produce(&gone, ["first", "again"].map(|text| message(text).partition(0)));
    scene.say(["one"]);
    scene.await_titles(["v1: one", "v2: again", "v2: first"]);
    scene.await_committed();

    scene.kafka.delete_topic(&gone);
    eventually("the topic to be gone", || scene.kafka.partitions(&gone).is_none().then_some(()));
    scene.say(["two"]);
    scene.await_titles(["v1: one", "v1: two", "v2: again", "v2: first"]);

    let added = || host.log().matches("partition added").count();
    let before = added();
    scene.kafka.create_topic(&gone, 2, &[]);
    eventually("a host that saw the new topic", || {
        (host.log().contains("the topic was made anew") || added() > before).then_some(())
    });
    // At the first one's partition and offset, and another record all the same.
    scene.kafka.produce(&gone, [message("second").partition(0)]);
    scene.say(["three"]);
    let all = ["v1: one", "v1: two", "v1: three", "v2: again", "v2: first", "v2: second"];
    scene.await_titles(all);
    host.await_ready();
}

#[test]
fn a_rule_for_a_topic_that_does_not_exist_yet_waits_for_it() {
    let scene = Scene::with_guest("there", "v1");
    let later = unique("later");
    let toml = format!("topics = [{later:?}]\nstale_after = \"off\"\n");
    scene.site.rule("v2", &guest("v2"), &toml);
    let _host = scene.site.start();
    scene.say(["one"]);
    scene.await_titles(["v1: one"]);
    scene.kafka.create_topic(&later, 2, &[]);
    scene.kafka.produce(&later, [message("first")]);
    scene.await_titles(["v1: one", "v2: first"]);
}

#[test]
fn answers_of_slack_that_are_not_json_are_tried_again_and_posted_once() {
    let scene = Scene::with_guest("slack-not-json", "v1");
    scene.slack.answer_not_json(3);
    let host = scene.site.start();
    scene.say(["one", "two"]);
    scene.await_titles(["v1: one", "v1: two"]);
    assert!(host.metric("firebell_slack_errors_total", &[]) >= 1.0);
}

/// Runs `firebell run` on a site that can't work, and returns what it said.
fn fails(site: &Site, toml: &str, token: Option<&str>) -> Output {
    let path = site.rules().parent().unwrap().join("bad.toml");
    std::fs::write(&path, toml).unwrap();
    let mut command = site.command();
    command.arg("run").arg("-c").arg(path).env_remove(TOKEN.0);
    if let Some(token) = token {
        command.env(TOKEN.0, token);
    }
    command.output().unwrap()
}

#[test]
fn a_bad_configuration_is_told_at_once_with_file_place_and_cure() {
    let kafka = Kafka::newest();
    let site = Site::new(kafka, "http://127.0.0.1:9/");
    let rules = site.rules().display().to_string();
    let toml = |kafka_line: &str, rules: &str| {
        format!(
            "[kafka]\ninstance_id = \"one\"\nbootstrap_servers = {:?}\n{kafka_line}\n[rules]\ndir = {rules:?}\n[slack]\n\
             token_env = {:?}\ndefault_channel = \"general\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
            kafka.bootstrap(),
            TOKEN.0
        )
    };
    let token = Some(TOKEN.1);
    for (text, token, words) in [
        (toml("grup_id = \"x\"", &rules), token, ["grup_id", "group_id"].as_slice()),
        (toml("group_id = \"x\"\nworkers = \"two\"", &rules), token, &["workers", "whole number"]),
        (toml("group_id = \"x\"", &rules), None, &[TOKEN.0]),
        ("[kafka\n".to_owned(), token, &["TOML"]),
    ] {
        let out = fails(&site, &text, token);
        let said = String::from_utf8_lossy(&out.stderr) + String::from_utf8_lossy(&out.stdout);
        assert_eq!(out.status.code(), Some(2), "{text}\n{said}");
        for word in words.iter().chain(&["bad.toml"]) {
            assert!(said.contains(word), "no `{word}` in {said}");
        }
        assert!(!said.contains(TOKEN.1), "the token is shown: {said}");
    }
    let out = fails(&site, &toml("group_id = \"x\"", "/nowhere/at/all"), token);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && said.contains("/nowhere/at/all"), "{said}");
}

#[test]
fn a_topic_of_ours_that_does_not_fit_is_told_with_its_cure() {
    let scene = Scene::with_guest("misfit", "v1");
    // The ledger must be compacted.
    scene.kafka.create_topic(&scene.site.ledger(), 1, &[("cleanup.policy", "delete")]);
    let mut host = scene.site.spawn("one");
    let status = host.await_end();
    assert!(!status.success());
    let log = host.log();
    for word in [scene.site.ledger().as_str(), "cleanup.policy", "compact"] {
        assert!(log.contains(word), "no `{word}` in {log}");
    }
}
