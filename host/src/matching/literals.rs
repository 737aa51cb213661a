//! Which of many literals occur in a text.
//!
//! Every literal is known by one window of four of its bytes, the one that fewest others have. A text
//! is walked once; where its window is in a bitmap, the few literals of that window are
//! compared. Where there are few literals, a vectorised search says first whether there is anything
//! to find at all.

use aho_corasick::packed;
use memchr::memmem;

/// Bytes of a window.
const WINDOW: usize = 4;
/// Bits of a window's hash; the bitmap of 8 KiB stays in the first-level cache.
const HASH_BITS: u32 = 16;
/// Literals up to which the vectorised search is quicker than the windows.
const PACKED_MAX: usize = 64;

/// A set of literals, known by their places in it.
#[derive(Debug)]
pub(super) struct Literals {
    literals: Vec<Box<[u8]>>,
    packed: Option<packed::Searcher>,
    /// Those that are as long as a window or longer.
    windows: Option<Windows>,
    /// The shorter ones.
    short: Vec<(u32, memmem::Finder<'static>)>,
}

#[derive(Debug)]
struct Windows {
    /// A bit per hash: some literal's window has it.
    bitmap: Box<[u64]>,
    /// Literal and its window's place in it, sorted by the window's hash.
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    literal: u32,
    /// Where the window stands in the literal.
    offset: u32,
}

impl Literals {
    /// A set of literals that are not empty and differ.
    pub(super) fn new(literals: Vec<Box<[u8]>>) -> Self {
        let packed = (literals.len() <= PACKED_MAX && literals.len() > 1)
            .then(|| packed::Searcher::new(&literals))
            .flatten();
        let short = (0..)
            .zip(&literals)
            .filter(|(_, literal)| literal.len() < WINDOW)
            .map(|(index, literal)| (index, memmem::Finder::new(literal).into_owned()))
            .collect();
        let windows = Windows::new(&literals);
        Self { literals, packed, windows, short }
    }

    /// Appends the places of all literals that occur, each once.
    #[inline]
    pub(super) fn find(&self, text: &[u8], found: &mut Vec<u32>) {
        if let Some(packed) = &self.packed
            && packed.find(text).is_none()
        {
            return;
        }
        let start = found.len();
        for (index, finder) in &self.short {
            if finder.find(text).is_some() {
                found.push(*index);
            }
        }
        if let Some(windows) = &self.windows {
            windows.find(text, &self.literals, found);
        }
        if found.len() > start + 1 {
            found[start..].sort_unstable();
            // `dedup` of the tail only: what is before belongs to others.
            let mut kept = start + 1;
            for index in start + 1..found.len() {
                if found[index] != found[kept - 1] {
                    found[kept] = found[index];
                    kept += 1;
                }
            }
            found.truncate(kept);
        }
    }
}

impl Windows {
    fn new(literals: &[Box<[u8]>]) -> Option<Self> {
        let mut counts = std::collections::HashMap::<&[u8], u32>::new();
        for literal in literals {
            literal.windows(WINDOW).for_each(|window| *counts.entry(window).or_default() += 1);
        }
        let mut entries = Vec::new();
        for (index, literal) in (0..).zip(literals) {
            // The last of the rarest: what sets literals apart is more often at their ends.
            let rarest = literal
                .windows(WINDOW)
                .enumerate()
                .min_by_key(|(offset, window)| (counts[window], std::cmp::Reverse(*offset)));
            if let Some((offset, window)) = rarest
                && let Some(window) = window.first_chunk()
            {
                entries.push(Entry { hash: hash(*window), literal: index, offset: offset as u32 });
            }
        }
        entries.sort_by_key(|entry| entry.hash);
        let mut bitmap = vec![0_u64; 1 << (HASH_BITS - 6)].into_boxed_slice();
        for entry in &entries {
            bitmap[entry.hash as usize / 64] |= 1 << (entry.hash % 64);
        }
        (!entries.is_empty()).then_some(Self { bitmap, entries })
    }

    #[inline]
    fn find(&self, text: &[u8], literals: &[Box<[u8]>], found: &mut Vec<u32>) {
        // The length is known to the compiler, which leaves out the check of the index.
        let Some(bitmap) = self.bitmap.first_chunk::<{ 1 << (HASH_BITS - 6) }>() else { return };
        let mut windows = text.windows(WINDOW).enumerate();
        while let Some((at, window)) = windows.find(|(_, window)| {
            let hash = window.first_chunk().map_or(0, |window| hash(*window));
            bitmap[hash as usize / 64 % bitmap.len()] >> (hash % 64) & 1 == 1
        }) {
            let hash = window.first_chunk().map_or(0, |window| hash(*window));
            self.compare(text, at, hash, literals, found);
        }
    }

    /// Compares the literals of a window.
    #[inline(never)]
    fn compare(
        &self,
        text: &[u8],
        at: usize,
        hash: u32,
        literals: &[Box<[u8]>],
        found: &mut Vec<u32>,
    ) {
        let first = self.entries.partition_point(|entry| entry.hash < hash);
        for entry in self.entries[first..].iter().take_while(|entry| entry.hash == hash) {
            let literal = &literals[entry.literal as usize];
            if let Some(start) = at.checked_sub(entry.offset as usize)
                && text[start..].starts_with(literal)
                && found.last() != Some(&entry.literal)
            {
                found.push(entry.literal);
            }
        }
    }
}

#[inline(always)]
fn hash(window: [u8; WINDOW]) -> u32 {
    u32::from_le_bytes(window).wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_search_for_each_finds(
            literals in prop::collection::btree_set("[ab]{1,7}", 1..90),
            text in "[abc]{0,60}",
        ) {
            let literals: Vec<Box<[u8]>> =
                literals.into_iter().map(|literal| literal.into_bytes().into()).collect();
            let expected: Vec<u32> = (0..)
                .zip(&literals)
                .filter(|(_, literal)| memmem::find(text.as_bytes(), literal).is_some())
                .map(|(index, _)| index)
                .collect();
            let mut found = vec![7];
            Literals::new(literals).find(text.as_bytes(), &mut found);
            prop_assert_eq!(found.remove(0), 7);
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
