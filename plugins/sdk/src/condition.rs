//! Conditions written in Rust, as CEL with the right quoting.

use std::fmt;
use std::ops::Not;

/// A condition over a record's fields, in CEL. A missing field makes its comparison false.
///
/// ```
/// use firebell_rule::field;
///
/// let condition = field("host").eq("rpi-03").and(field("message").contains("Invalid user"));
/// assert_eq!(condition.to_string(), r#"host == "rpi-03" && message.contains("Invalid user")"#);
/// let either = field("level").le(3).or(!field("facility").is_in([4, 10]));
/// assert_eq!(either.and(condition.clone()).to_string(),
///     format!("(level <= 3 || !(facility in [4, 10])) && {condition}"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    cel: String,
    binding: Binding,
}

/// How tightly the outermost operator of a condition binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    /// `||`, or not known.
    Or,
    /// `&&`.
    And,
    /// Anything that may stand beside `&&`.
    Comparison,
}

impl Condition {
    /// A condition written in CEL by hand.
    pub fn cel(text: impl Into<String>) -> Self {
        Self { cel: text.into(), binding: Binding::Or }
    }

    /// Both hold.
    #[must_use]
    pub fn and(self, other: impl Into<Self>) -> Self {
        let side = |condition: Self| match condition.binding {
            Binding::Or => format!("({})", condition.cel),
            Binding::And | Binding::Comparison => condition.cel,
        };
        let cel = format!("{} && {}", side(self), side(other.into()));
        Self { cel, binding: Binding::And }
    }

    /// At least one holds.
    #[must_use]
    pub fn or(self, other: impl Into<Self>) -> Self {
        Self { cel: format!("{} || {}", self.cel, other.into().cel), binding: Binding::Or }
    }

    fn comparison(cel: String) -> Self {
        Self { cel, binding: Binding::Comparison }
    }
}

/// Not so, of fields that are there: what is said of a missing field is neither true nor false, and
/// so is its opposite. `(!field("host").exists()).or(field("host").ne("a"))` wants the missing too.
impl Not for Condition {
    type Output = Self;

    fn not(self) -> Self {
        Self::comparison(format!("!({})", self.cel))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cel)
    }
}

/// CEL by hand.
impl From<&str> for Condition {
    fn from(text: &str) -> Self {
        Self::cel(text)
    }
}

/// CEL by hand.
impl From<String> for Condition {
    fn from(text: String) -> Self {
        Self::cel(text)
    }
}

/// A declared field in a condition.
pub fn field(name: &str) -> FieldName<'_> {
    FieldName(name)
}

/// A field's name, to be compared; made by [`field()`].
#[derive(Debug, Clone, Copy)]
pub struct FieldName<'n>(&'n str);

impl FieldName<'_> {
    /// Equal.
    pub fn eq(self, value: impl Into<Literal>) -> Condition {
        self.operator("==", value.into())
    }

    /// There and not equal.
    pub fn ne(self, value: impl Into<Literal>) -> Condition {
        self.operator("!=", value.into())
    }

    /// Less.
    pub fn lt(self, value: impl Into<Literal>) -> Condition {
        self.operator("<", value.into())
    }

    /// Less or equal.
    pub fn le(self, value: impl Into<Literal>) -> Condition {
        self.operator("<=", value.into())
    }

    /// Greater.
    pub fn gt(self, value: impl Into<Literal>) -> Condition {
        self.operator(">", value.into())
    }

    /// Greater or equal.
    pub fn ge(self, value: impl Into<Literal>) -> Condition {
        self.operator(">=", value.into())
    }

    /// One of these.
    pub fn is_in<L: Into<Literal>>(self, values: impl IntoIterator<Item = L>) -> Condition {
        let values: Vec<String> = values.into_iter().map(|value| value.into().0).collect();
        Condition::comparison(format!("{} in [{}]", self.0, values.join(", ")))
    }

    /// There, with the declared type.
    pub fn exists(self) -> Condition {
        Condition::comparison(format!("has({})", self.0))
    }

    /// The text has this in it.
    pub fn contains(self, text: &str) -> Condition {
        self.method("contains", text)
    }

    /// The text starts with this.
    pub fn starts_with(self, text: &str) -> Condition {
        self.method("startsWith", text)
    }

    /// The text ends with this.
    pub fn ends_with(self, text: &str) -> Condition {
        self.method("endsWith", text)
    }

    fn operator(self, operator: &str, Literal(literal): Literal) -> Condition {
        Condition::comparison(format!("{} {operator} {literal}", self.0))
    }

    fn method(self, method: &str, text: &str) -> Condition {
        Condition::comparison(format!("{}.{method}({})", self.0, Literal::from(text).0))
    }
}

/// A value written in CEL: text, a number or a truth value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal(String);

impl From<&str> for Literal {
    fn from(text: &str) -> Self {
        let mut cel = String::with_capacity(text.len() + 2);
        cel.push('"');
        for character in text.chars() {
            match character {
                '"' | '\\' => cel.extend(['\\', character]),
                '\n' => cel.push_str("\\n"),
                '\r' => cel.push_str("\\r"),
                '\t' => cel.push_str("\\t"),
                control if control.is_control() => {
                    cel.push_str(&format!("\\u{:04x}", u32::from(control)));
                }
                other => cel.push(other),
            }
        }
        cel.push('"');
        Self(cel)
    }
}

impl From<&String> for Literal {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Literal {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<i64> for Literal {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

impl From<i32> for Literal {
    fn from(number: i32) -> Self {
        Self(number.to_string())
    }
}

impl From<u32> for Literal {
    fn from(number: u32) -> Self {
        Self(number.to_string())
    }
}

/// A finite number; the host refuses a condition with another.
impl From<f64> for Literal {
    fn from(number: f64) -> Self {
        // Debug keeps the `.0` that makes it a double.
        Self(format!("{number:?}"))
    }
}

impl From<bool> for Literal {
    fn from(truth: bool) -> Self {
        Self(truth.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_a_configuration_can_not_leave_its_quotes() {
        let cel = |text: &str| field("host").eq(text).to_string();
        assert_eq!(cel(r#"a" || true || ""#), r#"host == "a\" || true || \"""#);
        assert_eq!(cel(r"C:\new"), r#"host == "C:\\new""#);
        assert_eq!(cel("a\nb\t\u{0}\u{7f}ü"), "host == \"a\\nb\\t\\u0000\\u007fü\"");
    }

    #[test]
    fn numbers_keep_their_type() {
        assert_eq!(field("load").gt(2.0).to_string(), "load > 2.0");
        assert_eq!(field("level").lt(-1).to_string(), "level < -1");
        assert_eq!(field("up").ne(true).to_string(), "up != true");
    }

    #[test]
    fn a_side_that_binds_less_is_put_in_parentheses() {
        let a = || field("a").eq(1);
        assert_eq!(a().or(a()).and(a()).to_string(), "(a == 1 || a == 1) && a == 1");
        assert_eq!(a().and(a()).or(a()).to_string(), "a == 1 && a == 1 || a == 1");
        assert_eq!((!a().and(a())).to_string(), "!(a == 1 && a == 1)");
        assert_eq!((!field("a").exists()).or(a()).to_string(), "!(has(a)) || a == 1");
        assert_eq!(a().and("b == 2 || c == 3").to_string(), "a == 1 && (b == 2 || c == 3)");
    }
}
