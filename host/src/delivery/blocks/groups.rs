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

/// How many, the title of the worst, and what they have in common: a phone shows the first sixty characters.
fn title(labels: &BTreeMap<String, String>, lines: &Lines, saying: Saying) -> String {
    let labels: Vec<String> = labels
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{}={}", visible(name, false), visible(value, false)))
        .collect();
    let labels = shorten(&labels.join(", "), LABELS_UNITS_MAX);
    let worst =
        lines.iter().next().map(|line| shorten(&visible(&line.title, false), TITLE_UNITS_MAX));
    let of = |parts: [Option<&str>; 2]| {
        let parts: Vec<&str> =
            parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        if parts.is_empty() { String::new() } else { format!(": {}", parts.join(" · ")) }
    };
    let (worst_of, labels_of) = (of([worst.as_deref(), Some(&labels)]), of([None, Some(&labels)]));
    let is_one = lines.len() == 1;
    match (saying, worst) {
        (Saying::Stands, _) => format!("{}{worst_of}", counts(lines)),
        (Saying::News, Some(title)) if is_one => title,
        (Saying::News, _) => format!("{} alerts are new or worse{worst_of}", lines.len()),
        (Saying::Again, _) => format!("still {}{worst_of}", counts(lines)),
        (Saying::Over, _) if is_one => format!("resolved{worst_of}"),
        (Saying::Over, _) => format!("all {} resolved{labels_of}", lines.count(Stands::Ended)),
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
