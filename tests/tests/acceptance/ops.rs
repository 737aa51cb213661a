//! The host's own alerts, on a real Kafka.

use std::time::{Duration, Instant};

use firebell::demo::slack::Fault;
use firebell_tests::guests::guest;
use firebell_tests::kafka::Kafka;
use firebell_tests::receiver::Receiver;
use firebell_tests::scene::Scene;
use firebell_tests::site::quoted;
use firebell_tests::{eventually, eventually_eq};

/// What stands in the channel of the host's own alerts, as phones show it.
fn told(scene: &Scene) -> Vec<String> {
    let own = scene.slack.posts().into_iter().filter(|post| post.channel == "firebell-ops");
    own.map(|post| post.text.replace('\u{2060}', "")).collect()
}

#[test]
fn two_hosts_tell_once_of_a_bad_file_and_that_it_is_mended() {
    let mut scene = Scene::new(Kafka::newest(), "ops");
    scene.site.set("ops", "channel", &quoted("firebell-ops"));
    scene.rule("v1", &guest("v1"), "");
    let _hosts = ["one", "two"].map(|name| {
        let mut host = scene.site.spawn(name);
        host.await_ready();
        host
    });
    scene.site.put("v1.toml", b"topcs = []\n");
    let first = eventually("the alert", || told(&scene).into_iter().next());
    assert!(first.starts_with("🔴 firebell "), "{first}");
    assert!(first.contains("files of the rules folder are wrong"), "{first}");
    scene.site.put("v1.toml", scene.toml("").as_bytes());
    eventually("the end", || told(&scene)[0].starts_with('✅').then_some(()));
    // The same message, and no other.
    assert_eq!(told(&scene).len(), 1, "{:?}", told(&scene));
    scene.say(["a"]);
    eventually_eq("the rule", &true, || scene.titles().contains(&"v1: a".to_owned()));
}

/// The one message of the host's own that says so, if it stands as `mark` tells.
fn stands(scene: &Scene, mark: char, words: &str) -> Option<()> {
    let told: Vec<String> = told(scene).into_iter().filter(|text| text.contains(words)).collect();
    assert!(told.len() <= 1, "{told:?}");
    told.first().filter(|text| text.starts_with(mark)).map(|_| ())
}

#[test]
fn a_rule_that_is_quarantined_and_many_dead_letters_are_told_and_that_both_are_over() {
    let mut scene = Scene::new(Kafka::newest(), "ops-letters");
    scene.site.set("ops", "channel", &quoted("firebell-ops"));
    scene.site.set("ops", "dead_letters_per_minute", "5");
    scene.rule("trap", &guest("trap"), "[limits]\nquarantine_after = 3");
    let _host = scene.site.start();
    // Until the host has seen both: it counts from its first look on.
    let mut looks = 0;
    eventually("both alerts", || {
        if looks % 100 == 0 {
            scene.say((0..10).map(|number| format!("trap {number}")));
        }
        looks += 1;
        stands(&scene, '🔴', "rule trap is quarantined until its file changes")?;
        stands(&scene, '🔴', "more than 5 dead letters in a minute")
    });
    let last = Instant::now();
    let quarantine = scene.slack.posts().into_iter().find(|post| post.text.contains("quarantined"));
    let blocks = quarantine.unwrap().blocks;
    assert!(blocks.contains(&scene.topic), "it names the record: {blocks}");
    scene.rule("trap", &guest("v2"), "[limits]\nquarantine_after = 3");
    // Each is over when it was not seen for half a minute, the letters a minute after the last of them.
    eventually("the end of the quarantine", || stands(&scene, '✅', "rule trap is quarantined"));
    let is_past = || (last.elapsed() > Duration::from_secs(85)).then_some(());
    eventually("a minute and a half without letters", is_past);
    eventually("the end of the letters", || stands(&scene, '✅', "dead letters in a minute"));
}

#[test]
fn a_delivery_that_is_paused_is_told_by_another_way_and_that_it_goes_on() {
    let mut scene = Scene::with_guest("ops-paused", "v1");
    let receiver = Receiver::start();
    scene.site.set("webhooks.own", "url", &quoted(receiver.url()));
    scene.site.set("ops", "channel", &quoted("webhook:own"));
    let _host = scene.site.start();
    scene.say(["before"]);
    scene.await_titles(["v1: before"]);
    scene.slack.fail_at_random(1, 1_000, vec![Fault::OkFalse("invalid_auth")]);
    scene.say(["meanwhile"]);
    let told = |kind: &str| {
        let seen = receiver.seen().into_iter().map(|seen| seen.json());
        let mut of =
            seen.filter(|json| json["kind"] == kind && json.to_string().contains("is paused"));
        of.next()
    };
    let fired = eventually("the alert", || told("fire"));
    assert!(fired.to_string().contains("invalid_auth"), "{fired}");
    assert!(fired["severity"] == "critical", "{fired}");
    assert_eq!(scene.titles(), ["v1: before"]);
    scene.slack.fail_at_random(1, 0, vec![]);
    scene.await_titles(["v1: before", "v1: meanwhile"]);
    eventually("the end", || told("resolve"));
}

#[test]
fn a_canary_that_nobody_sends_is_told_and_that_it_arrives() {
    let mut scene = Scene::new(Kafka::newest(), "ops-canary");
    scene.site.set("ops", "channel", &quoted("firebell-ops"));
    let topic = quoted(&scene.topic);
    scene.site.set("ops.canary", "topic", &topic);
    scene.site.set("ops.canary", "interval_seconds", "5");
    let _delivers = scene.site.spawn_with("delivers", &["--only", "deliver"]);
    eventually("the alert", || {
        stands(&scene, '🚨', "the canary is missing: none arrived in 15 seconds")
    });
    let _evaluates = scene.site.spawn_with("evaluates", &["--only", "evaluate"]);
    eventually("its end", || stands(&scene, '✅', "the canary is missing"));
    eventually("the canary", || {
        told(&scene).iter().any(|text| text.ends_with(": canary")).then_some(())
    });
}
