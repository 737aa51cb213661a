//! The composition root: the one place that knows every part.
//!
//! In: the configuration. Out: a host that works until it is told to stop. It starts in the order of
//! a record's way and ends in the same order, so that what was evaluated is committed before
//! delivery drains.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::causes::with_causes;
use crate::config::{Config, ConfigErrors};
use crate::delivery::suppression::Suppression;
use crate::delivery::{self, DeliveryError};
use crate::engine::{Engine, EngineError};
use crate::evaluation::{Repartition, RollBack, WorkerSet};
use crate::history;
use crate::http::{self, HttpError, Pages};
use crate::kafka::ClientState;
use crate::rules::agreement::Agreement;
use crate::rules::folder::FolderError;
use crate::rules::library::{Library, View};
use crate::rules::publish::Publisher;
use crate::rules::swap::Swap;
use crate::rules::watch::Watch;
use crate::rules::{RuleSet, reload};
use crate::state::kafka::{Changelog, ask};
use crate::tables;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::kafka::{Topics, TopicsError};
use crate::topics::{InternalTopics, Partitions};
use crate::worker::{EffectWriter, SwapNote, Worker};

mod canary;
mod ops;
mod policy;
mod status;

use policy::Policing;

/// Which half of the host runs; the outbox topic is between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Only {
    /// Both.
    #[default]
    Both,
    /// Consume and evaluate.
    Evaluate,
    /// Deliver.
    Deliver,
}

/// What a host is started with.
#[derive(Debug)]
pub struct Options {
    /// The configuration.
    pub config: Arc<Config>,
    /// Which half runs.
    pub only: Only,
    /// The partitions of the host's own topics when they were made by somebody else, as the demo does;
    /// `None` = they are created or checked.
    pub partitions: Option<Partitions>,
    /// Pages before the host's own, as the demo has them: one at `/`.
    pub front: Option<axum::Router>,
    /// The page's address when it is bound already; `None` = `[http] listen` is.
    pub server: Option<http::Server>,
    /// Telemetry.
    pub metrics: Metrics,
    /// Whether the parts work.
    pub readiness: Readiness,
}

/// Why the host ended, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The sandbox.
    #[error("cannot start the rule engine")]
    Engine(#[from] EngineError),
    /// The rules folder.
    #[error("cannot read the rules folder")]
    Rules(#[from] FolderError),
    /// The policy's file.
    #[error("the policy is wrong: {0}")]
    Policy(#[from] ConfigErrors),
    /// The host's own topics.
    #[error("the host's own topics do not fit")]
    Topics(#[from] TopicsError),
    /// The page.
    #[error("cannot serve the page and the metrics")]
    Http(#[from] HttpError),
    /// Delivery.
    #[error("delivery failed")]
    Delivery(#[from] DeliveryError),
    /// A thread.
    #[error("cannot start thread `{0}`")]
    Thread(String, #[source] std::io::Error),
    /// A broken invariant of ours.
    #[error("`{0}` panicked; this is a bug of firebell")]
    Panicked(String),
}

/// Notes about swaps that wait to be logged, off the workers' threads.
const SWAP_NOTES_MAX: usize = 256;
/// Versions of rules that wait to be given up; each worker may tell each.
const ROLL_BACKS_MAX: usize = 1_024;

/// Runs a host until `shutdown`, then drains and returns.
///
/// # Errors
/// When a part cannot start or fails for good. A broker or a Slack that is away is not an error: it
/// is waited for.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), RunError> {
    let Options { config, only, partitions, front, server, metrics, readiness } = options;
    let engine = Engine::new(config.rules.cache_dir.as_deref())?;
    let library = match only {
        Only::Deliver => None,
        Only::Both | Only::Evaluate => Some(Library::open(&config, engine, metrics.clone())?),
    };
    let policing = Policing::open(&config)?;
    let view = library.as_ref().map(|library| library.view().clone());
    let served = serve(&config, (front, server), (view, &policing), (&metrics, &readiness)).await?;
    let result =
        work((library, policing), (config, only, partitions), (metrics, readiness), shutdown);
    let result = result.await;
    // The page answers until everything else has ended.
    served.cancel();
    tracing::info!("ended");
    result
}

/// Everything but the page.
async fn work(
    (library, mut policing): (Option<Library>, Policing),
    (config, only, partitions): (Arc<Config>, Only, Option<Partitions>),
    (metrics, readiness): (Metrics, Readiness),
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let partitions = match partitions {
        Some(partitions) => partitions,
        None => match topics(&config, &metrics, &readiness, &shutdown).await? {
            Some(partitions) => partitions,
            None => return Ok(()),
        },
    };
    // Ends everything when one part fails.
    let stop = shutdown.child_token();
    let deliver = only != Only::Evaluate && !config.targets().is_empty();
    let evaluates = library.is_some();
    let followers = policing.follow((&config, evaluates), (&metrics, &readiness), &stop)?;
    let own = ops::Sources {
        config: Arc::clone(&config),
        view: library.as_ref().map(|library| library.view().clone()),
        policy: policing.policy.clone(),
        open: policing.open.clone(),
        metrics: metrics.clone(),
        readiness: readiness.clone(),
    };
    tokio::spawn(ops::follow(own, partitions, stop.clone()));
    let mut evaluation = None;
    if let Some(library) = library {
        let parts = (&config, &metrics, &readiness, &stop);
        evaluation = Some(Evaluating::start(library, parts, partitions, &policing)?);
        let parts = (Arc::clone(&config), metrics.clone(), readiness.clone());
        tokio::spawn(canary::send(parts.0, parts.1, parts.2, stop.clone()));
    }
    // Delivery goes on while the workers finish: what they still commit may be sent.
    let deliver_stop = CancellationToken::new();
    let delivery = deliver.then(|| {
        let (config, metrics, readiness) =
            (Arc::clone(&config), metrics.clone(), readiness.clone());
        let Policing { policy, silences, open, .. } = &policing;
        let suppression = Suppression::new(policy.clone(), silences.clone(), open.clone());
        tokio::spawn(delivery::run(
            (config, partitions.outbox),
            suppression,
            metrics,
            readiness,
            deliver_stop.clone(),
        ))
    });
    let result = match delivery {
        Some(mut delivery) => {
            tokio::select! {
                () = ended(&stop, evaluation.as_ref()) => {
                    finish(evaluation, &stop).await?;
                    deliver_stop.cancel();
                    delivered(delivery.await)
                }
                early = &mut delivery => {
                    finish(evaluation, &stop).await?;
                    delivered(early)
                }
            }
        }
        None => {
            ended(&stop, evaluation.as_ref()).await;
            finish(evaluation, &stop).await
        }
    };
    stop.cancel();
    result.and(followers.end().await)
}

fn delivered(
    joined: Result<Result<(), DeliveryError>, tokio::task::JoinError>,
) -> Result<(), RunError> {
    match joined {
        Ok(result) => Ok(result?),
        Err(_) => Err(RunError::Panicked("delivery".into())),
    }
}

/// Waits for the order to stop, or for a thread of evaluation that ended without it.
async fn ended(stop: &CancellationToken, evaluation: Option<&Evaluating>) {
    let mut look = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {
                if evaluation.is_some_and(Evaluating::has_ended) {
                    return;
                }
            }
        }
    }
}

async fn finish(evaluation: Option<Evaluating>, stop: &CancellationToken) -> Result<(), RunError> {
    stop.cancel();
    let Some(evaluation) = evaluation else { return Ok(()) };
    let joined = tokio::task::spawn_blocking(move || evaluation.join()).await;
    joined.unwrap_or_else(|_| Err(RunError::Panicked("evaluation".into())))
}

/// Starts the page; what is returned ends it.
async fn serve(
    config: &Arc<Config>,
    (front, server): (Option<axum::Router>, Option<http::Server>),
    (view, policing): (Option<View>, &Policing),
    (metrics, readiness): (&Metrics, &Readiness),
) -> Result<CancellationToken, RunError> {
    let ends = CancellationToken::new();
    let server = match (server, &config.http) {
        (Some(server), _) => server,
        (None, Some(http)) => http::Server::bind(http.listen).await?,
        (None, None) => return Ok(ends),
    };
    tracing::info!(address = %server.address(), "page, /metrics, /healthz and /readyz");
    let (of, ready, policy) = (Arc::clone(config), readiness.clone(), policing.policy.clone());
    let status = Arc::new(move || status::status(&of, view.as_ref(), &policy, &ready));
    let client =
        Arc::new(ClientState::new("kafka", &config.kafka, metrics.clone(), readiness.clone()));
    let kafka = config.kafka.clone();
    let asks = Arc::clone(&client);
    let state: http::StateReader =
        Arc::new(move |question| ask(&kafka, question, &asks).map_err(|error| with_causes(&error)));
    let (kafka, asks) = (config.kafka.clone(), Arc::clone(&client));
    let alerts = http::alerts::router(Arc::new(move |since_ms| {
        history::kafka::read(&kafka, &asks, since_ms).map_err(|error| with_causes(&error))
    }));
    let own = Pages { metrics: metrics.clone(), readiness: readiness.clone(), status, state };
    let front = front.unwrap_or_else(http::front).merge(alerts);
    let router = http::router_behind(front.merge(policing.router(&config.kafka, client)), own);
    let end = ends.clone();
    tokio::spawn(async move {
        if let Err(error) = server.serve(router, end).await {
            tracing::error!("{}", with_causes(&error));
        }
    });
    Ok(ends)
}

/// Creates or checks the host's own topics; waits for a broker that is away.
async fn topics(
    config: &Config,
    metrics: &Metrics,
    readiness: &Readiness,
    shutdown: &CancellationToken,
) -> Result<Option<Partitions>, RunError> {
    let topics = Topics::new(&config.kafka, metrics.clone(), readiness.clone())?
        .with_history(config.delivery.history_retention);
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5), 1);
    readiness.set_not_ready("topics", "Kafka has not answered yet");
    loop {
        let attempt = tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            attempt = topics.ensure() => attempt,
        };
        match attempt {
            Ok(partitions) => {
                readiness.set_ready("topics");
                return Ok(Some(partitions));
            }
            Err(error) if error.is_passing() => {
                let text = with_causes(&error);
                let wait = backoff.failed();
                tracing::warn!(?wait, "kafka is away: {text}");
                readiness.set_not_ready("topics", text);
                tokio::select! {
                    () = shutdown.cancelled() => return Ok(None),
                    () = tokio::time::sleep(wait) => {}
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The threads that evaluate.
struct Evaluating {
    threads: Vec<(String, JoinHandle<()>)>,
    watch_stop: crate::rules::watch::Stop,
}

impl Evaluating {
    fn start(
        library: Library,
        (config, metrics, readiness, stop): (
            &Arc<Config>,
            &Metrics,
            &Readiness,
            &CancellationToken,
        ),
        partitions: Partitions,
        policing: &Policing,
    ) -> Result<Self, RunError> {
        let mut publisher = Publisher::default();
        let kafka = Arc::new(config.kafka.clone());
        let mut threads = Vec::new();
        let (notes, inbox) = sync_channel::<SwapNote>(SWAP_NOTES_MAX);
        let (roll_backs, given_up) = sync_channel::<RollBack>(ROLL_BACKS_MAX);
        let names = InternalTopics::of(&kafka.group_id);
        let repartition = Repartition { topic: names.repartition, partitions: partitions.state };
        let changelog = Changelog { topic: names.changelog, partitions: partitions.state };
        let build = move |set: &Arc<RuleSet>, agreement: Option<&Arc<Agreement>>| {
            let set = worker_set(set).with_repartition(repartition.clone());
            set.with_agreement(agreement.cloned())
        };
        for number in 0..kafka.workers {
            let worker = Worker {
                number,
                kafka: Arc::clone(&kafka),
                slot: publisher.slot(build(&library.view().current(), None)),
                effects: EffectWriter::new(
                    &kafka.group_id,
                    number,
                    partitions,
                    (policing.policy.clone(), policing.open.clone()),
                ),
                changelog: changelog.clone(),
                swaps: notes.clone(),
                roll_backs: roll_backs.clone(),
                metrics: metrics.clone(),
                readiness: readiness.clone(),
                stop: stop.clone(),
            };
            threads.push(spawn(format!("worker-{number}"), move || worker.run())?);
        }
        drop(notes);
        let log = move || {
            for SwapNote { old, new, positions } in inbox {
                Swap::of(&old, &new, &positions).iter().for_each(Swap::log);
            }
        };
        threads.push(spawn("swaps".into(), log)?);
        let watch = Watch::new(&config.rules.dir);
        let watch_stop = watch.stop_handle();
        if !config.tables.is_empty() {
            let (topics, tables) = (config.tables.clone(), library.tables().clone());
            let (told, stop) = ((metrics.clone(), readiness.clone()), stop.clone());
            let follow = move || tables::kafka::follow(&kafka, &topics, &tables, told, &stop);
            threads.push(spawn("tables".into(), follow)?);
        }
        let follow = move || reload::follow(library, publisher, watch, &given_up, build);
        threads.push(spawn("reloader".into(), follow)?);
        Ok(Self { threads, watch_stop })
    }

    fn has_ended(&self) -> bool {
        self.threads.iter().any(|(_, thread)| thread.is_finished())
    }

    fn join(self) -> Result<(), RunError> {
        self.watch_stop.stop();
        let mut result = Ok(());
        for (name, thread) in self.threads {
            if thread.join().is_err() {
                result = Err(RunError::Panicked(name));
            }
        }
        result
    }
}

fn spawn(
    name: String,
    run: impl FnOnce() + Send + 'static,
) -> Result<(String, JoinHandle<()>), RunError> {
    let thread = std::thread::Builder::new().name(name.clone()).spawn(run);
    match thread {
        Ok(thread) => Ok((name, thread)),
        Err(error) => Err(RunError::Thread(name, error)),
    }
}

/// The instances of the current rule set for one worker.
fn worker_set(set: &Arc<RuleSet>) -> WorkerSet {
    let began = Instant::now();
    let set = WorkerSet::new(Arc::clone(set)).with_clock(Box::new(move || began.elapsed()));
    for (rule, failure) in set.failures() {
        tracing::error!(rule = &**rule, "no instance could be made: {failure}");
    }
    set
}
