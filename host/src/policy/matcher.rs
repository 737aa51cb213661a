//! Matchers: a label, an operator and a value, as in `severity = "critical"`.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use super::labels::Labels;

/// Bytes that a compiled expression may have; the crate's own limit is ten times as large, and a host
/// may keep thousands of silences.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// How a label's value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`: the whole value matches a regular expression.
    Regex,
    /// `!~`
    NotRegex,
}

impl Operator {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// One condition on one label.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what: text, or an expression.
    pub value: String,
    /// The expression, anchored at both ends.
    regex: Option<Regex>,
}

/// Two matchers are equal when they are written the same.
impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.operator, &self.value) == (&other.name, other.operator, &other.value)
    }
}

impl Eq for Matcher {}

/// Why a text is no matcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMatcher {
    /// It has no operator.
    #[error("`{0}` has no operator; write NAME = \"VALUE\", or !=, =~, !~ in place of =")]
    Operator(String),
    /// Its label cannot be.
    #[error(
        "`{0}` is no label's name; it has letters, digits, `_`, `-`, `.`, and begins with a letter or `_`"
    )]
    Name(String),
    /// Its quotes do not fit.
    #[error("the value {0} is not quoted well; write \"…\", with \\\" and \\\\ inside")]
    Quotes(String),
    /// Its expression is none.
    #[error("`{expression}` is no regular expression: {reason}")]
    Regex {
        /// The expression.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Matcher {
    /// A matcher of its parts.
    ///
    /// # Errors
    /// When the name cannot be a label's, or the expression is none.
    pub fn new(name: &str, operator: Operator, value: &str) -> Result<Self, InvalidMatcher> {
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let goes_on = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !begins || !name.chars().all(goes_on) {
            return Err(InvalidMatcher::Name(name.to_owned()));
        }
        let regex = match operator {
            Operator::Equal | Operator::NotEqual => None,
            Operator::Regex | Operator::NotRegex => Some(expression(value)?),
        };
        Ok(Self { name: name.to_owned(), operator, value: value.to_owned(), regex })
    }

    /// Whether labels meet the condition; a label that is missing is empty.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.name);
        let matched = |regex: &Option<Regex>| regex.as_ref().is_some_and(|r| r.is_match(value));
        match self.operator {
            Operator::Equal => value == self.value,
            Operator::NotEqual => value != self.value,
            Operator::Regex => matched(&self.regex),
            Operator::NotRegex => !matched(&self.regex),
        }
    }
}

fn expression(value: &str) -> Result<Regex, InvalidMatcher> {
    let invalid = |error: regex::Error| InvalidMatcher::Regex {
        expression: value.to_owned(),
        // The last line says what; those before draw where.
        reason: error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
    };
    let build = |text: &str| regex::RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
    // Alone first: `a)|(b` would be one between the anchors.
    build(value).map_err(invalid)?;
    // The new line closes a comment, which an expression with (?x) may end with.
    let end = if value.contains("(?x") { "\n" } else { "" };
    build(&format!("^(?:{value}{end})$")).map_err(invalid)
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(f, "{}{}\"{value}\"", self.name, self.operator.as_str())
    }
}

impl FromStr for Matcher {
    type Err = InvalidMatcher;

    fn from_str(text: &str) -> Result<Self, InvalidMatcher> {
        let at = text.find(['=', '!']).unwrap_or(text.len());
        let (name, rest) = text.split_at(at);
        let operators = [
            ("=~", Operator::Regex),
            ("!~", Operator::NotRegex),
            ("!=", Operator::NotEqual),
            ("=", Operator::Equal),
        ];
        let found = operators
            .into_iter()
            .find_map(|(sign, operator)| Some((operator, rest.strip_prefix(sign)?)));
        let (operator, value) = found.ok_or_else(|| InvalidMatcher::Operator(text.to_owned()))?;
        Self::new(name.trim(), operator, &unquoted(value.trim())?)
    }
}

/// A value without its quotes, as Alertmanager reads it; the quotes may be left out.
fn unquoted(text: &str) -> Result<String, InvalidMatcher> {
    let wrong = || InvalidMatcher::Quotes(text.to_owned());
    let Some(rest) = text.strip_prefix('"') else {
        return if text.contains('"') { Err(wrong()) } else { Ok(text.to_owned()) };
    };
    let (mut value, mut rest) = (String::new(), rest.chars());
    loop {
        match rest.next().ok_or_else(wrong)? {
            '"' if rest.as_str().is_empty() => return Ok(value),
            '"' => return Err(wrong()),
            '\\' => match rest.next().ok_or_else(wrong)? {
                'n' => value.push('\n'),
                c @ ('"' | '\\') => value.push(c),
                // Expressions have these all the time: `\d`, `\.`.
                c => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
}

/// Matchers that must all match; none = everything matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matchers(pub Vec<Matcher>);

impl Matchers {
    /// Whether labels meet all conditions.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|matcher| matcher.matches(labels))
    }

    /// Whether one of them asks for something to be there; else an alert without labels would match.
    pub fn ask_for_something(&self) -> bool {
        let nothing = Labels::default();
        self.0.iter().any(|matcher| !matcher.matches(&nothing))
    }

    /// Whether all that meets `others` surely meets these as well, as far as the text tells: each of
    /// these is among `others`, or `others` ask for a value that it takes.
    pub fn include(&self, others: &Self) -> bool {
        self.0.iter().all(|own| others.0.iter().any(|other| own == other || own.takes(other)))
    }
}

impl Matcher {
    /// Whether the one value that `other` asks for meets this.
    fn takes(&self, other: &Self) -> bool {
        other.operator == Operator::Equal
            && other.name == self.name
            && self.matches(&[(&*other.name, &*other.value)].into_iter().collect())
    }
}
