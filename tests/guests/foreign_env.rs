//! A rule that also imports `env.now`, which no component can.

#![allow(unsafe_code, reason = "an import by name")]

use firebell_guests::guest;
#[cfg(target_arch = "wasm32")]
use firebell_guests::notify;

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn now() -> i64;
}

#[cfg(target_arch = "wasm32")]
guest!(ForeignEnv, |message, out| {
    // SAFETY: no host has it, so it is never called.
    let now = unsafe { now() };
    notify(&format!("{now}: {message}"), out);
});

#[cfg(not(target_arch = "wasm32"))]
guest!(ForeignEnv, |_message, _out| {});
