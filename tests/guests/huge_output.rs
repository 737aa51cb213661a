//! Returns a notification of 1.25 MiB on a message with `huge`.

use firebell_guests::{Notification, guest, notify};

guest!(HugeOutput, |message, out| {
    if message.contains("huge") {
        return out.notify(Notification::fire(message).text("x".repeat(5 << 18)));
    }
    notify(message, out);
});
