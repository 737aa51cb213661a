//! What a rule needs: topics, fields, a condition.

use std::borrow::Cow;

use crate::__private::wit;
use crate::Condition;

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Text; what is not UTF-8 was replaced by U+FFFD.
    Text,
    /// A signed 64-bit integer.
    Integer,
    /// An IEEE 754 double.
    Float,
    /// A truth value.
    Boolean,
    /// Bytes as they are in the record.
    Bytes,
    /// The JSON text of the value, whatever its type.
    Json,
}

impl FieldType {
    /// The word used in messages, and the method of [`Record`](crate::Record) that reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Bytes => "bytes",
            Self::Json => "json",
        }
    }
}

/// A declared field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name in the rule and in conditions. One that is a literal is found fastest.
    pub name: Cow<'static, str>,
    /// Where the value is found, unless the operator says otherwise under `[fields]`.
    pub source: Cow<'static, str>,
    /// How it is read.
    pub field_type: FieldType,
}

/// What a rule asks for; see [`Rule::subscribe`](crate::Rule::subscribe).
///
/// A field has a name, which the rule and its condition use, and a source: a JSON pointer into the
/// value such as `/host`, or `$key`, `$value`, `$headers/NAME`. The operator may map the name to
/// another source. A value of another type than declared is as good as missing, but text that
/// spells the declared number or boolean is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscription {
    /// Topics to read; empty = the operator names them.
    pub topics: Vec<String>,
    /// The fields, in the order of their declaration.
    pub fields: Vec<Field>,
    /// The condition, in CEL; `None` = every record.
    pub condition: Option<String>,
}

impl Subscription {
    /// Nothing yet: every record of the topics that the operator names, and no field.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads this topic. Rules that name no topic are for many: the operator names theirs.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// Declares a field.
    #[must_use]
    pub fn field(
        mut self,
        name: impl Into<Cow<'static, str>>,
        source: impl Into<Cow<'static, str>>,
        field_type: FieldType,
    ) -> Self {
        self.fields.push(Field { name: name.into(), source: source.into(), field_type });
        self
    }

    /// Declares a field of text.
    #[must_use]
    pub fn text(
        self,
        name: impl Into<Cow<'static, str>>,
        source: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.field(name, source, FieldType::Text)
    }

    /// Declares a field of whole numbers.
    #[must_use]
    pub fn integer(
        self,
        name: impl Into<Cow<'static, str>>,
        source: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.field(name, source, FieldType::Integer)
    }

    /// Declares a field of numbers.
    #[must_use]
    pub fn float(
        self,
        name: impl Into<Cow<'static, str>>,
        source: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.field(name, source, FieldType::Float)
    }

    /// Declares a field of truth values.
    #[must_use]
    pub fn boolean(
        self,
        name: impl Into<Cow<'static, str>>,
        source: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.field(name, source, FieldType::Boolean)
    }

    /// Declares a field of bytes.
    #[must_use]
    pub fn bytes(
        self,
        name: impl Into<Cow<'static, str>>,
        source: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.field(name, source, FieldType::Bytes)
    }

    /// Declares a field whose JSON text is wanted, whatever its type.
    #[must_use]
    pub fn json(
        self,
        name: impl Into<Cow<'static, str>>,
        source: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.field(name, source, FieldType::Json)
    }

    /// Asks only for records for which this is true. Written by [`field`](crate::field()), or as
    /// CEL text. A second condition must hold as well.
    #[must_use]
    pub fn condition(mut self, condition: impl Into<Condition>) -> Self {
        let condition = condition.into();
        let whole = match self.condition.take() {
            Some(first) => Condition::cel(first).and(condition),
            None => condition,
        };
        self.condition = Some(whole.to_string());
        self
    }

    /// Says what a host would refuse, in words for the author.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (index, field) in self.fields.iter().enumerate() {
            let Field { name, source, .. } = field;
            if !is_identifier(name) {
                return Err(format!(
                    "a field can't be named `{name}`: use letters, digits and `_`, not a word of \
                     CEL; its source may be any"
                ));
            }
            if self.fields[..index].iter().any(|earlier| earlier.name == *name) {
                return Err(format!("field `{name}` is declared twice"));
            }
            if !source.starts_with('/') && !source.starts_with('$') {
                return Err(format!(
                    "field `{name}` has source `{source}`: write a JSON pointer such as \
                     `/{source}`, or `$key`, `$value`, `$headers/NAME`"
                ));
            }
        }
        Ok(())
    }
}

/// Whether CEL reads `name` as a variable.
fn is_identifier(name: &str) -> bool {
    const WORDS: [&str; 20] = [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "while",
    ];
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !WORDS.contains(&name)
}

impl From<Subscription> for wit::Subscription {
    fn from(subscription: Subscription) -> Self {
        let field = |Field { name, source, field_type }| {
            let type_ = match field_type {
                FieldType::Text => wit::ColumnType::Text,
                FieldType::Integer => wit::ColumnType::Integer,
                FieldType::Float => wit::ColumnType::Float,
                FieldType::Boolean => wit::ColumnType::Boolean,
                FieldType::Bytes => wit::ColumnType::Bytes,
                FieldType::Json => wit::ColumnType::Json,
            };
            wit::Field { name: name.into_owned(), source: source.into_owned(), type_ }
        };
        Self {
            topics: subscription.topics,
            fields: subscription.fields.into_iter().map(field).collect(),
            where_: subscription.condition,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field;

    #[test]
    fn a_second_condition_must_hold_as_well() {
        let subscription =
            Subscription::new().condition("a == 1 || b == 2").condition(field("c").gt(0));
        assert_eq!(subscription.condition.as_deref(), Some("(a == 1 || b == 2) && c > 0"));
    }

    #[test]
    fn what_a_host_would_refuse_is_refused_with_the_cure() {
        let error = |subscription: Subscription| subscription.check().unwrap_err();
        assert!(error(Subscription::new().text("fromhost-ip", "/a")).contains("`fromhost-ip`"));
        assert!(error(Subscription::new().text("in", "/in")).contains("not a word of CEL"));
        assert!(error(Subscription::new().text("host", "host")).contains("`/host`"));
        let twice = Subscription::new().text("host", "/a").text("host", "/b");
        assert_eq!(error(twice), "field `host` is declared twice");
        Subscription::new().text("host_2", "/a b").bytes("_k", "$key").check().unwrap();
    }
}
