//! The stream of the demo: what eight small machines on the internet write to their syslogs.
//!
//! In: a seed, a rate, how much time went by. Out: records as `kafka-connect-syslog` writes them, and
//! now and then one as a stream query writes it for `notify-relay`. Pure: it knows no clock.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;

mod attack;
mod lines;

use attack::{Attack, Attempt};

/// The topic of the syslog records.
pub const SYSLOG: &str = "SYSLOG";
/// The topic of the notifications that a stream query would write.
pub const NOTIFY: &str = "KSQL_NOTIFY";

/// The machines: `rpi-01` and so on.
const HOSTS: usize = 8;
/// Attempts to log in, a second: the demo's channel takes 1 message a second, and nothing may pile
/// up for ever.
const ATTEMPTS_PER_SECOND: f64 = 0.8;
/// Attempts among all records at most, where the rate is low.
const ATTEMPTS_SHARE_MAX: f64 = 0.2;
/// Time that is made up for at once; a process that stood still does not flood.
const CATCH_UP_MAX: Duration = Duration::from_millis(250);
/// Between two notifications that have nothing to do with attempts.
const CHORES_EVERY: Duration = Duration::from_secs(23);

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fed {
    /// The topic.
    pub topic: &'static str,
    /// The key, as JSON.
    pub key: Option<String>,
    /// The value, as JSON.
    pub value: String,
    /// What a person reads in it.
    pub line: String,
    /// Whether it is an attempt to log in as nobody.
    pub attempt: bool,
}

/// The value of a syslog record, in the connector's order.
#[derive(Serialize)]
struct Value<'a> {
    date: i64,
    facility: u8,
    host: &'a str,
    level: u8,
    message: &'a str,
    charset: &'static str,
    remote_address: &'a str,
    hostname: &'a str,
}

#[derive(Serialize)]
struct Key<'a> {
    remote_address: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Told<'a> {
    text: &'a str,
    channel: &'a str,
}

/// A line before it is a record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// Syslog's number of the part that speaks.
    facility: u8,
    /// Syslog's severity.
    level: u8,
    /// `PROGRAM[PID]: TEXT`
    text: String,
}

/// Makes records, the same ones for the same seed and steps.
#[derive(Debug)]
pub struct Stream {
    rng: Rng,
    /// Records a second.
    rate: f64,
    /// Since the start.
    elapsed: Duration,
    /// Records that time has earned and that are not made yet.
    owed: f64,
    attack: Attack,
    /// What follows an attempt in the same log, before anything else.
    follow_up: VecDeque<(usize, Line)>,
    /// The port that each machine sends from; it changes now and then, and with it the partition.
    ports: [u16; HOSTS],
    next_chore: Duration,
    chores: usize,
}

impl Stream {
    /// A stream of `rate` records a second.
    pub fn new(seed: u64, rate: f64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let attempts = ATTEMPTS_PER_SECOND.min(rate * ATTEMPTS_SHARE_MAX);
        let ports = std::array::from_fn(|_| rng.u16(32_768..60_999));
        Self {
            attack: Attack::new(Duration::from_secs_f64(1.0 / attempts), &mut rng),
            rng,
            rate,
            elapsed: Duration::ZERO,
            owed: 0.0,
            follow_up: VecDeque::new(),
            ports,
            next_chore: Duration::from_secs(6),
            chores: 0,
        }
    }

    /// Adds the records of the next `step` of time to `out`. `now_ms` is the time of day that they
    /// bear, milliseconds since the Unix epoch.
    pub fn advance(&mut self, step: Duration, now_ms: i64, out: &mut Vec<Fed>) {
        let step = step.min(CATCH_UP_MAX);
        self.elapsed += step;
        self.owed += self.rate * step.as_secs_f64();
        let before = out.len();
        while let Some(attempt) = self.attack.due(self.elapsed, &mut self.rng) {
            self.attempt(&attempt, now_ms, out);
        }
        if self.elapsed >= self.next_chore {
            self.next_chore += CHORES_EVERY;
            let (channel, text) = lines::chore(self.chores, &mut self.rng);
            self.chores += 1;
            out.push(told(channel, &text));
        }
        // What came by the clock counts too, so that the rate is what was asked for.
        self.owed -= (out.len() - before) as f64;
        while self.owed >= 1.0 {
            let (host, line) = match self.follow_up.pop_front() {
                Some(next) => next,
                None => (self.rng.usize(..HOSTS), lines::ordinary(&mut self.rng)),
            };
            out.push(self.record(host, &line, now_ms, false));
            self.owed -= 1.0;
        }
    }

    fn attempt(&mut self, attempt: &Attempt, now_ms: i64, out: &mut Vec<Fed>) {
        let Attempt { host, pid, port, name, address, .. } = attempt;
        let say =
            |text: String| Line { facility: 4, level: 6, text: format!("sshd[{pid}]: {text}") };
        let line = say(format!("Invalid user {name} from {address} port {port}"));
        out.push(self.record(*host, &line, now_ms, true));
        // "invalid user" with a small letter: these must not ring.
        for text in [
            "pam_unix(sshd:auth): check pass; user unknown".to_owned(),
            format!("Failed password for invalid user {name} from {address} port {port} ssh2"),
            format!("Connection closed by invalid user {name} {address} port {port} [preauth]"),
        ] {
            self.follow_up.push_back((*host, say(text)));
        }
        if let Some(attempts) = attempt.last_of
            && attempts >= 4
        {
            let host = host_name(*host);
            let text = format!("❗ {host}: {attempts} attempts as unknown users from {address}");
            out.push(told("security", &text));
        }
    }

    fn record(&mut self, host: usize, line: &Line, now_ms: i64, attempt: bool) -> Fed {
        if self.rng.u32(..200) == 0 {
            self.ports[host] = self.rng.u16(32_768..60_999);
        }
        let name = host_name(host);
        let address = format!("192.168.42.{}", 11 + host);
        let remote_address = format!("/{address}:{}", self.ports[host]);
        // The connector leaves the host in front of the text.
        let message = format!("{name} {}", line.text);
        let value = Value {
            // A line of RFC 3164 knows only seconds.
            date: now_ms - now_ms.rem_euclid(1_000),
            facility: line.facility,
            host: &name,
            level: line.level,
            message: &message,
            charset: "UTF-8",
            remote_address: &remote_address,
            hostname: &address,
        };
        Fed {
            topic: SYSLOG,
            key: Some(json(&Key { remote_address: &remote_address })),
            value: json(&value),
            line: message,
            attempt,
        }
    }
}

fn told(channel: &str, text: &str) -> Fed {
    let value = json(&Told { text, channel });
    Fed { topic: NOTIFY, key: None, line: value.clone(), value, attempt: false }
}

fn host_name(host: usize) -> String {
    format!("rpi-{:02}", host + 1)
}

/// Structs of texts and numbers cannot fail to become JSON.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
