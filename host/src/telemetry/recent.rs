//! The last warnings and errors of the log, for the page.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Problems that are kept.
const PROBLEMS_MAX: usize = 50;

/// Characters of a problem that are kept.
const CHARACTERS_MAX: usize = 500;

/// One warning or error, told once however often it comes in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentProblem {
    /// When it came last, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The rule or the part of the host.
    pub source: String,
    /// What was logged, with its fields.
    pub message: String,
    /// How often it came since it was first kept.
    pub count: u64,
}

/// The last warnings and errors; cloning shares them. A layer of the log fills it.
#[derive(Debug, Clone, Default)]
pub struct RecentProblems {
    problems: Arc<Mutex<VecDeque<RecentProblem>>>,
}

impl RecentProblems {
    /// What is kept, newest first.
    pub fn list(&self) -> Vec<RecentProblem> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn add(&self, source: String, message: String) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let known = problems.iter().position(|p| p.source == source && p.message == message);
        let count = known.and_then(|known| problems.remove(known)).map_or(0, |known| known.count);
        problems.push_front(RecentProblem {
            at_ms: super::now_ms(),
            source,
            message,
            count: count.saturating_add(1),
        });
        problems.truncate(PROBLEMS_MAX);
    }
}

impl<S: Subscriber> Layer<S> for RecentProblems {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let source = match text.rule {
            Some(rule) => format!("rule {rule}"),
            None => {
                let target = metadata.target();
                let target = target.strip_prefix("firebell::").unwrap_or(target);
                target.split("::").next().unwrap_or(target).to_owned()
            }
        };
        let mut message: String = text.message;
        message.push_str(&text.fields);
        if let Some((cut, _)) = message.char_indices().nth(CHARACTERS_MAX) {
            message.truncate(cut);
            message.push('…');
        }
        self.add(source, message);
    }
}

/// An event's message and fields as text.
#[derive(Default)]
struct Text {
    rule: Option<String>,
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "rule" => self.rule = Some(value.to_owned()),
            "message" => self.message.push_str(value),
            name => self.field(name, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "rule" => self.rule = Some(format!("{value:?}")),
            "message" => self.message = format!("{value:?}"),
            name => self.field(name, value),
        }
    }
}

impl Text {
    fn field(&mut self, name: &str, value: &dyn fmt::Debug) {
        // A String takes whatever is written to it.
        write!(self.fields, " {name}={value:?}").unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What is kept of what `log` logs.
    fn kept(log: impl FnOnce()) -> Vec<(String, String, u64)> {
        let recent = RecentProblems::default();
        let subscriber = tracing_subscriber::registry().with(recent.clone());
        tracing::subscriber::with_default(subscriber, log);
        recent.list().into_iter().map(|p| (p.source, p.message, p.count)).collect()
    }

    #[test]
    fn warnings_and_errors_are_kept_newest_first_and_repeats_are_counted() {
        let kept = kept(|| {
            tracing::info!("fine");
            tracing::warn!(target: "firebell::delivery::gate", wait = 3, "slack is away");
            tracing::error!(rule = "invalid-user", "trap: {}", "boom");
            tracing::warn!(target: "firebell::delivery::gate", wait = 3, "slack is away");
        });
        assert_eq!(
            kept,
            [
                ("delivery".into(), "slack is away wait=3".into(), 2),
                ("rule invalid-user".into(), "trap: boom".into(), 1),
            ]
        );
    }

    #[test]
    fn a_flood_and_a_long_text_are_bounded() {
        let kept = kept(|| {
            for i in 0..PROBLEMS_MAX * 3 {
                tracing::warn!("{i} {}", "ä".repeat(CHARACTERS_MAX * 2));
            }
        });
        assert_eq!(kept.len(), PROBLEMS_MAX);
        assert!(kept.iter().all(|(_, message, _)| message.chars().count() == CHARACTERS_MAX + 1));
    }
}
