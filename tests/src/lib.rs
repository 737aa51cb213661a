//! The harness of the acceptance tests: a real Kafka, the real `firebell` program, a Slack stand-in.
//!
//! - [`certificates`]: keys and certificates.
//! - [`kafka`]: brokers, topics, writing and reading records.
//! - [`outbox`]: entries as workers write them.
//! - [`records`]: records as the seed's sources write them.
//! - [`guests`]: compiled rules, good and hostile.
//! - [`load`]: records that go on coming while a test does something.
//! - [`site`]: a folder with a `firebell.toml` and rules, and the program that runs on it.
//! - [`slack`]: the stand-in for Slack; [`receiver`]: the one for webhooks.
//! - [`scene`]: all of that, as most tests begin.
//! - [`watchdog`]: ends a test program in which a test hangs.
//! - [`eventually`]: waiting for a condition, with a deadline.
//!
//! Every test has topics, a group and a folder of its own, so that they run side by side.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "all of it is test code: a failure here is a failed test"
)]

pub mod certificates;
pub mod guests;
pub mod kafka;
pub mod load;
pub mod outbox;
pub mod receiver;
pub mod records;
pub mod scene;
pub mod site;
pub mod slack;
pub mod tls;
pub mod watchdog;

use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// How long a condition may take to come true. Long, since a busy machine is no failure.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `look` returns something.
///
/// # Panics
/// After [`DEADLINE`], saying what was waited for.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < DEADLINE, "after {DEADLINE:?} there is still not {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `look` returns `wanted`.
///
/// # Panics
/// After [`DEADLINE`], with what it returned instead.
pub fn eventually_eq<T: PartialEq + Debug>(what: &str, wanted: &T, mut look: impl FnMut() -> T) {
    let begin = Instant::now();
    loop {
        let found = look();
        if found == *wanted {
            return;
        }
        assert!(
            begin.elapsed() < DEADLINE,
            "{what} is still {found:#?}\nafter {DEADLINE:?}, and not {wanted:#?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A name that no other test uses, now or on an earlier run against the same broker.
pub fn unique(stem: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{stem}-{}-{}-{number}", now_ms() / 1000, std::process::id())
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
