//! Where a text's quotes and backslashes are, and where its brackets are, 64 bytes at a look.

/// Bytes that one mask covers.
pub(super) const BLOCK: usize = 64;

/// Behind every text.
pub(super) const NONE: usize = usize::MAX;

/// The quotes and backslashes of the block that starts at `start`, a bit per byte.
#[inline(always)]
pub(super) fn specials_at(bytes: &[u8], start: usize) -> u64 {
    mask_at(bytes, start, special)
}

/// The brackets of a text: of objects and of arrays.
pub(super) struct Brackets<'a> {
    bytes: &'a [u8],
    block: usize,
    mask: u64,
}

impl<'a> Brackets<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, block: 0, mask: mask_at(bytes, 0, bracket) }
    }

    /// The first bracket at or behind `at`; [`NONE`] behind the last.
    #[inline]
    pub(super) fn next(&mut self, at: usize) -> usize {
        let block = at & !(BLOCK - 1);
        if block != self.block {
            self.block = block;
            self.mask = mask_at(self.bytes, block, bracket);
        }
        let mut mask = self.mask & (u64::MAX << (at & (BLOCK - 1)));
        while mask == 0 {
            let next = self.block + BLOCK;
            if next >= self.bytes.len() {
                return NONE;
            }
            self.block = next;
            self.mask = mask_at(self.bytes, next, bracket);
            mask = self.mask;
        }
        self.block + mask.trailing_zeros() as usize
    }
}

/// The mask of the block at `start`; bits behind the end are 0.
#[inline(always)]
fn mask_at(bytes: &[u8], start: usize, mask: impl Fn(&[u8; BLOCK]) -> u64) -> u64 {
    let rest = bytes.get(start..).unwrap_or_default();
    if let Some(block) = rest.first_chunk::<BLOCK>() {
        return mask(block);
    }
    // The last block is read where it ends, over the one before it.
    if let Some(block) = bytes.last_chunk::<BLOCK>() {
        return mask(block).checked_shr((BLOCK - rest.len()) as u32).unwrap_or(0);
    }
    let mut block = [0; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    mask(&block)
}

/// `"` and `\`.
#[inline(always)]
fn special(block: &[u8; BLOCK]) -> u64 {
    either(block, 0, b'"', b'\\')
}

/// `{`, `}`, `[` and `]`: pairs that differ in one bit.
#[inline(always)]
fn bracket(block: &[u8; BLOCK]) -> u64 {
    either(block, b'{' ^ b'[', b'{', b'}')
}

/// A bit per byte that is `a` or `b` once the bits `set` are set in it.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the compiler asks for it where a target feature is named")]
#[inline(always)]
fn either(block: &[u8; BLOCK], set: u8, a: u8, b: u8) -> u64 {
    // SAFETY: every x86_64 processor has SSE2.
    unsafe { either_sse2(block, set, a, b) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn either_sse2(block: &[u8; BLOCK], set: u8, a: u8, b: u8) -> u64 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let (set, a, b) = (_mm_set1_epi8(set as i8), _mm_set1_epi8(a as i8), _mm_set1_epi8(b as i8));
    let (quarters, _) = block.as_chunks::<16>();
    let mut mask = 0;
    for (index, quarter) in quarters.iter().enumerate() {
        // Compiles to one unaligned load.
        let whole = u128::from_le_bytes(*quarter);
        let bytes = _mm_or_si128(_mm_set_epi64x((whole >> 64) as i64, whole as i64), set);
        let equal = _mm_or_si128(_mm_cmpeq_epi8(bytes, a), _mm_cmpeq_epi8(bytes, b));
        mask |= u64::from(_mm_movemask_epi8(equal) as u32) << (index * 16);
    }
    mask
}

#[cfg(not(target_arch = "x86_64"))]
fn either(block: &[u8; BLOCK], set: u8, a: u8, b: u8) -> u64 {
    let mut mask = 0;
    for (index, byte) in block.iter().enumerate() {
        mask |= u64::from(byte | set == a || byte | set == b) << index;
    }
    mask
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_loop_finds(
            bytes in proptest::collection::vec(
                prop_oneof![
                    proptest::sample::select(b"\"\\{}[]".to_vec()), any::<u8>(), Just(b'a'), Just(b'a')
                ],
                0..300,
            ),
            steps in proptest::collection::vec(0_usize..80, 1..20),
        ) {
            for block in (0..bytes.len() + 2 * BLOCK).step_by(BLOCK) {
                let mask = specials_at(&bytes, block);
                for bit in 0..BLOCK {
                    let plain = bytes.get(block + bit).is_some_and(|byte| b"\"\\".contains(byte));
                    prop_assert_eq!(mask >> bit & 1 == 1, plain);
                }
            }

            let mut brackets = Brackets::new(&bytes);
            let mut at = 0;
            for step in steps {
                let plain = (at..bytes.len()).find(|i| b"{}[]".contains(&bytes[*i]));
                prop_assert_eq!(brackets.next(at), plain.unwrap_or(NONE));
                at += step;
            }
        }
    }
}
