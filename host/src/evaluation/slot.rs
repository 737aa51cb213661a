//! One rule in one worker: its instance, its calls, and what is done when one fails.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::causes::with_causes;
use crate::effect::RowEffect;
use crate::engine::{CallFailure, Called, FailureReason, Instance, Logs};
use crate::evaluation::health::LastFailure;
use crate::evaluation::slice::slice;
use crate::evaluation::stateful::{Fired, LateReport};
use crate::limits::ROWS_PER_CALL_MAX;
use crate::record::RecordId;
use crate::rules::Rule;

/// Reads a monotonic clock. Only reported, never looked at by evaluation.
pub type Clock = Box<dyn Fn() -> Duration + Send>;

/// A call, for telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallReport {
    /// Records that it was shown.
    pub rows: usize,
    /// Fuel that it burnt.
    pub fuel: u64,
    /// Why it failed; `None` = it did not.
    pub failure: Option<FailureReason>,
    /// How long it took; `None` = nobody gave a clock.
    pub duration: Option<Duration>,
}

/// A record that a rule did not get to see to the end.
#[derive(Debug)]
pub(super) enum Failed {
    /// The rule failed on it.
    Call(CallFailure),
    /// The rule was not called.
    Quarantined,
}

/// What a rule made of a batch.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// In the order of rows.
    pub(super) effects: Vec<RowEffect>,
    /// Rows without effects, in their order.
    pub(super) failed: Vec<(u32, Failed)>,
    pub(super) calls: Vec<CallReport>,
    pub(super) logs: Logs,
    /// What time did, in its order.
    pub(super) fired: Vec<Fired>,
    pub(super) late: Vec<LateReport>,
    /// This batch put the rule into quarantine.
    pub(super) quarantined: bool,
}

impl Outcome {
    /// Whether there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.failed.is_empty() && self.late.is_empty()
    }
}

/// A rule in one worker.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) rule: Arc<Rule>,
    pub(super) instance: Option<Instance>,
    /// Memory of the instance when it was new, bytes.
    fresh_bytes: usize,
    /// Rows that a call may have: less after a batch was too much where its records are not.
    rows_max: usize,
    /// A part of a batch, reused.
    pub(super) part: Batch,
}

impl Slot {
    pub(super) fn new(rule: Arc<Rule>) -> Self {
        Self {
            rule,
            instance: None,
            fresh_bytes: 0,
            rows_max: ROWS_PER_CALL_MAX,
            part: Batch::default(),
        }
    }

    /// Makes the instance, unless there is one.
    pub(super) fn prepare(&mut self) -> Result<&mut Instance, CallFailure> {
        // Not `get_or_insert_with`: making one can fail.
        let instance = match self.instance.take() {
            Some(instance) => instance,
            None => {
                let instance = new_instance(&self.rule)?;
                self.fresh_bytes = instance.memory_bytes();
                instance
            }
        };
        Ok(self.instance.insert(instance))
    }

    /// Shows the rule a batch that is not empty. What fails is found record by record.
    pub(super) fn evaluate(&mut self, batch: &Batch, clock: Option<&Clock>) -> Outcome {
        let mut outcome = Outcome::default();
        let rows = batch.offsets.len();
        let mut from = 0;
        while from < rows {
            let part = from..self.part_end(batch, from);
            from = part.end;
            if self.rule.health.is_quarantined() {
                outcome.failed.extend(part.map(|row| (row as u32, Failed::Quarantined)));
            } else if part.len() == 1 {
                self.single(batch, part.start, clock, &mut outcome);
            } else if let Err(failure) = self.call(batch, &part, clock, &mut outcome) {
                self.one_by_one(batch, part, &failure, clock, &mut outcome);
            }
        }
        self.retire_when_fat();
        outcome
    }

    /// Where a call that begins with row `from` ends: not too many rows, and not so many bytes that
    /// the batch alone would fill the instance.
    pub(super) fn part_end(&self, batch: &Batch, from: usize) -> usize {
        let rows = batch.offsets.len();
        let bytes_max = self.memory_max() / 8;
        let mut end = rows.min(from + self.rows_max);
        let columns = batch.ends.len() / rows;
        let byte = |row: usize| match row * columns {
            0 => 0,
            cells => batch.ends[cells - 1] as usize,
        };
        while end > from + 1 && byte(end) - byte(from) > bytes_max {
            end = from + (end - from) / 2;
        }
        end
    }

    /// Calls with the rows `part`; their effects go to `outcome`, a failure gives none.
    fn call(
        &mut self,
        batch: &Batch,
        part: &Range<usize>,
        clock: Option<&Clock>,
        outcome: &mut Outcome,
    ) -> Result<(), CallFailure> {
        let start = clock.map(|now| now());
        let called = if part.len() == batch.offsets.len() {
            self.prepare().and_then(|instance| instance.evaluate(batch))
        } else {
            let mut rows = std::mem::take(&mut self.part);
            slice(batch, part.clone(), &mut rows);
            let called = self.prepare().and_then(|instance| instance.evaluate(&rows));
            self.part = rows;
            called
        };
        let duration = clock.zip(start).map(|(now, start)| now().saturating_sub(start));
        let report = |fuel, failure| CallReport { rows: part.len(), fuel, failure, duration };
        match called {
            Ok(Called { effects, fuel, logs }) => {
                outcome.calls.push(report(fuel, None));
                self.keep_logs(logs, outcome);
                let first = part.start as u32;
                outcome.effects.extend(
                    effects
                        .into_iter()
                        .map(|RowEffect { row, effect }| RowEffect { row: row + first, effect }),
                );
                self.rule.health.succeeded();
                Ok(())
            }
            Err(mut failure) => {
                // Its store is gone; the next call makes another.
                self.instance = None;
                outcome.calls.push(report(failure.fuel, Some(failure.reason)));
                self.keep_logs(std::mem::take(&mut failure.logs), outcome);
                Err(failure)
            }
        }
    }

    fn single(&mut self, batch: &Batch, row: usize, clock: Option<&Clock>, outcome: &mut Outcome) {
        let Err(failure) = self.call(batch, &(row..row + 1), clock, outcome) else { return };
        let last = LastFailure {
            record: RecordId {
                topic: Arc::clone(&batch.topic),
                partition: batch.partition,
                offset: batch.offsets[row],
            },
            reason: failure.reason,
            message: failure.message.clone(),
        };
        outcome.quarantined |=
            self.rule.health.failed_record(last, self.rule.limits.quarantine_after);
        outcome.failed.push((row as u32, Failed::Call(failure)));
    }

    /// After a failed call: each of its records alone, in a row, so that only those that fail alone
    /// are lost for this rule.
    fn one_by_one(
        &mut self,
        batch: &Batch,
        part: Range<usize>,
        failure: &CallFailure,
        clock: Option<&Clock>,
        outcome: &mut Outcome,
    ) {
        let failed_before = outcome.failed.len();
        let rows = part.len();
        for row in part {
            if self.rule.health.is_quarantined() {
                outcome.failed.push((row as u32, Failed::Quarantined));
            } else {
                self.single(batch, row, clock, outcome);
            }
        }
        // Each is fine alone, together they were too much: smaller calls from now on.
        let is_limit = matches!(
            failure.reason,
            FailureReason::MemoryLimit | FailureReason::OutputLimit | FailureReason::OutOfFuel
        );
        if is_limit && outcome.failed.len() == failed_before {
            self.rows_max = (rows / 2).max(1);
        }
    }

    /// Log lines of one batch are capped as those of one call are.
    pub(super) fn keep_logs(&self, logs: Logs, outcome: &mut Outcome) {
        let room = (self.rule.limits.log_lines as usize).saturating_sub(outcome.logs.lines.len());
        let over = logs.lines.len().saturating_sub(room);
        outcome.logs.lines.extend(logs.lines.into_iter().take(room));
        outcome.logs.dropped += logs.dropped + over as u64;
    }

    /// An instance's memory never shrinks: one that grew past half of its limit is made anew, between
    /// two batches. One that is born large is left alone.
    pub(super) fn retire_when_fat(&mut self) {
        let bytes = self.instance.as_ref().map_or(0, Instance::memory_bytes);
        let half = self.memory_max() / 2;
        if bytes > half && bytes - self.fresh_bytes.min(bytes) > half / 2 {
            self.instance = None;
        }
    }

    fn memory_max(&self) -> usize {
        (self.rule.limits.memory_mib as usize) << 20
    }
}

/// An instance that said again what it said when the rule was loaded.
fn new_instance(rule: &Rule) -> Result<Instance, CallFailure> {
    let mut instance = rule.component.instantiate(&rule.name, &rule.limits)?;
    let unstable = |detail: String| {
        CallFailure::unstable(format!(
            "unstable describe: {detail}; a rule must answer the same for the same configuration"
        ))
    };
    match instance.describe(&rule.config_json) {
        Ok(described)
            if described.subscription == rule.described && described.plan == *rule.plan =>
        {
            Ok(instance)
        }
        Ok(_) => Err(unstable("it answered otherwise than when the rule was loaded".into())),
        Err(crate::engine::DescribeError::Failed(failure)) => Err(failure),
        Err(error) => Err(unstable(with_causes(&error))),
    }
}
