//! One instance of a rule: its store, and bounded calls into it.

use std::fmt;
use std::sync::Arc;

use firebell_state::{Firing, Plan, StateError};
use wasmtime::{Store, Trap};

use crate::batch::Batch;
use crate::effect::{InvalidEffects, RowEffect, check};
use crate::engine::Shared;
use crate::engine::failure::{CallFailure, DescribeError, FailureReason};
use crate::engine::limiter::{Limiter, LogBook, Logs};
use crate::engine::state_call::{StateCall, StateRefused};
use crate::engine::v0_1::{Rule, RulePre};
use crate::limits::{Limits, cut};
use crate::subscription::Subscription;

/// Fuel for making an instance and for `describe`: language runtimes set themselves up there.
const DESCRIBE_FUEL: u64 = 200_000_000;
/// Fuel of every call besides its records': entering, taking the batch, returning.
const CALL_FUEL: u64 = 100_000;
/// Our types are larger than the bytes that a guest returns; host memory for one call's effects is
/// bounded by this many times `output_bytes`.
const LIFTED_PER_OUTPUT_BYTE: usize = 4;
/// Bytes of a text that a guest gives for an error.
const ERROR_BYTES_MAX: usize = 4_096;

/// What belongs to a store.
pub(super) struct State {
    pub(super) limiter: Limiter,
    pub(super) book: LogBook,
    /// There during a call of a rule that keeps state.
    pub(super) call: Option<Box<StateCall>>,
}

/// Keys and their values.
pub type Values = Vec<(Vec<u8>, Vec<u8>)>;

/// What a rule declares when it is asked: what it needs and what it keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// `describe`
    pub subscription: Subscription,
    /// `declare`; empty for a rule that keeps nothing.
    pub plan: Plan,
}

/// What a call gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The effects, checked, in the order of their rows.
    pub effects: Vec<RowEffect>,
    /// Fuel that was burnt.
    pub fuel: u64,
    /// What the guest logged.
    pub logs: Logs,
}

/// A rule in its sandbox. After an error it is dead: make another.
pub struct Instance {
    /// Gone after an error: a store is never used again after one.
    live: Option<(Store<State>, Rule)>,
    /// Lent to the store during a call.
    state: Option<Box<StateCall>>,
    rule: Arc<str>,
    limits: Limits,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("rule", &self.rule)
            .field("memory_bytes", &self.memory_bytes())
            .finish_non_exhaustive()
    }
}

impl Instance {
    pub(super) fn new(
        shared: &Shared,
        pre: &RulePre,
        rule: &Arc<str>,
        limits: &Limits,
    ) -> Result<Self, CallFailure> {
        let state = State {
            limiter: Limiter::new(limits.memory_mib),
            book: LogBook::new(limits.log_lines),
            call: None,
        };
        let mut store = Store::new(&shared.wasmtime, state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(limits.output_bytes.saturating_mul(LIFTED_PER_OUTPUT_BYTE));
        let made = arm(&mut store, DESCRIBE_FUEL).and_then(|()| pre.instantiate(&mut store));
        match made {
            Ok(exports) => Ok(Self {
                live: Some((store, exports)),
                state: None,
                rule: Arc::clone(rule),
                limits: *limits,
            }),
            Err(error) => {
                let mut failure = failure_of(&error, &mut store, DESCRIBE_FUEL, limits);
                if matches!(failure.reason, FailureReason::Trap | FailureReason::InvalidEffect) {
                    failure.reason = FailureReason::Instantiate;
                }
                Err(failure)
            }
        }
    }

    /// Asks the rule what it needs; the first call on every instance. Asks twice, since a rule must
    /// always give the same answer.
    ///
    /// # Errors
    ///
    /// It refuses `config_json`, fails, declares what cannot be or answers otherwise the second time.
    /// The instance is dead then.
    pub fn describe(&mut self, config_json: &str) -> Result<Described, DescribeError> {
        let described = self.describe_once(config_json)?;
        if self.describe_once(config_json)? == described {
            Ok(described)
        } else {
            self.live = None;
            Err(DescribeError::Unstable)
        }
    }

    fn describe_once(&mut self, config_json: &str) -> Result<Described, DescribeError> {
        let answer =
            self.call(DESCRIBE_FUEL, |exports, store| exports.describe(store, config_json));
        let declared = answer.map(|(declared, _, _)| declared).map_err(|failure| {
            if failure.reason == FailureReason::Refused {
                DescribeError::Refused(failure.message)
            } else {
                DescribeError::Failed(failure)
            }
        })?;
        declared.described().map_err(|invalid| {
            self.live = None;
            DescribeError::Invalid(invalid)
        })
    }

    /// Shows the rule a batch.
    ///
    /// # Errors
    ///
    /// The rule failed, used more than its limits or asked for what cannot be. The instance is dead
    /// then, and nothing happened.
    pub fn evaluate(&mut self, batch: &Batch) -> Result<Called, CallFailure> {
        let rows = batch.offsets.len();
        let fuel =
            self.limits.fuel_per_record.saturating_mul(rows as u64).saturating_add(CALL_FUEL);
        let called = self.call(fuel, |exports, store| exports.evaluate(store, batch))?;
        self.checked(called, rows)
    }

    /// Shows the rule a batch; it may use the state in `state`, which is put back whatever comes
    /// of it. What a failed call did to it is for the caller to undo.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate); also when the rule asked of its state what cannot be.
    pub fn evaluate_with(
        &mut self,
        batch: &Batch,
        state: &mut Option<Box<StateCall>>,
    ) -> Result<Called, CallFailure> {
        self.state = state.take();
        let called = self.evaluate(batch);
        *state = self.state.take();
        called
    }

    /// Tells the rule what time did: `firings` are due at `stream_ms`; `wall_ms` is what the wall
    /// clock showed where it is what moved. Rows of effects are places in `firings`.
    ///
    /// # Errors
    ///
    /// As [`evaluate_with`](Self::evaluate_with).
    pub fn elapsed(
        &mut self,
        firings: &[Firing],
        (stream_ms, wall_ms): (i64, Option<i64>),
        state: &mut Option<Box<StateCall>>,
    ) -> Result<Called, CallFailure> {
        let rows = firings.len();
        let fuel =
            self.limits.fuel_per_record.saturating_mul(rows as u64).saturating_add(CALL_FUEL);
        self.state = state.take();
        let called = self
            .call(fuel, |exports, store| exports.elapsed(store, firings, stream_ms, wall_ms))
            .and_then(|called| self.checked(called, rows));
        *state = self.state.take();
        called
    }

    /// Hands the keys and values of version `from` of the rule over, and returns what they are now.
    ///
    /// # Errors
    ///
    /// The rule refuses, or fails. The instance is dead then.
    pub fn migrate(
        &mut self,
        from: u32,
        entries: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<Values, CallFailure> {
        let fuel = self
            .limits
            .fuel_per_record
            .saturating_mul(entries.len() as u64)
            .saturating_add(DESCRIBE_FUEL);
        let migrated = self.call(fuel, |exports, store| exports.migrate(store, from, entries));
        migrated.map(|(entries, _, _)| entries)
    }

    /// What a call returned, once its effects are known to be possible.
    fn checked(
        &mut self,
        (mut effects, fuel, logs): (Vec<RowEffect>, u64, Logs),
        rows: usize,
    ) -> Result<Called, CallFailure> {
        if let Err(invalid) = check(&mut effects, rows, &self.limits) {
            self.live = None;
            let reason = match invalid {
                InvalidEffects::Row { .. }
                | InvalidEffects::Title { .. }
                | InvalidEffects::Topic { .. } => FailureReason::InvalidEffect,
                InvalidEffects::Notifications { .. } => FailureReason::NotificationLimit,
                InvalidEffects::Emits { .. } => FailureReason::EmitLimit,
                InvalidEffects::Output { .. } => FailureReason::OutputLimit,
            };
            return Err(CallFailure {
                logs,
                fuel,
                ..CallFailure::new(reason, invalid.to_string())
            });
        }
        Ok(Called { effects, fuel, logs })
    }

    /// Bytes of linear memory; it never shrinks. 0 when the instance is dead.
    pub fn memory_bytes(&self) -> usize {
        self.live.as_ref().map_or(0, |(store, _)| store.data().limiter.memory())
    }

    /// Calls with `fuel`, and drops the store unless all went well.
    fn call<T>(
        &mut self,
        fuel: u64,
        call: impl FnOnce(&Rule, &mut Store<State>) -> wasmtime::Result<Result<T, String>>,
    ) -> Result<(T, u64, Logs), CallFailure> {
        let Some((mut store, exports)) = self.live.take() else {
            let message = "the instance is dead after an error";
            return Err(CallFailure::new(FailureReason::Instantiate, message));
        };
        store.data_mut().limiter.rearm();
        store.data_mut().call = self.state.take();
        let answer = arm(&mut store, fuel).and_then(|()| call(&exports, &mut store));
        self.state = store.data_mut().call.take();
        match answer {
            Ok(Ok(answer)) => {
                let used = fuel.saturating_sub(store.get_fuel().unwrap_or(0));
                let (logs, _) = store.data_mut().book.take();
                self.live = Some((store, exports));
                Ok((answer, used, logs))
            }
            Ok(Err(mut message)) => {
                cut(&mut message, ERROR_BYTES_MAX);
                let (logs, _) = store.data_mut().book.take();
                let fuel = fuel.saturating_sub(store.get_fuel().unwrap_or(0));
                Err(CallFailure { logs, fuel, ..CallFailure::new(FailureReason::Refused, message) })
            }
            Err(error) => Err(failure_of(&error, &mut store, fuel, &self.limits)),
        }
    }
}

fn arm(store: &mut Store<State>, fuel: u64) -> wasmtime::Result<()> {
    store.set_fuel(fuel)
}

/// Tells what an error of wasmtime means for the rule.
fn failure_of(
    error: &wasmtime::Error,
    store: &mut Store<State>,
    armed: u64,
    limits: &Limits,
) -> CallFailure {
    let denied = store.data().limiter.denied();
    let (logs, panic) = store.data_mut().book.take();
    let fuel = armed.saturating_sub(store.get_fuel().unwrap_or(0));
    let trap = error.downcast_ref::<Trap>();
    let (reason, message) = if trap == Some(&Trap::OutOfFuel) {
        let message = format!(
            "out of fuel after {armed} (`fuel_per_record` is {}): an endless loop, or too much work",
            limits.fuel_per_record
        );
        (FailureReason::OutOfFuel, message)
    } else if denied {
        let after = panic.map(|panic| format!("; {panic}")).unwrap_or_default();
        let message = format!(
            "out of memory: wanted more than {} MiB (`memory_mib`){after}",
            limits.memory_mib
        );
        (FailureReason::MemoryLimit, message)
    } else if let Some(panic) = panic {
        (FailureReason::Panic, panic)
    } else if let Some(refused) = error.downcast_ref::<StateRefused>() {
        let reason = match refused {
            StateRefused::State(StateError::Full { .. }) => FailureReason::StateLimit,
            _ => FailureReason::InvalidState,
        };
        (reason, refused.to_string())
    } else if is_too_much_output(error) {
        let message = format!("returned more than {} bytes (`output_bytes`)", limits.output_bytes);
        (FailureReason::OutputLimit, message)
    } else {
        let (reason, mut message) = match trap {
            Some(Trap::StackOverflow) => {
                (FailureReason::Trap, "the stack is exhausted: endless recursion".to_owned())
            }
            // `wasm trap: …`: the rest of the chain says where, which needs names to be of use.
            Some(trap) => (FailureReason::Trap, trap.to_string()),
            // It ran to its end, but what it returned does not follow the canonical ABI.
            None => {
                (FailureReason::InvalidEffect, format!("what it returned is unreadable: {error:#}"))
            }
        };
        cut(&mut message, ERROR_BYTES_MAX);
        (reason, message)
    };
    CallFailure { reason, message, logs, fuel }
}

/// Wasmtime keeps the type of this error to itself; a test holds its text.
fn is_too_much_output(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| cause.to_string().contains("fuel allocated for hostcalls"))
}
