//! Executes `unreachable` on a message with `trap`.

use firebell_guests::{guest, notify};

guest!(Trap, |message, out| {
    if message.contains("trap") {
        #[cfg(target_arch = "wasm32")]
        core::arch::wasm32::unreachable();
        #[cfg(not(target_arch = "wasm32"))]
        std::process::abort();
    }
    notify(message, out);
});
