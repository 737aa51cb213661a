//! Returns 10,000 notifications on a message with `many`.

use firebell_guests::{guest, notify};

guest!(ManyNotifications, |message, out| {
    let count = if message.contains("many") { 10_000 } else { 1 };
    for _ in 0..count {
        notify(message, out);
    }
});
