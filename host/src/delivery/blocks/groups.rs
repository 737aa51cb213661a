//! What the message of a group says, and its replies: a head with counts and the group's labels, then a
//! line for each alert. Pure.

use std::collections::BTreeMap;

use super::{RESOLVED_MARK, mark, visible};
use crate::delivery::text::shorten;
use crate::group::{Line, Lines, Stands};
use crate::notification::{AlertId, Kind, Notification, Span};

/// Alerts that have a line; the rest is counted.
const LINES_MAX: usize = 20;
/// Units of an alert's title in its line.
const TITLE_UNITS_MAX: usize = 120;
/// Units of the labels in the head.
const LABELS_UNITS_MAX: usize = 200;

/// What is said of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saying {
    /// How it stands: its message.
    Stands,
    /// In the thread: these fired, or got worse.
    News,
    /// In the thread: these still fire.
    Again,
    /// All have ended: its message, and in the thread.
    Over,
}

/// A saying about these alerts; `group` and the labels are what they have in common.
pub fn notification(
    (group, labels): (&AlertId, &BTreeMap<String, String>),
    lines: &Lines,
    saying: Saying,
    ledger: &str,
) -> Notification {
    Notification {
        alert_key: None,
        window_start_ms: None,
        severity: lines.worst(),
        kind: if saying == Saying::Over { Kind::Resolve } else { Kind::Update },
        title: title(labels, lines, saying),
        body: body(group, lines, ledger),
        fields: vec![],
        labels: vec![],
        evidence: vec![],
        excerpt: None,
        channel: None,
    }
}

fn title(labels: &BTreeMap<String, String>, lines: &Lines, saying: Saying) -> String {
    let labels: Vec<String> = labels
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{}={}", visible(name, false), visible(value, false)))
        .collect();
    let of = match &*shorten(&labels.join(", "), LABELS_UNITS_MAX) {
        "" => String::new(),
        labels => format!(": {labels}"),
    };
    let one = lines.iter().next().filter(|_| lines.len() == 1);
    match (saying, one) {
        (Saying::Stands, _) => format!("{}{of}", counts(lines)),
        (Saying::News, Some(line)) => shorten(&visible(&line.title, false), TITLE_UNITS_MAX),
        (Saying::News, None) => format!("{} alerts are new or worse{of}", lines.len()),
        (Saying::Again, _) => format!("still {}{of}", counts(lines)),
        (Saying::Over, Some(_)) => format!("resolved{of}"),
        (Saying::Over, None) => format!("all {} resolved{of}", lines.count(Stands::Ended)),
    }
}

/// How many stand how: `2 firing, 1 resolved`.
fn counts(lines: &Lines) -> String {
    let events = lines.count(Stands::Event);
    let parts = [
        (lines.count(Stands::Fires), "firing"),
        (events, if events == 1 { "event" } else { "events" }),
        (lines.count(Stands::Ended), "resolved"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    parts.join(", ")
}

fn body(group: &AlertId, lines: &Lines, ledger: &str) -> Vec<Span> {
    let told: Vec<String> = lines.iter().take(LINES_MAX).map(line).collect();
    let mut body = vec![Span::Text(told.join("\n"))];
    let rest = lines.rest(LINES_MAX);
    if !rest.is_empty() {
        body.extend([
            Span::Text(format!("\n… and {} more ({}): ", rest.len(), counts(&rest))),
            Span::Code("firebell alerts".into()),
            Span::Text(" tells each, the topic ".into()),
            Span::Code(ledger.into()),
            Span::Text(" has them with ".into()),
            Span::Code(format!("member.group = {group}")),
        ]);
    }
    body
}

fn line(line: &Line) -> String {
    // One line each, whatever the rule wrote.
    let title = shorten(&visible(&line.title, false), TITLE_UNITS_MAX);
    let (mark, severity) = (mark(line.severity), line.severity.as_str());
    match line.stands {
        Stands::Fires => format!("{mark} {title} · {severity}, firing"),
        Stands::Event => format!("{mark} {title} · {severity}"),
        Stands::Ended => format!("{RESOLVED_MARK} {title} · resolved"),
    }
}
