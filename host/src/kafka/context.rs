//! The context of every Kafka client: what librdkafka says goes to its `ClientState`.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::ClientState;

/// What one kind of client does beyond what all do.
pub trait Role: Send + Sync {
    /// An error came; the state knows it.
    fn failed(&self, _state: &ClientState) {}

    /// librdkafka's statistics, as JSON.
    fn statistics(&self, _state: &ClientState, _json: &[u8]) {}
}

/// Nothing beyond what all do: readers of partitions that are assigned to them by hand, and the ledger's
/// producer.
pub struct Plain;

impl Role for Plain {}

impl ConsumerContext for Context<Plain> {}

/// The context of a client; it is its role, too.
pub struct Context<R> {
    /// What the client has in common with others.
    pub state: Arc<ClientState>,
    role: R,
    /// Whether this client said that no broker can be reached.
    away: AtomicBool,
}

impl<R> Context<R> {
    /// The context of one client.
    pub fn new(state: &Arc<ClientState>, role: R) -> Self {
        Self { state: Arc::clone(state), role, away: AtomicBool::new(false) }
    }

    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }
}

impl<R> Deref for Context<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.role
    }
}

/// Locks what callbacks and threads share, and what is whole between any two statements.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: Role> ClientContext for Context<R> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.state.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        // The end of a partition is what readers wait for.
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.away.store(true, Ordering::Relaxed);
        }
        self.state.error(&error, reason);
        self.role.failed(&self.state);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.role.statistics(&self.state, statistics);
    }

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.state.oauth_token()
    }
}
