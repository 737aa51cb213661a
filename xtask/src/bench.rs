//! `cargo xtask bench`: everything in release mode, a broker with room, then the benchmarks.

use anyhow::Result;

use crate::guests;
use crate::kafka::{Broker, NEWEST, Options};
use crate::project::{cargo, run, target};

/// What the caller chose.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Use a running Kafka instead of starting one.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// Only these (`p1`, `p3`, …); all when none is named.
    benchmarks: Vec<String>,
}

/// Builds and runs the benchmarks; figures go to stdout.
///
/// # Errors
///
/// Something does not build or start, or a benchmark stops.
pub fn bench(arguments: &Arguments) -> Result<()> {
    guests::build()?;
    // Both at once: by themselves they want other features of what they share, and wasmtime twice.
    let programs = ["--package", "firebell", "--package", "firebell-tests", "--bins"];
    run(cargo().args(["build", "--release"]).args(programs))?;
    let options = Options { heap_mib: 1_024, ..Options::default() };
    let broker = match arguments.bootstrap {
        Some(_) => None,
        None => Some(Broker::start(NEWEST, &options)?),
    };
    let bootstrap = broker.as_ref().map(Broker::bootstrap).or(arguments.bootstrap.clone());
    let release = target().join("release");
    let mut bench = std::process::Command::new(release.join("bench"));
    bench
        .args(&arguments.benchmarks)
        .env("FIREBELL_TEST_KAFKA", bootstrap.unwrap_or_default())
        .env("FIREBELL_TEST_BIN", release.join("firebell"))
        .env("FIREBELL_TEST_GUESTS", guests::folder());
    run(&mut bench)
}
