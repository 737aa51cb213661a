//! `cargo xtask test`: everything that the tests need, then the tests.

use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::kafka::{Broker, NEWEST, OLDER, Options, missing_programs};
use crate::project::{cargo, run, target};
use crate::{chromium, guests, python};

/// Java's heap of the brokers that all tests share, MiB.
const SHARED_HEAP_MIB: u32 = 768;

/// What the caller chose.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Use a running Kafka instead of starting 4.4.0 and 3.9.2.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// Only tests whose path contains one of these.
    filters: Vec<String>,
}

/// Builds guests and program, starts brokers, runs the tests of the whole workspace.
///
/// # Errors
/// When something is missing, with what to install; when something does not build; when a test fails.
pub fn test(arguments: &Arguments) -> Result<()> {
    let begin = Instant::now();
    if arguments.bootstrap.is_none() {
        let missing = missing_programs();
        ensure!(
            missing.is_empty(),
            "the tests run on a real Kafka, and it can't be started here:\n- {}\n\
             or give a running one: cargo xtask test --bootstrap HOST:PORT",
            missing.join("\n- ")
        );
    }
    if arguments.filters.is_empty() {
        // A single test gets by itself what it needs.
        readers()?;
    }
    guests::build()?;
    // The program as well: its package has tests that run it. By itself it would be built with other
    // features of what it shares, OpenSSL and wasmtime a second time.
    run(cargo().args([
        "test",
        "--workspace",
        "--exclude",
        "firebell-guests",
        "--no-run",
        "--quiet",
    ]))?;

    let brokers = match arguments.bootstrap {
        Some(_) => vec![],
        None => start_brokers()?,
    };
    let mut tests = cargo();
    tests
        .args(["test", "--workspace", "--exclude", "firebell-guests", "--no-fail-fast", "--"])
        .args(&arguments.filters);
    tests.env("FIREBELL_TEST_BIN", target().join("debug/firebell"));
    tests.env("FIREBELL_TEST_GUESTS", guests::folder());
    let variables = ["FIREBELL_TEST_KAFKA", "FIREBELL_TEST_KAFKA_39"];
    for (at, variable) in variables.into_iter().enumerate() {
        let started = brokers.get(at).map(Broker::bootstrap);
        tests.env(variable, started.or_else(|| arguments.bootstrap.clone()).unwrap_or_default());
    }
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        // They wait for other processes most of the time.
        let cores = thread::available_parallelism().map_or(2, usize::from);
        tests.env("RUST_TEST_THREADS", (2 * cores).to_string());
    }
    let report = Report::of(&mut tests)?;
    drop(brokers);
    // Cargo's own lines stay the last ones in a log; a person, or a failure, wants the sum.
    if !report.success || std::io::stdout().is_terminal() {
        eprintln!("\n{} after {} s", report.sum(), begin.elapsed().as_secs());
    }
    if !report.success {
        bail!("the tests failed");
    }
    Ok(())
}

/// Gets what reads our messages and pages as others do: Slack's own client, a browser.
fn readers() -> Result<()> {
    let got = [python::with_slack_sdk().map(drop), chromium::program().map(drop)];
    let missing: Vec<_> =
        got.into_iter().filter_map(|got| Some(format!("{:#}", got.err()?))).collect();
    ensure!(
        missing.is_empty(),
        "the tests need what can't be had here:\n- {}\nor name the tests that you want: \
         cargo xtask test WORD",
        missing.join("\n- ")
    );
    Ok(())
}

/// The newest and the older Kafka, in this order.
fn start_brokers() -> Result<Vec<Broker>> {
    // One after the other fetches jars that both need only once.
    for version in [NEWEST, OLDER] {
        crate::kafka::class_path(version)?;
    }
    // Every test has topics of its own, a dozen each with the host's: with less memory the brokers stand
    // still towards the end.
    let options = Options { heap_mib: SHARED_HEAP_MIB, ..Options::default() };
    let starts = [NEWEST, OLDER].map(|version| {
        let options = options.clone();
        thread::spawn(move || Broker::start(version, &options))
    });
    starts
        .into_iter()
        .map(|start| start.join().unwrap_or_else(|_| bail!("starting Kafka panicked")))
        .collect()
}

/// What cargo test said.
#[derive(Debug, Default)]
struct Report {
    success: bool,
    passed: u64,
    /// Their names.
    failed: Vec<String>,
}

impl Report {
    /// Runs the tests, passes their output on and reads it.
    fn of(tests: &mut Command) -> Result<Self> {
        let mut child = tests.stdout(Stdio::piped()).spawn().context("can't start cargo test")?;
        let mut report = Self::default();
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                let line = line?;
                println!("{line}");
                report.read(&line);
            }
        }
        report.success = child.wait()?.success();
        Ok(report)
    }

    fn read(&mut self, line: &str) {
        let Some(test) = line.strip_prefix("test ") else { return };
        if let Some(name) = test.strip_suffix(" ... FAILED") {
            self.failed.push(name.to_owned());
        } else if test.ends_with(" ... ok") {
            self.passed += 1;
        }
    }

    fn sum(&self) -> String {
        let mut sum = format!("{} tests passed, {} failed", self.passed, self.failed.len());
        for name in &self.failed {
            sum.push_str("\n  ");
            sum.push_str(name);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_and_names_the_failed() {
        let mut report = Report::default();
        for line in
            ["running 2 tests", "test a::b ... ok", "test c ... FAILED", "test result: FAILED."]
        {
            report.read(line);
        }
        assert_eq!(report.sum(), "1 tests passed, 1 failed\n  c");
    }
}
