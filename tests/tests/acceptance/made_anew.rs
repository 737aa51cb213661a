//! A topic that is deleted and made anew while nobody looks: none of its records is lost, though the old
//! position is one of the new topic as well.

use firebell_tests::eventually;
use firebell_tests::scene::Scene;
use firebell_tests::site::Host;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

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

/// Commits offsets as a host does that goes on after its topic was made anew, and is killed.
fn commit(scene: &Scene, offsets: &[i64], topic_id: &str) {
    let consumer: BaseConsumer = scene.kafka.client(&[("group.id", scene.site.group())]);
    let mut list = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(offsets) {
        let mut element = list.add_partition(&scene.topic, partition);
        element.set_metadata(format!("firebell:1::{topic_id}"));
        element.set_offset(Offset::Offset((*offset).max(0))).unwrap();
    }
    // Who is no member may commit once the group has none.
    eventually("a group without members", || consumer.commit(&list, CommitMode::Sync).ok());
}

#[test]
fn an_offset_of_the_old_topic_is_not_taken_for_one_of_the_new() {
    let scene = Scene::with_guest("anew-stopped", "v1");
    let host = scene.site.start();
    say(&scene, "old", 10);
    scene.await_titles(titles(&[("old", 10)]));
    scene.await_committed();
    let offsets = scene.kafka.committed(scene.site.group(), &scene.topic);
    assert!(host.terminate().success());

    make_anew(&scene);
    commit(&scene, &offsets, "AnotherTopicsId0000000");
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
