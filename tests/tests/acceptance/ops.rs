//! The host's own alerts, on a real Kafka.

use firebell_tests::guests::guest;
use firebell_tests::kafka::Kafka;
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
