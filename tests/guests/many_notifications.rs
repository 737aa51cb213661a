//! Returns 500 notifications on a message with `many`.

use firebell_guests::{guest, notify};

guest!(ManyNotifications, |message, out| {
    let count = if message.contains("many") { 500 } else { 1 };
    for _ in 0..count {
        notify(message, out);
    }
});
