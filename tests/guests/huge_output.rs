//! Returns a notification of 1.25 MiB on a message with `huge`, of 16 MiB on one with `enormous`.

use firebell_guests::{Notification, guest, notify};

guest!(HugeOutput, |message, out| {
    let bytes = if message.contains("enormous") {
        16 << 20
    } else if message.contains("huge") {
        5 << 18
    } else {
        return notify(message, out);
    };
    out.notify(Notification::fire(message).text("x".repeat(bytes)));
});
