//! How long delivery waits for what. Each wait has its reason here; tests shorten them.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// All waits of delivery.
#[derive(Debug, Clone)]
pub struct Patience {
    /// After the first failure of a message; it doubles, with jitter.
    pub retry_least: Duration,
    /// After many failures.
    pub retry_most: Duration,
    /// When Slack says "too fast" and not how long to wait: its rate is one a second.
    pub throttle: Duration,
    /// Between an unclear answer, or the death of whoever had the partition before, and looking
    /// into the history: Slack may still be storing the message.
    pub settle: Duration,
    /// How far back before an entry's writing the history is read: our clock and Slack's may
    /// disagree by so much.
    pub clocks_apart: Duration,
    /// Attempts with a code that nobody knows.
    pub unknown_attempts: u32,
    /// Before the first question whether Slack takes us again.
    pub probe_least: Duration,
    /// Between such questions in the long run.
    pub probe_most: Duration,
    /// At the end: how long to go on while entries are left.
    pub drain: Duration,
    /// At the end: how long the outbox must have been quiet to call it empty. A commit is seen
    /// within a millisecond or two.
    pub quiet: Duration,
    /// How long requests that are under way, and their ledger records, may take at the end.
    pub finish: Duration,
    /// Between two changes of one message; of what comes meanwhile the last is told. Slack takes
    /// fifty changes a minute from the whole workspace.
    pub edits: Duration,
    /// Between two looks whether what is silenced or muted may be told.
    pub suppressed: Duration,
    /// Between two changes of a tally.
    pub tally_every: Duration,
    /// For a channel that takes nothing: how long it is not asked at first.
    pub breaker_least: Duration,
    /// And when it refuses again and again.
    pub breaker_most: Duration,
    /// For a workspace to which too much is sent, by Slack's word: how long nothing is posted at first,
    /// when Slack names no time.
    pub workspace_least: Duration,
    /// And when Slack says so again and again.
    pub workspace_most: Duration,
    /// Between two looks for ledger entries that are too old.
    pub expire_every: Duration,
}

impl Patience {
    /// What a host uses; a request takes at most `request_timeout`.
    pub fn new(request_timeout: Duration) -> Self {
        Self {
            retry_least: Duration::from_millis(500),
            retry_most: Duration::from_secs(60),
            throttle: Duration::from_secs(1),
            settle: Duration::from_secs(1),
            clocks_apart: Duration::from_secs(600),
            unknown_attempts: 3,
            probe_least: Duration::from_secs(1),
            probe_most: Duration::from_secs(30),
            drain: Duration::from_secs(5),
            quiet: Duration::from_millis(200),
            finish: request_timeout + Duration::from_secs(5),
            edits: Duration::from_secs(5),
            suppressed: Duration::from_secs(1),
            tally_every: Duration::from_secs(5),
            breaker_least: Duration::from_secs(60),
            breaker_most: Duration::from_secs(600),
            workspace_least: Duration::from_secs(60),
            workspace_most: Duration::from_secs(900),
            expire_every: Duration::from_secs(300),
        }
    }

    /// A beginning for a generator of jitter, different for each caller.
    pub fn seed(&self) -> u64 {
        RandomState::new().hash_one(0)
    }
}
