//! One thing that is wrong with a file in the rules folder, said to the person who wrote it.

use std::error::Error;

use crate::causes::with_causes;

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
        Self { line: None, text: with_causes(&error) }
    }

    /// About one line, from 1.
    pub fn at(line: usize, error: impl Error) -> Self {
        Self { line: Some(line), text: with_causes(&error) }
    }
}
