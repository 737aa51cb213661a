//! What a command tells on standard output.

use std::fmt;
use std::io::{self, Write as _};

/// Prints a line of a command's result.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::output::line(format_args!($($text)*))
    };
}

/// Prints a line. Who reads may stop before the end, as `head` does: then there is nothing more to do.
pub(super) fn line(text: fmt::Arguments<'_>) {
    if let Err(error) = writeln!(io::stdout().lock(), "{text}") {
        let is_over = error.kind() == io::ErrorKind::BrokenPipe;
        std::process::exit(if is_over { 0 } else { super::failure::code_of_output(&error) });
    }
}
