//! `firebell demo`: the whole host in one process, with nothing installed. In the place of the world
//! stand an embedded broker, a stream of syslog records and a stand-in for Slack (which the tests
//! use too).
//!
//! In: a rate, a time, an address. Out: events while it runs, a summary at its end. What is shown is
//! the host itself, run by [`run::run`] as `firebell run` does.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::config::{
    Ambiguity, Config, DeliveryConfig, HttpConfig, KafkaConfig, OffsetReset, RulesConfig,
    SinksConfig, SlackConfig, SlackMode,
};
use crate::http::{HttpError, Server};
use crate::limits::Limits;
use crate::run::{self, Only, RunError};
use crate::secret::Secret;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::{InternalTopics, Partitions};

mod board;
mod broker;
mod folder;
mod page;
pub mod receiver;
mod report;
pub mod slack;
pub mod stream;

pub use broker::BrokerError;
pub use folder::FolderError;
pub use report::{Event, Post, Started, Summary};

use board::Board;
use broker::Broker;
use folder::Folder;
use page::Page;
use slack::SlackStandIn;
use stream::Stream;

/// Records a second when nothing is said.
pub const RATE_DEFAULT: f64 = 50.0;
/// Where the page is when nothing is said; if that is taken, on a free port.
pub const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);

const GROUP_ID: &str = "firebell-demo";
/// Partitions of the syslog topic.
const SYSLOG_PARTITIONS: i32 = 4;
/// Partitions of the outbox and the ledger.
const OUTBOX_PARTITIONS: i32 = 4;
/// Where the rule writes the records that rang.
const EMITTED: &str = "SYSLOG_INVALID_USERS";
/// The channels of the stand-in; the first is the default.
const CHANNELS: [&str; 3] = ["general", "security", "ops"];
/// As Slack does it: one message a second and channel, with short bursts.
const MESSAGES_PER_SECOND: f64 = 1.0;
const BURST: u32 = 3;
/// The stand-in lets through a little more than we send, as Slack does: clocks differ.
const STAND_IN_BURST: u32 = 6;

/// Messages that the stand-in keeps: more than delivery ever looks back for.
const STAND_IN_KEEPS: usize = 1_000;

/// Takes events as they happen; must not wait.
pub type OnEvent = Box<dyn Fn(&Event) + Send + Sync>;

/// What the demo is started with.
pub struct Options {
    /// Records a second over all topics, above 0.
    pub rate: f64,
    /// Ends by itself after this time.
    pub duration: Option<Duration>,
    /// Where the page is; `None` = [`LISTEN_DEFAULT`], or a free port when that is taken.
    pub listen: Option<SocketAddr>,
    /// What the stream is drawn from.
    pub seed: u64,
    /// Told of every event.
    pub on_event: OnEvent,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The rules.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The stand-in.
    #[error("cannot start the stand-in for Slack on a free port of 127.0.0.1")]
    Slack(#[source] io::Error),
    /// The page.
    #[error("cannot show the page")]
    Http(#[source] HttpError),
    /// The host.
    #[error("the host failed")]
    Run(#[from] RunError),
}

/// Runs the demo until `shutdown` or the end of its time.
///
/// # Errors
/// When a part cannot start, or the host fails.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<Summary, DemoError> {
    let began = Instant::now();
    let Options { rate, duration, listen, seed, on_event } = options;
    let server = bind(listen).await.map_err(DemoError::Http)?;
    let folder = Folder::create()?;
    let internal = InternalTopics::of(GROUP_ID);
    let broker = Broker::start(&[
        (stream::SYSLOG, SYSLOG_PARTITIONS),
        (stream::NOTIFY, 1),
        (EMITTED, SYSLOG_PARTITIONS),
        (&internal.outbox, OUTBOX_PARTITIONS),
        (&internal.ledger, OUTBOX_PARTITIONS),
        (&internal.dead_letters, 1),
        (&internal.repartition, OUTBOX_PARTITIONS),
        (&internal.changelog, OUTBOX_PARTITIONS),
        (&internal.silences, 1),
        (&internal.history, 1),
    ])?;
    let slack = SlackStandIn::start(stand_in()).await.map_err(DemoError::Slack)?;

    let board = Arc::new(Board::default());
    let rules_dir = folder.path().to_string_lossy().into();
    let page = page::router(Page { board: Arc::clone(&board), rules_dir });
    let started = Started {
        page: format!("http://{}/", server.address()),
        rules_dir: folder.path().to_owned(),
        bootstrap_servers: broker.bootstrap_servers().to_owned(),
        duration,
    };
    let (metrics, readiness) = (Metrics::new(), Readiness::default());
    let host = run::Options {
        config: Arc::new(config(&broker, folder.path(), &slack, server.address())),
        only: Only::Both,
        partitions: Some(Partitions { outbox: OUTBOX_PARTITIONS, state: OUTBOX_PARTITIONS }),
        front: Some(page),
        server: Some(server),
        metrics: metrics.clone(),
        readiness,
    };
    let stop = shutdown.child_token();
    on_event(&Event::Started(started));
    let host_ended = CancellationToken::new();
    let watcher = Watcher { began, board: Arc::clone(&board), on_event, seen: Seen::default() };
    let watching = tokio::spawn(watcher.watch(slack.subscribe(), host_ended.clone()));
    let feeder = broker.feed(Stream::new(seed, rate), board)?;
    let host = run::run(host, stop.clone());
    tokio::pin!(host);
    let result = tokio::select! {
        // The host ends by itself only when it fails.
        result = &mut host => result,
        () = ended(&stop, duration, began) => {
            stop.cancel();
            host.await
        }
    };
    drop(feeder);
    host_ended.cancel();
    let seen = watching.await.unwrap_or_default();
    result?;
    let counts = metrics.snapshot();
    Ok(Summary {
        ran: began.elapsed(),
        records: counts.records,
        matched: counts.matched,
        posted: seen.posts,
        edited: seen.edits,
        waiting: counts.notifications.saturating_sub(counts.delivered),
        call_failures: counts.call_failures,
        dead_letters: counts.dead_letters,
        slack_errors: counts.slack_errors.values().sum(),
        first_post: seen.first_post,
    })
}

/// Waits for the order to end, or for the end of the time.
async fn ended(stop: &CancellationToken, duration: Option<Duration>, began: Instant) {
    let Some(duration) = duration else { return stop.cancelled().await };
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(duration.saturating_sub(began.elapsed())) => {}
    }
}

/// Binds the page's address. Only the default gives way when it is taken: who names an address wants
/// that one.
async fn bind(listen: Option<SocketAddr>) -> Result<Server, HttpError> {
    match listen {
        Some(listen) => Server::bind(listen).await,
        None => match Server::bind(LISTEN_DEFAULT).await {
            Err(HttpError::InUse { .. }) => {
                Server::bind(SocketAddr::new(LISTEN_DEFAULT.ip(), 0)).await
            }
            bound => bound,
        },
    }
}

fn stand_in() -> slack::Options {
    slack::Options {
        channels: CHANNELS.map(str::to_owned).into(),
        messages_per_second: Some(MESSAGES_PER_SECOND),
        burst: STAND_IN_BURST,
        keep: Some(STAND_IN_KEEPS),
        ..slack::Options::default()
    }
}

/// The configuration that a `firebell.toml` would give.
fn config(broker: &Broker, rules: &Path, slack: &SlackStandIn, listen: SocketAddr) -> Config {
    let properties = broker::properties();
    let properties =
        properties.map(|(name, value)| (name.to_owned(), Secret::new(value))).into_iter().collect();
    Config {
        kafka: KafkaConfig {
            bootstrap_servers: broker.bootstrap_servers().to_owned(),
            group_id: GROUP_ID.to_owned(),
            instance_id: "demo".to_owned(),
            auto_offset_reset: OffsetReset::Earliest,
            commit_interval: Duration::from_millis(100),
            // One member, no rebalance: the mock cluster does not give back offsets that were
            // committed in a transaction.
            workers: 1,
            internal_partitions: OUTBOX_PARTITIONS,
            static_membership: false,
            replication_factor: 1,
            properties,
            oauthbearer: None,
        },
        delivery: DeliveryConfig {
            ledger_retention: Duration::from_secs(24 * 3600),
            ..DeliveryConfig::default()
        },
        sinks: SinksConfig::default(),
        ops: None,
        // Nothing stays behind, not even compiled code.
        rules: RulesConfig { dir: rules.to_owned(), cache_dir: None, limits: Limits::default() },
        slack: Some(SlackConfig {
            mode: SlackMode::Bot {
                token: Secret::new(slack::Options::default().token),
                token_file: None,
            },
            api_url: slack.api_url(),
            default_channel: CHANNELS[0].to_owned(),
            fallback_channel: None,
            channels: CHANNELS.map(|name| (name.to_owned(), slack.add_channel(name))).into(),
            mentions: BTreeMap::new(),
            link_hosts: Vec::new(),
            broadcast_worsening: false,
            messages_per_second: MESSAGES_PER_SECOND,
            burst: BURST,
            workspace_messages_per_second: MESSAGES_PER_SECOND * CHANNELS.len() as f64,
            digest_after: Some(Duration::from_secs(60)),
            on_ambiguous: Ambiguity::default(),
            request_timeout: Duration::from_secs(10),
        }),
        tables: BTreeMap::new(),
        http: Some(HttpConfig { listen, public_url: None }),
    }
}

/// What was seen of the stand-in.
#[derive(Debug, Default)]
struct Seen {
    first_post: Option<Duration>,
    posts: u64,
    edits: u64,
}

/// Takes what happens at the stand-in to the page and to `on_event`.
struct Watcher {
    began: Instant,
    board: Arc<Board>,
    on_event: OnEvent,
    seen: Seen,
}

impl Watcher {
    /// Watches until the host has ended and everything that it did was told.
    async fn watch(
        mut self,
        mut events: Receiver<slack::Event>,
        host_ended: CancellationToken,
    ) -> Seen {
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(event) => self.take(event),
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "the demo shows fewer messages than there are");
                    }
                    Err(RecvError::Closed) => return self.seen,
                },
                () = host_ended.cancelled() => return self.seen,
            }
        }
    }

    fn take(&mut self, event: slack::Event) {
        let message = match event {
            slack::Event::Posted(message) => {
                let after = message.arrived.saturating_duration_since(self.began);
                self.seen.posts += 1;
                self.seen.first_post.get_or_insert(after);
                (self.on_event)(&Event::Posted(Post::new(&message, after)));
                message
            }
            // Its message is changed as well, and that is shown.
            slack::Event::Replied(_) => return,
            slack::Event::Changed(message) => {
                self.seen.edits += 1;
                let after = self.began.elapsed();
                (self.on_event)(&Event::Edited(Post::new(&message, after)));
                message
            }
        };
        self.board.message(message);
    }
}
