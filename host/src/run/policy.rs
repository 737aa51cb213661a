//! The policy and the silences of a running host, and the threads that keep them up to date.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use super::{RunError, spawn};
use crate::causes::with_causes;
use crate::config::{Config, KafkaConfig};
use crate::delivery::common::now_ms;
use crate::http;
use crate::http::silences::SilencePages;
use crate::kafka::ClientState;
use crate::ledger::open::{self, OpenAlerts};
use crate::policy::live::LivePolicy;
use crate::policy::reload::{self, Follower};
use crate::policy::silence::kafka::SilenceWriter;
use crate::policy::silence::{self, Silence, Silences};
use crate::rules::watch::Stop;
use crate::telemetry::{Metrics, Readiness};

/// What routes, mutes and silences; shared by workers, delivery and the page.
#[derive(Debug, Default)]
pub(super) struct Policing {
    /// The policy that holds.
    pub(super) policy: LivePolicy,
    /// The group's silences.
    pub(super) silences: Silences,
    /// The group's open alerts, which inhibit others and end where they are open.
    pub(super) open: OpenAlerts,
    follower: Option<Follower>,
}

impl Policing {
    /// Reads the policy's file.
    pub(super) fn open(config: &Config) -> Result<Self, RunError> {
        let Some(path) = &config.delivery.policy else { return Ok(Self::default()) };
        let follower = Some(Follower::new(path, config.targets()));
        let policy = LivePolicy::new(reload::load(path, &config.targets())?);
        tracing::info!(file = %path.display(), "the policy holds");
        Ok(Self { policy, follower, ..Self::default() })
    }

    /// The page of silences.
    pub(super) fn router(&self, kafka: &KafkaConfig, client: Arc<ClientState>) -> axum::Router {
        let writer = Arc::new(SilenceWriter::new(kafka, client));
        let write = move |silence: Silence| -> http::silences::Written {
            let writer = Arc::clone(&writer);
            Box::pin(async move {
                let written = writer.write(&silence.id, Some(&silence)).await;
                written.map_err(|error| with_causes(&error))
            })
        };
        let silences = self.silences.clone();
        http::silences::router(SilencePages { silences, write: Arc::new(write) })
    }

    /// Starts what keeps it up to date.
    pub(super) fn follow(
        &mut self,
        (config, evaluates): (&Arc<Config>, bool),
        (metrics, readiness): (&Metrics, &Readiness),
        stop: &CancellationToken,
    ) -> Result<Followers, RunError> {
        let mut followers = Followers { threads: Vec::new(), watch_stop: None };
        if let Some(follower) = self.follower.take() {
            followers.watch_stop = Some(follower.stop_handle());
            let (live, counts) = (self.policy.clone(), metrics.clone());
            let follow = move || follower.follow(&live, &counts);
            followers.threads.push(spawn("policy".into(), follow)?);
        }
        if evaluates {
            self.open.set_followed();
        }
        // Who delivers asks what inhibits; who evaluates, where alerts are open that end.
        let (told, ends) = ((metrics.clone(), readiness.clone()), stop.clone());
        let (live, open) = (self.policy.clone(), self.open.clone());
        let kafka = config.kafka.clone();
        let follow = move || open::kafka::follow(&kafka, evaluates, (&live, &open), told, &ends);
        followers.threads.push(spawn("open-alerts".into(), follow)?);
        let (metrics, readiness) = (metrics.clone(), readiness.clone());
        let (kafka, forgets, ends) = (config.kafka.clone(), self.silences.clone(), stop.clone());
        let (config, silences) = (Arc::clone(config), self.silences.clone());
        let (told, stop) = ((metrics.clone(), readiness.clone()), stop.clone());
        let follow = move || silence::kafka::follow(&config.kafka, &silences, told, &stop);
        followers.threads.push(spawn("silences".into(), follow)?);
        tokio::spawn(async move {
            let client = Arc::new(ClientState::new("kafka", &kafka, metrics, readiness));
            SilenceWriter::new(&kafka, client).forget(&forgets, now_ms, &ends).await;
        });
        Ok(followers)
    }
}

/// The threads of policy and silences.
pub(super) struct Followers {
    threads: Vec<(String, JoinHandle<()>)>,
    watch_stop: Option<Stop>,
}

impl Followers {
    /// Waits for their end, after the order to stop.
    pub(super) async fn end(self) -> Result<(), RunError> {
        if let Some(stop) = &self.watch_stop {
            stop.stop();
        }
        for (name, thread) in self.threads {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                return Err(RunError::Panicked(name));
            }
        }
        Ok(())
    }
}
