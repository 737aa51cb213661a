//! What the records of a topic usually look like: their keys, in their order, as they are spelled.
//!
//! Most producers write every record with the same keys. A key that stands where it stood in a
//! record before is recognised by comparing a few words of eight bytes, with all that is around
//! it: `,"HOST":`. A habit only saves time: a key that is not where it was expected is read as any other.

use super::cursor::{Cursor, END};
use super::pointers::Pointers;
use super::skip;

/// Longest text between two values that is expected, words of eight bytes.
const WORDS_MAX: usize = 4;
/// Keys of a record that are expected.
const KEYS_MAX: usize = 64;
/// Records that are learned from before the topic is taken to have no habit.
const LESSONS_MAX: u32 = 8;
/// Keys that may stand where none was expected before a record is learned from, and one more for
/// every two records.
const SURPRISES_MAX: u32 = 8;

/// The habit of one decoder's records, as far as it is known.
#[derive(Debug, Default)]
pub(in crate::decode) struct Habit {
    /// The decoder's number; 0 = none.
    decoder: u64,
    expected: Vec<Expected>,
    lessons: u32,
    records: u32,
    surprises: u32,
}

/// A key with what is around it, from behind the value before it to its own value.
#[derive(Debug, Clone, Copy)]
struct Expected {
    /// The text, little-endian, zeros behind its end.
    words: [u64; WORDS_MAX],
    /// The bits of the last word that are text.
    last: u64,
    /// Words that have text.
    count: usize,
    /// Bytes of text.
    length: usize,
    /// Where the key stands within the text, and its length.
    key: (usize, usize),
    /// The node that the key leads to.
    child: Option<usize>,
}

impl Habit {
    /// Begins a record of a decoder, whose number is not 0.
    #[inline(always)]
    pub(super) fn begin(&mut self, decoder: u64) {
        if self.decoder != decoder {
            self.expected.clear();
            *self =
                Self { decoder, expected: std::mem::take(&mut self.expected), ..Self::default() };
        }
    }

    /// The key that is expected as number `index`, when it stands here: its node, and its value's place.
    #[inline(always)]
    pub(super) fn recognise(
        &self,
        index: usize,
        cursor: &Cursor<'_>,
    ) -> Option<(Option<usize>, usize)> {
        let expected = self.expected.get(index)?;
        let here = cursor.bytes.get(cursor.at..)?;
        let (words, _) = here.as_chunks::<8>();
        let words = words.get(..expected.count)?;
        let mut differs = 0;
        for (index, word) in words.iter().enumerate() {
            let mask = if index + 1 == expected.count { expected.last } else { u64::MAX };
            differs |= (u64::from_le_bytes(*word) & mask) ^ expected.words[index];
        }
        (differs == 0).then_some((expected.child, cursor.at + expected.length))
    }

    /// A key stood where another was expected: gives the number that is to be expected next.
    #[inline(never)]
    pub(super) fn surprise(&mut self, index: usize, key: &[u8]) -> usize {
        self.surprises = self.surprises.saturating_add(1);
        let known = self.expected.iter().position(|expected| expected.is(key));
        // The first is expected only at the start: it begins with the bracket.
        known.map_or(index.max(1), |known| known + 1)
    }

    /// Ends a record that was decoded, and learns from it when it was full of surprises.
    #[inline(always)]
    pub(super) fn end(&mut self, bytes: &[u8], pointers: &Pointers) {
        self.records = self.records.saturating_add(1);
        if self.surprises > SURPRISES_MAX + self.records / 2 && self.lessons < LESSONS_MAX {
            self.learn(bytes, pointers);
        }
    }

    #[inline(never)]
    fn learn(&mut self, bytes: &[u8], pointers: &Pointers) {
        self.lessons += 1;
        (self.records, self.surprises) = (0, 0);
        self.expected.clear();
        let mut cursor = Cursor::new(bytes);
        cursor.token();
        while self.expected.len() < KEYS_MAX {
            let start = cursor.at;
            if !matches!(cursor.token(), b'{' | b',') {
                return;
            }
            cursor.at += 1;
            if cursor.token() != b'"' {
                return;
            }
            let Ok(key) = cursor.quoted() else { return };
            cursor.token();
            cursor.at += 1;
            if cursor.token() == END {
                return;
            }
            let text = &bytes[start..cursor.at];
            let child = pointers.by_key(pointers.root(), bytes, key.start, key.end);
            // A key with escapes is left to be read.
            if !key.escaped
                && let Some(expected) =
                    Expected::new(text, key.start - start, key.end - key.start, child)
            {
                self.expected.push(expected);
            }
            if skip(&mut cursor, 1).is_err() {
                return;
            }
        }
    }
}

impl Expected {
    fn new(text: &[u8], key: usize, key_length: usize, child: Option<usize>) -> Option<Self> {
        if text.len() > WORDS_MAX * 8 {
            return None;
        }
        let mut padded = [0; WORDS_MAX * 8];
        padded[..text.len()].copy_from_slice(text);
        let (chunks, _) = padded.as_chunks::<8>();
        let mut words = [0; WORDS_MAX];
        for (word, chunk) in words.iter_mut().zip(chunks) {
            *word = u64::from_le_bytes(*chunk);
        }
        let count = text.len().div_ceil(8);
        let last = u64::MAX >> (count * 64 - text.len() * 8);
        Some(Self { words, last, count, length: text.len(), key: (key, key_length), child })
    }

    fn is(&self, key: &[u8]) -> bool {
        let (start, length) = self.key;
        let text: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        text[start..start + length] == *key
    }
}
