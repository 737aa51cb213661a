//! Delivery: from the outbox to Slack and other targets, once.
//!
//! In: entries of the outbox (read committed). Out: messages in Slack, news to webhooks, topics and
//! Alertmanagers (`sinks`), and what became of every alert in the ledger. It never evaluates a rule.
//!
//! The way of an entry: `dispatch` hands it to its `partition`, that to the `attempt` of its
//! channel, which decides (`decision`), waits for its `pace` and the `gate`, asks `slack`, and looks
//! up in `verdict` what the answer means. Slack's yes goes to the ledger, then the offset is
//! committed. Where nobody can say whether a message was posted, `readback` reads the channel.

pub mod attempt;
pub mod backlog;
pub mod blocks;
pub mod book;
pub mod breaker;
pub mod budget;
pub mod canary;
pub mod common;
pub mod credentials;
pub mod decision;
pub mod directory;
pub mod dispatch;
mod edits;
pub mod gate;
mod groups;
mod http;
pub mod journal;
pub mod kafka;
mod lanes;
pub mod pace;
pub mod partition;
pub mod patience;
pub mod ports;
pub mod readback;
mod retries;
mod round;
pub mod sinks;
pub mod slack;
mod storm;
pub mod suppression;
#[cfg(test)]
pub(crate) mod tests;
mod text;
pub mod verdict;
pub mod watermark;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::config::{Config, SlackConfig, SlackMode};
use crate::dead_letter::Origin;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::InternalTopics;
use backlog::Room;
use blocks::Manners;
use breaker::Breakers;
use budget::Budget;
use canary::Canary;
use common::{Common, Ending, now_ms};
use directory::Directory;
use dispatch::{Dispatch, Ended};
use gate::{Gate, PART};
use http::ClientError;
use journal::{Journal, write_out};
use kafka::{KafkaPorts, KafkaPortsError};
use pace::Paces;
use patience::Patience;
use readback::{History, read};
use sinks::Sinks;
use slack::Slack;
use suppression::Suppression;
use verdict::Verdict;

/// Events of the outbox's reader that wait for the dispatcher, which takes them at once.
const EVENTS_MAX: usize = 1_024;

/// What the workspace takes at once, in seconds of its share.
const WORKSPACE_BURST_SECONDS: f64 = 4.0;

/// Slack takes some fifty changes a minute of all messages of a workspace (tier 3 of its Web API).
const EDITS_PER_SECOND: f64 = 0.75;
/// Changes at once.
const EDITS_BURST: u32 = 5;

/// Why delivery cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// There is nobody to deliver to.
    #[error(
        "there is nobody to deliver to: add a [slack] section or another target (docs/sinks.md), or run \
         with --only evaluate"
    )]
    NoTarget,
    /// The HTTP client.
    #[error("cannot speak to slack or another target")]
    Client(#[from] ClientError),
    /// The Kafka clients.
    #[error("cannot read the outbox")]
    Kafka(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<KafkaPortsError> for DeliveryError {
    fn from(error: KafkaPortsError) -> Self {
        Self::Kafka(Box::new(error))
    }
}

/// Delivers until `shutdown`, then drains for some seconds; what is not sent stays in the outbox, which has
/// so many partitions.
///
/// A Kafka or a Slack that is away, and a token that is refused, are no errors: it says so, waits
/// and goes on by itself.
///
/// # Errors
/// When it cannot start.
pub async fn run(
    (config, partitions): (Arc<Config>, i32),
    suppression: Suppression,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), DeliveryError> {
    if config.targets().is_empty() {
        return Err(DeliveryError::NoTarget);
    }
    readiness.set_not_ready(PART, "waiting for partitions of the outbox");
    let slack = Arc::new(config.slack.as_ref().map_or_else(Slack::absent, client)?);
    let sinks = Arc::new(Sinks::new(&config)?);
    let gate = Arc::new(Gate::new(metrics.clone(), readiness.clone()));
    let requests = config.slack.iter().map(|slack| slack.request_timeout);
    let longest = requests.chain(config.sinks.longest_request()).max();
    let patience = Patience::new(longest.unwrap_or_default());
    let file = match config.slack.as_ref().map(|slack| &slack.mode) {
        Some(SlackMode::Bot { token_file: file, .. } | SlackMode::Webhook { file, .. }) => {
            file.clone()
        }
        None => None,
    };
    let recovery =
        credentials::recover(Arc::clone(&gate), Arc::clone(&slack), file, patience.clone());
    // Both end with this function.
    let mut background = tokio::task::JoinSet::new();
    background.spawn(recovery);
    let canary_config = config.ops.as_ref().and_then(|ops| ops.canary.as_ref());
    let canary = canary_config.map(|canary| Canary::new(canary, &metrics));
    if let (Some(canary), Some(url)) = (&canary, canary_config.and_then(|c| c.ping_url.as_ref())) {
        background.spawn(canary.clone().pinging(url)?);
    }
    let kafka = Arc::new(config.kafka.clone());
    let retention_ms =
        i64::try_from(config.delivery.ledger_retention.as_millis()).unwrap_or(i64::MAX);
    let mut backoff =
        Backoff::new(Duration::from_secs(1), Duration::from_secs(30), patience.seed());
    let mut introduced = false;
    loop {
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let ports = KafkaPorts::start(&kafka, events, metrics.clone(), readiness.clone())?;
        let (journal, noted) = Journal::new(metrics.clone());
        let shared = (&suppression, &patience, &canary);
        let common = common(&config, (&slack, &sinks, &gate), shared, (ports, journal), &metrics);
        let outbox_partitions = usize::try_from(partitions).unwrap_or_default();
        let common = Arc::new(Common { outbox_partitions, ..common });
        let written = CancellationToken::new();
        // Ends with this function, too: it holds Kafka's clients.
        let mut writer = tokio::task::JoinSet::new();
        writer.spawn(write_out(Arc::clone(&common), noted, written.clone()));
        if let Some(slack) = config.slack.as_ref().filter(|_| !introduced) {
            let channel = slack.default_channel.clone();
            background.spawn(introduce(Arc::clone(&common), channel));
            introduced = true;
        }
        let dispatch = Dispatch::new(Arc::clone(&common), readiness.clone(), retention_ms);
        let ended = dispatch.run(inbox, shutdown.clone()).await;
        written.cancel();
        if matches!(writer.join_next().await, Some(Err(_))) {
            tracing::error!("what writes the history down panicked; this is a bug of firebell");
        }
        common.ports.close().await;
        match ended {
            Ended::Stopped => return Ok(()),
            Ended::Failed(why) => {
                let wait = backoff.failed();
                tracing::error!(why, "reading the outbox failed; it is begun anew");
                tokio::select! {
                    () = shutdown.cancelled() => return Ok(()),
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
}

/// What the channels of one delivery share.
fn common<P>(
    config: &Config,
    (slack, sinks, gate): (&Arc<Slack>, &Arc<Sinks>, &Arc<Gate>),
    (suppression, patience, canary): (&Suppression, &Patience, &Option<Canary>),
    (ports, journal): (P, Journal),
    metrics: &Metrics,
) -> Common<P> {
    // Nobody asks for Slack's manners where there is no Slack.
    let section = config.slack.as_ref();
    let named = |names: fn(&SlackConfig) -> &BTreeMap<String, String>| {
        section.map(names).cloned().unwrap_or_default()
    };
    let (messages_per_second, burst) =
        section.map_or((1.0, 1), |slack| (slack.messages_per_second, slack.burst));
    Common {
        ports,
        slack: Arc::clone(slack),
        sinks: Arc::clone(sinks),
        gate: Arc::clone(gate),
        directory: Directory::new(&named(|slack| &slack.channels)),
        manners: Manners {
            mentions: named(|slack| &slack.mentions),
            link_hosts: section.map(|slack| slack.link_hosts.clone()).unwrap_or_default(),
            public_url: config.http.as_ref().and_then(|http| http.public_url.clone()),
            hides_values: !config.delivery.evidence_values,
        },
        on_ambiguous: section.map(|slack| slack.on_ambiguous).unwrap_or_default(),
        suppression: suppression.clone(),
        canary: canary.clone(),
        journal,
        broadcast_worsening: section.is_some_and(|slack| slack.broadcast_worsening),
        paces: Paces::new(messages_per_second, burst),
        budget: section.map_or_else(|| Budget::new(1.0, 1), workspace_budget),
        edits: Budget::new(EDITS_PER_SECOND, EDITS_BURST),
        digest_after: section.and_then(|slack| slack.digest_after),
        breakers: Breakers::new(patience.breaker_least, patience.breaker_most),
        fallback: section.and_then(|slack| slack.fallback_channel.clone()),
        patience: patience.clone(),
        topics: InternalTopics::of(&config.kafka.group_id),
        origin: Origin { group_id: config.kafka.group_id.as_str().into(), worker: 0 },
        metrics: metrics.clone(),
        outbox_partitions: 1,
        room: Room::default(),
    }
}

fn workspace_budget(config: &SlackConfig) -> Budget {
    let per_second = config.workspace_messages_per_second;
    // At least one; 40,000 at most.
    let burst = (per_second * WORKSPACE_BURST_SECONDS).ceil() as u32;
    Budget::new(per_second, burst.max(config.burst))
}

fn client(config: &SlackConfig) -> Result<Slack, ClientError> {
    match &config.mode {
        SlackMode::Bot { token, .. } => {
            Slack::bot(&config.api_url, token.clone(), config.request_timeout)
        }
        SlackMode::Webhook { url, .. } => Slack::webhook(url.clone(), config.request_timeout),
    }
}

/// Says at the start what can be promised: who we are, and whether history can be read.
async fn introduce<P: ports::Ports>(common: Arc<Common<P>>, channel: String) {
    let policy = common.on_ambiguous.words();
    if common.slack.is_webhook() {
        tracing::warn!(
            policy,
            "slack: an incoming webhook: messages go to its one channel, cannot be changed and \
             cannot be read back; after an unclear answer or a crash the policy decides"
        );
        return;
    }
    let identity = common.slack.identity().await;
    match (common.heed(&identity), &identity.value) {
        (Verdict::Sent, Some(who)) => {
            tracing::info!(team = who.team, user = who.user, "slack takes the token");
        }
        (verdict, _) => {
            tracing::warn!(class = verdict.as_str(), "slack: auth.test: {}", identity.detail);
        }
    }
    // Only the newest messages: what counts is whether it may be read.
    match read(&common, &channel, now_ms(), &Ending::new()).await {
        Ok(History::Read(_)) => {
            tracing::info!(channel, "slack: history can be read; nothing is lost or sent twice");
        }
        Ok(History::Unreadable(why)) => tracing::warn!(
            channel,
            why,
            policy,
            "slack: the channel's history cannot be read; give the bot channels:history (and \
             groups:history) and make it a member. Until then, after an unclear answer or a \
             crash, the policy decides"
        ),
        Err(_) => {}
    }
}
