//! A condition over a record's fields, as a tree that is evaluated without the CEL interpreter.
//!
//! Conditions have three values, as in SQL and as CEL's errors behave: true, false, and unknown for
//! whatever looks at a field that is null (missing, JSON's null, or of another type than declared).
//! `!`, `&&` and `||` follow Kleene: `!unknown` is unknown. Only a condition that is *true* matches. So
//! `host != "a"` and `!(host == "a")` say the same and match no record without a host; who wants
//! those writes `!has(host) || host != "a"`. `has(field)` is never unknown.
//!
//! The tree has no "not": [`compile`](super::compile) pushes it down to the tests, where it is
//! `negated`. What is left is monotone, and for a monotone tree "unknown" may be computed as "false".

use std::cmp::Ordering;

use memchr::memmem;
use regex::Regex;

use super::interpreter::Interpreted;
use crate::decode::Fields;
use crate::subscription::FieldType;

/// A condition.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// Whatever the record.
    Always(bool),
    /// All must hold.
    All(Vec<Condition>),
    /// One must hold.
    Any(Vec<Condition>),
    /// A test of one field.
    Test(Box<Test>),
}

/// A test of a field.
#[derive(Debug, Clone)]
pub(super) struct Test {
    /// Holds when the predicate is known and false.
    pub(super) negated: bool,
    pub(super) predicate: Predicate,
}

/// A declared field in the slots of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Column {
    pub(super) slot: usize,
    pub(super) field_type: FieldType,
}

/// What is asked of a field; texts are compared as the cells show them.
#[derive(Debug, Clone)]
pub(super) enum Predicate {
    Has(Column),
    IsTrue(Column),
    /// The text is one of these, sorted; `==` has one.
    TextIn(Text, Vec<Box<str>>),
    Contains(Text, Box<memmem::Finder<'static>>),
    StartsWith(Text, Box<str>),
    EndsWith(Text, Box<str>),
    Matches(Text, Regex),
    /// By code points, as CEL compares.
    TextOrder(Text, Order, Box<str>),
    /// The number is one of these.
    NumberIn(Column, Vec<Number>),
    NumberOrder(Column, Order, Number),
    /// The text's length in code points.
    Size(Text, Order, i64),
    /// Whatever the tree does not know.
    Interpreted(Box<Interpreted>),
}

/// A text column, perhaps with its ASCII letters made small or large first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) slot: usize,
    pub(super) case: Case,
    /// It is compared with a literal that has U+FFFD in it, which may stand for bytes that are not
    /// UTF-8. All other literals match the bytes of a text exactly when they match what the cell shows.
    pub(super) replaced: bool,
}

impl Text {
    /// A text as it is.
    pub(super) fn new(slot: usize) -> Self {
        Self { slot, case: Case::AsIs, replaced: false }
    }

    /// Whether its bytes may be compared as they are.
    #[inline]
    pub(super) fn is_plain(self) -> bool {
        self.case == Case::AsIs && !self.replaced
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    AsIs,
    /// `lowerAscii()`
    Lower,
    /// `upperAscii()`
    Upper,
}

/// A comparison; `==` and `!=` of texts and numbers are `TextIn` and `NumberIn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

impl Order {
    #[inline]
    pub(super) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Equal => ordering.is_eq(),
        }
    }

    /// Whether it bounds from above.
    pub(super) fn is_upper(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual)
    }

    /// Whether the bound itself does not pass.
    pub(super) fn is_strict(self) -> bool {
        matches!(self, Self::Less | Self::Greater)
    }

    /// The comparison with its sides exchanged.
    pub(super) fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal => Self::Equal,
        }
    }
}

/// A number; integers and floats compare by what they are worth, without rounding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    /// Never NaN.
    Float(f64),
}

impl Number {
    #[inline]
    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (Self::Integer(a), Self::Float(b)) => compare_mixed(a, b),
            (Self::Float(a), Self::Integer(b)) => compare_mixed(b, a).reverse(),
        }
    }

    /// The column's value.
    #[inline]
    pub(super) fn of(fields: &Fields<'_>, column: Column) -> Option<Self> {
        match column.field_type {
            FieldType::Integer => fields.integer(column.slot).value().map(Self::Integer),
            _ => fields.float(column.slot).value().map(Self::Float),
        }
    }
}

/// An integer against a float, without rounding the integer.
fn compare_mixed(integer: i64, float: f64) -> Ordering {
    /// 2^63: the first float above every integer.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if float >= BEYOND {
        Ordering::Less
    } else if float < -BEYOND {
        Ordering::Greater
    } else {
        let whole = float.trunc();
        integer
            .cmp(&(whole as i64))
            .then(0.0.partial_cmp(&(float - whole)).unwrap_or(Ordering::Equal))
    }
}

impl Condition {
    /// Whether it is true for a record.
    pub(super) fn holds(&self, fields: &Fields<'_>) -> bool {
        match self {
            Self::Always(holds) => *holds,
            Self::All(all) => all.iter().all(|condition| condition.holds(fields)),
            Self::Any(any) => any.iter().any(|condition| condition.holds(fields)),
            Self::Test(test) => test.holds(fields),
        }
    }

    /// Whether it could be true if the slots that `unknown` names held something else.
    ///
    /// The tree is monotone, so taking every test of such a slot for true gives an upper bound.
    pub(super) fn might_hold(&self, fields: &Fields<'_>, unknown: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Self::Always(holds) => *holds,
            Self::All(all) => all.iter().all(|condition| condition.might_hold(fields, unknown)),
            Self::Any(any) => any.iter().any(|condition| condition.might_hold(fields, unknown)),
            Self::Test(test) => {
                let mut looks = false;
                test.each_slot(&mut |slot| looks |= unknown(slot));
                looks || test.holds(fields)
            }
        }
    }
}

impl Test {
    /// Whether it is true for a record.
    #[inline]
    pub(super) fn holds(&self, fields: &Fields<'_>) -> bool {
        self.predicate.value(fields).is_some_and(|value| value != self.negated)
    }

    fn each_slot(&self, each: &mut dyn FnMut(usize)) {
        match &self.predicate {
            Predicate::Has(column)
            | Predicate::IsTrue(column)
            | Predicate::NumberIn(column, _)
            | Predicate::NumberOrder(column, ..) => each(column.slot),
            Predicate::TextIn(text, _)
            | Predicate::Contains(text, _)
            | Predicate::StartsWith(text, _)
            | Predicate::EndsWith(text, _)
            | Predicate::Matches(text, _)
            | Predicate::TextOrder(text, ..)
            | Predicate::Size(text, ..) => each(text.slot),
            Predicate::Interpreted(interpreted) => interpreted.each_slot(each),
        }
    }
}

impl Predicate {
    /// True, false, or none for unknown.
    #[inline]
    fn value(&self, fields: &Fields<'_>) -> Option<bool> {
        Some(match self {
            Self::Has(column) => fields.has(column.slot, column.field_type),
            Self::IsTrue(column) => fields.boolean(column.slot).value()?,
            Self::TextIn(text, words) => {
                text.with(fields, |text| words.iter().any(|word| word.as_bytes() == text))?
            }
            Self::Contains(text, finder) => {
                text.with(fields, |text| finder.find(text).is_some())?
            }
            Self::StartsWith(text, start) => {
                text.with(fields, |text| text.starts_with(start.as_bytes()))?
            }
            Self::EndsWith(text, end) => {
                text.with(fields, |text| text.ends_with(end.as_bytes()))?
            }
            Self::Matches(text, regex) => text.with_str(fields, |text| regex.is_match(text))?,
            Self::TextOrder(text, order, literal) => {
                text.with_str(fields, |text| order.holds(text.cmp(literal)))?
            }
            Self::NumberIn(column, numbers) => {
                let value = Number::of(fields, *column)?;
                numbers.iter().any(|number| value.compare(*number).is_eq())
            }
            Self::NumberOrder(column, order, number) => {
                order.holds(Number::of(fields, *column)?.compare(*number))
            }
            Self::Size(text, order, size) => {
                text.with_str(fields, |text| order.holds((text.chars().count() as i64).cmp(size)))?
            }
            Self::Interpreted(interpreted) => interpreted.value(fields)?,
        })
    }
}

impl Text {
    /// The answer of a test on bytes.
    #[inline]
    fn with(self, fields: &Fields<'_>, test: impl FnOnce(&[u8]) -> bool) -> Option<bool> {
        if self.is_plain() {
            return Some(test(fields.text(self.slot).value()?));
        }
        self.with_str(fields, |text| test(text.as_bytes()))
    }

    /// The answer of a test on the text as the cells show it.
    fn with_str(self, fields: &Fields<'_>, test: impl FnOnce(&str) -> bool) -> Option<bool> {
        let text = fields.lossy_text(self.slot).value()?;
        Some(match self.case {
            Case::AsIs => test(&text),
            Case::Lower => test(&text.to_ascii_lowercase()),
            Case::Upper => test(&text.to_ascii_uppercase()),
        })
    }
}
