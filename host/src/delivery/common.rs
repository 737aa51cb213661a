//! What all channels of one delivery share.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use super::backlog::Room;
use super::blocks::Manners;
use super::breaker::Breakers;
use super::budget::Budget;
use super::canary::Canary;
use super::directory::Directory;
use super::gate::Gate;
use super::journal::Journal;
use super::pace::Paces;
use super::patience::Patience;
use super::ports::Ports;
use super::sinks::Sinks;
use super::slack::{Asked, Slack};
use super::suppression::Suppression;
use super::verdict::{Reply, Verdict};
use crate::backoff::Backoff;
use crate::config::Ambiguity;
use crate::dead_letter::Origin;
use crate::record::OutgoingRecord;
use crate::telemetry::Metrics;
use crate::topics::InternalTopics;

/// Shared by all channels.
pub struct Common<P> {
    /// Kafka.
    pub ports: P,
    /// Slack.
    pub slack: Arc<Slack>,
    /// The other targets.
    pub sinks: Arc<Sinks>,
    /// Where every request to Slack passes.
    pub gate: Arc<Gate>,
    /// Names and ids of channels.
    pub directory: Directory,
    /// What the operator allows in messages.
    pub manners: Manners,
    /// What to do after an unclear answer when history cannot be read.
    pub on_ambiguous: Ambiguity,
    /// What is written down for people.
    pub journal: Journal,
    /// Who hears that the canary arrived; `None` = none is sent.
    pub canary: Option<Canary>,
    /// What is not to be told now.
    pub suppression: Suppression,
    /// Whether a reply that says that an alert got worse is shown in the channel too.
    pub broadcast_worsening: bool,
    /// How fast each channel is posted to.
    pub paces: Paces,
    /// How much of the outbox is in memory.
    pub room: Room,
    /// The partitions that all hosts share: a host has as large a part of the two that follow.
    pub outbox_partitions: usize,
    /// How fast all channels together are.
    pub budget: Budget,
    /// How fast messages are changed, of all channels.
    pub edits: Budget,
    /// A queue that takes longer to send is told in a tally; `None` = never.
    pub digest_after: Option<Duration>,
    /// Channels that take nothing.
    pub breakers: Breakers,
    /// Where goes what a channel takes nothing of.
    pub fallback: Option<String>,
    /// How long to wait for what.
    pub patience: Patience,
    /// The host's own topics.
    pub topics: InternalTopics,
    /// Who gives up, in dead letters.
    pub origin: Origin,
    /// Telemetry.
    pub metrics: Metrics,
}

/// How work on a partition ends before it is done.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Take up nothing new; finish what is under way.
    pub stop: CancellationToken,
    /// Drop everything: somebody else has the partition, or time is up.
    pub drop: CancellationToken,
}

/// An entry was not finished; it stays in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Whether Slack may have its message without the ledger knowing.
    pub unclear: bool,
}

impl Ending {
    /// Neither has come.
    pub fn new() -> Self {
        let drop = CancellationToken::new();
        Self { stop: drop.child_token(), drop }
    }

    /// Waits for something that may wait for ever: ends with `stop`.
    ///
    /// # Errors
    /// When it ended so.
    pub async fn idle<T>(&self, wait: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Stopped { unclear: false }),
            value = wait => Ok(value),
        }
    }

    /// Does something that should be finished: ends with `drop` only.
    ///
    /// # Errors
    /// When it ended so.
    pub async fn busy<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            () = self.drop.cancelled() => Err(Stopped { unclear: true }),
            value = work => Ok(value),
        }
    }
}

impl Default for Ending {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Ports> Common<P> {
    /// Waits between attempts.
    pub fn backoff(&self) -> Backoff {
        Backoff::new(self.patience.retry_least, self.patience.retry_most, self.patience.seed())
    }

    /// Writes a record, again and again until Kafka has it.
    ///
    /// # Errors
    /// When the partition is dropped before.
    pub async fn keep(&self, record: OutgoingRecord, ending: &Ending) -> Result<(), Stopped> {
        let mut backoff = self.backoff();
        loop {
            let Err(error) = ending.busy(self.ports.write(record.clone())).await? else {
                return Ok(());
            };
            tracing::warn!(topic = %record.topic, "cannot write to kafka, trying again: {error}");
            ending.busy(tokio::time::sleep(backoff.failed())).await?;
        }
    }

    /// Does what an answer asks of everybody, and counts it: closes the gate, holds the method.
    pub fn heed<T>(&self, asked: &Asked<T>) -> Verdict {
        let verdict = asked.verdict();
        if verdict == Verdict::Sent {
            self.gate.succeeded(asked.method);
            return verdict;
        }
        self.metrics.slack_errors(verdict.as_str(), 1);
        if asked.reply == Reply::Untrusted {
            self.gate.distrust(&asked.detail);
        }
        match verdict {
            Verdict::Throttled(wait) => {
                self.gate.hold(asked.method, wait.unwrap_or(self.patience.throttle));
            }
            Verdict::WorkspaceLimit(wait) => self.gate.limit(asked.method, wait, &self.patience),
            Verdict::Credentials => self.gate.close(&asked.detail),
            _ => {}
        }
        verdict
    }
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
