//! Windows over `kill -9` of hosts and of the broker: the alerts are those of an uninterrupted run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use firebell::outbox::Entry;
use firebell_tests::kafka::Kafka;
use firebell_tests::load::Load;
use firebell_tests::scene::{Scene, counted};
use firebell_tests::site::Host;
use firebell_tests::watchdog::CRASHES_ENV;
use xtask::kafka::{Broker, NEWEST, Options};

use super::{START_MS, as_slack_has_it, attempt, random};

/// How often something is killed when [`CRASHES_ENV`] does not say.
const CRASHES: usize = 6;
/// Of the kills, each such one hits the broker.
const BROKER_EVERY: usize = 6;
/// Hosts of the group.
const HOSTS: [&str; 3] = ["one", "two", "three"];
/// Windows are short in event time, so that there are many.
const WINDOW_MS: i64 = 5_000;
/// Event time from one record to the next.
const STEP_MS: i64 = 400;
/// How long a recovery may take: a dead host's transaction is open for 15 s, its session for 6 s, and
/// the broker needs a while as well.
const RECOVERY: Duration = Duration::from_secs(120);

/// The n-th record: its host, partition and time. Some hosts make bursts in some windows.
fn record(number: usize) -> (String, i32, i64) {
    let at_ms = START_MS + number as i64 * STEP_MS;
    let window = at_ms / WINDOW_MS;
    // A window has 12 or 13 records; how many of them are of one host differs.
    let hosts = 1 + window.rem_euclid(5);
    let host = (number as i64 * 7 + window).rem_euclid(hosts);
    (format!("host-{host}"), (number % 4) as i32, at_ms)
}

/// The titles that the records in the topic give. Those count, not what was sent: when a broker is
/// killed with an answer on its way, not even an idempotent producer gets each record in once.
fn wanted(scene: &Scene) -> Vec<String> {
    let mut counts: BTreeMap<(String, i64), usize> = BTreeMap::new();
    for record in scene.kafka.read(&scene.topic) {
        let value: serde_json::Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
        let host = value["host"].as_str().unwrap().to_owned();
        *counts.entry((host, record.timestamp_ms / WINDOW_MS)).or_default() += 1;
    }
    let alerts = counts.into_iter().filter(|(_, count)| *count >= 4);
    alerts.map(|((host, window), _)| title(&host, window * WINDOW_MS)).collect()
}

fn title(host: &str, start_ms: i64) -> String {
    as_slack_has_it(&format!(
        "{}: ❗ On {host} there were 4 invalid user login attempts in the last 5 seconds \
         (threshold is >=4)",
        firebell_rule::time::utc(start_ms)
    ))
}

/// Waits until all are posted; then each is posted, and was decided, once.
fn assert_each_once(scene: &Scene, wanted: &[String]) {
    let begin = Instant::now();
    loop {
        let posted = counted(scene.titles());
        let missing: Vec<_> = wanted.iter().filter(|title| !posted.contains_key(*title)).collect();
        if missing.is_empty() {
            break;
        }
        if begin.elapsed() > RECOVERY {
            let decided = decided(scene);
            let (late, lost): (Vec<_>, Vec<_>) =
                missing.into_iter().partition(|title| decided.contains_key(*title));
            let wanted = counted(wanted.iter().cloned());
            panic!(
                "of {} alerts, {} were posted; decided and not posted: {late:#?}; not decided: {lost:#?}; \
                 otherwise than wanted: posted {:#?}, decided {:#?}",
                wanted.len(),
                posted.len(),
                differences(posted, &wanted),
                differences(decided, &wanted),
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let wanted = counted(wanted.iter().cloned());
    assert_eq!(differences(counted(scene.titles()), &wanted), [""; 0], "posted");
    assert_eq!(differences(decided(scene), &wanted), [""; 0], "decided");
}

/// What the outbox holds.
fn decided(scene: &Scene) -> BTreeMap<String, usize> {
    let entries = scene.kafka.read(&scene.site.outbox());
    let title =
        |value: &[u8]| as_slack_has_it(&Entry::from_bytes(value).unwrap().notification.title);
    counted(entries.iter().map(|entry| title(entry.value.as_deref().unwrap())))
}

fn differences(found: BTreeMap<String, usize>, wanted: &BTreeMap<String, usize>) -> Vec<String> {
    let odd = found.into_iter().filter(|(title, count)| wanted.get(title) != Some(count));
    odd.map(|(title, count)| format!("{count} times: {title}")).collect()
}

/// Kills something and starts it again, now at once, now later.
fn crash(
    number: usize,
    scene: &Scene,
    hosts: &mut [Option<Host>; HOSTS.len()],
    broker: &mut Broker,
) {
    if number % BROKER_EVERY == BROKER_EVERY - 1 {
        broker.kill();
        std::thread::sleep(Duration::from_millis(random(2_000)));
        broker.restart().unwrap();
        return;
    }
    let at = random(HOSTS.len() as u64) as usize;
    if let Some(host) = hosts[at].take() {
        host.kill();
    }
    // Sometimes one stays away while others are killed, so that its partitions move.
    if random(3) > 0 {
        std::thread::sleep(Duration::from_millis(random(500)));
    }
    for (host, name) in hosts.iter_mut().zip(HOSTS) {
        if host.is_none() && random(4) > 0 {
            *host = Some(scene.site.spawn(name));
        }
    }
}

#[test]
fn killed_hosts_and_brokers_change_no_alert() {
    let crashes = std::env::var(CRASHES_ENV).map_or(CRASHES, |number| number.parse().unwrap());
    let mut broker = Broker::start(NEWEST, &Options::default()).unwrap();
    let mut scene = Scene::new(&Kafka::of(&broker), "SYSLOG");
    scene.site.set("kafka.properties", "\"session.timeout.ms\"", "\"6000\"");
    scene.slack.set_delay(Duration::from_millis(5));
    let config = format!("window_seconds = {}\ngrace_seconds = 86400", WINDOW_MS / 1_000);
    let toml = format!("component = \"builtin:invalid-login-burst\"\n[config]\n{config}");
    scene.site.put("burst.toml", scene.toml(&toml).as_bytes());
    let mut hosts = HOSTS.map(|name| Some(scene.site.spawn(name)));
    let load = |number| {
        let (host, partition, at_ms) = record(number);
        attempt(&host, partition, at_ms)
    };
    let (to, pause) = ((&scene.kafka, scene.topic.as_str()), Duration::from_millis(20));
    Load::during(to, pause, load, |_| {
        for number in 0..crashes {
            std::thread::sleep(Duration::from_millis(500 + random(3_000)));
            crash(number, &scene, &mut hosts, &mut broker);
        }
    });
    for (host, name) in hosts.iter_mut().zip(HOSTS) {
        host.get_or_insert_with(|| scene.site.spawn(name));
    }
    let wanted = wanted(&scene);
    assert!(wanted.len() > crashes, "too few alerts to say something: {}", wanted.len());
    assert_each_once(&scene, &wanted);
    assert_eq!(scene.dead_letters().len(), 0);
    eprintln!("{} alerts after {crashes} kills", wanted.len());
}
