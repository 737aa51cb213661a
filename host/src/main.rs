//! The program: what is typed becomes a call of the library, and its end an exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
