//! `cargo xtask COMMAND`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line")]

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::guests;
use xtask::kafka::{self, Broker, Options};
use xtask::{bench, rules, test};

/// What needs more than one cargo command.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run all tests, on real brokers that are started for them.
    Test(test::Arguments),
    /// Run the benchmarks, each beside its yardstick.
    Bench(bench::Arguments),
    /// Build the rules that ship and update their committed components.
    Rules(rules::Arguments),
    /// Start a Kafka on this machine and print its address; it ends with this command.
    Kafka {
        /// Which Kafka, as Maven Central names it.
        #[arg(long, default_value = kafka::NEWEST)]
        version: String,
        /// The port of clients.
        #[arg(long, default_value_t = 9092)]
        port: u16,
    },
    /// Build the rules that ship as components.
    Components {
        /// Copy those that changed to plugins/components, to be committed.
        #[arg(long)]
        update: bool,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Task::Test(arguments) => test::test(&arguments),
        Task::Bench(arguments) => bench::bench(&arguments),
        Task::Rules(arguments) => rules::rules(&arguments),
        Task::Kafka { version, port } => run_kafka(&version, port),
        Task::Components { update } => components(update),
    }
}

fn components(update: bool) -> Result<()> {
    if update {
        for name in guests::update_shipped()? {
            println!("{name} changed");
        }
    }
    for guest in guests::build()?.iter().filter(|guest| guest.ships) {
        println!("{}", guest.component.display());
    }
    Ok(())
}

fn run_kafka(version: &str, port: u16) -> Result<()> {
    let options = Options { port: Some(port), ..Options::default() };
    let mut broker = Broker::start(version, &options)?;
    println!("{}", broker.bootstrap());
    eprintln!("Kafka {version}; its log: {}; Ctrl-C ends it", broker.log_path().display());
    let status = broker.wait()?;
    anyhow::ensure!(status.success(), "Kafka ended: {status}");
    Ok(())
}
