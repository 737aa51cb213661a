//! The yardstick: a bare rust-rdkafka consumer that only counts.

use std::time::{Duration, Instant};

use firebell_tests::kafka::Kafka;
use firebell_tests::unique;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;

use crate::load::Dataset;

/// Records a second from the first record to the end of every partition.
pub(crate) fn records_per_second(kafka: &Kafka, dataset: &Dataset) -> f64 {
    let consumer: BaseConsumer = kafka.client(&[
        ("group.id", &unique("bare")),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
        // The best that was found for this loop.
        ("queued.min.messages", "1000000"),
        ("fetch.queue.backoff.ms", "0"),
        ("check.crcs", "false"),
    ]);
    consumer.subscribe(&[&dataset.topic]).unwrap();
    let (mut count, mut bytes, mut ends) = (0_u64, 0_usize, 0);
    let mut begin = Instant::now();
    while ends < dataset.partitions {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(record)) => {
                if count == 0 {
                    begin = Instant::now();
                }
                count += 1;
                bytes += record.payload().map_or(0, <[u8]>::len);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    assert_eq!(count, dataset.records);
    assert!(bytes > 0, "records are read, not only counted");
    count as f64 / begin.elapsed().as_secs_f64()
}
