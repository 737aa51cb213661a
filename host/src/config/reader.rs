//! Reads a TOML text table by table: every key is asked for by name, and what nobody asked for is an
//! unknown key. Nothing stops at the first problem.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use crate::nearest::nearest;

/// A file's text and the problems that were found in it so far.
pub(super) struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    /// Every key that exists, with its tables: `kafka.group_id`.
    keys: &'a [&'static str],
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    /// A reader of a file's text.
    pub(super) fn new(file: &'a Path, text: &'a str, keys: &'a [&'static str]) -> Self {
        Self { file, text, keys, problems: RefCell::default() }
    }

    /// The document's outermost table; `None` when it is not TOML, with a problem for each place.
    pub(super) fn parse(&self) -> Option<Spanned<DeTable<'a>>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let line = error.span().map(|span| self.line(span.start));
            let message =
                format!("this is not TOML: {}", error.message().trim().replace('\n', ", "));
            let problem = Problem::new(message).file(self.file);
            self.problems.borrow_mut().push(Problem { line, ..problem });
        }
        errors.is_empty().then_some(table)
    }

    /// All problems, in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        problems
    }

    /// The line of a byte, from 1.
    fn line(&self, byte: usize) -> usize {
        1 + self.text.bytes().take(byte).filter(|&b| b == b'\n').count()
    }
}

/// One table of the document.
pub(super) struct Table<'r, 'a> {
    reader: &'r Reader<'a>,
    /// Its name, empty for the outermost one.
    name: String,
    /// The line of its head; `None` when the file does not have it.
    line: Option<usize>,
    table: Option<&'r DeTable<'a>>,
    /// The keys that were asked for.
    known: Vec<&'static str>,
    /// Required keys that are not there, with an example of a value.
    missing: Vec<(&'static str, &'static str)>,
}

/// A value and the line that it is in.
type Value<'r, 'a> = &'r Spanned<DeValue<'a>>;

impl<'r, 'a> Table<'r, 'a> {
    /// The outermost table.
    pub(super) fn root(reader: &'r Reader<'a>, table: &'r DeTable<'a>) -> Self {
        let (name, line, known, missing) = (String::new(), None, Vec::new(), Vec::new());
        Self { reader, name, line, table: Some(table), known, missing }
    }

    /// Whether the file has this table.
    pub(super) fn exists(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the table has a key, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// A table inside; one that is not in the file reads as empty.
    pub(super) fn table(&mut self, key: &'static str) -> Table<'r, 'a> {
        let value = self.value(key);
        let table = value.and_then(|value| match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => {
                let found = found(other);
                let cure = format!("write it as a section [{}]", self.full(key));
                self.problem(key, format!("expected a table, found {found}"), cure);
                None
            }
        });
        let (known, missing) = (Vec::new(), Vec::new());
        let line = value.map(|_| self.key_line(key));
        Table { reader: self.reader, name: self.full(key), line, table, known, missing }
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str) -> Option<&'r str> {
        let value = self.value(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(key, "a text in quotes", value);
        }
        let text = text?;
        if text.trim().is_empty() {
            self.problem(key, "is empty", "give it a value or leave the key out");
            return None;
        }
        Some(text)
    }

    /// A text that must be there.
    pub(super) fn required_text(
        &mut self,
        key: &'static str,
        example: &'static str,
    ) -> Option<&'r str> {
        if !self.has(key) {
            self.known.push(key);
            self.missing.push((key, example));
            return None;
        }
        self.text(key)
    }

    /// A whole number.
    pub(super) fn whole(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(key)?;
        let DeValue::Integer(digits) = value.get_ref() else {
            self.wrong_type(key, "a whole number", value);
            return None;
        };
        let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok();
        self.in_range(key, digits.as_str(), number, range)
    }

    /// True or false.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let DeValue::Boolean(flag) = value.get_ref() else {
            self.wrong_type(key, "true or false", value);
            return None;
        };
        Some(*flag)
    }

    /// A number, whole or not.
    pub(super) fn decimal(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let value = self.value(key)?;
        let digits = match value.get_ref() {
            DeValue::Integer(digits) if digits.radix() == 10 => digits.as_str(),
            DeValue::Float(digits) => digits.as_str(),
            _ => {
                self.wrong_type(key, "a number", value);
                return None;
            }
        };
        self.in_range(key, digits, digits.parse().ok(), range)
    }

    /// One word of a closed list.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let names = words.iter().map(|(word, _)| *word);
        let cure = match nearest(text, names.clone()) {
            Some(word) => format!("did you mean \"{word}\"?"),
            None => {
                let names: Vec<_> = names.map(|word| format!("\"{word}\"")).collect();
                format!("write one of {}", names.join(", "))
            }
        };
        self.problem(key, format!("does not know \"{text}\""), cure);
        None
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<&'r str>> {
        let value = self.value(key)?;
        let texts = value.get_ref().as_array().and_then(|items| {
            items.iter().map(|item| item.get_ref().as_str()).collect::<Option<Vec<_>>>()
        });
        if texts.is_none() {
            self.wrong_type(key, "a list of texts such as [\"a\", \"b\"]", value);
        }
        texts
    }

    /// All entries of a table whose keys the operator chooses, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'r str, Value<'r, 'a>)> + use<'r, 'a> {
        self.table.into_iter().flatten().map(|(key, value)| (key.get_ref().as_ref(), value))
    }

    /// Something is wrong with a key of this table.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>, cure: impl Into<String>) {
        let problem = Problem::new(message).file(self.reader.file).key(self.full(key)).cure(cure);
        self.push(Problem { line: Some(self.key_line(key)), ..problem });
    }

    /// A required key, or one of several, is not there.
    pub(super) fn missing(&self, key: &str, message: &str, cure: &str) {
        let problem = Problem::new(message).file(self.reader.file).key(self.full(key)).cure(cure);
        self.push(Problem { line: self.line, ..problem });
    }

    /// A value has not the type that is expected.
    pub(super) fn wrong_type(&self, key: &str, expected: &str, value: Value<'_, '_>) {
        let message = format!("expected {expected}, found {}", found(value.get_ref()));
        let problem = Problem::new(message).file(self.reader.file).key(self.full(key));
        self.push(Problem { line: Some(self.key_line(key)), ..problem });
    }

    /// Reports what is left: keys that nobody asked for, and required ones that are missing.
    pub(super) fn finish(self) {
        let mut meant = Vec::new();
        for (key, _) in self.entries() {
            if self.known.contains(&key) {
                continue;
            }
            let near = nearest(key, self.known.iter().copied());
            meant.extend(near);
            self.problem(key, "unknown key", self.unknown_cure(key, near));
        }
        for near in &meant {
            // Nor is everything missing that a misspelt table holds.
            let inside = format!("{}.", self.full(near));
            self.reader.problems.borrow_mut().retain(|problem| {
                let key = problem.key.as_deref().unwrap_or_default();
                problem.line.is_some() || !key.starts_with(&inside)
            });
        }
        for (key, example) in &self.missing {
            // Whoever wrote `bootstrap_server`, or no table, has read it once already.
            if meant.contains(key) || (self.table.is_none() && self.line.is_some()) {
                continue;
            }
            let full = self.full(key);
            let (section, last) = full.rsplit_once('.').unwrap_or(("", &full));
            let problem = Problem::new("is missing")
                .file(self.reader.file)
                .key(full.clone())
                .cure(format!("write {last} = {example} under [{section}]"));
            self.push(Problem { line: self.line, ..problem });
        }
    }

    /// What to do about an unknown key: a slip, a key of another table, or nonsense.
    fn unknown_cure(&self, key: &str, near: Option<&str>) -> String {
        if let Some(near) = near {
            return format!("did you mean `{near}`?");
        }
        let elsewhere = self.reader.keys.iter().find_map(|full| {
            let (section, last) = full.rsplit_once('.')?;
            (last == key).then_some(section)
        });
        if let Some(section) = elsewhere {
            return format!("it belongs under [{section}]");
        }
        let known: Vec<_> = self.known.iter().map(|key| format!("`{key}`")).collect();
        format!("the keys here are {}", known.join(", "))
    }

    /// The value of a key that exists, whether or not the file has it.
    fn value(&mut self, key: &'static str) -> Option<Value<'r, 'a>> {
        self.known.push(key);
        self.table?.get(key)
    }

    fn in_range<T: Copy + PartialOrd + Display>(
        &self,
        key: &str,
        digits: &str,
        number: Option<T>,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let cure = format!("write a number from {} to {}", range.start(), range.end());
            self.problem(key, format!("{digits} is out of range"), cure);
        }
        number
    }

    fn key_line(&self, key: &str) -> usize {
        let span = self.table.and_then(|table| Some(table.get_key_value(key)?.0.span()));
        span.map(|span| self.reader.line(span.start)).or(self.line).unwrap_or(1)
    }

    /// A key with its tables, quoted where TOML needs it.
    pub(super) fn full(&self, key: &str) -> String {
        let bare = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        if self.name.is_empty() { key } else { format!("{}.{key}", self.name) }
    }

    fn push(&self, problem: Problem) {
        self.reader.problems.borrow_mut().push(problem);
    }
}

/// The type of a value, with its article.
fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
