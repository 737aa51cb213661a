//! Says of most records, from their raw bytes alone, that no rule wants them.
//!
//! It works where every rule of a topic and format needs some literal that stands in the value as it is.
//! In JSON a text may be spelled with escapes: a value that has one that could hide a literal goes on
//! to the parser. The parts of a literal that JSON always escapes are not looked for.

use memchr::memmem;

use super::condition::{Case, Condition, Predicate, Text};
use super::literals::Literals;
use crate::subscription::{FieldSource, Format};

/// Literals for which one search over the value costs less than decoding it.
const LITERALS_MAX: usize = 4_096;
/// Shorter literals occur everywhere.
const LITERAL_BYTES_MIN: usize = 4;

/// A test of raw values that never says no to a value that a rule wants.
#[derive(Debug)]
pub(super) struct Prefilter {
    search: Search,
    /// Texts may be spelled with escapes.
    escapes: bool,
    /// A literal has a slash, which JSON may write as `\/`.
    slash: bool,
}

#[derive(Debug)]
enum Search {
    One(Box<memmem::Finder<'static>>),
    Many(Box<Literals>),
}

impl Prefilter {
    /// A prefilter for rules of one format, when there can be one; `sources` are their slots' places.
    pub(super) fn new<'c>(
        format: Format,
        sources: &[FieldSource],
        conditions: impl Iterator<Item = &'c Condition>,
    ) -> Option<Self> {
        let mut literals: Vec<Box<[u8]>> = Vec::new();
        for condition in conditions {
            literals.extend(needed(condition, format, sources)?);
            if literals.len() > LITERALS_MAX {
                literals.sort();
                literals.dedup();
                if literals.len() > LITERALS_MAX {
                    return None;
                }
            }
        }
        // What begins with another one is found with it.
        literals.sort();
        let mut kept: Vec<Box<[u8]>> = Vec::new();
        for literal in literals {
            if !kept.last().is_some_and(|kept| literal.starts_with(kept)) {
                kept.push(literal);
            }
        }
        let slash = kept.iter().any(|literal| literal.contains(&b'/'));
        let search = match kept.as_slice() {
            [literal] => Search::One(Box::new(memmem::Finder::new(literal).into_owned())),
            _ => {
                let literals = Literals::new(kept);
                if !literals.is_quick() {
                    return None;
                }
                Search::Many(Box::new(literals))
            }
        };
        Some(Self { search, escapes: format == Format::Json, slash })
    }

    /// Whether it costs more than it saves, given how many values it was tried on and let pass.
    #[inline]
    pub(super) fn is_vain(&self, tried: usize, passed: usize) -> bool {
        // A search for one literal costs a quarter of decoding, one for many a half.
        match self.search {
            Search::One(_) => passed * 4 > tried * 3,
            Search::Many(_) => passed * 2 > tried,
        }
    }

    /// Whether a rule might want the value.
    #[inline]
    pub(super) fn might_match(&self, value: &[u8]) -> bool {
        let found = match &self.search {
            Search::One(finder) => finder.find(value).is_some(),
            Search::Many(literals) => literals.any(value),
        };
        found || self.escapes && self.hides(value)
    }

    /// Whether an escape could hide a literal.
    #[inline]
    fn hides(&self, value: &[u8]) -> bool {
        memchr::memchr(b'\\', value).is_some_and(|at| self.hides_behind(&value[at..]))
    }

    /// All other escapes stand for characters that are in no literal that is looked for.
    #[inline(never)]
    fn hides_behind(&self, mut rest: &[u8]) -> bool {
        while let [b'\\', escaped, behind @ ..] = rest {
            if *escaped == b'u' || *escaped == b'/' && self.slash {
                return true;
            }
            rest = memchr::memchr(b'\\', behind).map_or(&[], |at| &behind[at..]);
        }
        false
    }
}

/// Literals of which one must stand in the value for the condition to be true; none when there are no such.
fn needed(
    condition: &Condition,
    format: Format,
    sources: &[FieldSource],
) -> Option<Vec<Box<[u8]>>> {
    match condition {
        Condition::Always(false) => Some(Vec::new()),
        Condition::Always(true) => None,
        Condition::All(all) => all
            .iter()
            .filter_map(|condition| needed(condition, format, sources))
            // The fewest, then the longest.
            .min_by_key(|literals| {
                let shortest = literals.iter().map(|literal| literal.len()).min();
                (literals.len(), std::cmp::Reverse(shortest))
            }),
        Condition::Any(any) => {
            let mut literals = Vec::new();
            for condition in any {
                literals.extend(needed(condition, format, sources)?);
            }
            Some(literals)
        }
        Condition::Test(test) if !test.negated => {
            let (text, words): (Text, Vec<&[u8]>) = match &test.predicate {
                Predicate::TextIn(text, words) => {
                    (*text, words.iter().map(|word| word.as_bytes()).collect())
                }
                Predicate::Contains(text, finder) => (*text, vec![finder.needle()]),
                Predicate::StartsWith(text, word) | Predicate::EndsWith(text, word) => {
                    (*text, vec![word.as_bytes()])
                }
                _ => return None,
            };
            if text.case != Case::AsIs || !stands_in_value(&sources[text.slot], format) {
                return None;
            }
            words.into_iter().map(verbatim).collect()
        }
        Condition::Test(_) => None,
    }
}

/// Whether a place's text is a part of the value's bytes but for JSON's escapes.
fn stands_in_value(source: &FieldSource, format: Format) -> bool {
    match source {
        FieldSource::Value => true,
        FieldSource::Key | FieldSource::Header(_) => false,
        FieldSource::Pointer(tokens) => match format {
            Format::Json | Format::Text => true,
            // Numbers of a syslog line are made, not found.
            Format::Syslog => {
                !matches!(tokens.first().map(|token| &**token), Some("date" | "facility" | "level"))
            }
            Format::Bytes => false,
        },
    }
}

/// The longest part of a literal that is spelled as it is wherever there are no escapes.
fn verbatim(literal: &[u8]) -> Option<Box<[u8]>> {
    std::str::from_utf8(literal)
        .ok()?
        .split(|character: char| {
            matches!(character, '"' | '\\' | '\0'..='\x1f' | char::REPLACEMENT_CHARACTER)
        })
        .max_by_key(|part| part.len())
        .filter(|part| part.len() >= LITERAL_BYTES_MIN)
        .map(|part| part.as_bytes().into())
}
