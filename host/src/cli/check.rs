//! `firebell check`.

use std::process::ExitCode;

use anyhow::Context as _;
use firebell::check::{Options, Report, check};
use firebell::config::Problem;
use serde_json::{Value, json};

use super::failure::{failed, wrong_configuration};
use super::{ConfigFile, Failure, Global, Output, logs};

/// Arguments of `firebell check`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Ask neither the broker nor Slack, and go on without secrets that are not here.
    #[arg(long)]
    offline: bool,
}

/// Checks, tells what was found on standard output, and ends with 2 when the operator must change
/// something, with 1 when something could not be asked.
pub(super) fn run(global: Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    logs::start(global.log_format, "off", None);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the tokio runtime")?;
    let options = Options { offline: arguments.offline };
    let report = runtime.block_on(check(&arguments.file.config, options));
    // A broker that does not answer must not hold the end up.
    runtime.shutdown_background();
    print(&report, global.output);
    Ok(if !report.problems.is_empty() {
        wrong_configuration()
    } else if !report.unanswered.is_empty() {
        failed()
    } else {
        ExitCode::SUCCESS
    })
}

fn print(report: &Report, output: Output) {
    match output {
        Output::Json => say!("{}", to_json(report)),
        Output::Human => {
            for passed in &report.passed {
                say!("ok: {passed}");
            }
            for note in &report.notes {
                say!("note: {note}");
            }
            for problem in report.problems.iter().chain(&report.unanswered) {
                say!("{problem}");
            }
            let plural = |n: usize| if n == 1 { "" } else { "s" };
            let (problems, unanswered) = (report.problems.len(), report.unanswered.len());
            if problems > 0 {
                say!("{problems} problem{}", plural(problems));
            }
            if unanswered > 0 {
                say!("{unanswered} question{} without an answer", plural(unanswered));
            }
        }
    }
}

fn to_json(report: &Report) -> Value {
    let list = |problems: &[Problem]| -> Value { problems.iter().map(problem_json).collect() };
    json!({
        "ok": report.problems.is_empty() && report.unanswered.is_empty(),
        "problems": list(&report.problems),
        "unanswered": list(&report.unanswered),
        "notes": list(&report.notes),
        "passed": report.passed,
    })
}

fn problem_json(problem: &Problem) -> Value {
    json!({
        "file": problem.file.as_ref().map(|file| file.display().to_string()),
        "line": problem.line,
        "key": problem.key,
        "message": problem.message,
        "cure": problem.cure,
    })
}
