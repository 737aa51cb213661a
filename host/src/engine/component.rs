//! A compiled component, and why a file is none.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::engine::failure::CallFailure;
use crate::engine::inspect::{Kind, inspect};
use crate::engine::instance::Instance;
use crate::engine::v0_1::RulePre;
use crate::engine::{Engine, Shared};
use crate::limits::{Limits, cut};

/// Bytes of a detail that a tool below us tells.
const DETAIL_BYTES_MAX: usize = 2_048;
/// Foreign imports that an error names.
const NAMES_MAX: usize = 8;

/// Why a file is not a rule that this host can run; says what it is and the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Nothing in it.
    #[error("the file is empty; build the rule again")]
    Empty,
    /// It ends in the middle.
    #[error(
        "the file ends in the middle, after {bytes} bytes; it is half-written or was cut: copy it \
         whole under another name and rename it"
    )]
    Truncated {
        /// Its length.
        bytes: usize,
    },
    /// Something else.
    #[error("the file is not WebAssembly: {what}")]
    NotWasm {
        /// What it seems to be.
        what: String,
    },
    /// WebAssembly, but broken.
    #[error("the file is not valid WebAssembly: {detail}; build the rule again")]
    Invalid {
        /// What the parser or the compiler said.
        detail: String,
    },
    /// A core module that does not say what it exports.
    #[error(
        "the file is a core module without Firebell's interface; build it with the crate \
         `firebell-rule`, or with bindings of `wit/0.1.1` and `wasm-tools component new`"
    )]
    NoInterface,
    /// A core module whose interface and code do not agree.
    #[error("the core module cannot be made a component: {detail}")]
    Wrap {
        /// What `wit-component` said.
        detail: String,
    },
    /// It wants what a rule is never given.
    #[error("the component imports {names}, but a rule may import only `firebell:rule/*`; {cure}")]
    ForeignImports {
        /// The imports.
        names: String,
        /// What to do.
        cure: &'static str,
    },
    /// A component for something else.
    #[error(
        "the component exports {}, not `firebell:rule/guest@0.1.0`; build it for the world \
         `firebell:rule/rule` (wit/0.1.1), or the file is half-written",
        names(exports)
    )]
    WrongWorld {
        /// What it exports.
        exports: Vec<String>,
    },
    /// Another version of the contract.
    #[error(
        "the component is built against `{name}`; this host speaks 0.1: upgrade the host, or build \
         against 0.1"
    )]
    OtherContract {
        /// The interface with its version.
        name: String,
    },
    /// An interface that a later 0.1.x added.
    #[error(
        "the component imports `{name}`, which this host does not have yet: upgrade the host, or \
         build against 0.1.0"
    )]
    NewerInterface {
        /// The interface with its version.
        name: String,
    },
    /// Right names, wrong types.
    #[error(
        "the component does not fit the world `firebell:rule/rule` 0.1: {detail}; build it against \
         wit/0.1.1 as it is"
    )]
    Mismatch {
        /// What the linker said.
        detail: String,
    },
}

impl LoadError {
    /// The error for imports that a rule is never given.
    pub(super) fn foreign(imports: Vec<String>) -> Self {
        let cure = if imports.iter().any(|name| name.starts_with("wasi")) {
            "build for wasm32-unknown-unknown (Rust), or leave WASI out \
             (JavaScript: `--disable all`, Python: `--stub-wasi`)"
        } else {
            "take them out of the rule's world"
        };
        Self::ForeignImports { names: names(&imports), cure }
    }
}

/// Some of `all`, each quoted, and how many more there are.
fn names(all: &[String]) -> String {
    if all.is_empty() {
        return "nothing".into();
    }
    let mut some: Vec<String> =
        all.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
    if all.len() > NAMES_MAX {
        some.push(format!("and {} more", all.len() - NAMES_MAX));
    }
    some.join(", ")
}

/// A compiled and linked rule's file; a clone is another handle of it.
#[derive(Clone)]
pub struct Component {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    pre: RulePre,
    hash: String,
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component").field("hash", &self.inner.hash).finish_non_exhaustive()
    }
}

impl Component {
    pub(super) fn compile(shared: &Arc<Shared>, bytes: &[u8]) -> Result<Self, LoadError> {
        let wrapped;
        let component = match inspect(bytes)? {
            Kind::Component => bytes,
            Kind::CoreModule => {
                wrapped = wrap(bytes)?;
                // The interface that a module carries is only seen when it is wrapped.
                inspect(&wrapped)?;
                &wrapped
            }
        };
        let compiled =
            match shared.cache.as_ref().and_then(|cache| cache.load(&shared.wasmtime, component)) {
                Some(compiled) => compiled,
                None => {
                    let compiled =
                        wasmtime::component::Component::from_binary(&shared.wasmtime, component)
                            .map_err(|error| LoadError::Invalid { detail: detail(&error) })?;
                    if let Some(cache) = &shared.cache {
                        cache.store(component, &compiled);
                    }
                    compiled
                }
            };
        let mismatch = |error: wasmtime::Error| LoadError::Mismatch { detail: detail(&error) };
        let pre = shared.linker.instantiate_pre(&compiled).map_err(mismatch)?;
        let pre = RulePre::new(pre).map_err(mismatch)?;
        let hash = hex(&Sha256::digest(bytes));
        Ok(Self { inner: Arc::new(Inner { shared: Arc::clone(shared), pre, hash }) })
    }

    /// Hex SHA-256 of the file's bytes.
    pub fn hash(&self) -> &str {
        &self.inner.hash
    }

    /// The engine that compiled it.
    pub fn engine(&self) -> Engine {
        Engine { inner: Arc::clone(&self.inner.shared) }
    }

    /// Makes an instance for `rule`, about 15 µs; call `describe` on it first.
    ///
    /// # Errors
    ///
    /// Its start traps, or it wants more memory than `limits` give.
    pub fn instantiate(&self, rule: &Arc<str>, limits: &Limits) -> Result<Instance, CallFailure> {
        Instance::new(&self.inner.shared, &self.inner.pre, rule, limits)
    }
}

/// Makes a component of a core module that carries its interface in a custom section.
fn wrap(module: &[u8]) -> Result<Vec<u8>, LoadError> {
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| {
            let mut detail = format!("{error:#}");
            cut(&mut detail, DETAIL_BYTES_MAX);
            LoadError::Wrap { detail }
        })
}

fn detail(error: &wasmtime::Error) -> String {
    let mut detail = format!("{error:#}");
    cut(&mut detail, DETAIL_BYTES_MAX);
    detail
}

/// Lowercase hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
