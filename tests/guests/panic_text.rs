//! Panics on a message with `panic`.

#![allow(clippy::panic, reason = "that is what it is for")]

use firebell_guests::{guest, notify};

guest!(PanicText, |message, out| {
    if message.contains("panic") {
        panic!("cannot read the message: {message}");
    }
    notify(message, out);
});
