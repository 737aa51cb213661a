//! The canary, on a real Kafka: from its record to its message, and what is seen when it does not arrive.

use firebell::demo::receiver::Say;
use firebell::demo::slack::Fault;
use firebell_tests::kafka::Kafka;
use firebell_tests::receiver::Receiver;
use firebell_tests::scene::Scene;
use firebell_tests::site::{Host, quoted};
use firebell_tests::slack::Post;
use firebell_tests::{eventually, eventually_eq};

const PING: (&str, &str) = ("FIREBELL_TEST_PING", "secret-of-the-ping");

/// What stands in the channel of the host's own alerts.
fn own(scene: &Scene) -> Vec<Post> {
    scene.slack.posts().into_iter().filter(|post| post.channel == "firebell-ops").collect()
}

fn edits(scene: &Scene) -> u32 {
    own(scene).first().map_or(0, |post| post.edits)
}

/// The age on the host that sees it.
fn age(hosts: &[Host]) -> f64 {
    let ages = hosts.iter().map(|host| host.metric("firebell_canary_age_seconds", &[]));
    ages.fold(f64::INFINITY, f64::min)
}

#[test]
fn a_canary_of_two_hosts_is_one_message_and_its_absence_is_seen() {
    let mut scene = Scene::new(Kafka::newest(), "canary");
    let pinged = Receiver::start();
    // The policy would send all that matches elsewhere; the canary goes past it.
    let policy = scene.site.config_path("one").with_file_name("policy.toml");
    let routes = "[route]\nreceiver = \"all\"\n[receivers.all]\nchannels = [\"other\"]\n";
    std::fs::write(&policy, routes).unwrap();
    scene.site.set("delivery", "policy", &quoted(&policy.display().to_string()));
    scene.site.set("ops", "channel", &quoted("firebell-ops"));
    let topic = quoted(&scene.topic);
    scene.site.set("ops.canary", "topic", &topic);
    scene.site.set("ops.canary", "interval_seconds", "5");
    scene.site.set("ops.canary", "ping_url_env", &quoted(PING.0));
    scene.site.set_variable(PING.0, &format!("{}/{}", pinged.url(), PING.1));
    // A rule with a condition on a field does not see it.
    let toml = scene.toml("component = \"builtin:invalid-user\"");
    scene.site.put("users.toml", toml.as_bytes());
    let hosts = ["one", "two"].map(|name| {
        let mut host = scene.site.spawn(name);
        host.await_ready();
        host
    });
    eventually("two changes of its message", || (edits(&scene) >= 2).then_some(()));
    let (shown, titles) = (own(&scene), scene.titles());
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].title.ends_with(": canary"), "{}", shown[0].title);
    assert!(shown[0].blocks.contains(" ms from record to message"), "{}", shown[0].blocks);
    assert_eq!(titles.len(), 1, "{titles:?}");
    scene.say(["Invalid user mini from 192.168.42.42"]);
    let others = || scene.slack.posts().into_iter().filter(|post| post.channel == "other").count();
    eventually_eq("the rule's alert", &1, others);
    eventually("pings", || (pinged.seen().len() >= 2).then_some(()));
    assert!(pinged.seen().iter().all(|seen| seen.path == format!("/{}", PING.1)));
    assert!(age(&hosts) < 60.0, "{}", age(&hosts));
    // Both send, and each moment counts once.
    let told = |host: &Host| host.metric("firebell_notifications_total", &[("rule", "$canary")]);
    let mut records = scene.kafka.read(&scene.topic);
    records.retain(|record| record.value.is_none());
    let by = |name: &str| {
        let instance = format!("\"instance\":{}", quoted(name));
        let sent = records.iter().map(|record| record.header("firebell-canary"));
        sent.filter(|header| header.contains(&instance)).count()
    };
    assert!(by("one") >= 2 && by("two") >= 1, "{} {}", by("one"), by("two"));
    let all: f64 = hosts.iter().map(told).sum();
    assert!(all < (by("one") + by("two")) as f64, "{all}");
    assert!(scene.dead_letters().is_empty());

    // Slack takes nothing: its age grows, and nobody is pinged.
    scene.slack.fail_at_random(1, 1_000, vec![Fault::StatusBeforeAccept(503)]);
    let failing = || hosts.iter().any(|host| host.metric("firebell_slack_errors_total", &[]) > 1.0);
    eventually("failures", || failing().then_some(()));
    let (so_far, stands) = (pinged.seen().len(), edits(&scene));
    eventually("that it is missed", || (age(&hosts) > 12.0).then_some(()));
    assert_eq!((pinged.seen().len(), edits(&scene)), (so_far, stands));
    let (_, page) = hosts[0].get("/api/status").unwrap();
    assert!(page.contains("canary_age_seconds"), "{page}");

    // All is well again, but for whoever is pinged.
    pinged.say([Say::Status(500)]);
    scene.slack.fail_at_random(1, 0, vec![]);
    eventually("a change", || (edits(&scene) > stands).then_some(()));
    let failed = || -> f64 {
        let of = |host: &Host| host.metric("firebell_canary_pings_total", &[("outcome", "failed")]);
        hosts.iter().map(of).sum()
    };
    eventually_eq("the ping that failed", &1.0, failed);
    assert!(hosts.iter().all(|host| !host.log().contains(PING.1)), "a secret is in the log");
}
