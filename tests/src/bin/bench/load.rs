//! Records for throughput: syslog as KSQL shows it, 266 bytes on average, the same on every run.

use std::collections::HashMap;
use std::time::Duration;

use firebell_tests::kafka::{Kafka, Outgoing, send};
use firebell_tests::unique;
use rdkafka::producer::{BaseProducer, Producer};

/// 2026-11-22 20:00:00 UTC.
const BASE_MS: i64 = 1_795_377_600_000;
/// The records spread over two hours.
const SPAN_MS: i64 = 7_200_000;
/// What hosts say when nobody tries anything.
const USUAL: [&str; 5] = [
    "Accepted publickey for pi from 192.168.10.42 port 51514 ssh2: RSA key accepted",
    "pam_unix(sshd:session): session opened for user pi by (uid=0) in slice user-1000",
    "Received disconnect from 192.168.10.12 port 40022:11: disconnected by user (ok)",
    "(root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1) finished clean",
    "systemd[1]: Started Session 4711 of user pi, scope session-4711.scope, all good",
];

/// How many records say `Invalid user`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {
    OneInAThousand,
    OneInFive,
}

impl Share {
    fn one_in(self) -> u64 {
        match self {
            Self::OneInAThousand => 1_000,
            Self::OneInFive => 5,
        }
    }
}

/// A topic full of records.
#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) topic: String,
    pub(crate) records: u64,
    pub(crate) partitions: usize,
    /// Records that say `Invalid user`.
    pub(crate) matching: u64,
    /// Those of them from `rpi-03`.
    pub(crate) matching_on_rpi_03: u64,
    /// Hosts and minutes with four of them or more.
    pub(crate) bursts: u64,
}

impl Dataset {
    /// A topic that somebody else filled.
    pub(crate) fn of(topic: &str, records: u64, partitions: i32) -> Self {
        let partitions = usize::try_from(partitions).unwrap();
        let topic = topic.to_owned();
        Self { topic, records, partitions, matching: 0, matching_on_rpi_03: 0, bursts: 0 }
    }

    /// Writes `records` records to a new topic of 4 partitions.
    pub(crate) fn write(kafka: &Kafka, stem: &str, records: u64, share: Share) -> Self {
        const PARTITIONS: usize = 4;
        let topic = unique(stem);
        kafka.create_topic(&topic, 4, &[("retention.ms", "-1"), ("segment.bytes", "134217728")]);
        let producer: BaseProducer = kafka.client(&[
            ("linger.ms", "20"),
            ("batch.num.messages", "10000"),
            ("partitioner", "murmur2_random"),
            ("queue.buffering.max.messages", "500000"),
        ]);
        let mut dataset = Self {
            topic,
            records,
            partitions: PARTITIONS,
            matching: 0,
            matching_on_rpi_03: 0,
            bursts: 0,
        };
        let mut minutes: HashMap<(u64, i64), u32> = HashMap::new();
        let mut random = Random(0x5EED_F12E_BE11);
        for number in 0..records {
            let chance = random.next();
            let host = chance % 100;
            let pid = 10_000 + (chance >> 32) % 50_000;
            let at = BASE_MS + number as i64 * SPAN_MS / records as i64;
            let text = if (chance >> 20).is_multiple_of(share.one_in()) {
                let attempts = minutes.entry((host, at / 60_000)).or_default();
                *attempts += 1;
                dataset.bursts += u64::from(*attempts == 4);
                dataset.matching += 1;
                dataset.matching_on_rpi_03 += u64::from(host == 3);
                format!(
                    "Invalid user u{number:07} from 114.130.4.{} port 22 extra padding here to keep it even",
                    pid % 250
                )
            } else {
                USUAL[(chance >> 8) as usize % USUAL.len()].to_owned()
            };
            let value = format!(
                "{{\"NAME\":\"sshd\",\"TYPE\":\"SYSLOG3164\",\
                 \"MESSAGE\":\"rpi-{host:02} sshd[{pid}]: {text}\",\"HOST\":\"rpi-{host:02}\",\
                 \"FACILITY\":\"AUTHPRIV\",\"SEVERITY\":\"INFO\",\
                 \"REMOTE_ADDRESS\":\"/192.168.10.{host}:514\",\"TIMESTAMP\":{at}}}"
            );
            let record = Outgoing::value(value).key(format!("rpi-{host:02}")).timestamp_ms(at);
            send(&producer, &dataset.topic, &record);
        }
        producer.flush(Duration::from_secs(120)).unwrap();
        dataset
    }
}

/// Xorshift: the same numbers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}
