//! Tells how bad a record is by its first word: `SEVERITY TEXT`, and the rest is the title; or that something
//! begins or ends: `opens KEY`, `ends KEY`.

use firebell_guests::{Notification, guest};
use firebell_rule::Severity;

guest!(Graded, |message, out| {
    let (word, title) = message.split_once(' ').unwrap_or(("", message));
    match word {
        "opens" => return out.notify(Notification::fire(title).key(title)),
        "ends" => return out.notify(Notification::resolve(title).key(title)),
        _ => {}
    }
    let severity = match word {
        "critical" => Severity::Critical,
        "error" => Severity::Error,
        "warning" => Severity::Warning,
        _ => Severity::Info,
    };
    out.notify(Notification::fire(title).severity(severity));
});
