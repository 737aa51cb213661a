//! Routes and silences, on a real Kafka.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use firebell::outbox::Entry;
use firebell_tests::eventually;
use firebell_tests::eventually_eq;
use firebell_tests::guests::guest;
use firebell_tests::kafka::Kafka;
use firebell_tests::scene::Scene;
use firebell_tests::site::{Host, quoted};
use serde_json::Value;

/// A policy that leads the rule's alerts there.
fn policy(channels: &str) -> String {
    format!(
        "[[route.routes]]\nmatchers = ['rule = \"v1\"']\nreceiver = \"all\"\n\
         [receivers.all]\nchannels = [{channels}]\n"
    )
}

/// A scene with a policy in the rule's alerts' way, and the policy's file.
fn scene(stem: &str, channels: &str) -> (Scene, std::path::PathBuf) {
    let mut scene = Scene::with_guest(stem, "v1");
    let path = scene.site.config_path("one").with_file_name("policy.toml");
    std::fs::write(&path, policy(channels)).unwrap();
    scene.site.set("delivery", "policy", &quoted(&path.display().to_string()));
    (scene, path)
}

/// Title and channel of everything in the outbox.
fn decided(scene: &Scene) -> BTreeSet<(String, String)> {
    let entries = scene.kafka.read(&scene.site.outbox());
    let entries = entries.iter().map(|entry| Entry::from_bytes(entry.value.as_deref().unwrap()));
    entries.map(|entry| entry.unwrap()).map(|e| (e.notification.title, e.channel)).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    pairs.iter().map(|(title, channel)| ((*title).to_owned(), (*channel).to_owned())).collect()
}

/// Puts a file there whole: one that is half written would be refused, and counted.
fn put(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, path).unwrap();
}

fn reloads(host: &Host, outcome: &str) -> f64 {
    host.metric("firebell_policy_reloads_total", &[("outcome", outcome)])
}

#[test]
fn routes_lead_to_two_channels_and_change_while_the_host_runs() {
    let (scene, path) = scene("policy", "\"general\", \"firebell-ops\"");
    let host = scene.site.start();
    scene.say(["a"]);
    let two = pairs(&[("v1: a", "general"), ("v1: a", "firebell-ops")]);
    eventually_eq("two channels", &two, || decided(&scene));
    scene.await_titles(["v1: a", "v1: a"]);
    put(&path, &policy("\"firebell-ops\""));
    eventually("the new policy", || (reloads(&host, "swapped") == 1.0).then_some(()));
    scene.say(["b"]);
    let one = pairs(&[("v1: b", "firebell-ops")]);
    let of_b = || decided(&scene).into_iter().filter(|(title, _)| title == "v1: b").collect();
    eventually_eq("one channel", &one, of_b);
    put(&path, &policy(""));
    eventually("the refusal", || (reloads(&host, "rejected") == 1.0).then_some(()));
    // A bad policy changes nothing.
    eventually("readiness", || (host.get("/readyz")?.0 == 200).then_some(()));
    let (_, page) = host.get("/api/status").unwrap();
    assert!(page.contains("receivers.all.channels: leads to nobody"), "{page}");
    scene.say(["c"]);
    scene.await_titles(["v1: a", "v1: a", "v1: b", "v1: c"]);
    assert!(decided(&scene).contains(&("v1: c".to_owned(), "firebell-ops".to_owned())));
}

/// The messages that stand, each with its channel.
fn standing(scene: &Scene) -> BTreeSet<(String, String)> {
    scene.slack.posts().into_iter().map(|post| (post.text, post.channel)).collect()
}

#[test]
fn an_end_is_told_where_its_alert_is_open_whatever_leads_elsewhere_by_then() {
    let mut scene = Scene::new(Kafka::newest(), "ends");
    let path = scene.site.config_path("one").with_file_name("policy.toml");
    let no_policy = "[route]\n";
    std::fs::write(&path, no_policy).unwrap();
    scene.site.set("delivery", "policy", &quoted(&path.display().to_string()));
    let lead = |channel| {
        scene.rule("graded", &guest("graded"), &format!("channels = [{}]", quoted(channel)));
    };
    lead("general");
    let host = scene.site.start();
    scene.say(["opens door", "opens gate"]);
    scene.await_titles(["door", "gate"]);
    // The rule leads elsewhere.
    let generation = || host.metric("firebell_rule_set_generation", &[]);
    let before = generation();
    lead("firebell-ops");
    eventually("the rule's next version", || (generation() > before).then_some(()));
    scene.say(["ends door"]);
    let wanted = pairs(&[("✅ door", "general"), ("🟡 gate", "general")]);
    eventually_eq("the end of the first", &wanted, || standing(&scene));
    // So does the policy, and another host ends it.
    put(&path, "[route]\nreceiver = \"all\"\n[receivers.all]\nchannels = [\"elsewhere\"]\n");
    eventually("the new policy", || (reloads(&host, "swapped") == 1.0).then_some(()));
    assert!(host.terminate().success());
    let host = scene.site.start();
    scene.say(["ends gate", "opens door"]);
    let wanted = pairs(&[("✅ door", "general"), ("✅ gate", "general"), ("🟡 door", "elsewhere")]);
    eventually_eq("the end of the second", &wanted, || standing(&scene));
    let posted = || host.metric("firebell_slack_posts_total", &[("outcome", "posted")]);
    eventually_eq("the posts of the second host", &1.0, posted);
}

#[test]
fn a_silence_of_the_command_is_seen_by_two_hosts_within_a_second() {
    let scene = Scene::with_guest("silence", "v1");
    let hosts = ["one", "two"].map(|name| {
        let mut host = scene.site.spawn(name);
        host.await_ready();
        host
    });
    let command = |arguments: &[&str]| {
        let mut command = scene.site.command();
        command.arg("silence").args(arguments).args(["--output", "json", "--config"]);
        let output = command.arg(scene.site.config_path("one")).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let states = |host: &Host| {
        let (_, body) = host.get("/api/silences").unwrap();
        let all: Vec<Value> = serde_json::from_str(&body).unwrap();
        let state = |one: &Value| one["status"]["state"].as_str().unwrap().to_owned();
        all.iter().map(state).collect::<Vec<_>>()
    };
    let within_a_second = |wanted: &[&str]| {
        let begin = Instant::now();
        for host in &hosts {
            while states(host) != wanted {
                assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", states(host));
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        eprintln!("{wanted:?} seen by two hosts after {:?}", begin.elapsed());
    };
    let add = ["add", "rule = v1", "--for", "2h", "--comment", "test", "--author", "ana"];
    let (added, told, error) = command(&add);
    assert!(added, "{error}");
    within_a_second(&["active"]);
    let id = serde_json::from_str::<Value>(&told).unwrap()["id"].as_str().unwrap().to_owned();
    scene.say(["quiet"]);
    eventually("the silenced event", || {
        let suppressed =
            |host: &Host| host.metric("firebell_slack_posts_total", &[("outcome", "suppressed")]);
        (hosts.iter().map(suppressed).sum::<f64>() == 1.0).then_some(())
    });
    assert_eq!(scene.slack.count(), 0);
    assert!(command(&["expire", &id]).0);
    within_a_second(&["expired"]);
    // With no host that runs.
    drop(hosts);
    assert_eq!(command(&["list"]).1.trim(), "[]");
    let (_, listed, _) = command(&["list", "--expired"]);
    assert!(listed.contains(&id), "{listed}");
    let (ended, _, error) = command(&["expire", &id]);
    assert!(!ended && error.contains("has ended already"), "{error}");
    let past = ["add", "rule = v1", "--until", "2001-01-01", "--comment", "c", "--author", "ana"];
    let (added, _, error) = command(&past);
    assert!(!added && error.contains("ends before it begins"), "{error}");
}
