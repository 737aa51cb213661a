//! The program: what is typed becomes a call of the library, and its end an exit code.

mod cli;

use std::process::ExitCode;

/// Batches of records, state and effects are made of small pieces that come and go with each batch, on
/// several threads. Measured against glibc's: `docs/benchmarks.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
