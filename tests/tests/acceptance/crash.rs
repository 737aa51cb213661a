//! `kill -9` and SIGTERM at any moment: nothing lost, nothing twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use firebell::demo::slack::Fault;
use firebell_tests::load::Load;
use firebell_tests::scene::{Scene, counted, message};
use firebell_tests::watchdog::CRASHES_ENV;
use firebell_tests::{DEADLINE, eventually, eventually_eq, now_ms};

/// How often the host is killed when [`CRASHES_ENV`] does not say.
const CRASHES: usize = 6;
/// Slack takes this long, so that kills meet requests on their way.
const SLACK_TAKES: Duration = Duration::from_millis(5);

fn scene(stem: &str) -> Scene {
    let mut scene = Scene::with_guest(stem, "v1");
    // A killed member is missed sooner. The least that a broker allows by default.
    scene.site.set("kafka.properties", "\"session.timeout.ms\"", "\"6000\"");
    scene.slack.set_delay(SLACK_TAKES);
    scene
}

/// Writes numbered records while `act` works; returns the titles that they give.
fn under_load(scene: &Scene, act: impl FnOnce(&Load)) -> Vec<String> {
    let record = |number| message(&format!("{number:06}"));
    let written =
        Load::during((&scene.kafka, &scene.topic), Duration::from_millis(20), record, act);
    titles(written)
}

fn titles(written: usize) -> Vec<String> {
    (0..written).map(|number| format!("v1: {number:06}")).collect()
}

/// Each title is posted, and once; said in few words when it is not.
fn assert_each_once(scene: &Scene, wanted: &[String]) {
    let begin = Instant::now();
    let mut posted: BTreeMap<String, usize>;
    loop {
        posted = counted(scene.titles());
        if posted.len() >= wanted.len() {
            break;
        }
        let missing: Vec<_> = wanted.iter().filter(|title| !posted.contains_key(*title)).collect();
        assert!(begin.elapsed() < DEADLINE, "{} were never posted: {missing:?}", missing.len());
        std::thread::sleep(Duration::from_millis(20));
    }
    let repeated: Vec<_> = posted.iter().filter(|(_, count)| **count > 1).collect();
    assert!(repeated.is_empty(), "posted more than once: {repeated:?}");
    assert_eq!(posted.len(), wanted.len(), "something was posted that nobody wrote");
}

/// Another number each time, the same in no two runs; which moments are hit should differ.
fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish() % below
}

#[test]
fn killed_at_random_moments_it_loses_and_repeats_nothing() {
    let crashes = std::env::var(CRASHES_ENV).map_or(CRASHES, |number| number.parse().unwrap());
    let scene = scene("crash");
    let titles = under_load(&scene, |_| {
        for crash in 0..crashes {
            // Now it starts, now it works: both may be interrupted.
            let host = if crash % 4 == 3 { scene.site.spawn("one") } else { scene.site.start() };
            std::thread::sleep(Duration::from_millis(random(1_500)));
            host.kill();
        }
    });
    let host = scene.site.start();
    assert_each_once(&scene, &titles);
    scene.await_committed();
    assert!(host.terminate().success());
    let _host = scene.site.start();
    assert_each_once(&scene, &titles);
}

#[test]
fn killed_while_slack_fails_in_every_way_it_loses_and_repeats_nothing() {
    let mut scene = scene("crash-faults");
    scene.site.set("slack", "request_timeout_ms", "1000");
    scene.slack.fail_at_random(
        random(u64::MAX),
        200,
        vec![
            Fault::RateLimited { retry_after: 1 },
            Fault::RatelimitedBody,
            Fault::StatusBeforeAccept(500),
            Fault::StatusAfterAccept(500),
            Fault::StatusBeforeAccept(503),
            Fault::ResetBefore,
            Fault::ResetAfterAccept,
            Fault::ResetAndAcceptLater(Duration::from_millis(200)),
            Fault::Hang,
            Fault::HangAfterAccept,
            Fault::OkFalse("fatal_error"),
            Fault::OkFalse("invalid_auth"),
            Fault::OkFalseAfterAccept("fatal_error"),
            Fault::NotJson,
            Fault::NotJsonAfterAccept,
            Fault::Slow(Duration::from_millis(300)),
        ],
    );
    // Every third answer or so costs a second or two: not many records, and a lot of time.
    let texts: Vec<String> = (0..60).map(|number| format!("{number:06}")).collect();
    for part in texts.chunks(15) {
        let host = scene.site.start();
        scene.say(part);
        std::thread::sleep(Duration::from_millis(1_000 + random(4_000)));
        host.kill();
    }
    let host = scene.site.start();
    let wanted: Vec<String> = texts.iter().map(|text| format!("v1: {text}")).collect();
    assert_each_once(&scene, &wanted);
    scene.await_committed();
    let letters = scene.dead_letters();
    assert!(letters.is_empty(), "given up: {letters:?}");
    assert!(host.terminate().success());
}

#[test]
fn of_two_hosts_in_a_group_one_may_be_killed() {
    let scene = scene("two-hosts");
    under_load(&scene, |load| {
        let (mut one, mut two) = (scene.site.spawn("one"), scene.site.spawn("two"));
        one.await_ready();
        two.await_ready();
        for host in [&one, &two] {
            eventually("work for both hosts", || {
                (host.metric("firebell_records_total", &[]) > 0.0).then_some(())
            });
        }
        one.kill();
        let before = two.metric("firebell_records_total", &[]);
        let begin = now_ms();
        // The other takes over the partitions of the killed one.
        eventually_eq("partitions of the host that is left", &4, || {
            let (_, page) = two.get("/metrics").unwrap_or_default();
            page.lines().filter(|line| line.starts_with("firebell_lag_records{")).count()
        });
        eventually("records for the host that is left", || {
            (two.metric("firebell_records_total", &[]) > before).then_some(())
        });
        eprintln!("taken over after {} ms", now_ms() - begin);
        load.stop();
        while load.written() > scene.titles().len() {
            assert!(now_ms() - begin < 120_000, "the other host does not take over");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_each_once(&scene, &titles(load.written()));
        assert!(two.terminate().success());
    });
}

#[test]
fn a_host_that_joins_and_one_that_leaves_lose_and_repeat_nothing() {
    let scene = scene("join-leave");
    let titles = under_load(&scene, |_| {
        let one = scene.site.start();
        eventually("first posts", || (scene.titles().len() > 20).then_some(()));
        let mut two = scene.site.spawn("two");
        two.await_ready();
        eventually("work for the second", || {
            (two.metric("firebell_records_total", &[]) > 20.0).then_some(())
        });
        assert!(one.terminate().success());
        let before = two.metric("firebell_records_total", &[]);
        eventually("work after the first left", || {
            (two.metric("firebell_records_total", &[]) > before + 20.0).then_some(())
        });
        drop(two);
    });
    let _host = scene.site.start();
    assert_each_once(&scene, &titles);
}

#[test]
fn sigterm_under_load_drains_and_exits_with_0() {
    let scene = scene("sigterm");
    let titles = under_load(&scene, |_| {
        for _ in 0..3 {
            let host = scene.site.start();
            let before = scene.titles().len();
            eventually("posts", || (scene.titles().len() > before + 10).then_some(()));
            let status = host.terminate();
            assert_eq!(status.code(), Some(0));
        }
    });
    let _host = scene.site.start();
    assert_each_once(&scene, &titles);
}
