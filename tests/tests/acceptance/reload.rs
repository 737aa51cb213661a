//! Rules change while records flow.

use std::collections::BTreeMap;
use std::time::Duration;

use firebell_tests::guests::guest;
use firebell_tests::kafka::Kafka;
use firebell_tests::load::Load;
use firebell_tests::scene::{Scene, counted, message};
use firebell_tests::site::Host;
use firebell_tests::{eventually, eventually_eq};

/// How often the rule changes under load.
const RELOADS: u32 = 20;

fn generation(host: &Host) -> u32 {
    host.metric("firebell_rule_set_generation", &[]) as u32
}

fn reloads(host: &Host, outcome: &str) -> f64 {
    host.metric("firebell_reloads_total", &[("outcome", outcome)])
}

/// What the outbox holds: each decision once, by its title; Slack's side would hide a second one.
fn decided(scene: &Scene) -> BTreeMap<String, usize> {
    let entries = scene.kafka.read(&scene.site.outbox());
    counted(entries.iter().map(|entry| {
        firebell::outbox::Entry::from_bytes(entry.value.as_deref().unwrap())
            .unwrap()
            .notification
            .title
    }))
}

#[test]
fn under_load_no_record_is_seen_by_no_version_or_by_two() {
    let scene = Scene::with_guest("reload", "v1");
    let rule = |version: &str| scene.rule("v1", &guest(version), "");
    let host = scene.site.start();
    let to = (&scene.kafka, scene.topic.as_str());
    let record = |number| message(&format!("{number:06}"));
    let written = Load::during(to, Duration::from_millis(2), record, |load| {
        for number in 0..RELOADS {
            let before = generation(&host);
            rule(if number % 2 == 0 { "v2" } else { "v1" });
            eventually("the next generation", || (generation(&host) > before).then_some(()));
            let seen = load.written();
            eventually("records under it", || (load.written() > seen + 20).then_some(()));
        }
    });
    scene.await_committed();
    let mut by_record: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (title, count) in decided(&scene) {
        let (version, number) = title.split_once(": ").unwrap();
        by_record.entry(number.to_owned()).or_default().extend(vec![version.to_owned(); count]);
    }
    let wrong: Vec<_> = by_record.iter().filter(|(_, versions)| versions.len() != 1).collect();
    assert!(wrong.is_empty(), "seen by two versions: {wrong:?}");
    assert_eq!(by_record.len(), written, "some were seen by none");
    let versions = counted(by_record.values().flatten());
    assert!(versions.len() == 2 && versions.values().all(|count| *count > 20), "{versions:?}");
}

#[test]
fn a_bad_file_keeps_the_old_version_and_lets_others_change() {
    let scene = Scene::with_guest("bad-file", "v1");
    scene.rule("other", &guest("v1"), "");
    let host = scene.site.start();
    scene.say(["one"]);
    scene.await_titles(["v1: one", "v1: one"]);

    let good = std::fs::read(guest("v2")).unwrap();
    for bad in [&good[..good.len() / 2], b"", b"not wasm at all"] {
        let before = reloads(&host, "rejected");
        scene.site.put("v1.wasm", bad);
        eventually("the rejection", || (reloads(&host, "rejected") > before).then_some(()));
    }
    scene.rule("other", &guest("v2"), "");
    eventually("the other's change", || {
        scene.say(["two"]);
        scene.titles().contains(&"v2: two".to_owned()).then_some(())
    });
    assert!(scene.titles().contains(&"v1: two".to_owned()));
    assert!(host.log().contains("v1.wasm"), "the log names the file");

    scene.site.put("v1.wasm", &good);
    eventually("the mended file", || {
        scene.say(["three"]);
        let titles = scene.titles();
        (titles.iter().filter(|title| *title == "v2: three").count() >= 2).then_some(())
    });
}

#[test]
fn a_bad_configuration_keeps_the_old_version_and_is_told_with_its_line() {
    let scene = Scene::with_guest("bad-toml", "v1");
    let host = scene.site.start();
    let toml = format!("topics = [{:?}]\nchanels = [\"general\"]\n", scene.topic);
    scene.site.put("v1.toml", toml.as_bytes());
    eventually("the rejection", || (reloads(&host, "rejected") > 0.0).then_some(()));
    let log = host.log();
    for word in ["v1.toml", "chanels", "channels"] {
        assert!(log.contains(word), "no `{word}` in:\n{log}");
    }
    scene.say(["one"]);
    scene.await_titles(["v1: one"]);
}

#[test]
fn rules_come_and_go_with_their_files() {
    let scene = Scene::new(Kafka::newest(), "come-and-go");
    // No rule, no topic: the host waits for the first.
    let host = scene.site.start();
    scene.rule("late", &guest("v1"), "");
    let active = [("rule", "late"), ("state", "active")];
    eventually_eq("an active rule", &1.0, || host.metric("firebell_rule_state", &active));
    scene.say(["one"]);
    scene.await_titles(["v1: one"]);

    let before = generation(&host);
    scene.site.remove("late.toml").remove("late.wasm");
    eventually("a generation without it", || {
        let gone = host.metric("firebell_rule_state", &active) == 0.0;
        (generation(&host) > before && gone).then_some(())
    });
    scene.rule("other", &guest("v2"), "");
    eventually("the other rule", || {
        scene.say(["two"]);
        scene.titles().contains(&"v2: two".to_owned()).then_some(())
    });
    assert!(!scene.titles().contains(&"v1: two".to_owned()));
}

#[test]
fn a_file_that_is_written_slowly_is_taken_up_when_it_is_whole() {
    use std::io::Write;
    let scene = Scene::with_guest("slowly", "v1");
    let host = scene.site.start();
    let bytes = std::fs::read(guest("v2")).unwrap();
    let mut file = std::fs::File::create(scene.site.rules().join("v1.wasm")).unwrap();
    for piece in bytes.chunks(bytes.len() / 10 + 1) {
        file.write_all(piece).unwrap();
        file.flush().unwrap();
        std::thread::sleep(Duration::from_millis(30));
    }
    drop(file);
    eventually("the new version", || {
        scene.say(["one"]);
        scene.titles().contains(&"v2: one".to_owned()).then_some(())
    });
    assert_eq!(host.metric("firebell_rule_state", &[("rule", "v1"), ("state", "active")]), 1.0);
}
