//! A source inhibits its targets wherever both are: in other partitions, on other hosts, through kills.

use std::time::Instant;

use firebell::ledger::{Entry as Note, State};
use firebell::notification::{AlertId, Kind};
use firebell::outbox::{Entry, partition_of};
use firebell_tests::eventually;
use firebell_tests::kafka::Kafka;
use firebell_tests::outbox::{append, entry};
use firebell_tests::scene::Scene;
use firebell_tests::site::{Host, quoted};

const POLICY: &str = "[[inhibit_rules]]\nsource_matchers = ['rule = site-down']\n\
                      target_matchers = ['rule = host-down']\nequal = ['site']\n";

/// A scene with a policy, without rules.
pub(crate) fn scene_under(stem: &str, policy: &str) -> Scene {
    let mut scene = Scene::new(Kafka::newest(), stem);
    let path = scene.site.config_path("one").with_file_name("policy.toml");
    std::fs::write(&path, policy).unwrap();
    // Whoever is killed leaves its partitions soon.
    scene.site.set("kafka.properties", "\"session.timeout.ms\"", "\"6000\"");
    scene.site.set("delivery", "policy", &quoted(&path.display().to_string()));
    scene
}

fn of(rule: &str, channel: &str, n: i64, kind: Kind, key: Option<&str>) -> Entry {
    let mut entry = entry(rule, channel, n, kind, key);
    entry.notification.labels = vec![("site".into(), "b".into())];
    entry
}

/// What the ledger says of an alert now.
pub(crate) fn note_of(scene: &Scene, alert: &AlertId) -> Option<Note> {
    let records = scene.kafka.read(&scene.site.ledger());
    let mut notes = records.iter().filter_map(|one| Note::from_bytes(one.value.as_deref()?).ok());
    notes.rfind(|note| note.alert == *alert)
}

fn posts_to(host: &Host, channel: &str) -> f64 {
    let labels = [("channel", channel), ("outcome", "posted")];
    host.metric("firebell_slack_posts_total", &labels)
}

#[test]
fn a_source_on_another_host_inhibits_until_it_ends_and_through_a_kill() {
    let scene = scene_under("inhibition", POLICY);
    let hosts = ["one", "two"].map(|name| {
        let mut host = scene.site.spawn(name);
        host.await_ready();
        host
    });
    // Channels in partitions of different hosts.
    let channels: Vec<String> = (0..8).map(|n| format!("c{n}")).collect();
    let mut n = 0;
    let (source_in, target_in) = eventually("two hosts that tell", || {
        n += 1;
        let say = |channel: &String| of("probe", channel, n, Kind::Fire, None);
        append(&scene.kafka, &scene.site, &channels.iter().map(say).collect::<Vec<_>>());
        let told = |host: &Host| channels.iter().find(|name| posts_to(host, name) > 0.0).cloned();
        let found = (told(&hosts[0])?, told(&hosts[1])?);
        (found.0 != found.1).then_some(found)
    });
    assert_ne!(partition_of(&source_in, 4), partition_of(&target_in, 4));
    let source = |n, kind| of("site-down", &source_in, n, kind, Some("b"));
    let target = |n, kind, key: &str| of("host-down", &target_in, n, kind, Some(key));
    append(&scene.kafka, &scene.site, &[source(1_000, Kind::Fire)]);
    eventually("the source", || scene.titles().contains(&"message 1000".to_owned()).then_some(()));
    let inhibited = || -> f64 {
        let of =
            |host: &Host| host.metric("firebell_suppressed_total", &[("reason", "inhibition")]);
        hosts.iter().map(of).sum()
    };
    // The first one, unless the other host reads slowly.
    let mut tries = 2_000;
    let key = eventually("a target that is inhibited", || {
        tries += 1;
        let key = format!("host-{tries}");
        let fired = target(tries, Kind::Fire, &key);
        append(&scene.kafka, &scene.site, std::slice::from_ref(&fired));
        eventually("what becomes of it", || {
            let told = scene.titles().contains(&format!("message {tries}"));
            (told || inhibited() > 0.0).then_some(())
        });
        (inhibited() > 0.0).then_some(key)
    });
    eprintln!("{} targets were told before the source was known", tries - 2_001);
    let waits =
        eventually("what the ledger says", || note_of(&scene, &target(0, Kind::Fire, &key).alert));
    let by = format!("inhibited by alert {}", source(0, Kind::Fire).alert);
    assert_eq!((waits.state, waits.why), (State::Suppressed, Some(by)));
    // Whoever has the target's partition next knows the same.
    let [one, two] = hosts;
    two.kill();
    let mut two = scene.site.spawn("two");
    two.await_ready();
    append(&scene.kafka, &scene.site, &[target(3_000, Kind::Update, &key)]);
    append(&scene.kafka, &scene.site, &[of("probe", &target_in, 3_001, Kind::Fire, None)]);
    eventually("another alert of the channel", || {
        scene.titles().contains(&"message 3001".to_owned()).then_some(())
    });
    assert!(!scene.titles().contains(&"message 3000".to_owned()));
    let begin = Instant::now();
    append(&scene.kafka, &scene.site, &[source(4_000, Kind::Resolve)]);
    eventually("the target", || scene.titles().contains(&"message 3000".to_owned()).then_some(()));
    eprintln!("told {:?} after the source's end was decided", begin.elapsed());
    let note = note_of(&scene, &waits.alert).unwrap();
    assert!(note.state == State::Open || note.state == State::Suppressed);
    let told = scene.slack.posts().into_iter().filter(|post| post.alert == waits.alert.to_string());
    assert_eq!(told.count(), 1);
    assert!(one.terminate().success() && two.terminate().success());
}
