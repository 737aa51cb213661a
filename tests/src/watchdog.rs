//! Ends a test program in which a test hangs, and says what failed at once.
//!
//! The standard harness shows a failure when all tests are done, and waits for a test for ever.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

/// Says how often crash tests kill something; they run longer then.
pub const CRASHES_ENV: &str = "FIREBELL_TEST_CRASHES";
/// No test runs that long: the slowest takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// More for each crash that was asked for.
const LIMIT_CRASH: Duration = Duration::from_secs(20);

/// By number: which test, since when.
static RUNNING: Mutex<BTreeMap<u64, (String, Instant)>> = Mutex::new(BTreeMap::new());

/// A test while it runs.
#[derive(Debug)]
pub struct Watched(u64);

impl Watched {
    /// Watches the test of this thread until this is dropped.
    pub fn new() -> Self {
        static START: Once = Once::new();
        START.call_once(start);
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let number = running.last_key_value().map_or(0, |(last, _)| last + 1);
        running.insert(number, (name, Instant::now()));
        Self(number)
    }
}

impl Default for Watched {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

fn start() {
    let standard = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        say(&format!("{}: {panic}", thread.name().unwrap_or("a thread of a test")));
        standard(panic);
    }));
    let crashes = std::env::var(CRASHES_ENV).ok().and_then(|number| number.parse().ok());
    let limit = LIMIT + LIMIT_CRASH * crashes.unwrap_or(0);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(5));
            let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
            let hanging = running.values().find(|(_, since)| since.elapsed() > limit);
            if let Some((name, _)) = hanging {
                say(&format!("{name} still runs after {limit:?}; the tests are given up"));
                // What it started goes as well: each child has a reaper.
                std::process::abort();
            }
        }
    });
}

/// Past the harness, which keeps what a test prints until all tests are done.
fn say(text: &str) {
    let _written = std::io::stderr().write_all(format!("{text}\n").as_bytes()).is_ok();
}
