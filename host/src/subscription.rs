//! What a rule declares that it needs: topics, fields and a condition.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::notification::UnknownWord;

/// How a column's cells are typed and written; the contract's `column-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldType {
    /// UTF-8 text.
    Text,
    /// A signed 64-bit integer.
    Integer,
    /// An IEEE 754 double.
    Float,
    /// A truth value.
    Boolean,
    /// Bytes as they are.
    Bytes,
    /// The JSON text of the value.
    Json,
}

/// Where a field's value is found in a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldSource {
    /// The record's key: `$key`.
    Key,
    /// The record's whole value: `$value`.
    Value,
    /// The last header of this name: `$headers/NAME`.
    Header(Box<str>),
    /// A JSON pointer (RFC 6901) into the decoded value, as its unescaped tokens; never empty.
    Pointer(Vec<Box<str>>),
}

/// Why a text names no place in a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no place in a record; write a JSON pointer such as `/host`, \
     or `$key`, `$value`, `$headers/NAME`"
)]
pub struct InvalidFieldSource(pub String);

impl FromStr for FieldSource {
    type Err = InvalidFieldSource;

    fn from_str(text: &str) -> Result<Self, InvalidFieldSource> {
        let invalid = || InvalidFieldSource(text.to_owned());
        match text {
            "$key" => return Ok(Self::Key),
            "$value" => return Ok(Self::Value),
            _ => {}
        }
        if let Some(name) = text.strip_prefix("$headers/") {
            return if name.is_empty() { Err(invalid()) } else { Ok(Self::Header(name.into())) };
        }
        let tokens = text.strip_prefix('/').ok_or_else(invalid)?;
        let token = |token: &str| -> Result<Box<str>, InvalidFieldSource> {
            // RFC 6901: `~` is only ever written as `~0`, and `/` inside a token as `~1`.
            let rest = token.replace("~0", "").replace("~1", "");
            if rest.contains('~') {
                return Err(invalid());
            }
            Ok(token.replace("~1", "/").replace("~0", "~").into())
        };
        Ok(Self::Pointer(tokens.split('/').map(token).collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for FieldSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("$key"),
            Self::Value => f.write_str("$value"),
            Self::Header(name) => write!(f, "$headers/{name}"),
            Self::Pointer(tokens) => tokens.iter().try_for_each(|token| {
                write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))
            }),
        }
    }
}

/// A declared field; it becomes a column of every batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name that the rule and its condition use.
    pub name: Arc<str>,
    /// Where the value is found, after the operator's `[fields]` were applied.
    pub source: FieldSource,
    /// The column's type.
    pub field_type: FieldType,
}

/// What `describe` answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Topics to read; empty = the operator names them.
    pub topics: Vec<Arc<str>>,
    /// The columns, in order.
    pub fields: Vec<Field>,
    /// A CEL condition over the fields' names.
    pub condition: Option<String>,
}

/// How a topic's values are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Format {
    /// A JSON document.
    #[default]
    Json,
    /// UTF-8 text; `/message` is the whole of it.
    Text,
    /// A syslog line, RFC 3164 or RFC 5424.
    Syslog,
    /// Not decoded: only `$key`, `$value` and `$headers/NAME` exist.
    Bytes,
}

impl Format {
    /// The word used in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Syslog => "syslog",
            Self::Bytes => "bytes",
        }
    }
}

impl FromStr for Format {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        [Self::Json, Self::Text, Self::Syslog, Self::Bytes]
            .into_iter()
            .find(|format| format.as_str() == word)
            .ok_or(UnknownWord { word: word.into(), expected: "json, text, syslog, bytes" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_source_reads_back() {
        for text in ["$key", "$value", "$headers/trace", "/host", "/a~1b/m~0n", "/"] {
            assert_eq!(text.parse::<FieldSource>().unwrap().to_string(), text);
        }
        for text in ["", "host", "$headers/", "$offset", "/a~2"] {
            assert!(text.parse::<FieldSource>().is_err(), "{text}");
        }
    }
}
