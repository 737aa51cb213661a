use std::cell::Cell;
use std::path::Path;

use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

use super::*;
use crate::config::{Config, Environment};
use crate::telemetry::{Metrics, Readiness};

const DEADLINE: Duration = Duration::from_secs(60);
const CURE: &str = "create it";

fn kafka(servers: &str) -> KafkaConfig {
    // The mock answers a fetch only when its wait runs out.
    let text = format!(
        "[kafka]\nbootstrap_servers = \"{servers}\"\n[kafka.properties]\n\
         \"fetch.wait.max.ms\" = \"5\"\n"
    );
    let environment = Environment::of("here", 1, []);
    Config::parse(Path::new("firebell.toml"), &text, &environment).unwrap().kafka
}

fn open(kafka: &KafkaConfig) -> Reader {
    let state = ClientState::new("kafka", kafka, Metrics::new(), Readiness::default());
    Reader::open(kafka, ("test", CURE), &Arc::new(state), &FOLLOWER).unwrap()
}

/// Writes this many records to each partition.
fn fill(cluster: &MockCluster<'_, DefaultProducerContext>, topic: &str, counts: &[u64]) {
    let servers = cluster.bootstrap_servers();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    for (partition, count) in (0..).zip(counts) {
        for number in 0..*count {
            let (key, value) = (format!("{partition}"), format!("{number}"));
            let record = BaseRecord::to(topic).partition(partition).key(&key).payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(DEADLINE).unwrap();
}

#[test]
fn every_record_of_every_partition_is_read_once_in_order_and_reading_ends() {
    let cluster = MockCluster::new(1).unwrap();
    let (topic, counts): (Arc<str>, _) = ("t".into(), [3, 0, 5_000]);
    cluster.create_topic(&topic, 3, 1).unwrap();
    fill(&cluster, &topic, &counts);
    let reader = open(&kafka(&cluster.bootstrap_servers()));
    let places = reader.whole(&topic).unwrap();
    let ends: Vec<_> = places.iter().map(|place| (place.begin, place.end)).collect();
    assert_eq!(ends, [(0, 3), (0, 0), (0, 5_000)]);
    let mut seen = [0; 3];
    let records = reader.read_to_end(&places, &mut |_| true, |found| -> Result<(), ReadError> {
        let partition = usize::try_from(found.partition).unwrap();
        assert_eq!(found.offset, seen[partition], "{}", found.place());
        assert_eq!(found.key, Some(partition.to_string().as_bytes()));
        assert_eq!(found.value, Some(found.offset.to_string().as_bytes()));
        seen[partition] += 1;
        Ok(())
    });
    assert_eq!(records.unwrap(), 5_003);
    assert_eq!(seen, [3, 0, 5_000]);
    // Another reading of the same reader has only what it asks for.
    let one = Place { begin: 17, end: 18, ..places[2].clone() };
    let mut first = None;
    let read = reader.read_to_end(&[one], &mut |_| true, |found| -> Result<(), ReadError> {
        first = first.or(Some((found.partition, found.offset)));
        Ok(())
    });
    read.unwrap();
    assert_eq!(first, Some((2, 17)));
}

#[test]
fn what_a_record_says_and_a_stop_end_the_reading() {
    let cluster = MockCluster::new(1).unwrap();
    let topic: Arc<str> = "t".into();
    cluster.create_topic(&topic, 1, 1).unwrap();
    fill(&cluster, &topic, &[2]);
    let reader = open(&kafka(&cluster.bootstrap_servers()));
    let places = reader.whole(&topic).unwrap();
    let said = reader
        .read_to_end(&places, &mut |_| true, |found| Err(ReadError::Stopped(found.place().into())));
    assert_eq!(said.unwrap_err().to_string(), "stopped while topic `t/0/0` was read");
    let stopped = reader.read_to_end(&places, &mut |_| false, |_| Ok::<_, ReadError>(()));
    assert!(matches!(stopped, Err(ReadError::Stopped(_))), "{stopped:?}");
}

#[test]
fn a_follower_is_told_the_end_of_each_topic_behind_its_records_and_goes_on() {
    let cluster = MockCluster::new(1).unwrap();
    let topics: [Arc<str>; 3] = ["empty".into(), "one".into(), "two".into()];
    for topic in &topics {
        cluster.create_topic(topic, 2, 1).unwrap();
    }
    fill(&cluster, "one", &[7, 0]);
    fill(&cluster, "two", &[40, 2]);
    let reader = open(&kafka(&cluster.bootstrap_servers()));
    let places: Vec<Place> = topics.iter().flat_map(|topic| reader.whole(topic).unwrap()).collect();
    let (begin, last, mut told) = (Instant::now(), Cell::new(false), Vec::new());
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    let goes_on = || !last.get() && begin.elapsed() < DEADLINE;
    let followed = reader.follow(&places, &goes_on, |what| match what {
        Told::Record(found) => {
            *counts.entry(found.topic.to_owned()).or_default() += 1;
            last.set(found.topic == "empty");
        }
        Told::End(topic) => {
            told.push((topic.to_owned(), counts.get(topic).copied().unwrap_or_default()));
            if told.len() == topics.len() {
                fill(&cluster, "empty", &[0, 1]);
            }
        }
    });
    followed.unwrap();
    told.sort();
    let expected = [("empty", 0), ("one", 7), ("two", 42)];
    assert_eq!(told, expected.map(|(topic, count)| (topic.to_owned(), count)));
    assert!(last.get(), "the record behind the end did not come");
}

#[test]
fn a_topic_that_is_not_there_is_told_with_the_cure_and_is_not_made() {
    let cluster = MockCluster::new(1).unwrap();
    let reader = open(&kafka(&cluster.bootstrap_servers()));
    for _ in 0..2 {
        let error = reader.whole(&"t".into()).unwrap_err();
        assert_eq!(error.to_string(), "topic `t` does not exist: create it");
    }
}

#[test]
fn a_broker_that_is_away_is_told_with_its_address_and_what_to_check() {
    let error = open(&kafka("127.0.0.1:1")).whole(&"t".into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read topic `t`: no kafka broker can be reached at 127.0.0.1:1: \
         Connect to ipv4#127.0.0.1:1 failed: Connection refused; check kafka.bootstrap_servers, \
         that the broker runs, and what [kafka.properties] says about security"
    );
}
