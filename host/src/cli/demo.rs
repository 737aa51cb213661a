//! `firebell demo`.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use firebell::demo::{Event, OnEvent, Options, RATE_DEFAULT, run as run_demo};

use super::{Failure, Global, Output, logs, signals};

/// Arguments of `firebell demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Records a second, 1 to 100000.
    #[arg(long, value_name = "N", default_value_t = RATE_DEFAULT, value_parser = rate)]
    rate: f64,
    /// End after this many seconds; without it, end with Ctrl-C.
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Where the page is, ADDRESS:PORT; without it 127.0.0.1:9464, or a free port if that is taken.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// What the stream of records is drawn from; the same seed gives the same records.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (1.0..=100_000.0).contains(rate));
    rate.ok_or_else(|| "write a number from 1 to 100000".into())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=86_400.0 * 365.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "write a number of seconds, such as 30".into())
}

/// Runs until SIGTERM or SIGINT, or the end of its time; all three are a success.
pub(super) fn run(global: Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    logs::start(global.log_format, "warn", None);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the tokio runtime")?;
    let output = global.output;
    let options = Options {
        rate: arguments.rate,
        duration: arguments.duration,
        listen: arguments.listen,
        seed: arguments.seed,
        on_event: teller(output),
    };
    let result = runtime.block_on(async {
        let shutdown = signals::shutdown_token().context("cannot listen to signals")?;
        run_demo(options, shutdown).await.context("the demo ended")
    });
    runtime.shutdown_background();
    let summary = result?;
    say(&match output {
        Output::Human => format!("\n{summary}"),
        Output::Json => summary.to_json().to_string(),
    });
    Ok(ExitCode::SUCCESS)
}

fn teller(output: Output) -> OnEvent {
    Box::new(move |event: &Event| match output {
        Output::Human => say(&event.to_string()),
        Output::Json => say(&event.to_json().to_string()),
    })
}

/// Writes a line. A reader that went away, as `head` does, is not an error of the demo.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    if let Err(error) = written {
        tracing::debug!("standard output: {error}");
    }
}
