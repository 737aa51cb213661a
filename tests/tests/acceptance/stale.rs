//! Catch-up: weeks of old alerts are one message, whatever happens while they are worked off.

use std::time::Duration;

use firebell_tests::guests::{guest, shipped};
use firebell_tests::kafka::{Kafka, Outgoing};
use firebell_tests::load::Load;
use firebell_tests::records::{SEED_MS, invalid_user};
use firebell_tests::scene::{Scene, message};
use firebell_tests::{eventually, eventually_eq, now_ms, unique};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A scene whose topic keeps old records, with a rule that posts each of them, if it is news.
fn scene(stem: &str) -> Scene {
    // A digest is of one day: a test that ends on the next one would see two.
    let left_ms = DAY_MS - now_ms() % DAY_MS;
    if left_ms < 3 * MINUTE_MS {
        std::thread::sleep(Duration::from_millis(left_ms.unsigned_abs()));
    }
    let mut scene = Scene::new(Kafka::newest(), stem);
    scene.topic = unique(stem);
    scene.kafka.create_topic(&scene.topic, 4, &[("retention.ms", "-1")]);
    scene.site.set("kafka.properties", "\"session.timeout.ms\"", "\"6000\"");
    let toml = format!("topics = [{:?}]\n", scene.topic);
    scene.site.rule("v1", &guest("v1"), &toml);
    scene
}

/// Records of the minutes `from` to before `to` after the seed's moment.
fn old(from: i64, to: i64) -> impl Iterator<Item = Outgoing> {
    (from..to).map(|n| message(&format!("old {n:05}")).timestamp_ms(SEED_MS + n * MINUTE_MS))
}

fn digest(count: usize, until: &str) -> String {
    format!(
        "{count} older alerts of v1, 2018-03-04 15:14 to {until} UTC, were not posted one by one"
    )
}

#[test]
fn old_alerts_are_one_message_and_news_are_posted_and_more_of_the_same_day_change_it() {
    let scene = scene("stale");
    scene.kafka.produce(&scene.topic, old(0, 40));
    scene.say(["new 1", "new 2"]);
    let host = scene.site.start();
    let news = ["v1: new 1".to_owned(), "v1: new 2".to_owned()];
    let wanted = |digest: String| news.iter().cloned().chain([digest]);
    scene.await_titles(wanted(digest(40, "2018-03-04 15:53")));
    scene.await_committed();
    assert_eq!(scene.slack.count(), 3);
    let posts = scene.slack.posts();
    let told = posts.iter().find(|post| post.title.starts_with("40 older")).unwrap();
    for part in ["v1: old 000", "stale_after", "v1.toml"] {
        assert!(told.blocks.contains(part), "{part} is not in {}", told.blocks);
    }
    eventually_eq("old alerts that were counted", &40.0, || {
        host.metric("firebell_stale_alerts_total", &[("rule", "v1")])
    });

    // More of the same day, by another life of the host: the message grows.
    assert!(host.terminate().success());
    scene.kafka.produce(&scene.topic, old(40, 50));
    let _host = scene.site.start();
    scene.await_titles(wanted(digest(50, "2018-03-04 16:03")));
    scene.await_committed();
    assert_eq!(scene.slack.count(), 3);
}

/// The minutes over which the backlog is spread.
const MINUTES: i64 = 1_000;

#[test]
fn killed_while_it_works_off_a_backlog_it_counts_each_old_alert_once() {
    let mut scene = scene("stale-killed");
    // Many small transactions, so that kills fall between and into them.
    scene.site.set("kafka", "commit_interval_ms", "1");
    let record = |number: usize| {
        let at = SEED_MS + number as i64 % MINUTES * MINUTE_MS;
        message(&format!("old {number:06}")).timestamp_ms(at)
    };
    let (kafka, topic) = (&scene.kafka, scene.topic.as_str());
    let written = Load::during((kafka, topic), Duration::from_millis(1), record, |backlog| {
        let done = || kafka.committed(scene.site.group(), topic).into_iter().sum::<i64>();
        let mut before = 0;
        for _ in 0..4 {
            let host = scene.site.start();
            // Some of it is committed, and more is on its way.
            eventually("progress", || (done() > before + 500).then_some(()));
            host.kill();
            before = done();
            let written = backlog.written();
            eprintln!("killed when {before} of {written} records were done with");
        }
    });
    let until = "2018-03-05 07:53";
    let host = scene.site.start();
    scene.await_titles([digest(written, until)]);
    scene.await_committed();
    host.kill();
    // What was told is not told again.
    scene.kafka.produce(&scene.topic, old(0, 1));
    let host = scene.site.start();
    scene.await_titles([digest(written + 1, until)]);
    assert!(host.terminate().success());
    assert_eq!(scene.slack.count(), 1);
}

#[test]
fn an_old_burst_of_records_that_were_routed_is_counted_and_a_new_one_posted() {
    let scene = scene("stale-routed");
    scene.site.remove("v1.toml").remove("v1.wasm");
    let toml = format!("topics = [{:?}]\n", scene.topic);
    scene.site.rule("burst", &shipped("invalid-login-burst"), &toml);
    let now = now_ms();
    // Inside of one minute.
    let now = now - now % MINUTE_MS;
    for begin in [SEED_MS, SEED_MS + DAY_MS, now] {
        scene.kafka.produce(
            &scene.topic,
            (0..4).map(|n| invalid_user("rpi-03", &format!("user{n}"), begin + n)),
        );
    }
    let _host = scene.site.start();
    let of_old = |title: &String| {
        title.starts_with("2 older alerts of burst, 2018-03-04 15:14 to 2018-03-05")
    };
    eventually_eq("posts and digests", &(1, 1), || {
        let (old, new): (Vec<_>, Vec<_>) = scene.titles().into_iter().partition(of_old);
        (old.len(), new.len())
    });
    scene.await_committed();
    assert_eq!(scene.slack.count(), 2);
}
