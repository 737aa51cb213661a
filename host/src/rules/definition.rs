//! What the operator says about a rule: its `NAME.toml`, or nothing but a `NAME.wasm`.
//!
//! Text comes in, a [`Definition`] or everything that is wrong with the text goes out. Files are not
//! touched here and components are not looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use crate::limits::Limits;
use crate::rules::Mode;
use crate::rules::finding::Finding;
use crate::subscription::{FieldSource, Format, InvalidFieldSource};

mod reader;
mod values;

pub use reader::At;
use reader::{Reader, Section};

/// The keys of a rule's toml, in the order in which the documentation tells of them.
pub const KEYS: [&str; 12] = [
    "component",
    "topics",
    "format",
    "keyed",
    "channels",
    "emit",
    "mode",
    "where",
    "stale_after",
    "fields",
    "config",
    "limits",
];

/// Alerts older than this become one digest when a rule's toml does not say.
pub const DEFAULT_STALE_AFTER: Duration = Duration::from_secs(15 * 60);

/// What comes before the name of a component that is in the binary.
const BUILTIN: &str = "builtin:";

/// Where a rule's component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentSource {
    /// A file in the rules folder, by its name.
    File(String),
    /// One of those that ship in the binary, by its name.
    Builtin(String),
}

/// What the operator says about one rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// `component`, and its line.
    pub component: At<ComponentSource>,
    /// `topics`; empty = what the rule declares.
    pub topics: Vec<At<Arc<str>>>,
    /// `format`
    pub format: Format,
    /// `keyed`; `None` = not said.
    pub keyed: Option<At<bool>>,
    /// `channels`; empty = the configured default channel.
    pub channels: Vec<String>,
    /// `emit`
    pub emit: Vec<String>,
    /// `mode`
    pub mode: Mode,
    /// `where`
    pub condition: Option<At<String>>,
    /// `stale_after`; `None` = `"off"`.
    pub stale_after: Option<Duration>,
    /// `[fields]`: where fields come from, by name.
    pub fields: BTreeMap<String, At<FieldSource>>,
    /// `[config]` as a JSON object, and the line of its head.
    pub config_json: At<String>,
    /// `[limits]` over the configured defaults.
    pub limits: Limits,
}

impl Definition {
    /// The definition of a rule that is nothing but a `NAME.wasm`.
    pub fn bare(name: &str, limits: &Limits) -> Self {
        Self {
            component: At::nowhere(ComponentSource::File(format!("{name}.wasm"))),
            topics: vec![],
            format: Format::default(),
            keyed: None,
            channels: vec![],
            emit: vec![],
            mode: Mode::default(),
            condition: None,
            stale_after: Some(DEFAULT_STALE_AFTER),
            fields: BTreeMap::new(),
            config_json: At::nowhere("{}".into()),
            limits: *limits,
        }
    }

    /// Reads the toml of the rule `name`; `limits` are the configured defaults.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the text, in the order of its lines.
    pub fn parse(name: &str, text: &str, limits: &Limits) -> Result<Self, Vec<Finding>> {
        if text.is_empty() {
            return Err(vec![Finding::new(DefinitionError::Empty)]);
        }
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let mut reader = Reader::new(text);
            for error in errors {
                reader.syntax(&error);
            }
            return Err(reader.into_findings());
        }
        let mut reader = Reader::new(text);
        let root = Section::root(document.get_ref());
        let definition = Self::read(name, &mut reader, root, limits);
        let findings = reader.into_findings();
        if findings.is_empty() { Ok(definition) } else { Err(findings) }
    }

    fn read(name: &str, reader: &mut Reader<'_>, root: Section<'_>, limits: &Limits) -> Self {
        reader.unknown_keys(root, &KEYS);
        let bare = Self::bare(name, limits);
        Self {
            component: reader.parsed(root, "component", component).unwrap_or(bare.component),
            topics: reader.list(root, "topics", |topic| values::topic(topic).map(Arc::from)),
            format: reader.parsed(root, "format", format).map_or(bare.format, At::into_inner),
            keyed: reader.flag(root, "keyed"),
            channels: plain(reader.list(root, "channels", values::channel)),
            emit: plain(reader.list(root, "emit", values::topic)),
            mode: reader.parsed(root, "mode", mode).map_or(bare.mode, At::into_inner),
            condition: reader.parsed(root, "where", values::condition),
            stale_after: reader
                .parsed(root, "stale_after", values::stale_after)
                .map_or(bare.stale_after, At::into_inner),
            fields: fields(reader, root),
            config_json: reader.json(root, "config").unwrap_or(bare.config_json),
            limits: read_limits(reader, root, bare.limits),
        }
    }
}

/// Why a rule's toml, or a value in it, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Nothing in the file; perhaps somebody is about to write it.
    #[error(
        "the file is empty; write what the rule is to do, or remove it, or put a comment in it \
         when nothing is to be configured"
    )]
    Empty,
    /// The toml parser's words.
    #[error("this is not TOML: {0}")]
    Syntax(String),
    /// A key that means nothing.
    #[error("unknown key `{key}`{cure}")]
    UnknownKey {
        /// The key with its section.
        key: String,
        /// The nearest right one, or all.
        cure: String,
    },
    /// A value of another type.
    #[error("`{key}` must be {expected}, and this is {found}")]
    WrongType {
        /// The key with its section.
        key: String,
        /// What may stand there.
        expected: &'static str,
        /// What does.
        found: &'static str,
    },
    /// A whole number that is too small or too large.
    #[error("`{key}` must be a whole number from {min} to {max}, and this is {found}")]
    OutOfRange {
        /// The key with its section.
        key: String,
        /// The least.
        min: i64,
        /// The most.
        max: i64,
        /// The number as it is written.
        found: String,
    },
    /// A value that cannot be.
    #[error("`{key}`: {reason}")]
    Value {
        /// The key with its section.
        key: String,
        /// What is wrong and what to write.
        reason: String,
    },
}

/// A rule's name is its file's stem, and it is in metrics, alert ids and addresses.
///
/// # Errors
///
/// When it has other letters than `a-z`, `0-9`, `.`, `_`, `-`.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    if !name.is_empty() && name.bytes().all(fits) {
        return Ok(());
    }
    Err(InvalidName { name: name.to_owned(), suggestion: suggestion(name) })
}

/// Why a file's name is not a rule's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is not a rule's name: it has only lower-case letters, digits, `.`, `_` and `-`; \
     rename the file, to `{suggestion}` for example"
)]
pub struct InvalidName {
    /// The file's stem.
    pub name: String,
    /// A name that would do.
    pub suggestion: String,
}

fn suggestion(name: &str) -> String {
    let lower = name.to_lowercase();
    let kept = lower.chars().map(|letter| {
        if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '-' }
    });
    let suggestion = kept.collect::<String>();
    if suggestion.trim_matches('-').is_empty() { "my-rule".into() } else { suggestion }
}

fn plain<T>(list: Vec<At<T>>) -> Vec<T> {
    list.into_iter().map(At::into_inner).collect()
}

fn component(text: &str) -> Result<ComponentSource, String> {
    if let Some(name) = text.strip_prefix(BUILTIN) {
        return Ok(ComponentSource::Builtin(name.to_owned()));
    }
    if text.contains(['/', '\\']) {
        return Err(format!("`{text}` is not in the rules folder; put the file there"));
    }
    if !text.ends_with(".wasm") || text.starts_with('.') {
        return Err(format!(
            "`{text}` is no component; write the name of a file in the rules folder such as \
             `threshold.wasm`, or of one that ships such as `builtin:invalid-user`"
        ));
    }
    Ok(ComponentSource::File(text.to_owned()))
}

fn format(word: &str) -> Result<Format, String> {
    if word == "avro" {
        let others = "json, text, syslog, bytes";
        return Err(format!("`avro` is not supported yet; a topic can be read as {others}"));
    }
    word.parse().map_err(|unknown: crate::notification::UnknownWord| unknown.to_string())
}

fn mode(word: &str) -> Result<Mode, String> {
    match word {
        "active" => Ok(Mode::Active),
        "shadow" => Ok(Mode::Shadow),
        "paused" => Ok(Mode::Paused),
        _ => Err(format!("`{word}` is not one of active, shadow, paused")),
    }
}

fn fields(reader: &mut Reader<'_>, root: Section<'_>) -> BTreeMap<String, At<FieldSource>> {
    let Some(section) = reader.section(root, "fields") else { return BTreeMap::new() };
    let source = |text: &str| text.parse().map_err(|error: InvalidFieldSource| error.to_string());
    let names = section.names();
    names
        .filter_map(|name| Some((name.to_owned(), reader.parsed(section, name, source)?)))
        .collect()
}

fn read_limits(reader: &mut Reader<'_>, root: Section<'_>, limits: Limits) -> Limits {
    let Some(section) = reader.section(root, "limits") else { return limits };
    reader.unknown_keys(section, &Limits::KEYS);
    limits.overridden(|key, range| reader.whole(section, key, range))
}

#[cfg(test)]
mod tests;
