//! The broker goes and comes back: retried, said, nothing lost.

use firebell_tests::eventually;
use firebell_tests::guests::guest;
use firebell_tests::kafka::Kafka;
use firebell_tests::scene::Scene;
use firebell_tests::site::Host;
use xtask::kafka::{Broker, NEWEST, Options};

fn own_broker() -> (Broker, Scene) {
    let broker = Broker::start(NEWEST, &Options::default()).unwrap();
    let scene = Scene::new(&Kafka::of(&broker), "broker-away");
    scene.rule("v1", &guest("v1"), "");
    (broker, scene)
}

fn await_not_ready(host: &Host) {
    eventually("a host that says that Kafka is away", || {
        let names_it = |body: &str| body.contains("Broker") || body.contains("afka");
        host.get("/readyz").filter(|(status, body)| *status == 503 && names_it(body))
    });
    // It lives: nobody should restart it.
    assert_eq!(host.get("/healthz").unwrap().0, 200);
}

fn titles(names: &[&str]) -> Vec<String> {
    names
        .iter()
        .flat_map(|name| (0..10).map(move |number| format!("v1: {name} {number}")))
        .collect()
}

fn say(scene: &Scene, name: &str) {
    scene.say((0..10).map(|number| format!("{name} {number}")));
}

#[test]
fn a_broker_that_is_stopped_or_killed_and_comes_back_costs_nothing() {
    let (mut broker, scene) = own_broker();
    let mut host = scene.site.start();
    say(&scene, "before");
    scene.await_titles(titles(&["before"]));

    broker.stop().unwrap();
    await_not_ready(&host);
    broker.restart().unwrap();
    say(&scene, "stopped");
    scene.await_titles(titles(&["before", "stopped"]));
    host.await_ready();

    // Killed with records on their way.
    say(&scene, "killed");
    broker.kill();
    await_not_ready(&host);
    broker.restart().unwrap();
    scene.await_titles(titles(&["before", "stopped", "killed"]));
    host.await_ready();
    scene.await_committed();
    assert!(host.terminate().success());
}

#[test]
fn a_host_may_be_started_before_its_broker() {
    let (mut broker, scene) = own_broker();
    say(&scene, "kept");
    broker.stop().unwrap();
    let mut host = scene.site.spawn("one");
    await_not_ready(&host);
    // Long before the client gives up asking, it is said what was tried.
    eventually("what was tried", || {
        let tried =
            |body: &str| body.contains(&broker.bootstrap()) && body.contains("Connection refused");
        host.get("/readyz").filter(|(status, body)| *status == 503 && tried(body))
    });
    broker.restart().unwrap();
    host.await_ready();
    scene.await_titles(titles(&["kept"]));
}

#[test]
fn a_broker_that_hangs_is_waited_for() {
    let (broker, scene) = own_broker();
    let mut host = scene.site.start();
    say(&scene, "before");
    scene.await_titles(titles(&["before"]));
    broker.freeze().unwrap();
    // Longer than a session of the broker with itself, shorter than one of the host with it.
    std::thread::sleep(std::time::Duration::from_secs(4));
    broker.thaw().unwrap();
    say(&scene, "after");
    scene.await_titles(titles(&["before", "after"]));
    host.await_ready();
}

#[test]
fn sigterm_ends_a_host_whose_broker_is_away() {
    let (mut broker, scene) = own_broker();
    let host = scene.site.start();
    broker.kill();
    await_not_ready(&host);
    // Not a success, perhaps, but an end.
    host.terminate();
}
