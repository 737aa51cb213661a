//! The sandbox: components compiled once, instances that are called with batches.
//!
//! The only room that knows wasmtime. An [`Engine`] belongs to the process, a [`Component`] to a
//! rule's file, an [`Instance`] to one worker. A call is bounded by fuel, memory, output and log
//! lines ([`Limits`](crate::limits::Limits)), never by time, so that a replay does what live did.

mod cache;
mod component;
mod declared;
mod failure;
mod inspect;
mod instance;
mod limiter;
mod state_call;
mod v0_1;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use component::{Component, LoadError};
pub use failure::{CallFailure, DescribeError, FailureReason, InvalidSubscription};
pub use instance::{Called, Described, Instance, Values};
pub use limiter::{LogLevel, LogLine, Logs};
pub use state_call::{LateRow, RowRecord, Shown, StateCall, StateRefused};

use cache::Cache;
use instance::State;

/// Native stack that a guest may use. Wasmtime's default, pinned since it decides where a deep
/// recursion ends.
const WASM_STACK_BYTES: usize = 512 << 10;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Wasmtime refused the host's own settings: this machine lacks something.
    #[error("the WebAssembly engine does not start on this machine: {detail}")]
    Engine {
        /// What wasmtime said.
        detail: String,
    },
    /// The folder for compiled code cannot be used.
    #[error(
        "`rules.cache_dir` {} cannot be used; it must be a folder that belongs to the user who runs \
         firebell",
        dir.display()
    )]
    CacheDir {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The process-wide engine; a clone is another handle of it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Shared>,
}

struct Shared {
    wasmtime: wasmtime::Engine,
    linker: wasmtime::component::Linker<State>,
    cache: Option<Cache>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("cache", &self.inner.cache).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that keeps compiled code in `cache_dir`, or only in memory.
    ///
    /// # Errors
    ///
    /// The folder cannot be made, or is not ours.
    pub fn new(cache_dir: Option<&Path>) -> Result<Self, EngineError> {
        let refused = |error: wasmtime::Error| EngineError::Engine { detail: format!("{error:#}") };
        let wasmtime = wasmtime::Engine::new(&settings()).map_err(refused)?;
        let mut linker = wasmtime::component::Linker::new(&wasmtime);
        v0_1::add_to_linker(&mut linker).map_err(refused)?;
        let cache = cache_dir
            .map(|dir| {
                Cache::open(dir, &wasmtime)
                    .map_err(|source| EngineError::CacheDir { dir: dir.to_owned(), source })
            })
            .transpose()?;
        Ok(Self { inner: Arc::new(Shared { wasmtime, linker, cache }) })
    }

    /// Compiles a rule's file: a component, or a core module that carries our interface.
    ///
    /// Takes 50 to 100 ms for a Rust rule, seconds for one with a language runtime in it, under a
    /// millisecond when the cache has it.
    ///
    /// # Errors
    ///
    /// The file is not a rule for this host; the error says what it is and what to do.
    pub fn compile(&self, bytes: &[u8]) -> Result<Component, LoadError> {
        Component::compile(&self.inner, bytes)
    }
}

/// Deterministic, metered, and nothing in it that a rule does not need.
fn settings() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        .consume_fuel(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        // Calls are synchronous, on the worker's thread: a third of the price of a call.
        .concurrency_support(false)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        // Measured: it elides bounds checks, 24-32 % on guests that parse (baselines section 2).
        .memory_reservation(4 << 30);
    config
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
