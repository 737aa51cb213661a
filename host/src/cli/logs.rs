//! The log: standard error, for people or as JSON lines.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use super::LogFormat;

/// The variable that says how much is logged, as `RUST_LOG` does.
const FILTER_VARIABLE: &str = "FIREBELL_LOG";

/// Starts the log; `level` is what is logged when the variable says nothing.
pub(super) fn start(format: LogFormat, level: &str) {
    let filter = std::env::var(FILTER_VARIABLE)
        .ok()
        .and_then(|directives| EnvFilter::try_new(directives).ok())
        .unwrap_or_else(|| EnvFilter::new(level));
    let terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Human => false,
        LogFormat::Json => true,
        LogFormat::Auto => !terminal,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if json {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    } else {
        builder.with_ansi(terminal).with_target(false).init();
    }
}
