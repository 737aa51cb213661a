//! Tells how bad a record is by its first word: `SEVERITY TEXT`, and the rest is the title.

use firebell_guests::{Notification, guest};
use firebell_rule::Severity;

guest!(Graded, |message, out| {
    let (word, title) = message.split_once(' ').unwrap_or(("", message));
    let severity = match word {
        "critical" => Severity::Critical,
        "error" => Severity::Error,
        "warning" => Severity::Warning,
        _ => Severity::Info,
    };
    out.notify(Notification::fire(title).severity(severity));
});
