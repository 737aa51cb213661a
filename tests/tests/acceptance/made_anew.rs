//! A topic that is deleted and made anew while nobody looks: none of its records is lost, though the old
//! position is one of the new topic as well.

use firebell_tests::eventually;
use firebell_tests::scene::Scene;
use firebell_tests::site::Host;

/// Makes the topic anew, with more records than the old one had.
fn make_anew(scene: &Scene) {
    scene.kafka.delete_topic(&scene.topic);
    eventually("the topic to be gone", || {
        scene.kafka.partitions(&scene.topic).is_none().then_some(())
    });
    scene.kafka.create_topic(&scene.topic, 4, &[]);
    say(scene, "new", 40);
}

fn say(scene: &Scene, name: &str, count: usize) {
    scene.say((0..count).map(|number| format!("{name} {number}")));
}

fn titles(names: &[(&str, usize)]) -> Vec<String> {
    let of = |(name, count): &(&str, usize)| {
        let name = (*name).to_owned();
        (0..*count).map(move |number| format!("v1: {name} {number}"))
    };
    names.iter().flat_map(of).collect()
}

#[test]
fn a_topic_that_is_made_anew_while_no_host_runs_is_read_whole() {
    let scene = Scene::with_guest("anew-stopped", "v1");
    let host = scene.site.start();
    say(&scene, "old", 10);
    scene.await_titles(titles(&[("old", 10)]));
    scene.await_committed();
    assert!(host.terminate().success());

    make_anew(&scene);
    let host = scene.site.start();
    scene.await_titles(titles(&[("old", 10), ("new", 40)]));
    let told = |host: &Host| host.log().matches("the topic was made anew").count();
    let once = told(&host);
    assert!(once > 0);
    // From now on the offsets are of this topic, and a restart repeats nothing.
    scene.await_committed();
    assert!(host.terminate().success());
    let host = scene.site.start();
    say(&scene, "more", 4);
    scene.await_titles(titles(&[("old", 10), ("new", 40), ("more", 4)]));
    assert_eq!(told(&host), once);
}

#[test]
fn a_topic_that_is_made_anew_behind_a_hosts_back_is_read_whole() {
    let scene = Scene::with_guest("anew-running", "v1");
    let host = scene.site.start();
    say(&scene, "old", 10);
    scene.await_titles(titles(&[("old", 10)]));
    scene.await_committed();

    host.freeze();
    make_anew(&scene);
    host.thaw();
    scene.await_titles(titles(&[("old", 10), ("new", 40)]));
    scene.await_committed();
}
