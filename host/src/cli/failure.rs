//! How a command ends when it does not go well.

use std::io::Write as _;
use std::process::ExitCode;

use firebell::config::ConfigErrors;

/// It failed.
const FAILED: u8 = 1;

/// Wrong usage or configuration.
const WRONG_USAGE: u8 = 2;

/// Why a command ended, by exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The operator must change something: exit code 2.
    Configuration(ConfigErrors),
    /// Something went wrong: exit code 1.
    Failed(anyhow::Error),
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Configuration(errors)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl Failure {
    /// Writes the error and all its causes to standard error; the exit code.
    #[expect(clippy::print_stderr, reason = "this is how a command says why it ended")]
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Configuration(errors) => {
                eprintln!("error: {errors}");
                ExitCode::from(WRONG_USAGE)
            }
            Self::Failed(error) => {
                eprintln!("error: {error}");
                for cause in error.chain().skip(1) {
                    eprintln!("  caused by: {cause}");
                }
                ExitCode::from(FAILED)
            }
        }
    }
}

/// The exit code for problems that were told on standard output.
pub(crate) fn wrong_configuration() -> ExitCode {
    ExitCode::from(WRONG_USAGE)
}

/// The exit code for a failure that was told on standard output.
pub(crate) fn failed() -> ExitCode {
    ExitCode::from(FAILED)
}

/// The exit code when a result cannot be told.
pub(super) fn code_of_output(error: &std::io::Error) -> i32 {
    // Where standard error is gone as well, nobody can be told.
    let _told =
        writeln!(std::io::stderr(), "error: cannot write to standard output: {error}").is_ok();
    1
}
