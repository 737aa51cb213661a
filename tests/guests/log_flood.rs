//! Logs a line of 64 KiB and 1,000 short ones on a message with `flood`.

use firebell_guests::{guest, notify};
use firebell_rule::{error, info};

guest!(LogFlood, |message, out| {
    if message.contains("flood") {
        error!("{}", "x".repeat(1 << 16));
        for line in 0..1_000 {
            info!("line {line}");
        }
    }
    notify(message, out);
});
