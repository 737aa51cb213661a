//! A new version of a rule takes the state of the one before it, or is not taken.

use std::collections::BTreeMap;
use std::time::Duration;

use firebell_tests::eventually;
use firebell_tests::guests::guest;
use firebell_tests::kafka::Kafka;
use firebell_tests::load::Load;
use firebell_tests::scene::Scene;
use firebell_tests::site::Host;

use super::{START_MS, seen};

/// How often the rules change under load.
const RELOADS: u32 = 12;

fn generation(host: &Host) -> f64 {
    host.metric("firebell_rule_set_generation", &[])
}

/// Changes files of the rules folder and waits for what comes of it.
fn next_generation(host: &Host, change: impl FnOnce()) {
    let before = generation(host);
    change();
    eventually("the next generation", || (generation(host) > before).then_some(()));
}

fn reloads(host: &Host, outcome: &str) -> f64 {
    host.metric("firebell_reloads_total", &[("outcome", outcome)])
}

/// Says something of `a` and waits for the answer, beside all that came before.
fn answered(scene: &Scene, posted: &mut Vec<String>, title: &str) {
    scene.kafka.produce(&scene.topic, [seen("a", START_MS)]);
    posted.push(title.to_owned());
    scene.await_titles(posted.clone());
}

#[test]
fn reloads_under_load_keep_every_count() {
    let scene = Scene::new(Kafka::newest(), "reload");
    let write = |number: u32| {
        scene.rule("kv", &guest("kv"), &format!("# {number}"));
        let config = format!("[config]\nthreshold = 300.0\ngrace_ms = {number}");
        scene.rule("counter", &guest("counter"), &config);
    };
    write(0);
    let host = scene.site.start();
    let to = (&scene.kafka, scene.topic.as_str());
    let record = |_| seen("a", START_MS);
    let written = Load::during(to, Duration::from_millis(5), record, |load| {
        for number in 1..=RELOADS {
            next_generation(&host, || {
                write(number);
            });
        }
        eventually("as many as the window is to count", || (load.written() >= 300).then_some(()));
    });
    let seen = (1..=written).map(|count| format!("a seen {count}"));
    scene.await_titles(seen.chain(["count a 300".into()]));
    assert_eq!(scene.dead_letters().len(), 0);
}

#[test]
fn a_window_that_is_another_one_begins_anew_and_that_is_told() {
    let scene = Scene::new(Kafka::newest(), "redefined");
    let config = |window_ms: u32| format!("[config]\nthreshold = 3.0\nwindow_ms = {window_ms}");
    scene.rule("counter", &guest("counter"), &config(60_000));
    let host = scene.site.start();
    scene.kafka.produce(&scene.topic, [seen("a", START_MS), seen("a", START_MS)]);
    scene.await_committed();
    eventually("both counted", || {
        let matched = ("rule", "counter");
        // Once in their topic, once on their way.
        (host.metric("firebell_rule_calls_total", &[matched]) >= 1.0).then_some(())
    });
    next_generation(&host, || {
        scene.rule("counter", &guest("counter"), &config(30_000));
    });
    scene.kafka.produce(&scene.topic, [seen("a", START_MS), seen("a", START_MS)]);
    eventually("what was dropped in the log", || {
        host.log().contains("what was in it is dropped").then_some(())
    });
    assert_eq!(scene.titles(), [""; 0]);
    scene.kafka.produce(&scene.topic, [seen("a", START_MS)]);
    scene.await_titles(["count a 3"]);
}

#[test]
fn a_new_version_of_the_state_is_handed_what_was_kept() {
    let scene = Scene::new(Kafka::newest(), "migrates");
    scene.rule("migrates", &guest("migrates-v1"), "");
    let host = scene.site.start();
    let posted = &mut vec![];
    answered(&scene, posted, "v1 a 1");
    answered(&scene, posted, "v1 a 2");
    next_generation(&host, || {
        scene.rule("migrates", &guest("migrates-v2"), "");
    });
    answered(&scene, posted, "v2 a 3");
    assert!(host.terminate().success());
    let host = scene.site.start();
    answered(&scene, posted, "v2 a 4");
    assert_eq!(reloads(&host, "rolled_back"), 0.0);
    assert_eq!(scene.dead_letters().len(), 0);
}

#[test]
fn a_new_version_that_was_put_there_meanwhile_is_handed_what_was_kept() {
    let scene = Scene::new(Kafka::newest(), "meanwhile");
    scene.rule("migrates", &guest("migrates-v1"), "");
    let host = scene.site.start();
    let posted = &mut vec![];
    answered(&scene, posted, "v1 a 1");
    scene.await_committed();
    host.kill();
    scene.rule("migrates", &guest("migrates-v2"), "");
    let _host = scene.site.start();
    answered(&scene, posted, "v2 a 2");
}

#[test]
fn a_version_that_refuses_the_state_is_not_taken_until_it_is_mended() {
    let scene = Scene::new(Kafka::newest(), "refuses");
    scene.rule("migrates", &guest("migrates-v1"), "");
    scene.rule("other", &guest("v1"), "");
    let host = scene.site.start();
    let posted = &mut vec!["v1: of a".to_owned()];
    answered(&scene, posted, "v1 a 1");
    // What it is to refuse by comes first: without it the new version takes what was kept.
    next_generation(&host, || {
        scene.site.put("migrates.toml", scene.toml("[config]\nrefuse = true").as_bytes());
    });
    scene.rule("migrates", &guest("migrates-v2"), "[config]\nrefuse = true");
    eventually("the roll back", || (reloads(&host, "rolled_back") >= 1.0).then_some(()));
    posted.push("v1: of a".into());
    answered(&scene, posted, "v1 a 2");
    let log = host.log();
    for words in ["rolled back", "migrates", "version 1 can't be read"] {
        assert!(log.contains(words), "no `{words}` in {log}");
    }
    assert_eq!(reloads(&host, "rolled_back"), 1.0);

    // Others change meanwhile.
    next_generation(&host, || scene.rule("other", &guest("v2"), ""));
    eventually("the other's change", || {
        host.log().contains("rule changed rule=other").then_some(())
    });
    posted.push("v2: of a".into());
    answered(&scene, posted, "v1 a 3");

    next_generation(&host, || {
        scene.rule("migrates", &guest("migrates-v2"), "[config]\nrefuse = false");
    });
    posted.push("v2: of a".into());
    answered(&scene, posted, "v2 a 4");
    assert_eq!(scene.dead_letters().len(), 0);
}

#[test]
fn two_versions_that_are_refused_one_after_the_other_hold_nothing_back() {
    let scene = Scene::new(Kafka::newest(), "refused-twice");
    let toml = |mark: &str| scene.toml(&format!("[config]\nrefuse = true\n# {mark}"));
    scene.rule("migrates", &guest("migrates-v1"), "");
    scene.site.put("migrates.toml", toml("first").as_bytes());
    scene.rule("other", &guest("v1"), "");
    let host = scene.site.start();
    await_both_workers(&host);
    let posted = &mut vec!["v1: of a".to_owned()];
    answered(&scene, posted, "v1 a 1");
    next_generation(&host, || {
        scene.site.put("migrates.wasm", &std::fs::read(guest("migrates-v2")).unwrap());
    });
    // The second is there before anybody has heard of the first one's refusal, or right behind it.
    scene.site.put("migrates.toml", toml("second").as_bytes());
    eventually("the roll back of the second", || {
        let log = host.log();
        log.contains("rule is rolled back to its last version").then_some(())
    });
    scene.rule("other", &guest("v2"), "");
    eventually("the other's change", || {
        host.log().contains("rule other changes its version at").then_some(())
    });
    posted.push("v2: of a".into());
    answered(&scene, posted, "v1 a 2");
    assert_eq!(scene.dead_letters().len(), 0);
}

/// A host in each partition of the topic, so that every worker keeps something.
const EVERYWHERE: [&str; 4] = ["a", "b", "c", "d"];

/// Says something of a host in each partition.
fn say_everywhere(scene: &Scene) {
    let records = EVERYWHERE.iter().zip(0..);
    let records = records.map(|(host, partition)| seen(host, START_MS).partition(partition));
    scene.kafka.produce(&scene.topic, records);
}

/// What is told of all of them.
fn told_everywhere(of_host: impl FnMut(&'static str) -> String) -> impl Iterator<Item = String> {
    EVERYWHERE.into_iter().map(of_host)
}

/// Waits until both workers have partitions: none moves any more.
fn await_both_workers(host: &Host) {
    eventually("partitions of both workers", || {
        let log = host.log();
        let has_some = |worker| log.contains(&format!("partition added worker={worker}"));
        (has_some(0) && has_some(1)).then_some(())
    });
}

/// Waits until a rule has changed its version in all partitions for this many times.
fn await_changes(host: &Host, rule: &str, times: usize) {
    let change = format!("rule {rule} changes its version at ");
    eventually("the change in all partitions", || {
        (host.log().matches(&change).count() >= times * EVERYWHERE.len()).then_some(())
    });
}

#[test]
fn a_version_that_one_worker_refuses_is_taken_by_none() {
    let scene = Scene::new(Kafka::newest(), "refused-by-one");
    scene.rule("migrates", &guest("migrates-v1"), "");
    scene.rule("other", &guest("v1"), "");
    let host = scene.site.start();
    await_both_workers(&host);
    next_generation(&host, || {
        scene.site.put("migrates.toml", scene.toml("[config]\nrefuse_host = \"d\"").as_bytes());
    });
    await_changes(&host, "migrates", 1);
    say_everywhere(&scene);
    let to = (&scene.kafka, scene.topic.as_str());
    let record = |number| {
        let partition = number % 4;
        seen(EVERYWHERE[partition], START_MS).partition(partition as i32)
    };
    // Who took it would work with it meanwhile.
    let written = Load::during(to, Duration::from_millis(20), record, |_| {
        scene.rule("migrates", &guest("migrates-v2"), "[config]\nrefuse_host = \"d\"");
        eventually("the roll back", || (reloads(&host, "rolled_back") >= 1.0).then_some(()));
    });
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut next = |host| {
        let count = counts.entry(host).or_default();
        *count += 1;
        *count
    };
    let hosts = EVERYWHERE.into_iter().chain((0..written).map(|number| EVERYWHERE[number % 4]));
    let told = |host| [format!("v1 {host} {}", next(host)), format!("v1: of {host}")];
    let mut posted: Vec<String> = hosts.flat_map(told).collect();
    scene.await_titles(posted.clone());

    // Others change meanwhile, in all of them.
    scene.rule("other", &guest("v2"), "");
    await_changes(&host, "other", 1);
    say_everywhere(&scene);
    posted.extend(told_everywhere(|host| format!("v1 {host} {}", next(host))));
    posted.extend(told_everywhere(|host| format!("v2: of {host}")));
    scene.await_titles(posted.clone());
    assert_eq!(reloads(&host, "rolled_back"), 1.0);

    scene.rule("migrates", &guest("migrates-v2"), "");
    await_changes(&host, "migrates", 2);
    say_everywhere(&scene);
    posted.extend(told_everywhere(|host| format!("v2 {host} {}", next(host))));
    posted.extend(told_everywhere(|host| format!("v2: of {host}")));
    scene.await_titles(posted);
    assert_eq!(scene.dead_letters().len(), 0);
}

#[test]
fn a_version_that_fails_on_its_first_records_gives_back_what_was_handed_to_it() {
    let scene = Scene::new(Kafka::newest(), "gives-back");
    scene.rule("migrates", &guest("migrates-v1"), "");
    let host = scene.site.start();
    await_both_workers(&host);
    say_everywhere(&scene);
    let mut posted: Vec<String> = told_everywhere(|host| format!("v1 {host} 1")).collect();
    scene.await_titles(posted.clone());
    next_generation(&host, || {
        scene.site.put("migrates.toml", scene.toml("[config]\ntrap = true").as_bytes());
    });
    await_changes(&host, "migrates", 1);
    scene.rule("migrates", &guest("migrates-v2"), "[config]\ntrap = true");
    await_changes(&host, "migrates", 2);
    scene.kafka.produce(&scene.topic, (0..3).map(|_| seen("a", START_MS).partition(0)));
    eventually("the roll back", || (reloads(&host, "rolled_back") >= 1.0).then_some(()));
    await_changes(&host, "migrates", 3);
    say_everywhere(&scene);
    posted.extend(told_everywhere(|host| format!("v1 {host} 2")));
    scene.await_titles(posted.clone());
    scene.await_committed();
    assert!(host.terminate().success());

    // So it is in the changelog.
    scene.rule("migrates", &guest("migrates-v1"), "");
    let _host = scene.site.start();
    say_everywhere(&scene);
    posted.extend(told_everywhere(|host| format!("v1 {host} 3")));
    scene.await_titles(posted);
    scene.await_dead_letters(3);
}

#[test]
fn without_a_version_to_go_back_to_the_records_are_kept_as_dead_letters() {
    let scene = Scene::new(Kafka::newest(), "no-way-back");
    scene.rule("migrates", &guest("migrates-v1"), "");
    let host = scene.site.start();
    let posted = &mut vec![];
    answered(&scene, posted, "v1 a 1");
    scene.await_committed();
    host.kill();
    scene.rule("migrates", &guest("migrates-v2"), "[config]\nrefuse = true");
    scene.rule("other", &guest("v1"), "");
    let host = scene.site.start();
    answered(&scene, posted, "v1: of a");
    let letters = scene.await_dead_letters(1);
    assert_eq!(letters[0].header("x-firebell-reason"), "invalid_state");
    assert_eq!(letters[0].header("x-firebell-rule"), "migrates");
    let message = letters[0].header("__connect.errors.exception.message");
    assert!(message.contains("version 1 can't be read"), "{message}");
    next_generation(&host, || {
        scene.rule("migrates", &guest("migrates-v2"), "");
    });
    posted.push("v1: of a".into());
    answered(&scene, posted, "v2 a 2");
    scene.await_dead_letters(1);
}

#[test]
fn a_version_that_fails_on_its_first_records_is_rolled_back_by_itself() {
    let scene = Scene::with_guest("traps", "v1");
    let host = scene.site.start();
    // A rebalance would give up the transaction with the letters, and the version before reads the records.
    await_both_workers(&host);
    scene.say(["before"]);
    scene.await_titles(["v1: before"]);
    next_generation(&host, || {
        scene.rule("v1", &guest("trap"), "");
    });
    let mut said = 0;
    eventually("the version before it", || {
        scene.say([format!("trap {said}")]);
        said += 1;
        std::thread::sleep(Duration::from_millis(100));
        scene.titles().iter().any(|title| title.starts_with("v1: trap")).then_some(())
    });
    assert!(scene.dead_letters().len() >= 3);
    eventually("the roll back", || (reloads(&host, "rolled_back") == 1.0).then_some(()));
    let log = host.log();
    assert!(log.contains("it failed on its first records"), "{log}");
    // Each record was seen by one of them.
    scene.await_committed();
    let by_v1 = scene.titles().len() - 1;
    assert_eq!(by_v1 + scene.dead_letters().len(), said);

    // It is not tried again before it changes.
    scene.rule("v1", &guest("v2"), "");
    eventually("a mended version", || {
        scene.say(["mended"]);
        scene.titles().contains(&"v2: mended".to_owned()).then_some(())
    });
}
