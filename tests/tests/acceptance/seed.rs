//! The seed's job, on both lines of Kafka: a record becomes a post.

use std::io::Write;
use std::process::{Command, Stdio};

use firebell_tests::guests::shipped;
use firebell_tests::kafka::{Kafka, Outgoing};
use firebell_tests::records::{SEED_MS, accepted, invalid_user};
use firebell_tests::scene::Scene;
use firebell_tests::{eventually, eventually_eq, unique};
use serde_json::json;

const SEED_LINE: &str =
    "2018-03-04 15:14:24 👽 rpi-03 sshd[24150]: Invalid user mini from 192.168.42.42 👽";

fn a_syslog_record_becomes_a_post(kafka: &Kafka) {
    let scene = Scene::new(kafka, "SYSLOG");
    scene.rule("invalid-user", &shipped("invalid-user"), "[config]\nhost = \"rpi-03\"");
    kafka.produce(
        &scene.topic,
        [
            accepted("rpi-03", "pi", SEED_MS),
            invalid_user("rpi-03", "mini", SEED_MS),
            invalid_user("rpi-04", "mini", SEED_MS),
        ],
    );
    let host = scene.site.start();
    scene.await_titles([SEED_LINE]);
    let post = scene.slack.posts().remove(0);
    assert_eq!(post.channel, "general");
    assert_eq!(post.text, format!("🟡 {SEED_LINE}"));
    scene.await_committed();

    // A restart says nothing twice, and goes on where it was.
    assert!(host.terminate().success());
    kafka.produce(&scene.topic, [invalid_user("rpi-03", "maxi", SEED_MS + 1_000)]);
    let _host = scene.site.start();
    let next = SEED_LINE.replace("mini", "maxi").replace("14:24", "14:25");
    scene.await_titles([SEED_LINE, &next]);
}

#[test]
fn a_syslog_record_becomes_a_post_on_the_newest_kafka() {
    a_syslog_record_becomes_a_post(Kafka::newest());
}

#[test]
fn a_syslog_record_becomes_a_post_on_the_older_kafka() {
    a_syslog_record_becomes_a_post(Kafka::older());
}

/// The seed's `kafka-console-producer`, which is a class of Kafka 3.
fn console_producer(kafka: &Kafka, topic: &str, lines: &str) {
    let jars = xtask::kafka::class_path(xtask::kafka::OLDER).unwrap();
    let mut java = Command::new("java")
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp"])
        .arg(jars.join("*"))
        .args(["kafka.tools.ConsoleProducer", "--bootstrap-server", kafka.bootstrap()])
        .args(["--topic", topic])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    java.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let out = java.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn lines_of_the_console_producer_are_relayed_to_the_channel_that_they_name() {
    let kafka = Kafka::newest();
    let scene = Scene::new(kafka, "KSQL_NOTIFY");
    let channels = "channels = [\"general\", \"security\"]";
    scene.rule("notify-relay", &shipped("notify-relay"), channels);
    let _host = scene.site.start();
    console_producer(
        kafka,
        &scene.topic,
        "{\"TEXT\":\"❗ On rpi-03 there were 4 invalid user login attempts\",\"CHANNEL\":\"security\"}\n\
         {\"TEXT\":\"hello <!channel> & *all*\",\"CHANNEL\":\"general\"}\n\
         {\"TEXT\":\"not for you\",\"CHANNEL\":\"board\"}\n",
    );
    scene.await_titles([
        "❗ On rpi-03 there were 4 invalid user login attempts",
        // A text from a record stays a text: Slack would page everyone for `<!channel>`.
        "hello &lt;!channel&gt; &amp; *all*",
    ]);
    let post = scene.slack.posts().into_iter().find(|post| post.title.starts_with('❗')).unwrap();
    assert_eq!(post.channel, "security");

    // A channel that the operator did not allow is never posted to, and that is said.
    let letters = scene.await_dead_letters(1);
    assert!(letters[0].text().contains("not for you"));
    assert_eq!(letters[0].header("__connect.errors.stage"), "channel");
    assert_eq!(letters[0].header("x-firebell-rule"), "notify-relay");
    assert!(letters[0].header("__connect.errors.exception.message").contains("board"));
}

#[test]
fn matching_records_go_whole_to_the_derived_topic() {
    let kafka = Kafka::newest();
    let scene = Scene::new(kafka, "SYSLOG");
    let derived = unique("SYSLOG_INVALID_USERS");
    kafka.create_topic(&derived, 4, &[]);
    let toml = format!("emit = [{derived:?}]\n[config]\nemit_to = {derived:?}");
    scene.rule("invalid-user", &shipped("invalid-user"), &toml);
    let _host = scene.site.start();
    let matching = invalid_user("rpi-03", "mini", SEED_MS).header("trace", "abc");
    kafka.produce(&scene.topic, [accepted("rpi-03", "pi", SEED_MS), matching.clone()]);
    eventually_eq("the number of derived records", &1, || kafka.read(&derived).len());
    let record = kafka.read(&derived).remove(0);
    assert_eq!((record.key, record.value), (matching.key, matching.value));
    assert_eq!(record.timestamp_ms, SEED_MS);
    assert_eq!(record.headers["trace"], "abc");
    scene.await_titles([SEED_LINE]);
}

#[test]
fn fields_are_taken_from_where_the_operator_says() {
    let kafka = Kafka::newest();
    let scene = Scene::new(kafka, "rsyslog");
    let toml = "[config]\nhost = \"rpi-03\"\n[fields]\nhost = \"/hostname\"\nmessage = \"/msg\"";
    scene.rule("invalid-user", &shipped("invalid-user"), toml);
    let _host = scene.site.start();
    let value = json!({
        "msg": " Invalid user mini from 192.168.42.42",
        "hostname": "rpi-03",
        "syslogtag": "sshd[24150]:",
        "pri": "38",
        "uuid": null,
    });
    let record = Outgoing::value(value.to_string()).timestamp_ms(SEED_MS);
    kafka.produce(&scene.topic, [record]);
    // rsyslog keeps the program's name in a field of its own.
    scene.await_titles([SEED_LINE.replace("sshd[24150]: ", "")]);
}

#[test]
fn the_host_counts_what_it_does() {
    let scene = Scene::with_guest("counted", "v1");
    let host = scene.site.start();
    scene.say((0..20).map(|number| format!("message {number:02}")));
    scene.await_titles((0..20).map(|number| format!("v1: message {number:02}")));
    scene.await_committed();
    let topic = [("topic", scene.topic.as_str())];
    for (name, labels, wanted) in [
        ("firebell_records_total", topic.as_slice(), 20.0),
        ("firebell_matched_records_total", &[("rule", "v1")], 20.0),
        ("firebell_notifications_total", &[("rule", "v1")], 20.0),
        ("firebell_slack_posts_total", &[("channel", "general")], 20.0),
        ("firebell_undecodable_records_total", &topic, 0.0),
        ("firebell_dead_letters_total", &[], 0.0),
        ("firebell_rule_state", &[("rule", "v1"), ("state", "active")], 1.0),
    ] {
        // They are brought up to date a moment after what they count.
        eventually_eq(name, &wanted, || host.metric(name, labels));
    }
    eventually("no lag", || (host.metric("firebell_lag_records", &topic) == 0.0).then_some(()));
}
