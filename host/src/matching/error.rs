//! What is wrong with a condition, in words for the person who wrote it.

use std::fmt;

use cel::common::ast::LiteralValue;

use crate::nearest::nearest;
use crate::subscription::{Field, FieldType};

/// A condition that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("condition `{condition}`, {place}: {problem}")]
pub struct ConditionError {
    /// The condition's text; a long one is cut.
    pub condition: String,
    /// Where in the text.
    pub place: Place,
    /// What is wrong there.
    pub problem: ConditionProblem,
}

impl ConditionError {
    /// A problem at a byte of a condition's text.
    pub(super) fn new(text: &str, at: usize, problem: ConditionProblem) -> Self {
        const SHOWN_CHARACTERS_MAX: usize = 200;
        let condition = match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        };
        let before = &text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let place = Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        };
        Self { condition, place, problem }
    }
}

/// A place in a condition's text, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character of the line.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 1 {
            write!(f, "line {}, ", self.line)?;
        }
        write!(f, "column {}", self.column)
    }
}

/// What can be wrong with a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionProblem {
    /// It is not CEL.
    #[error("{0}")]
    Syntax(String),
    /// It is longer than any condition that a person writes.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// Its brackets go deeper than anybody can read.
    #[error("nested more than {0} deep")]
    TooDeep(usize),
    /// It is a program rather than a condition.
    #[error("more than {0} operators")]
    TooManyOperators(usize),
    /// It could take too long for one record.
    #[error("{0}")]
    TooCostly(&'static str),
    /// The parser itself failed.
    #[error("the CEL parser failed on it, or there was no memory for its stack")]
    Parser,
    /// It names a field that the rule does not declare.
    #[error("`{name}` is not a field of this rule{}; it has {known}", did_you_mean(.nearest.as_deref()))]
    UnknownField {
        /// The name.
        name: String,
        /// The known name that was perhaps meant.
        nearest: Option<String>,
        /// The known names.
        known: String,
    },
    /// It calls a function that does not exist.
    #[error("`{name}` is not a function{}", did_you_mean(.nearest.as_deref()))]
    UnknownFunction {
        /// The name.
        name: String,
        /// The known name that was perhaps meant.
        nearest: Option<String>,
    },
    /// Types that do not go together.
    #[error("{0}")]
    Type(String),
    /// A regular expression that cannot be compiled.
    #[error("the regular expression: {0}")]
    Regex(String),
}

impl ConditionProblem {
    pub(super) fn unknown_field(name: &str, fields: &[Field]) -> Self {
        let names = || fields.iter().map(|field| &*field.name);
        Self::UnknownField {
            name: name.to_owned(),
            nearest: nearest(name, names()).map(str::to_owned),
            known: match names().collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => "none".to_owned(),
                known => known,
            },
        }
    }

    pub(super) fn unknown_function(name: &str, known: &[&str]) -> Self {
        Self::UnknownFunction {
            name: name.to_owned(),
            nearest: nearest(name, known.iter().copied()).map(str::to_owned),
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// A literal, in words.
pub(super) fn described(literal: &LiteralValue) -> String {
    match literal {
        LiteralValue::Boolean(value) => value.inner().to_string(),
        LiteralValue::Bytes(_) => "bytes".to_owned(),
        LiteralValue::Double(value) => format!("the number {}", value.inner()),
        LiteralValue::Int(value) => format!("the number {}", value.inner()),
        LiteralValue::UInt(value) => format!("the number {}", value.inner()),
        LiteralValue::Null => "null (a field is asked for with `has(name)`)".to_owned(),
        LiteralValue::String(text) => format!("the text {:?}", text.inner()),
    }
}

/// A type, in words.
pub(super) fn described_type(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::Text => "a text",
        FieldType::Integer => "an integer",
        FieldType::Float => "a float",
        FieldType::Boolean => "a boolean",
        FieldType::Bytes => "bytes",
        FieldType::Json => "JSON",
    }
}
