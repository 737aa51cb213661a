//! Webhooks, topics and Alertmanagers as targets, on a real Kafka and against a real Alertmanager.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

use firebell::delivery::sinks::signature;
use firebell::demo::receiver::{Say, Seen};
use firebell::notification::{Kind, Severity};
use firebell::outbox::Entry;
use firebell_tests::eventually;
use firebell_tests::eventually_eq;
use firebell_tests::kafka::Kafka;
use firebell_tests::outbox::{append, entry};
use firebell_tests::receiver::Receiver;
use firebell_tests::scene::Scene;
use firebell_tests::site::quoted;
use serde_json::{Value, json};
use xtask::alertmanager::Alertmanager;

const SECRET: (&str, &str) = ("FIREBELL_TEST_HOOK_SECRET", "hook-secret");
const HOOK: (&str, &str) = ("FIREBELL_TEST_HOOK_URL", "PATH-SECRET");

/// A scene without Slack, whose policy leads the rule's alerts to these targets.
fn scene(stem: &str, receiver: &Receiver, targets: &str) -> Scene {
    let mut scene = Scene::with_guest(stem, "v1");
    let policy = scene.site.config_path("one").with_file_name("policy.toml");
    let text = format!("[route]\nreceiver = \"all\"\n[receivers.all]\nchannels = [{targets}]\n");
    std::fs::write(&policy, text).unwrap();
    let site = &mut scene.site;
    site.without("slack").set("delivery", "policy", &quoted(&policy.display().to_string()));
    site.set("webhooks.oncall", "url_env", &quoted(HOOK.0));
    site.set("webhooks.oncall", "secret_env", &quoted(SECRET.0));
    site.set("webhooks.oncall", "request_timeout_ms", "500");
    site.set_variable(HOOK.0, &format!("{}/{}", receiver.url(), HOOK.1));
    site.set_variable(SECRET.0, SECRET.1);
    scene
}

/// The titles of what a webhook was told, each with how often; every request signed as it must be.
fn told(seen: &[Seen]) -> BTreeMap<String, usize> {
    let mut titles = BTreeMap::new();
    for seen in seen {
        let seconds = seen.header("x-firebell-timestamp").parse().unwrap();
        let signed = signature(SECRET.1.as_bytes(), seconds, &seen.body);
        assert_eq!(seen.header("x-firebell-signature"), signed);
        assert_eq!(seen.path, format!("/{}", HOOK.1));
        *titles.entry(seen.json()["title"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    titles
}

fn once(titles: &[&str]) -> BTreeMap<String, usize> {
    titles.iter().map(|title| ((*title).to_owned(), 1)).collect()
}

#[test]
fn without_slack_a_webhook_and_a_topic_are_told_of_each_alert() {
    let receiver = Receiver::start();
    let mut scene = scene("sinks", &receiver, "\"webhook:oncall\", \"kafka:seed\"");
    let notify = format!("{}-notify", scene.topic);
    scene.kafka.create_topic(&notify, 1, &[]);
    scene.site.set("kafka_sinks.seed", "topic", &quoted(&notify));
    scene.site.set("kafka_sinks.seed", "form", &quoted("text"));
    let host = scene.site.start();
    scene.say(["a", "b"]);
    eventually_eq("the webhook", &once(&["v1: a", "v1: b"]), || told(&receiver.seen()));
    let texts = || {
        let records = scene.kafka.read(&notify);
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap().to_string();
        records.iter().map(|record| json(record.value.as_deref().unwrap())).collect()
    };
    let text = |title: &str| json!({ "TEXT": title, "CHANNEL": "general" }).to_string();
    let wanted: BTreeSet<String> = [text("v1: a"), text("v1: b")].into();
    eventually_eq("the topic", &wanted, texts);
    let taken = |host: &firebell_tests::site::Host| {
        host.metric("firebell_sink_posts_total", &[("outcome", "posted")])
    };
    assert_eq!(taken(&host), 4.0);
    let (_, page) = host.get("/api/status").unwrap();
    assert!(page.contains("\"mode\":\"sinks\""), "{page}");
    assert!(host.terminate().success());
    // Started again it tells nothing twice.
    let host = scene.site.start();
    scene.say(["c"]);
    eventually_eq("the third", &once(&["v1: a", "v1: b", "v1: c"]), || told(&receiver.seen()));
    for secret in [HOOK.1, SECRET.1] {
        assert!(!host.log().contains(secret), "the log shows {secret}");
    }
}

#[test]
fn a_webhook_that_fails_hangs_or_outlives_us_is_told_all_again_under_the_same_keys() {
    let receiver = Receiver::start();
    let scene = scene("hook-faults", &receiver, "\"webhook:oncall\"");
    receiver.say([Say::Status(500), Say::TooFast, Say::Hang, Say::Status(503)]);
    let host = scene.site.start();
    scene.say(["a"]);
    eventually_eq("five attempts", &5, || receiver.seen().len());
    let keys: BTreeSet<String> =
        receiver.seen().iter().map(|seen| seen.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys.len(), 1);
    receiver.say([Say::Hang, Say::Hang, Say::Hang]);
    scene.say(["b"]);
    eventually("the question", || (receiver.seen().len() > 5).then_some(()));
    host.kill();
    let host = scene.site.start();
    scene.say(["c"]);
    let done = || {
        let titles = told(&receiver.seen());
        (titles.len() == 3 && host.metric("firebell_outbox_pending_entries", &[]) == 0.0)
            .then_some(())
    };
    eventually("the rest", done);
    let seen = receiver.seen();
    let asked = |title: &str| {
        let of: Vec<&Seen> = seen.iter().filter(|seen| seen.json()["title"] == title).collect();
        let keys: BTreeSet<&str> = of.iter().map(|seen| seen.header("idempotency-key")).collect();
        (of.len(), keys.len())
    };
    let (b, c) = (asked("v1: b"), asked("v1: c"));
    // What is not taken lets the next one go first, which may not be taken either.
    assert!(b.0 > 1 && (b.1, c.1) == (1, 1) && b.0 + c.0 >= 5, "{b:?}, {c:?}");
}

#[test]
fn what_a_webhook_that_was_away_had_no_room_for_is_read_from_the_outbox_again() {
    // More than lies aside and is held in memory.
    const MANY: i64 = 1_400;
    let receiver = Receiver::start();
    let scene = scene("hook-away", &receiver, "\"webhook:oncall\"");
    receiver.refuse("message");
    let host = scene.site.start();
    let of = |n| entry("ssh-login", "webhook:oncall", n, Kind::Fire, None);
    append(&scene.kafka, &scene.site, &(0..MANY).map(of).collect::<Vec<_>>());
    let left = || host.log().contains("left in the outbox until there is room").then_some(());
    eventually("what is left", left);
    receiver.refuse("");
    let posted = || host.metric("firebell_sink_posts_total", &[("outcome", "posted")]);
    eventually_eq("all of them", &(MANY as f64), posted);
    let keys: BTreeSet<String> =
        receiver.seen().iter().map(|seen| seen.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys.len(), usize::try_from(MANY).unwrap());
    assert!(scene.dead_letters().is_empty());
    assert!(host.log().contains("nothing of the channel is left in the outbox"));
}

#[test]
fn what_a_webhook_refuses_is_a_dead_letter_and_check_tells_a_target_that_is_not_there() {
    let receiver = Receiver::start();
    let scene = scene("hook-refuses", &receiver, "\"webhook:oncall\"");
    receiver.say([Say::Status(422)]);
    let _host = scene.site.start();
    scene.say(["a"]);
    let letters = scene.await_dead_letters(1);
    let shown = format!("{letters:?}");
    assert!(!shown.contains(HOOK.1) && !shown.contains(SECRET.1), "{shown}");
    scene.site.put("v1.toml", scene.toml("channels = [\"webhook:oncal\"]").as_bytes());
    let mut command = scene.site.command();
    command.arg("check").arg("--config").arg(scene.site.config_path("one"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("did you mean \"webhook:oncall\"?"), "{said}");
}

/// News for the Alertmanager.
fn news(offset: i64, kind: Kind, key: Option<&str>, severity: Severity) -> Entry {
    let mut entry = entry("ssh-login", "alertmanager:main", offset, kind, key);
    entry.notification.severity = severity;
    entry
}

/// The titles and severities of what an Alertmanager holds to be firing; `None` = it says nothing.
fn firing(address: &str) -> Option<BTreeSet<(String, String)>> {
    let host = address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).ok()?;
    // In HTTP/1.0 an answer is never chunked and ends with the connection.
    write!(stream, "GET /api/v2/alerts HTTP/1.0\r\nHost: {host}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let alerts: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = |alert: &Value| {
        (text(&alert["annotations"]["summary"]), text(&alert["labels"]["severity"]))
    };
    Some(alerts.as_array()?.iter().map(told).collect())
}

fn of(pairs: &[(&str, &str)]) -> Option<BTreeSet<(String, String)>> {
    Some(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect())
}

#[test]
fn a_real_alertmanager_is_told_what_fires_and_what_ends_through_a_kill() {
    let alertmanager = Alertmanager::start().unwrap();
    eventually("Alertmanager", || firing(&alertmanager.url));
    let mut scene = Scene::new(Kafka::newest(), "alertmanager");
    let site = &mut scene.site;
    site.without("slack").set("alertmanagers.main", "url", &quoted(&alertmanager.url));
    // What is not kept alive is over after four seconds.
    site.set("alertmanagers.main", "resend_seconds", "1");
    let host = site.start();
    let site = &scene.site;
    let say = |entry: &Entry| append(&scene.kafka, site, [entry]);
    let firing = || firing(&alertmanager.url);
    say(&news(1, Kind::Fire, Some("rpi-03"), Severity::Warning));
    say(&news(2, Kind::Fire, None, Severity::Info));
    let both = of(&[("message 1", "warning"), ("message 2", "info")]);
    eventually_eq("both", &both, firing);
    // An event passes, an open alert does not.
    eventually_eq("the open one", &of(&[("message 1", "warning")]), firing);
    host.kill();
    eventually_eq("nobody to keep it alive", &of(&[]), firing);
    let host = site.start();
    eventually_eq("the open one again", &of(&[("message 1", "warning")]), firing);
    // Worse: another alert to Alertmanager, in the place of the first.
    say(&news(3, Kind::Update, Some("rpi-03"), Severity::Critical));
    eventually_eq("the worse one", &of(&[("message 3", "critical")]), firing);
    say(&news(4, Kind::Resolve, Some("rpi-03"), Severity::Info));
    eventually_eq("the end", &of(&[]), firing);
    assert_eq!(host.metric("firebell_sink_errors_total", &[]), 0.0);
    let mut command = site.command();
    command.arg("check").arg("--config").arg(site.config_path("one"));
    let said = command.output().unwrap();
    let said =
        String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("alertmanager:main is version "), "{said}");
    alertmanager.stop().unwrap();
}
