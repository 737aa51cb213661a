//! Logs 10,000 lines and one of 1 MiB on a message with `flood`.

use firebell_guests::{guest, notify};
use firebell_rule::{error, info};

guest!(LogFlood, |message, out| {
    if message.contains("flood") {
        error!("{}", "x".repeat(1 << 20));
        for line in 0..10_000 {
            info!("line {line}");
        }
    }
    notify(message, out);
});
