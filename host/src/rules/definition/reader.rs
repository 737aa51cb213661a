//! Reads a toml key by key and collects everything that is wrong, not only the first.

use std::ops::{Range, RangeInclusive};

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::DefinitionError;
use crate::nearest::nearest;
use crate::rules::finding::Finding;

/// A value and the line that it stands on, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The line; `None` = it is a default.
    pub line: Option<usize>,
    /// The value.
    pub value: T,
}

impl<T> At<T> {
    /// A default: no line says it.
    pub fn nowhere(value: T) -> Self {
        Self { line: None, value }
    }

    /// The value alone.
    pub fn into_inner(self) -> T {
        self.value
    }
}

/// A table of the document and the dotted name that it has there.
#[derive(Clone, Copy)]
pub(super) struct Section<'d> {
    name: Option<&'d str>,
    table: &'d DeTable<'d>,
}

impl<'d> Section<'d> {
    /// The document itself.
    pub(super) fn root(table: &'d DeTable<'d>) -> Self {
        Self { name: None, table }
    }

    /// All its keys.
    pub(super) fn names(self) -> impl Iterator<Item = &'d str> {
        self.table.iter().map(|(key, _)| key.get_ref().as_ref())
    }

    fn full(self, key: &str) -> String {
        self.name.map_or_else(|| key.to_owned(), |name| format!("{name}.{key}"))
    }
}

/// Reads values and remembers what was wrong.
pub(super) struct Reader<'t> {
    text: &'t str,
    findings: Vec<Finding>,
}

impl<'t> Reader<'t> {
    /// Reads from a document whose whole text is given, so that lines can be told.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, findings: vec![] }
    }

    /// All that was wrong, in the order of lines.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort();
        self.findings
    }

    /// Notes an error of the toml parser, unless its line has one: the others follow from the first.
    pub(super) fn syntax(&mut self, error: &toml::de::Error) {
        let line = error.span().map(|span| self.line(&span));
        if self.findings.iter().any(|finding| finding.line == line) {
            return;
        }
        let error = DefinitionError::Syntax(error.message().replace('\n', ", "));
        self.findings.push(Finding { line, ..Finding::new(error) });
    }

    /// Notes every key of the section that is not known.
    pub(super) fn unknown_keys(&mut self, section: Section<'_>, known: &[&'static str]) {
        for (key, _) in section.table.iter() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let cure = match nearest(name, known.iter().copied()) {
                Some(near) => format!("; did you mean `{}`?", section.full(near)),
                None if section.name.is_none() => format!(
                    "; known are {}; what the rule itself is to know goes under [config]",
                    known.join(", ")
                ),
                None => format!("; known are {}", known.join(", ")),
            };
            let error = DefinitionError::UnknownKey { key: section.full(name), cure };
            self.note(key.span(), error);
        }
    }

    /// A string, turned into something by `parse`.
    pub(super) fn parsed<T>(
        &mut self,
        section: Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let value = section.table.get(key)?;
        self.parse_value(&section.full(key), value, "a string", &parse)
    }

    /// A list of strings, each turned into something by `parse`; a repeated string counts once.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        section: Section<'_>,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<At<T>> {
        let Some(value) = section.table.get(key) else { return vec![] };
        let expected = "a list of strings such as [\"a\", \"b\"]";
        let key = section.full(key);
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(&key, value, expected);
            return vec![];
        };
        let mut list: Vec<At<T>> = vec![];
        for item in items {
            if let Some(parsed) = self.parse_value(&key, item, expected, &parse)
                && !list.iter().any(|known| known.value == parsed.value)
            {
                list.push(parsed);
            }
        }
        list
    }

    /// A table.
    pub(super) fn section<'d>(
        &mut self,
        section: Section<'d>,
        key: &'static str,
    ) -> Option<Section<'d>> {
        let value = section.table.get(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(&section.full(key), value, "a table with named values");
            return None;
        };
        Some(Section { name: Some(key), table })
    }

    /// True or false.
    pub(super) fn flag(&mut self, section: Section<'_>, key: &str) -> Option<At<bool>> {
        let value = section.table.get(key)?;
        let DeValue::Boolean(flag) = value.get_ref() else {
            self.wrong_type(&section.full(key), value, "true or false");
            return None;
        };
        Some(At { line: Some(self.line(&value.span())), value: *flag })
    }

    /// A whole number in the range.
    pub(super) fn whole(
        &mut self,
        section: Section<'_>,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = section.table.get(key)?;
        let key = section.full(key);
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(&key, value, "a whole number");
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let fitting = number.filter(|number| range.contains(number));
        if fitting.is_none() {
            let (min, max) = range.into_inner();
            let found = integer.to_string();
            self.note(value.span(), DefinitionError::OutOfRange { key, min, max, found });
        }
        fitting
    }

    /// A table as the text of a JSON object.
    pub(super) fn json(&mut self, section: Section<'_>, key: &'static str) -> Option<At<String>> {
        let line = section.table.get(key).map(|value| self.line(&value.span()));
        let section = self.section(section, key)?;
        let object = self.json_object(key, section.table);
        Some(At { line, value: Value::Object(object).to_string() })
    }

    fn json_object(&mut self, path: &str, table: &DeTable<'_>) -> Map<String, Value> {
        let mut object = Map::new();
        for (key, value) in table.iter() {
            let key = key.get_ref();
            let value = self.json_value(&format!("{path}.{key}"), value);
            object.insert(key.to_string(), value);
        }
        object
    }

    fn json_value(&mut self, path: &str, value: &Spanned<DeValue<'_>>) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(truth) => Value::Bool(*truth),
            DeValue::Datetime(datetime) => Value::String(datetime.to_string()),
            DeValue::Table(table) => Value::Object(self.json_object(path, table)),
            DeValue::Array(items) => {
                Value::Array(items.iter().map(|item| self.json_value(path, item)).collect())
            }
            DeValue::Integer(integer) => {
                match i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Ok(number) => Value::Number(number.into()),
                    Err(_) => self.not_json(path, value, "a whole number of at most 64 bits"),
                }
            }
            DeValue::Float(float) => match float.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => Value::Number(number),
                None => self.not_json(path, value, "a finite number"),
            },
        }
    }

    fn not_json(&mut self, path: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> Value {
        let found = &self.text[value.span()];
        let reason = format!("`{found}` cannot be handed to the rule; write {expected}");
        self.note(value.span(), DefinitionError::Value { key: path.to_owned(), reason });
        Value::Null
    }

    fn parse_value<T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &'static str,
        parse: &impl Fn(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, expected);
            return None;
        };
        match parse(text) {
            Ok(parsed) => Some(At { line: Some(self.line(&value.span())), value: parsed }),
            Err(reason) => {
                self.note(value.span(), DefinitionError::Value { key: key.to_owned(), reason });
                None
            }
        }
    }

    fn wrong_type(&mut self, key: &str, value: &Spanned<DeValue<'_>>, expected: &'static str) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.note(
            value.span(),
            DefinitionError::WrongType { key: key.to_owned(), expected, found },
        );
    }

    fn note(&mut self, span: Range<usize>, error: DefinitionError) {
        let line = self.line(&span);
        self.findings.push(Finding::at(line, error));
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}
