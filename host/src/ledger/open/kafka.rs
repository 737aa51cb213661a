//! Following the whole ledger for the alerts that are open: always where rules are evaluated, else while
//! the policy has rules of inhibition.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::OpenAlerts;
use crate::causes::with_causes;
use crate::config::KafkaConfig;
use crate::kafka::ClientState;
use crate::kafka::follow::keep;
use crate::kafka::reader::{FOLLOWER, Found, NO_HOST, ReadError, Reader, Told};
use crate::ledger::Entry;
use crate::policy::live::LivePolicy;
use crate::telemetry::{Metrics, Readiness};
use crate::topics::InternalTopics;

/// The name under which `/readyz` knows the follower.
const PART: &str = "open alerts";

/// Keeps `open` as the ledger says, `always` or while the policy has rules of inhibition, until it is
/// stopped. Blocks.
pub fn follow(
    kafka: &KafkaConfig,
    always: bool,
    (policy, open): (&LivePolicy, &OpenAlerts),
    (metrics, readiness): (Metrics, Readiness),
    stop: &CancellationToken,
) {
    keep(PART, kafka, (metrics, readiness.clone()), stop, |client| {
        if !always && !asks(policy) {
            if open.is_read() {
                open.set_read(false);
            }
            readiness.forget(PART);
            return Ok(());
        }
        if !open.is_read() {
            readiness.set_not_ready(PART, "the ledger is not read yet");
        }
        read(kafka, client, open, &readiness, &|| !stop.is_cancelled() && (always || asks(policy)))
    });
}

/// Whether somebody asks for open alerts.
fn asks(policy: &LivePolicy) -> bool {
    policy.current().is_some_and(|policy| !policy.inhibit_rules().is_empty())
}

/// Reads all partitions from the beginning, tells when their ends are reached, and goes on while it is
/// to.
fn read(
    kafka: &KafkaConfig,
    client: &Arc<ClientState>,
    open: &OpenAlerts,
    readiness: &Readiness,
    goes_on: &dyn Fn() -> bool,
) -> Result<(), ReadError> {
    let reader = Reader::open(kafka, ("open-alerts", NO_HOST), client, &FOLLOWER)?;
    let places = reader.whole(&InternalTopics::of(&kafka.group_id).ledger)?;
    let mut known: HashSet<(i32, Vec<u8>)> = open.names().into_iter().collect();
    reader.follow(&places, goes_on, |told| match told {
        Told::Record(found) => {
            known.remove(&(found.partition, found.key.unwrap_or_default().to_vec()));
            take(open, &found);
        }
        Told::End(_) => {
            // What an earlier reading knew and this one does not is gone.
            known.drain().for_each(|(partition, key)| open.read(partition, &key, None));
            open.set_read(true);
            readiness.set_ready(PART);
        }
    })
}

fn take(open: &OpenAlerts, found: &Found<'_>) {
    let (partition, key) = (found.partition, found.key.unwrap_or_default());
    match found.value.map(Entry::from_bytes).transpose() {
        Ok(entry) => open.read(partition, key, entry.as_ref()),
        // It then inhibits nothing on this host: too much is told, not too little.
        Err(error) => {
            open.read(partition, key, None);
            let text = with_causes(&error);
            tracing::error!("an entry of the ledger is left out: {}: {text}", found.place());
        }
    }
}
