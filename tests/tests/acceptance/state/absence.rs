//! What does not come: told when the sources are silent, and not when it is we who see nothing.

use std::time::{Duration, Instant};

use firebell::outbox::Entry;
use firebell_tests::kafka::{Kafka, Outgoing};
use firebell_tests::load::Load;
use firebell_tests::scene::Scene;
use firebell_tests::{DEADLINE, eventually, now_ms};
use xtask::kafka::{Broker, NEWEST, Options};

use super::seen;

const HEARTBEAT: &str = "component = \"builtin:heartbeat\"\n";
/// How long a host may be silent.
const CONFIG: &str = "[config]\nsilence_seconds = 3\n";
/// Longer than that, and than what it takes to notice.
const LONG: Duration = Duration::from_secs(8);
/// Between two records of a host that goes on.
const BEAT: Duration = Duration::from_millis(200);

fn scene(kafka: &Kafka, toml: &str) -> Scene {
    let scene = Scene::new(kafka, "beats");
    let toml = scene.toml(&format!("{HEARTBEAT}{toml}\n{CONFIG}"));
    scene.site.put("heartbeat.toml", toml.as_bytes());
    scene
}

fn missed(host: &str) -> String {
    format!("No record of {host} for 3 seconds")
}

fn back(host: &str) -> String {
    format!("{host} is back")
}

/// What was decided so far, in order of the alphabet: posts would hide what was said twice.
fn decided(scene: &Scene) -> Vec<String> {
    if scene.kafka.partitions(&scene.site.outbox()).is_none() {
        return vec![];
    }
    let entries = scene.kafka.read(&scene.site.outbox());
    let title = |value: &[u8]| Entry::from_bytes(value).unwrap().notification.title;
    let titles = entries.iter().map(|entry| title(entry.value.as_deref().unwrap()));
    let mut titles: Vec<String> = titles.collect();
    titles.sort();
    titles
}

fn await_decided(scene: &Scene, wanted: &[String]) {
    let mut wanted = wanted.to_vec();
    wanted.sort();
    firebell_tests::eventually_eq("what was decided", &wanted, || decided(scene));
}

fn beat(host: &str) -> Outgoing {
    seen(host, now_ms())
}

/// Lets hosts go on, each in a partition of its own, while `act` does something.
fn while_beating(scene: &Scene, hosts: &[&str], act: impl FnOnce()) {
    let record = |number| {
        let at = number % hosts.len();
        beat(hosts[at]).partition(at as i32 % 4)
    };
    let to = (&scene.kafka, scene.topic.as_str());
    Load::during(to, BEAT / hosts.len() as u32, record, |_| act());
}

#[test]
fn a_host_is_missed_once_while_others_in_its_partition_go_on() {
    let scene = scene(Kafka::newest(), "keyed = true");
    let _host = scene.site.start();
    scene.kafka.produce(&scene.topic, [beat("rpi-03")]);
    while_beating(&scene, &["rpi-04"], || {
        await_decided(&scene, &[missed("rpi-03")]);
        std::thread::sleep(LONG);
        await_decided(&scene, &[missed("rpi-03")]);
        scene.kafka.produce(&scene.topic, [beat("rpi-03")]);
        await_decided(&scene, &[missed("rpi-03"), back("rpi-03")]);
        // And again, as the same alert.
        await_decided(&scene, &[missed("rpi-03"), back("rpi-03"), missed("rpi-03")]);
    });
    scene.await_committed();
}

#[test]
fn a_host_is_missed_while_others_in_other_partitions_go_on() {
    let scene = scene(Kafka::newest(), "");
    let _host = scene.site.start();
    scene.kafka.produce(&scene.topic, [beat("rpi-03").partition(3)]);
    while_beating(&scene, &["rpi-04", "rpi-05", "rpi-06"], || {
        await_decided(&scene, &[missed("rpi-03")]);
        std::thread::sleep(LONG);
        await_decided(&scene, &[missed("rpi-03")]);
        scene.kafka.produce(&scene.topic, [beat("rpi-03").partition(3)]);
        await_decided(&scene, &[missed("rpi-03"), back("rpi-03")]);
    });
}

#[test]
fn all_are_missed_when_everything_falls_silent() {
    let scene = scene(Kafka::newest(), "");
    let _host = scene.site.start();
    let began = Instant::now();
    let hosts = ["rpi-03", "rpi-04", "rpi-05"];
    scene.kafka.produce(&scene.topic, hosts.map(beat));
    let all = hosts.map(missed);
    await_decided(&scene, &all);
    assert!(began.elapsed() >= Duration::from_secs(3), "after {:?}", began.elapsed());
    std::thread::sleep(LONG);
    await_decided(&scene, &all);
    scene.kafka.produce(&scene.topic, [beat("rpi-04")]);
    let mut wanted = all.to_vec();
    wanted.push(back("rpi-04"));
    await_decided(&scene, &wanted);
}

#[test]
fn nobody_is_missed_while_we_lag() {
    let scene = scene(Kafka::newest(), "");
    let host = scene.site.start();
    // More than there are partitions: some meet others there, and come from elsewhere.
    let hosts = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    while_beating(&scene, &hosts, || {
        eventually("records of all", || {
            (host.metric("firebell_records_total", &[]) > 20.0).then_some(())
        });
        assert!(host.terminate().success());
        std::thread::sleep(LONG);
        let host = scene.site.start();
        std::thread::sleep(LONG);
        assert_eq!(decided(&scene), [""; 0], "{}", host.log());
        // Killed, it is missed by the group for a while.
        host.kill();
        std::thread::sleep(LONG);
        let host = scene.site.start();
        std::thread::sleep(LONG);
        assert_eq!(decided(&scene), [""; 0], "{}", host.log());
    });
    let _host = scene.site.spawn("one-more");
    await_decided(&scene, &hosts.map(missed));
}

#[test]
fn nobody_is_missed_while_the_broker_is_away() {
    let mut broker = Broker::start(NEWEST, &Options::default()).unwrap();
    let scene = scene(&Kafka::of(&broker), "");
    let host = scene.site.start();
    let hosts = ["rpi-03", "rpi-04"];
    // What a source writes meanwhile comes when the broker is back, with the time that it was written.
    while_beating(&scene, &hosts, || {
        eventually("records of all", || {
            (host.metric("firebell_records_total", &[]) > 20.0).then_some(())
        });
        broker.stop().unwrap();
        std::thread::sleep(LONG);
        broker.restart().unwrap();
        std::thread::sleep(LONG);
        assert_eq!(decided(&scene), [""; 0], "{}", host.log());
        broker.kill();
        std::thread::sleep(LONG);
        broker.restart().unwrap();
        std::thread::sleep(LONG);
        assert_eq!(decided(&scene), [""; 0], "{}", host.log());
    });
    // After a broker that was killed, members join and transactions begin anew, which takes the more time the
    // busier the machine is.
    let (began, wanted) = (Instant::now(), hosts.map(missed));
    while decided(&scene) != wanted {
        assert!(began.elapsed() < 3 * DEADLINE, "{:?}: {}", decided(&scene), host.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_timer_of_the_wall_clock_fires_without_records() {
    let scene = Scene::new(Kafka::newest(), "wall");
    let toml = "[config]\nwall_clock = true\nafter_ms = 2000";
    scene.rule("timers", &firebell_tests::guests::guest("timers"), toml);
    let host = scene.site.start();
    let at_ms = now_ms();
    scene.kafka.produce(&scene.topic, [seen("a", at_ms)]);
    scene.await_titles([format!("timer a due {}", at_ms + 2_000)]);
    assert!(now_ms() >= at_ms + 2_000);

    // One that was due while nobody was there fires on return.
    let at_ms = now_ms();
    scene.kafka.produce(&scene.topic, [seen("b", at_ms)]);
    scene.await_committed();
    assert!(host.terminate().success());
    std::thread::sleep(Duration::from_secs(3));
    let _host = scene.site.start();
    eventually("the timer", || {
        scene.titles().contains(&format!("timer b due {}", at_ms + 2_000)).then_some(())
    });
}

#[test]
fn nobody_is_missed_because_one_partition_is_read_before_another() {
    let mut scene = scene(Kafka::newest(), "");
    scene.site.set("kafka", "workers", "1").set("kafka", "internal_partitions", "1");
    let began_ms = now_ms() - 60_000;
    let beats = |host: &'static str, partition, seconds: std::ops::RangeInclusive<i64>| {
        seconds.map(move |second| seen(host, began_ms + second * 1_000).partition(partition))
    };
    let host = scene.site.start();
    scene.kafka.produce(&scene.topic, beats("a", 0, 0..=0).chain(beats("b", 1, 0..=0)));
    scene.await_committed();
    assert!(host.terminate().success());
    // A minute of both waits; whichever partition is read first runs ahead of the other.
    scene.kafka.produce(&scene.topic, beats("a", 0, 1..=58).chain(beats("b", 1, 1..=58)));
    let host = scene.site.start();
    await_decided(&scene, &[missed("a"), missed("b")]);
    scene.await_committed();
    await_decided(&scene, &[missed("a"), missed("b")]);
    assert!(!host.log().contains("is back"));
}
