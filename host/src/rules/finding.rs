//! One thing that is wrong with a file in the rules folder, said to the person who wrote it.

use std::error::Error;

/// One thing that is wrong, and where in its file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The line, from 1, where the thing stands on one.
    pub line: Option<usize>,
    /// What is wrong, and the cure.
    pub text: String,
}

impl Finding {
    /// About the file as a whole.
    pub fn new(error: impl Error) -> Self {
        Self { line: None, text: chain(&error) }
    }

    /// About one line, from 1.
    pub fn at(line: usize, error: impl Error) -> Self {
        Self { line: Some(line), text: chain(&error) }
    }
}

/// An error and its sources in one line; no `Display` of ours repeats its source.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
