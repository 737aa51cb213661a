//! Alerts of a group are told in one message, which waits, follows them and ends, through kills.

use std::collections::BTreeSet;
use std::time::Duration;

use firebell::ledger::Entry as Note;
use firebell::notification::Kind;
use firebell::outbox::Entry;
use firebell_tests::kafka::Kafka;
use firebell_tests::outbox::{append, entry};
use firebell_tests::scene::Scene;
use firebell_tests::site::Site;
use firebell_tests::slack::Post;
use firebell_tests::{eventually, eventually_eq};

use crate::inhibition::{note_of, scene_under};

const POLICY: &str =
    "[route]\ngroup_by = [\"host\"]\ngroup_wait = \"4s\"\ngroup_interval = \"6s\"\n";

fn of(n: i64, host: &str, kind: Kind, key: &str) -> Entry {
    let mut entry = entry("disk", "general", n, kind, Some(key));
    entry.notification.labels = vec![("host".into(), host.into())];
    entry
}

fn decide(kafka: &Kafka, site: &Site, entries: &[Entry]) {
    append(kafka, site, entries);
}

/// What the ledger keeps of an alert that a group tells of.
fn member_of(scene: &Scene, entry: &Entry) -> Option<Note> {
    note_of(scene, &entry.alert).filter(|note| note.member.is_some())
}

/// Without the title of its worst alert: `2 firing: message 7 · host=a` is `2 firing: host=a`.
fn untitled(text: &str) -> String {
    let Some((head, rest)) = text.split_once(": message ") else { return text.to_owned() };
    rest.split_once(" · ")
        .map_or_else(|| head.to_owned(), |(_, labels)| format!("{head}: {labels}"))
}

fn texts(scene: &Scene) -> BTreeSet<String> {
    scene.slack.posts().into_iter().map(|post| untitled(&post.text)).collect()
}

fn replies(scene: &Scene) -> Vec<String> {
    scene.slack.replies().into_iter().map(|reply| untitled(&reply.text)).collect()
}

fn wanted(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_group_waits_is_told_once_follows_its_alerts_and_ends_through_kills() {
    let scene = scene_under("grouping", POLICY);
    let host = scene.site.start();
    let fired = [of(1, "a", Kind::Fire, "one"), of(2, "a", Kind::Fire, "two")];
    decide(&scene.kafka, &scene.site, &fired);
    decide(&scene.kafka, &scene.site, &[of(3, "b", Kind::Fire, "three")]);
    // Killed in its wait: the ledger has all of it.
    eventually("the group", || member_of(&scene, &of(3, "b", Kind::Fire, "three")));
    eventually("the group", || member_of(&scene, &fired[1]));
    host.kill();
    let host = scene.site.start();
    let both = wanted(&["🟡 2 firing: host=a", "🟡 1 firing: host=b"]);
    eventually_eq("the messages", &both, || texts(&scene));
    // Killed while its news wait.
    decide(&scene.kafka, &scene.site, &[of(4, "a", Kind::Fire, "four")]);
    decide(&scene.kafka, &scene.site, &[of(5, "a", Kind::Resolve, "one")]);
    eventually("the news", || member_of(&scene, &of(4, "a", Kind::Fire, "four")));
    host.kill();
    let host = scene.site.start();
    let news = wanted(&["🟡 2 firing, 1 resolved: host=a", "🟡 1 firing: host=b"]);
    eventually_eq("the messages", &news, || texts(&scene));
    eventually_eq("who is notified", &vec!["🟡 message 4".to_owned()], || replies(&scene));
    let edits = scene.slack.asked("chat.update");
    let posts = scene.slack.posts();
    let group: &Post = posts.iter().find(|post| post.text.contains("host=a")).unwrap();
    assert!(edits[0].duration_since(group.arrived) >= Duration::from_secs(5));
    // Killed at the end, as soon as the message says it.
    let ends = [(6, "two"), (7, "four")].map(|(n, key)| of(n, "a", Kind::Resolve, key));
    decide(&scene.kafka, &scene.site, &ends);
    let over = wanted(&["✅ all 3 resolved: host=a", "🟡 1 firing: host=b"]);
    eventually_eq("the end", &over, || texts(&scene));
    host.kill();
    let host = scene.site.start();
    let told = ["🟡 message 4", "✅ all 3 resolved: host=a"].map(str::to_owned).to_vec();
    eventually_eq("that it is over", &told, || replies(&scene));
    let closed = |note: Note| note.group?.closed_ms;
    let alert = group.alert.parse().unwrap();
    eventually("the end of the group", || note_of(&scene, &alert).and_then(closed));
    // Every alert says in which message it is told.
    for entry in fired.iter().chain(&ends) {
        let member = member_of(&scene, entry).unwrap().member.unwrap();
        assert_eq!((member.group.to_string(), member.is_news), (group.alert.clone(), false));
    }
    assert_eq!(scene.slack.count(), 2);
    assert_eq!(replies(&scene), told);
    assert!(scene.dead_letters().is_empty());
    assert!(host.terminate().success());
}
