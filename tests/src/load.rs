//! Records that go on coming while a test does something.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::producer::{BaseProducer, Producer};

use crate::kafka::{Kafka, Outgoing, send};

/// How long the last records may take: a broker that was killed needs a while.
const FLUSH: Duration = Duration::from_secs(120);

/// A load under way.
#[derive(Debug, Default)]
pub struct Load {
    stop: AtomicBool,
    written: AtomicUsize,
}

impl Load {
    /// Writes the records of the numbers from 0 on to a topic, each `pause` after the one before, while
    /// `act` works. It ends with `act`, also when that fails: a test that fails must not wait for ever
    /// for a writer that nobody stops. Returns how many records were written.
    pub fn during(
        (kafka, topic): (&Kafka, &str),
        pause: Duration,
        record: impl Fn(usize) -> Outgoing + Sync,
        act: impl FnOnce(&Self),
    ) -> usize {
        struct Stops<'a>(&'a Load);
        impl Drop for Stops<'_> {
            fn drop(&mut self) {
                self.0.stop();
            }
        }
        let load = Self::default();
        std::thread::scope(|scope| {
            scope.spawn(|| load.run(kafka, topic, pause, &record));
            let _stops = Stops(&load);
            act(&load);
        });
        load.written()
    }

    /// How many records were written so far.
    pub fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// Ends it before its time; one more record may come.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn run(&self, kafka: &Kafka, topic: &str, pause: Duration, record: impl Fn(usize) -> Outgoing) {
        let producer: BaseProducer = kafka.client(&[
            ("linger.ms", "0"),
            // In order, and once more rather than never: an idempotent one may wait for ever for a broker
            // that was killed.
            ("max.in.flight", "1"),
            // After an outage a source should be back before it is missed.
            ("reconnect.backoff.max.ms", "100"),
        ]);
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.written.fetch_add(1, Ordering::Relaxed);
            send(&producer, topic, &record(number));
            std::thread::sleep(pause);
        }
        producer.flush(FLUSH).unwrap();
    }
}
