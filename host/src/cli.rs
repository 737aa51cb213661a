//! The command line: arguments, logs, signals and exit codes; no work of its own.
//!
//! Exit code 0: it went well. 1: it failed. 2: wrong usage or configuration.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

#[macro_use]
mod output;

mod alerts;
mod check;
mod demo;
mod failure;
mod logs;
mod run;
mod signals;
mod silence;
mod state;

use failure::Failure;

/// The configuration when none is named.
const CONFIG_DEFAULT: &str = "firebell.toml";

/// Firebell rings when something on Kafka goes wrong.
///
/// It consumes Kafka records, passes them to sandboxed WebAssembly rules and sends what they return
/// to Slack: once, soon, readable, explained.
#[derive(Debug, Parser)]
#[command(name = "firebell", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 it went well, 1 it failed, 2 wrong usage or configuration.\n\
    The log goes to standard error; FIREBELL_LOG=debug shows more (as RUST_LOG: target=level,…)."
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Copy, Args)]
struct Global {
    /// How the log is written; auto = for people on a terminal, else JSON lines.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
    /// How results are written to standard output.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Human,
    /// A JSON object a line.
    Json,
    /// For people on a terminal, else JSON.
    #[default]
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// Text for people.
    #[default]
    Human,
    /// JSON for programs.
    Json,
}

/// Which configuration.
#[derive(Debug, Clone, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show all of it at work in one process: a broker, syslog records, rules, a stand-in for Slack.
    Demo(demo::Arguments),
    /// Consume, evaluate and deliver, until SIGTERM or SIGINT.
    Run(run::Arguments),
    /// Tell everything that is wrong with configuration, rules, topics and token, at once.
    Check(check::Arguments),
    /// Show alerts and what became of them, or all that happened to one.
    Alerts(alerts::Arguments),
    /// Tell alerts no more for a while, show who asked for that, or end it.
    Silence(silence::Arguments),
    /// Show what a rule keeps: windows by key and time, values, timers.
    State(state::Arguments),
}

/// Reads the arguments, does what they say and reports how it went.
pub(crate) fn main() -> ExitCode {
    // Wrong usage is told by clap, with exit code 2.
    let Arguments { global, command } = Arguments::parse();
    match dispatch(global, command) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn dispatch(global: Global, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Demo(arguments) => demo::run(global, &arguments),
        Command::Run(arguments) => run::run(global, &arguments),
        Command::Check(arguments) => check::run(global, &arguments),
        Command::Alerts(arguments) => alerts::run(global, &arguments),
        Command::Silence(arguments) => silence::run(global, &arguments),
        Command::State(arguments) => state::run(global, &arguments),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
