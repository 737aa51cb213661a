//! Rule sets as they come, taken up between two batches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::{Session, SessionError, SwapNote, Worker};
use crate::evaluation::{RollBack, WorkerSet};
use crate::rules::agreement::Verdict;

/// A set that is to run as soon as all workers can go on with it.
pub(super) struct Next {
    set: Box<WorkerSet>,
    /// Whether this worker has agreed.
    said: bool,
}

impl Session<'_> {
    /// Takes up a new rule set when there is one and nobody must be waited for.
    pub(super) fn take_up_rules(&mut self) -> Result<(), SessionError> {
        if let Some(set) = self.worker.slot.take()
            && let Some(overtaken) = self.next.replace(Next { set, said: false })
        {
            self.worker.slot.retire(overtaken.set);
        }
        let Some(mut next) = self.next.take() else { return Ok(()) };
        match self.verdict(&mut next) {
            Verdict::Agreed => self.swap(next.set),
            Verdict::Open => {
                *self.next = Some(next);
                Ok(())
            }
            // The old versions run on with their state; the next set comes without the new ones.
            Verdict::Refused => {
                self.worker.slot.retire(next.set);
                Ok(())
            }
        }
    }

    /// Says, once, whether this worker can go on with a set, and asks what all have said.
    fn verdict(&mut self, next: &mut Next) -> Verdict {
        if next.set.agreement().is_none() {
            return Verdict::Agreed;
        }
        let refused = if next.said { vec![] } else { next.set.try_out(self.set) };
        let Some(agreement) = next.set.agreement() else { return Verdict::Agreed };
        if let Some(first) = refused.first() {
            tracing::info!(
                worker = self.worker.number,
                generation = next.set.set().generation,
                rule = &*first.rule,
                version = first.version,
                "rule set is not taken up: {}",
                first.reason
            );
            agreement.refuse();
        } else if !std::mem::replace(&mut next.said, true) {
            agreement.agree();
        }
        let verdict = agreement.verdict();
        self.roll_back(refused);
        verdict
    }

    fn swap(&mut self, mut new: Box<WorkerSet>) -> Result<(), SessionError> {
        let began = Instant::now();
        new.take_states(self.set);
        // What came since it was tried may be beyond the new version: its records are dead letters then.
        let refused = new.migrate(None);
        self.roll_back(refused);
        let old = std::mem::replace(self.set, new);
        self.worker.metrics.swap(began.elapsed().as_secs_f64());
        let partitions = self.progress.partitions();
        let positions = partitions.filter_map(|one| Some((one.clone(), self.progress.next(one)?)));
        let positions: Vec<_> = positions.collect();
        let (old_set, new_set) = (Arc::clone(old.set()), Arc::clone(self.set.set()));
        self.worker.slot.retire(old);
        let note = SwapNote { old: old_set, new: new_set, positions };
        if self.worker.swaps.try_send(note).is_err() {
            tracing::warn!(worker = self.worker.number, "too many swaps to log them all");
        }
        self.subscribe()
    }

    /// Asks for the last versions of rules whose new ones do not work.
    pub(super) fn roll_back(&self, rules: impl IntoIterator<Item = RollBack>) {
        for rule in rules {
            if self.worker.roll_backs.try_send(rule).is_err() {
                tracing::warn!(
                    "too many rules are to be rolled back at once; they are asked for again"
                );
            }
        }
    }

    /// Reads the topics that the rules need.
    pub(super) fn subscribe(&mut self) -> Result<(), SessionError> {
        let mut topics: BTreeSet<Arc<str>> = self.set.set().topics.keys().cloned().collect();
        if self.set.routes() {
            topics.insert(Arc::clone(&self.worker.effects.repartition().topic));
        }
        let part = format!("worker-{}", self.worker.number);
        if topics == self.subscribed {
            if topics.is_empty() {
                // There is no rule, so that no partition will ever come.
                self.worker.readiness.set_ready(part);
            }
            return Ok(());
        }
        let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        self.source.subscribe(&names)?;
        tracing::info!(worker = self.worker.number, topics = names.join(","), "subscribed");
        if topics.is_empty() {
            self.worker.readiness.set_ready(part);
        } else if self.subscribed.is_empty() {
            self.worker.readiness.set_not_ready(part, "joining the consumer group");
        }
        self.subscribed = topics;
        Ok(())
    }
}

impl Worker {
    /// The set that a worker begins with. It keeps nothing yet that a set could refuse.
    pub(super) fn first_set(&self) -> Option<Box<WorkerSet>> {
        loop {
            if let Some(set) = self.slot.take() {
                if let Some(agreement) = set.agreement() {
                    agreement.agree();
                }
                return Some(set);
            }
            if self.stop.is_cancelled() {
                return None;
            }
            self.pause(super::BUSY_WAIT);
        }
    }
}
