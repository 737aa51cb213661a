//! What holds all channels up: a refused token, and methods that Slack asked to slow down.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::verdict::Method;
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
    pub fn succeeded(&self) -> bool {
        let mut said = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(reason) = said.take() else { return false };
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
        assert!(gate.succeeded() && gate.is_well() && readiness.snapshot().is_ready());
        assert!(!gate.succeeded());
    }
}
