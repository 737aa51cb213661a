//! P5: from writing a record to Slack's request, at 20 records a second.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use firebell_tests::kafka::{Kafka, Outgoing, send};
use firebell_tests::records::invalid_user;
use firebell_tests::scene::Scene;
use firebell_tests::site::TOKEN;
use firebell_tests::slack::Slack;
use firebell_tests::{eventually, now_ms, unique};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::figures::{compare, percentile};

/// Records that are measured, and those before them that are not: twelve seconds, in which a host's workers
/// share the partitions out.
const MEASURED: usize = 400;
const WARM_UP: usize = 240;
/// 20 a second.
const INTERVAL: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Firebell, exactly-once, between two floors: what a loop without guarantees takes, and what a
/// loop with one transaction for each record takes.
pub(crate) fn record_to_slack(kafka: &Kafka) {
    let mut once = measure(kafka, at_least_once);
    let mut transaction = measure(kafka, in_transactions);
    let mut ours = firebell(kafka);
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let ours = percentile(&mut ours, share);
        let what = format!("P5 record to Slack's request, {name}");
        let floor = percentile(&mut transaction, share);
        compare(&what, ours, ("transaction, reader and POST alone", floor), "ms");
        compare(&what, ours, ("at least once, no Firebell", percentile(&mut once, share)), "ms");
    }
}

fn firebell(kafka: &Kafka) -> Vec<f64> {
    let scene = Scene::new(kafka, "latency");
    let toml = "component = \"builtin:invalid-user\"\n[config]\nhost = \"rpi-03\"";
    scene.site.put("invalid-user.toml", scene.toml(toml).as_bytes());
    let _host = scene.site.start();
    write_and_measure(kafka, &scene.topic, &scene.slack)
}

/// Measures a loop that runs in a thread of ours until told to stop.
fn measure(kafka: &Kafka, work: fn(&Kafka, &str, &str, &AtomicBool)) -> Vec<f64> {
    let (topic, slack) = (unique("latency"), Slack::start());
    kafka.create_topic(&topic, 4, &[]);
    let (stop, url) = (AtomicBool::new(false), slack.api_url());
    std::thread::scope(|scope| {
        scope.spawn(|| work(kafka, &topic, &url, &stop));
        let times = write_and_measure(kafka, &topic, &slack);
        stop.store(true, Ordering::Relaxed);
        times
    })
}

/// Writes numbered records at the pace; milliseconds until each one's request arrived.
fn write_and_measure(kafka: &Kafka, topic: &str, slack: &Slack) -> Vec<f64> {
    let producer: BaseProducer = kafka.client(&[("linger.ms", "0")]);
    // The first one finds consumers that are still joining.
    send(&producer, topic, &numbered(0));
    producer.flush(TIMEOUT).unwrap();
    eventually("the first post", || (slack.count() == 1).then_some(()));
    let mut sent = vec![Instant::now()];
    for number in 1..=WARM_UP + MEASURED {
        let next = sent[0] + INTERVAL * u32::try_from(number).unwrap();
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        sent.push(Instant::now());
        send(&producer, topic, &numbered(number));
        // The delivery report is not waited for: the record is on its way.
        producer.poll(Duration::ZERO);
    }
    let all = sent.len();
    eventually("every post", || (slack.count() == all).then_some(()));
    let mut times = vec![];
    for post in slack.posts() {
        let number = post.title.split(" user u").nth(1).unwrap().split(' ').next().unwrap();
        let number: usize = number.parse().unwrap();
        if number > WARM_UP {
            times.push(post.arrived.duration_since(sent[number]).as_secs_f64() * 1e3);
        }
    }
    assert_eq!(times.len(), MEASURED, "each is posted once");
    times
}

fn numbered(number: usize) -> Outgoing {
    invalid_user("rpi-03", &format!("u{number:05}"), now_ms())
}

fn consumer(kafka: &Kafka, topic: &str, reset: &str) -> BaseConsumer {
    let consumer: BaseConsumer = kafka.client(&[
        ("group.id", &unique("floor")),
        ("auto.offset.reset", reset),
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_committed"),
    ]);
    consumer.subscribe(&[topic]).unwrap();
    consumer
}

/// The text of a record that matters.
fn matching(value: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let message = value["message"].as_str()?;
    (value["host"] == "rpi-03" && message.contains("Invalid user")).then(|| message.to_owned())
}

fn at_least_once(kafka: &Kafka, topic: &str, url: &str, stop: &AtomicBool) {
    let (consumer, mut post) = (consumer(kafka, topic, "earliest"), Post::new(url));
    while !stop.load(Ordering::Relaxed) {
        let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
        if let Some(text) = matching(record.unwrap().payload().unwrap()) {
            post.send(&text);
        }
    }
}

/// One transaction for each record into a topic, which a second thread reads and posts from.
fn in_transactions(kafka: &Kafka, topic: &str, url: &str, stop: &AtomicBool) {
    let out = unique("latency-out");
    kafka.create_topic(&out, 4, &[]);
    let producer: BaseProducer = kafka.client(&[
        ("transactional.id", &unique("floor")),
        ("linger.ms", "0"),
        // Without these two every transaction takes 100 ms.
        ("retry.backoff.ms", "1"),
        ("retry.backoff.max.ms", "10"),
    ]);
    producer.init_transactions(TIMEOUT).unwrap();
    let input = consumer(kafka, topic, "earliest");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (consumer, mut post) = (consumer(kafka, &out, "earliest"), Post::new(url));
            while !stop.load(Ordering::Relaxed) {
                if let Some(record) = consumer.poll(Duration::from_millis(100)) {
                    post.send(std::str::from_utf8(record.unwrap().payload().unwrap()).unwrap());
                }
            }
        });
        while !stop.load(Ordering::Relaxed) {
            let Some(record) = input.poll(Duration::from_millis(100)) else { continue };
            let record = record.unwrap();
            let Some(text) = matching(record.payload().unwrap()) else { continue };
            producer.begin_transaction().unwrap();
            let outgoing: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&out).payload(text.as_bytes());
            producer.send(outgoing).map_err(|(error, _)| error).unwrap();
            let mut offsets = TopicPartitionList::new();
            let next = Offset::Offset(record.offset() + 1);
            offsets.add_partition_offset(topic, record.partition(), next).unwrap();
            let group = input.group_metadata().unwrap();
            producer.send_offsets_to_transaction(&offsets, &group, TIMEOUT).unwrap();
            // commit_transaction would flush in steps of 100 ms.
            while producer.in_flight_count() > 0 {
                producer.poll(Duration::from_micros(100));
            }
            producer.commit_transaction(TIMEOUT).unwrap();
        }
    });
}

/// A connection that is kept, and nothing more.
struct Post {
    stream: BufReader<TcpStream>,
    address: String,
}

impl Post {
    fn new(url: &str) -> Self {
        let address = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), address }
    }

    fn send(&mut self, text: &str) {
        let body = serde_json::json!({ "channel": "general", "text": text }).to_string();
        let request = format!(
            "POST /api/chat.postMessage HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            TOKEN.1,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).unwrap();
    }
}
