//! What holds all channels up: a refused token, and methods that Slack asked to slow down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::patience::Patience;
use super::verdict::{Method, WORKSPACE_LIMIT};
use crate::telemetry::{Metrics, Readiness};

/// The name of delivery on `/readyz`.
pub const PART: &str = "delivery";

/// Where every request passes.
#[derive(Debug)]
pub struct Gate {
    /// True while Slack refuses us; requests wait for false.
    closed: watch::Sender<bool>,
    /// Until when each method is held.
    held: Mutex<HashMap<Method, Instant>>,
    /// The reason that was last said aloud; `None` since the last success.
    reason: Mutex<Option<String>>,
    /// How often in a row Slack said that the workspace sends too much.
    limits: AtomicU32,
    metrics: Metrics,
    readiness: Readiness,
}

impl Gate {
    /// An open gate.
    pub fn new(metrics: Metrics, readiness: Readiness) -> Self {
        Self {
            closed: watch::Sender::new(false),
            held: Mutex::default(),
            reason: Mutex::default(),
            limits: AtomicU32::new(0),
            metrics,
            readiness,
        }
    }

    /// Waits until `method` may be asked.
    pub async fn pass(&self, method: Method) {
        let mut closed = self.closed.subscribe();
        loop {
            // The sender lives as long as this: it is our own.
            let _open = closed.wait_for(|closed| !closed).await.is_ok();
            let until = self.held_until(method);
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return,
            }
        }
    }

    fn held_until(&self, method: Method) -> Option<Instant> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let until = *held.get(&method)?;
        if until > Instant::now() {
            return Some(until);
        }
        held.remove(&method);
        None
    }

    /// Holds a method up for `wait`; the longest wait counts.
    pub fn hold(&self, method: Method, wait: Duration) {
        let until = Instant::now() + wait;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = held.entry(method).or_insert(until);
        *entry = (*entry).max(until);
    }

    /// Whether a request by this method would have to wait.
    pub fn is_held(&self, method: Method) -> bool {
        *self.closed.borrow() || self.held_until(method).is_some()
    }

    /// Holds a method up because the workspace sends too much altogether: for `wait` when Slack names
    /// it, else longer each time. Says so, once.
    pub fn limit(&self, method: Method, wait: Option<Duration>, patience: &Patience) {
        let doublings = self.limits.fetch_add(1, Ordering::AcqRel).min(16);
        let own = patience.workspace_least.saturating_mul(1 << doublings);
        let wait = wait.unwrap_or_else(|| own.min(patience.workspace_most));
        self.hold(method, wait);
        let mut said = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none() {
            let seconds = wait.as_secs();
            tracing::error!(
                seconds,
                "slack: the workspace sends too many messages (message_limit_exceeded); posting \
                 waits, nothing is lost"
            );
            *said = Some(WORKSPACE_LIMIT.into());
            let text = "slack says that the workspace sends too many messages \
                        (message_limit_exceeded); posting waits and goes on by itself: look for \
                        what else posts so much, or lower slack.workspace_messages_per_second";
            self.readiness.set_not_ready(PART, text);
            self.metrics.delivery_paused(true);
        }
    }

    /// Says that who answers in Slack's place is not trusted, once for each reason. All goes on being
    /// tried: a proxy or a clock is mended without us.
    pub fn distrust(&self, reason: &str) {
        let mut said = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_deref() == Some(reason) {
            return;
        }
        tracing::error!(
            reason,
            "slack's certificate is not trusted; nothing is sent, nothing is lost, it is tried again"
        );
        *said = Some(reason.to_owned());
        let text = format!(
            "slack's certificate is not trusted ({reason}); delivery goes on by itself when it is. Where a \
             proxy stands in between, put its issuer's certificate where this system keeps those that it \
             trusts, or into the file that SSL_CERT_FILE names, and start the host again"
        );
        self.readiness.set_not_ready(PART, text);
        self.metrics.delivery_paused(true);
    }

    /// Closes for all, because Slack takes nothing from us; says so, once for each reason.
    pub fn close(&self, reason: &str) {
        let mut said = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_deref() != Some(reason) {
            tracing::error!(
                reason,
                "slack refuses this host's credentials; delivery is paused, nothing is lost"
            );
            *said = Some(reason.to_owned());
        }
        let text = format!(
            "slack refuses this host's credentials ({reason}); give it a valid token, delivery goes on by itself"
        );
        self.readiness.set_not_ready(PART, text);
        self.metrics.delivery_paused(true);
        self.closed.send_replace(true);
    }

    /// Says that something waits which only an operator can help; other entries go on.
    pub fn blocked(&self, reason: &str) {
        self.readiness.set_not_ready(PART, reason.to_owned());
    }

    /// Waits until it is closed.
    pub async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        let _closed = closed.wait_for(|closed| *closed).await.is_ok();
    }

    /// Opens for another try. Delivery is called ready when something was sent.
    pub fn open(&self) {
        self.closed.send_replace(false);
    }

    /// Slack took something: all is well. True when it was not before.
    pub fn succeeded(&self, method: Method) -> bool {
        let is_post = matches!(method, Method::Post | Method::Webhook);
        if is_post {
            self.limits.store(0, Ordering::Release);
        }
        let mut said = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        // Changes are taken also from a workspace that posts too much.
        let Some(reason) = said.take_if(|said| is_post || said != WORKSPACE_LIMIT) else {
            return false;
        };
        tracing::info!(reason, "slack takes messages again; delivery goes on");
        self.readiness.set_ready(PART);
        self.metrics.delivery_paused(false);
        true
    }

    /// Whether Slack took something since it last refused us.
    pub fn is_well(&self) -> bool {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_method_waits_and_others_pass() {
        let gate = Gate::new(Metrics::new(), Readiness::default());
        let start = Instant::now();
        gate.hold(Method::Post, Duration::from_millis(60));
        gate.hold(Method::Post, Duration::from_millis(5));
        gate.pass(Method::Update).await;
        assert!(gate.held_until(Method::Post).is_some(), "others do not wait for it");
        gate.pass(Method::Post).await;
        assert!(start.elapsed() >= Duration::from_millis(60));
    }

    #[tokio::test]
    async fn a_workspace_that_sends_too_much_waits_longer_each_time_and_says_so() {
        let readiness = Readiness::default();
        let gate = Gate::new(Metrics::new(), readiness.clone());
        let patience = Patience {
            workspace_least: Duration::from_millis(400),
            workspace_most: Duration::from_millis(1_000),
            ..Patience::new(Duration::from_secs(1))
        };
        let waited = async |wait| {
            let start = Instant::now();
            gate.limit(Method::Post, wait, &patience);
            assert!(!gate.is_held(Method::Update));
            assert!(!readiness.snapshot().is_ready());
            gate.pass(Method::Post).await;
            start.elapsed().as_millis()
        };
        let (first, second, third) = (waited(None).await, waited(None).await, waited(None).await);
        assert!(first >= 400 && second >= 800 && third >= 1_000, "{first} {second} {third}");
        assert!(waited(Some(Duration::ZERO)).await < 400, "slack's own word counts");
        assert!(!gate.succeeded(Method::Update));
        assert!(gate.succeeded(Method::Post) && readiness.snapshot().is_ready());
        let anew = waited(None).await;
        assert!((400..800).contains(&anew), "{anew}");
    }

    #[tokio::test]
    async fn who_is_not_trusted_is_tried_again_and_told() {
        let readiness = Readiness::default();
        let gate = Gate::new(Metrics::new(), readiness.clone());
        gate.distrust("invalid peer certificate: UnknownIssuer");
        gate.pass(Method::Post).await;
        let told = readiness.snapshot().parts[PART].clone().unwrap();
        assert!(told.contains("UnknownIssuer") && told.contains("SSL_CERT_FILE"), "{told}");
        assert!(gate.succeeded(Method::Auth) && readiness.snapshot().is_ready());
    }

    #[tokio::test]
    async fn a_closed_gate_lets_nothing_pass_and_is_well_after_a_success_only() {
        let readiness = Readiness::default();
        let gate = Gate::new(Metrics::new(), readiness.clone());
        gate.close("token_revoked");
        let early = tokio::time::timeout(Duration::from_millis(20), gate.pass(Method::Post)).await;
        assert!(early.is_err());
        assert!(!readiness.snapshot().is_ready());
        gate.open();
        gate.pass(Method::Post).await;
        assert!(!gate.is_well() && !readiness.snapshot().is_ready());
        assert!(gate.succeeded(Method::Post) && gate.is_well() && readiness.snapshot().is_ready());
        assert!(!gate.succeeded(Method::Post));
    }
}
