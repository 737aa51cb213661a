//! Fails on a message with `error`.

use firebell_guests::{guest, notify};

guest!(ReturnsError, |message, out| {
    if message.contains("error") {
        return out.fail(format!("cannot judge: {message}"));
    }
    notify(message, out);
});
