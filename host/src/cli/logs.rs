//! The log: standard error, for people or as JSON lines.

use std::io::{self, IsTerminal as _};

use firebell::telemetry::RecentProblems;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::LogFormat;

/// The variable that says how much is logged, as `RUST_LOG` does.
const FILTER_VARIABLE: &str = "FIREBELL_LOG";

/// Starts the log; `level` is what is logged when the variable says nothing. Warnings and errors also
/// go to `recent`, for the page.
pub(super) fn start(format: LogFormat, level: &str, recent: Option<&RecentProblems>) {
    let said = std::env::var(FILTER_VARIABLE).ok().map(EnvFilter::try_new);
    let (filter, wrong) = match said {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(level), Some(error)),
        None => (EnvFilter::new(level), None),
    };
    let terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Human => false,
        LogFormat::Json => true,
        LogFormat::Auto => !terminal,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = if json {
        let objects = lines.json().flatten_event(true);
        objects.with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.with_ansi(terminal).with_target(false).boxed()
    };
    let log = tracing_subscriber::registry().with(lines.with_filter(filter));
    log.with(recent.cloned()).init();
    if let Some(error) = wrong {
        tracing::warn!(
            "{FILTER_VARIABLE} is not understood and nothing is done with it: {error}; write a level or \
             target=level, with commas between"
        );
    }
}
