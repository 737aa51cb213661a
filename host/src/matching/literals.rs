//! Which of many literals occur in a text.
//!
//! A literal is known by a run of neighbouring windows of four of its bytes, as many as a stride has
//! bytes in which the text is walked; so one of them is met wherever the literal stands. Where a
//! window of the text is in a bitmap, the literals that have it are looked up. So most bytes of a
//! text are never looked at, and a thousand literals cost little more than ten.

use std::cmp::Reverse;
use std::collections::HashMap;

use memchr::memmem;
use rustc_hash::FxHashMap;

/// Bytes of a window; literals that are shorter are windows themselves.
const WINDOW: usize = 4;
/// Strides of a search that costs clearly less than decoding; all its literals take the same.
const QUICK_STRIDES: [usize; 3] = [8, 6, 4];
/// Bytes of a literal that is long enough for the shortest of them.
const QUICK_BYTES_MIN: usize = 4 + WINDOW - 1;
/// Literals for which a search for each costs less than one for all.
const FEW_MAX: usize = 3;
/// Bits of a bitmap for each of its entries: one text window in so many is compared for nothing.
const BITS_PER_ENTRY: usize = 32;
/// Bits of the largest bitmap: 32 KiB, which the first-level cache holds.
const BITMAP_BITS_MAX: u32 = 18;

/// A set of literals, known by their places in it.
#[derive(Debug)]
pub(super) struct Literals {
    places: Places,
    windows: Vec<Windows>,
    /// Literals that are searched for one by one.
    few: Vec<(u32, memmem::Finder<'static>)>,
}

type Places = FxHashMap<Box<[u8]>, u32>;

/// Literals that are found with one stride.
#[derive(Debug)]
struct Windows {
    /// Bytes of a window.
    width: usize,
    stride: usize,
    /// A bit per hash: some literal's window has it.
    bitmap: Box<[u64]>,
    /// Bits of a hash.
    bits: u32,
    /// The literals' windows, sorted by hash.
    entries: Vec<Entry>,
    /// Where the entries begin whose hashes have these highest bits; one more for the end.
    directory: Vec<u32>,
    /// Bits of a hash that are not in the directory.
    low_bits: u32,
}

/// A window of literals that have it at one place and are equally long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: u32,
    /// Where the window stands in the literals.
    offset: u32,
    /// The literals' length.
    length: u32,
}

impl Literals {
    /// A set of literals that are not empty and differ.
    pub(super) fn new(literals: Vec<Box<[u8]>>) -> Self {
        let mut few = Vec::new();
        // A few short literals must not slow the others down: they are searched for apart.
        let mut parts: [Vec<&[u8]>; WINDOW + 1] = Default::default();
        for literal in &literals {
            let part = if literal.len() >= QUICK_BYTES_MIN { 0 } else { literal.len().min(WINDOW) };
            parts[part].push(literal);
        }
        for part in &mut parts {
            if part.len() <= FEW_MAX {
                let finder = |literal| memmem::Finder::new(literal).into_owned();
                few.extend(part.drain(..).map(|literal| (literal, finder(literal))));
            }
        }
        let windows = parts
            .iter()
            .filter(|literals| !literals.is_empty())
            .map(|literals| Windows::new(literals))
            .collect();
        let places: FxHashMap<_, _> = literals.iter().cloned().zip(0..).collect();
        let few = few.into_iter().map(|(literal, finder)| (places[literal], finder)).collect();
        Self { places, windows, few }
    }

    /// Whether a search looks at few of a text's bytes.
    pub(super) fn is_quick(&self) -> bool {
        self.few.len() <= FEW_MAX && self.windows.iter().all(|windows| windows.stride > 1)
    }

    /// Whether any literal occurs.
    #[inline]
    pub(super) fn any(&self, text: &[u8]) -> bool {
        self.windows.iter().any(|windows| windows.find(text, &self.places, &mut |_| true))
            || self.few.iter().any(|(_, finder)| finder.find(text).is_some())
    }

    /// Appends the places of all literals that occur, each once.
    #[inline]
    pub(super) fn find(&self, text: &[u8], found: &mut Vec<u32>) {
        let start = found.len();
        for (index, finder) in &self.few {
            if finder.find(text).is_some() {
                found.push(*index);
            }
        }
        for windows in &self.windows {
            windows.find(text, &self.places, &mut |literal| {
                found.push(literal);
                false
            });
        }
        if found.len() > start + 1 {
            found[start..].sort_unstable();
            // Only what was found here: what is before belongs to others.
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
    fn new(literals: &[&[u8]]) -> Self {
        let shortest = literals.iter().map(|literal| literal.len()).min().unwrap_or_default();
        let width = shortest.min(WINDOW);
        let fits = |stride: &usize| *stride + width <= shortest + 1;
        let stride = QUICK_STRIDES.into_iter().find(fits).unwrap_or(1);
        let mut counts = HashMap::<&[u8], u32>::new();
        for window in literals.iter().flat_map(|literal| literal.windows(width)) {
            *counts.entry(window).or_default() += 1;
        }
        let entries_count = literals.len() * stride;
        let bits = (entries_count * BITS_PER_ENTRY).next_power_of_two().ilog2();
        let bits = bits.clamp(6, BITMAP_BITS_MAX);
        let mut entries = Vec::with_capacity(entries_count);
        for literal in literals {
            let counts: Vec<u32> = literal.windows(width).map(|window| counts[window]).collect();
            let run = rarest_run(&counts, stride);
            entries.extend(literal.windows(width).zip(0..).skip(run).take(stride).map(
                |(window, offset)| {
                    let mut padded = [0; WINDOW];
                    padded[..width].copy_from_slice(window);
                    Entry { hash: hash(padded, bits), offset, length: literal.len() as u32 }
                },
            ));
        }
        entries.sort_unstable();
        entries.dedup();
        let mut bitmap = vec![0_u64; 1 << (bits - 6)].into_boxed_slice();
        for entry in &entries {
            bitmap[entry.hash as usize / 64] |= 1 << (entry.hash % 64);
        }
        let directory_bits = entries.len().next_power_of_two().ilog2().min(bits);
        let low_bits = bits - directory_bits;
        let directory = (0..=1_u32 << directory_bits)
            .map(|high| entries.partition_point(|entry| entry.hash >> low_bits < high) as u32)
            .collect();
        Self { width, stride, bitmap, bits, entries, directory, low_bits }
    }

    /// Calls `found` with literals that occur, some perhaps twice, until it says true.
    #[inline]
    fn find(&self, text: &[u8], places: &Places, found: &mut impl FnMut(u32) -> bool) -> bool {
        let mut look = |at: usize, window: [u8; WINDOW]| {
            let hash = hash(window, self.bits);
            self.bitmap[hash as usize / 64] >> (hash % 64) & 1 == 1
                && self.look_up(text, at, hash, places, found)
        };
        // The strides are spelled out for the compiler, which then checks no bounds of windows.
        match (self.width, self.stride) {
            (WINDOW, 8) => walk(text, &mut look, |&[a, b, c, d, _, _, _, _]| [a, b, c, d]),
            (WINDOW, 6) => walk(text, &mut look, |&[a, b, c, d, _, _]| [a, b, c, d]),
            (WINDOW, 4) => walk(text, &mut look, |&window| window),
            (3, _) => {
                text.array_windows().enumerate().any(|(at, &[a, b, c])| look(at, [a, b, c, 0]))
            }
            (2, _) => text.array_windows().enumerate().any(|(at, &[a, b])| look(at, [a, b, 0, 0])),
            (1, _) => text.iter().enumerate().any(|(at, &a)| look(at, [a, 0, 0, 0])),
            _ => text.array_windows().enumerate().any(|(at, window)| look(at, *window)),
        }
    }

    /// Looks up the literals that have a window.
    #[inline(never)]
    fn look_up(
        &self,
        text: &[u8],
        at: usize,
        hash: u32,
        places: &Places,
        found: &mut impl FnMut(u32) -> bool,
    ) -> bool {
        let high = (hash >> self.low_bits) as usize;
        let range = self.directory[high] as usize..self.directory[high + 1] as usize;
        self.entries[range].iter().filter(|entry| entry.hash == hash).any(|entry| {
            let start = at.checked_sub(entry.offset as usize);
            let literal = start.and_then(|start| text.get(start..start + entry.length as usize));
            literal.and_then(|literal| places.get(literal)).is_some_and(|place| found(*place))
        })
    }
}

/// Looks at the window at the start of every stride, until one look says true.
#[inline(always)]
fn walk<const STRIDE: usize>(
    text: &[u8],
    look: &mut impl FnMut(usize, [u8; WINDOW]) -> bool,
    window: impl Fn(&[u8; STRIDE]) -> [u8; WINDOW],
) -> bool {
    let (strides, rest) = text.as_chunks::<STRIDE>();
    strides.iter().enumerate().any(|(index, stride)| look(index * STRIDE, window(stride)))
        || rest.first_chunk().is_some_and(|window| look(text.len() - rest.len(), *window))
}

/// Where the run of so many windows starts that fewest literals have, given how many have each.
fn rarest_run(counts: &[u32], length: usize) -> usize {
    let runs = counts.windows(length).map(|run| run.iter().sum::<u32>()).zip(0..);
    // Of equal ones the last, since literals often begin alike.
    let rarest = runs.min_by_key(|(count, start)| (*count, Reverse(*start)));
    rarest.map_or(0, |(_, start)| start)
}

#[inline(always)]
fn hash(window: [u8; WINDOW], bits: u32) -> u32 {
    u32::from_le_bytes(window).wrapping_mul(0x9E37_79B1) >> (32 - bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_search_for_each_finds(
            literals in prop_oneof![
                prop::collection::btree_set("[ab]{1,7}", 1..90),
                prop::collection::btree_set("[ab]{5,13}", 1..90),
                prop::collection::btree_set("[a-d]{9,20}", 1..9),
            ],
            text in "[abc]{0,60}",
            with in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        ) {
            let literals: Vec<Box<[u8]>> =
                literals.into_iter().map(|literal| literal.into_bytes().into()).collect();
            let mut text = text.into_bytes();
            for index in with {
                text.extend_from_slice(index.get::<Box<[u8]>>(&literals));
            }
            let expected: Vec<u32> = (0..)
                .zip(&literals)
                .filter(|(_, literal)| memmem::find(&text, literal).is_some())
                .map(|(index, _)| index)
                .collect();
            let mut found = vec![7];
            let literals = Literals::new(literals);
            literals.find(&text, &mut found);
            prop_assert_eq!(found.remove(0), 7);
            found.sort_unstable();
            prop_assert_eq!(literals.any(&text), !expected.is_empty());
            prop_assert_eq!(found, expected);
        }
    }
}
