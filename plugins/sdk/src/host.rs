//! The host's functions of `state` and `tables`: imports in WebAssembly, natively the harness.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::__private::bindings::firebell::rule::{state, tables};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::host::{state, tables};
