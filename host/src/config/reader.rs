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
pub(crate) struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    /// Every key that exists, with its tables: `kafka.group_id`.
    keys: &'a [&'static str],
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    /// A reader of a file's text.
    pub(crate) fn new(file: &'a Path, text: &'a str, keys: &'a [&'static str]) -> Self {
        Self { file, text, keys, problems: RefCell::default() }
    }

    /// The document's outermost table; `None` when it is not TOML, with a problem for each place.
    pub(crate) fn parse(&self) -> Option<Spanned<DeTable<'a>>> {
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
    pub(crate) fn into_problems(self) -> Vec<Problem> {
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
pub(crate) struct Table<'r, 'a> {
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
    pub(crate) fn root(reader: &'r Reader<'a>, table: &'r DeTable<'a>) -> Self {
        let (name, line, known, missing) = (String::new(), None, Vec::new(), Vec::new());
        Self { reader, name, line, table: Some(table), known, missing }
    }

    /// Whether the file has this table.
    pub(crate) fn exists(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the table has a key, right or wrong.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Whether a key has a table as its value.
    pub(crate) fn holds_table(&self, key: &str) -> bool {
        let value = self.table.and_then(|table| table.get(key));
        value.is_some_and(|value| matches!(value.get_ref(), DeValue::Table(_)))
    }

    /// A key that exists, whatever its value.
    pub(crate) fn know(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// A table inside; one that is not in the file reads as empty.
    pub(crate) fn table(&mut self, key: &'static str) -> Table<'r, 'a> {
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
    pub(crate) fn text(&mut self, key: &'static str) -> Option<&'r str> {
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
    pub(crate) fn required_text(
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
    pub(crate) fn whole(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(key)?;
        let DeValue::Integer(digits) = value.get_ref() else {
            self.wrong_type(key, "a whole number", value);
            return None;
        };
        let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok();
        self.in_range(key, digits.as_str(), number, range)
    }

    /// A whole number, or the word `off`, which is `Some(None)`.
    pub(crate) fn whole_or_off(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<Option<i64>> {
        let is_text = |table: &DeTable<'_>| {
            table.get(key).is_some_and(|value| matches!(value.get_ref(), DeValue::String(_)))
        };
        if self.table.is_some_and(is_text) {
            return self.word(key, &[("off", None)]);
        }
        self.whole(key, range).map(Some)
    }

    /// True or false.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let DeValue::Boolean(flag) = value.get_ref() else {
            self.wrong_type(key, "true or false", value);
            return None;
        };
        Some(*flag)
    }

    /// A number, whole or not.
    pub(crate) fn decimal(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
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
    pub(crate) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
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
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<&'r str>> {
        let value = self.value(key)?;
        let texts = value.get_ref().as_array().and_then(|items| {
            items.iter().map(|item| item.get_ref().as_str()).collect::<Option<Vec<_>>>()
        });
        if texts.is_none() {
            self.wrong_type(key, "a list of texts such as [\"a\", \"b\"]", value);
        }
        texts
    }

    /// The tables of a list: each `[[name]]` of the file, in order.
    pub(crate) fn tables(&mut self, key: &'static str) -> Vec<Table<'r, 'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(key, &format!("a list of tables, each [[{}]]", self.full(key)), value);
            return Vec::new();
        };
        let named = items.iter().enumerate().map(|(n, item)| (format!("{key}[{n}]"), item));
        named.filter_map(|(name, item)| self.inside(&self.listed(&name), &name, item)).collect()
    }

    /// The tables inside whose names the operator chooses, in order.
    pub(crate) fn named_tables(&self) -> Vec<(&'r str, Table<'r, 'a>)> {
        let inside = |(key, value)| Some((key, self.inside(&self.full(key), key, value)?));
        self.entries().filter_map(inside).collect()
    }

    /// A value that must be a table, by its full name.
    fn inside(&self, full: &str, key: &str, value: Value<'r, 'a>) -> Option<Table<'r, 'a>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(key, "a table", value);
            return None;
        };
        let (known, missing) = (Vec::new(), Vec::new());
        let line = Some(self.reader.line(value.span().start));
        let name = full.to_owned();
        Some(Table { reader: self.reader, name, line, table: Some(table), known, missing })
    }

    /// A member of a list, with the list's tables.
    fn listed(&self, name: &str) -> String {
        if self.name.is_empty() { name.to_owned() } else { format!("{}.{name}", self.name) }
    }

    /// All entries of a table whose keys the operator chooses, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'r str, Value<'r, 'a>)> + use<'r, 'a> {
        self.table.into_iter().flatten().map(|(key, value)| (key.get_ref().as_ref(), value))
    }

    /// Something is wrong with a key of this table.
    pub(crate) fn problem(&self, key: &str, message: impl Into<String>, cure: impl Into<String>) {
        let problem = Problem::new(message).file(self.reader.file).key(self.full(key)).cure(cure);
        self.push(Problem { line: Some(self.key_line(key)), ..problem });
    }

    /// A required key, or one of several, is not there.
    pub(crate) fn missing(&self, key: &str, message: &str, cure: &str) {
        let problem = Problem::new(message).file(self.reader.file).key(self.full(key)).cure(cure);
        self.push(Problem { line: self.line, ..problem });
    }

    /// A value has not the type that is expected.
    pub(crate) fn wrong_type(&self, key: &str, expected: &str, value: Value<'_, '_>) {
        let message = format!("expected {expected}, found {}", found(value.get_ref()));
        let problem = Problem::new(message).file(self.reader.file).key(self.full(key));
        self.push(Problem { line: Some(self.key_line(key)), ..problem });
    }

    /// Reports what is left: keys that nobody asked for, and required ones that are missing.
    pub(crate) fn finish(self) {
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
    pub(crate) fn full(&self, key: &str) -> String {
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
