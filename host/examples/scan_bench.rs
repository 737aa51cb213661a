//! Nanoseconds per record of decoding and matching, beside native code that does the same by hand
//! and in the same run.
//!
//! `cargo run --release --example scan_bench [SECTION]` with the sections seed, decode, rules, shapes.
//! The records are those of the seed's topic: syslog as JSON, 266 bytes in the mean, from 100 hosts.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and may stop")]

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firebell::decode::{Decoder, Kind, Slots};
use firebell::matching::{MatchRule, Scratch, Survivors, TopicMatcher};
use firebell::record::Record;
use firebell::subscription::{Field, FieldType, Format};
use memchr::memmem;

const RECORDS: usize = 20_000;
const BATCH: usize = 1_000;
const TIME_PER_FIGURE: Duration = Duration::from_millis(400);
const MESSAGES: [&str; 5] = [
    "Accepted publickey for pi from 192.168.10.42 port 51514 ssh2: RSA key accepted",
    "pam_unix(sshd:session): session opened for user pi by (uid=0) in slice user-1000",
    "Received disconnect from 192.168.10.12 port 40022:11: disconnected by user (ok)",
    "(root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1) finished clean",
    "systemd[1]: Started Session 4711 of user pi, scope session-4711.scope, all good",
];

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    let wanted = |section: &str| only.is_empty() || section == only;
    if wanted("seed") {
        seed();
    }
    if wanted("decode") {
        decode();
    }
    if wanted("rules") {
        rules();
    }
    if wanted("shapes") {
        shapes();
    }
}

/// Seed rule 1: one rule, few and many hits.
fn seed() {
    for per_mille in [1, 200] {
        let topic = Topic::new(per_mille, Some(3), 100, |_| "Invalid user".to_owned());
        let native = topic.native();
        println!("seed {:4.1} %  native             {native:7.1} ns", f64::from(per_mille) / 10.0);
        let ours = topic.scan(&[condition("rpi-03", "Invalid user")]);
        let ratio = ours / native;
        println!("             scan               {ours:7.1} ns  {ratio:5.2} x native");
    }
}

/// The projection alone, without prefilter and conditions.
fn decode() {
    let topic = Topic::new(1, None, 100, |_| "Invalid user".to_owned());
    let serde = nanoseconds(|| {
        for record in topic.records() {
            black_box(serde_json::from_slice::<Row<'_>>(record.value.unwrap_or_default()).ok());
        }
    });
    println!("decode  serde_json, borrowed struct {serde:7.1} ns");
    for places in [&["/HOST", "/MESSAGE"][..], &["/HOST", "/MESSAGE", "/TIMESTAMP"]] {
        let sources = places.iter().map(|place| place.parse().unwrap()).collect();
        let decoder = Decoder::new(Format::Json, sources);
        let mut room = Slots::default();
        let records = topic.records();
        let ours = nanoseconds(|| {
            for record in &records {
                let (fields, decoded) = decoder.decode(record, &mut room);
                assert!(decoded.is_ok() && fields.kind(0) == Kind::Text);
            }
        });
        let (count, ratio) = (places.len(), serde / ours);
        println!("decode  {count} fields              {ours:7.1} ns  {ratio:5.2} x faster");
    }
}

/// Rules with different literals and hosts.
fn rules() {
    let literal = |index: usize| format!("Alarm word {index:05}");
    let mut one = 0.0;
    for count in [1, 10, 100, 1_000] {
        let topic = Topic::new(1, None, count.max(100), literal);
        let conditions: Vec<_> = (0..count).map(|i| condition(&host(i), &literal(i))).collect();
        let ours = topic.scan(&conditions);
        if count == 1 {
            one = ours;
        }
        let ratio = ours / one;
        println!("rules {count:5}  host and literal     {ours:7.1} ns  {ratio:5.2} x one rule");
    }
}

/// A name, and the condition of the rule with this number.
type Shape = (&'static str, fn(usize) -> String);

/// Rules of other shapes.
#[allow(clippy::type_complexity, reason = "a table of closures, read once")]
fn shapes() {
    let topic = Topic::new(1, None, 100, |_| "Invalid user".to_owned());
    let shapes: [Shape; 6] = [
        ("literal only", |i| format!("message.contains('word{:07}')", i * 7_919 % 1_000_003)),
        ("one host", |i| format!("host == 'rpi-03' && message.contains('w{i:07}')")),
        ("a bound", |i| format!("ts > {}", 1_795_377_700_000_u64 + i as u64)),
        ("either", |i| format!("host == 'h{i}' || message.startsWith('x{i}')")),
        ("expression", |i| format!("host == 'rpi-{i:02}' && message.matches('a[0-9]+{i}$')")),
        ("short literal", |i| format!("message.contains('#{:x}') && host < 'a'", i % 256)),
    ];
    for (name, shape) in shapes {
        for count in [10, 100, 1_000] {
            let ours = topic.scan(&(0..count).map(shape).collect::<Vec<_>>());
            println!("shapes {count:5}  {name:18} {ours:7.1} ns");
        }
    }
}

fn host(index: usize) -> String {
    format!("rpi-{index:02}")
}

fn condition(host: &str, literal: &str) -> String {
    format!("host == '{host}' && message.contains('{literal}')")
}

/// A topic's values, one behind the other as they lie in a fetched batch.
struct Topic {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// What the native code reads of a hit.
#[derive(serde::Deserialize)]
struct Row<'a> {
    #[serde(borrow, rename = "HOST")]
    host: Cow<'a, str>,
    #[serde(borrow, rename = "MESSAGE")]
    message: Cow<'a, str>,
    #[serde(rename = "TIMESTAMP")]
    timestamp: i64,
}

impl Topic {
    /// Records of which so many in a thousand have their host's literal, those from `hit_host` if given.
    fn new(
        per_mille: u32,
        hit_host: Option<usize>,
        hosts: usize,
        literal: impl Fn(usize) -> String,
    ) -> Self {
        let mut topic = Self { bytes: Vec::new(), ends: Vec::new() };
        let mut state = 0x5EED_F12E_BE11_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % below
        };
        for index in 0..RECORDS {
            let hit = random(1_000) < per_mille as usize;
            let number = hit_host.filter(|_| hit).unwrap_or_else(|| random(hosts));
            let message = if hit {
                let literal = literal(number);
                format!(
                    "{literal} u0000001 from 114.130.4.17 port 22 extra padding to keep it even"
                )
            } else {
                MESSAGES[random(MESSAGES.len())].to_owned()
            };
            let (host, pid) = (host(number), 10_000 + random(50_000));
            let value = format!(
                "{{\"NAME\":\"sshd\",\"TYPE\":\"SYSLOG3164\",\"MESSAGE\":\"{host} sshd[{pid}]: {message}\",\
                 \"HOST\":\"{host}\",\"FACILITY\":\"AUTHPRIV\",\"SEVERITY\":\"INFO\",\
                 \"REMOTE_ADDRESS\":\"/192.168.10.{}:514\",\"TIMESTAMP\":{}}}",
                number % 250,
                1_795_377_600_000 + index
            );
            topic.bytes.extend_from_slice(value.as_bytes());
            topic.ends.push(topic.bytes.len());
        }
        topic
    }

    fn records(&self) -> Vec<Record<'_>> {
        let starts = std::iter::once(&0).chain(&self.ends);
        (0..)
            .zip(starts.zip(&self.ends))
            .map(|(offset, (start, end))| Record {
                offset,
                timestamp_ms: offset,
                key: None,
                value: Some(&self.bytes[*start..*end]),
                headers: &(),
            })
            .collect()
    }

    /// The library: rules with these conditions.
    fn scan(&self, conditions: &[String]) -> f64 {
        let field = |name: &str, source: &str, field_type| Field {
            name: name.into(),
            source: source.parse().unwrap(),
            field_type,
        };
        let rules = conditions.iter().map(|condition| MatchRule {
            format: Format::Json,
            fields: vec![
                field("host", "/HOST", FieldType::Text),
                field("message", "/MESSAGE", FieldType::Text),
                field("ts", "/TIMESTAMP", FieldType::Integer),
            ],
            conditions: vec![condition.clone()],
        });
        let matcher = TopicMatcher::new(rules.collect()).unwrap();
        let (records, topic) = (self.records(), Arc::from("SYSLOG"));
        let (mut scratch, mut out) = (Scratch::default(), Survivors::default());
        nanoseconds(|| {
            for batch in records.chunks(BATCH) {
                matcher.scan(&topic, 0, batch, &mut scratch, &mut out);
                black_box(&out);
            }
        })
    }

    /// Seed rule 1 by hand: the literal in the raw value, then what is left to ask, then the columns.
    fn native(&self) -> f64 {
        let finder = memmem::Finder::new("Invalid user");
        let records = self.records();
        let (mut cells, mut ends) = (Vec::new(), Vec::new());
        nanoseconds(|| {
            for batch in records.chunks(BATCH) {
                cells.clear();
                ends.clear();
                for value in batch.iter().filter_map(|record| record.value) {
                    if finder.find(value).is_none() && memchr::memchr(b'\\', value).is_none() {
                        continue;
                    }
                    let Ok(row) = serde_json::from_slice::<Row<'_>>(value) else { continue };
                    if row.host == "rpi-03" && finder.find(row.message.as_bytes()).is_some() {
                        cells.extend_from_slice(row.host.as_bytes());
                        ends.push(cells.len());
                        cells.extend_from_slice(row.message.as_bytes());
                        ends.push(cells.len());
                        cells.extend_from_slice(&row.timestamp.to_le_bytes());
                        ends.push(cells.len());
                    }
                }
                black_box((&cells, &ends));
            }
        })
    }
}

/// Nanoseconds per record: of many runs over all records, one that little else disturbed.
fn nanoseconds(mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 5 || start.elapsed() < TIME_PER_FIGURE {
        let start = Instant::now();
        run();
        times.push(start.elapsed().as_nanos() as f64 / RECORDS as f64);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 20]
}
