//! Where the next quote or backslash is, 64 bytes at a look.

/// Bytes that one mask covers.
const BLOCK: usize = 64;

/// A cursor over the quotes and backslashes of a text; it only goes forward.
pub(super) struct Specials<'a> {
    bytes: &'a [u8],
    /// Where the block of `mask` starts; always a multiple of [`BLOCK`].
    block: usize,
    /// A bit per byte of the block, 1 = `"` or `\`.
    mask: u64,
}

impl<'a> Specials<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, block: 0, mask: mask_at(bytes, 0) }
    }

    /// The first `"` or `\` at or behind `at`, which must not be before the last answer's block.
    #[inline]
    pub(super) fn next(&mut self, at: usize) -> Option<usize> {
        let block = at & !(BLOCK - 1);
        if block != self.block {
            self.load(block);
        }
        let mut mask = self.mask & (u64::MAX << (at & (BLOCK - 1)));
        while mask == 0 {
            let next = self.block + BLOCK;
            if next >= self.bytes.len() {
                return None;
            }
            self.load(next);
            mask = self.mask;
        }
        Some(self.block + mask.trailing_zeros() as usize)
    }

    #[inline]
    fn load(&mut self, block: usize) {
        self.block = block;
        self.mask = mask_at(self.bytes, block);
    }
}

/// The mask of the block at `start`; bits behind the end are 0.
#[inline]
fn mask_at(bytes: &[u8], start: usize) -> u64 {
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

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the compiler asks for it where a target feature is named")]
#[inline]
fn mask(block: &[u8; BLOCK]) -> u64 {
    // SAFETY: every x86_64 processor has SSE2.
    unsafe { mask_sse2(block) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn mask_sse2(block: &[u8; BLOCK]) -> u64 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let (quarters, _) = block.as_chunks::<16>();
    let mut mask = 0;
    for (index, quarter) in quarters.iter().enumerate() {
        // Compiles to one unaligned load.
        let whole = u128::from_le_bytes(*quarter);
        let bytes = _mm_set_epi64x((whole >> 64) as i64, whole as i64);
        let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        let bits = _mm_movemask_epi8(_mm_or_si128(quotes, backslashes)) as u32;
        mask |= u64::from(bits) << (index * 16);
    }
    mask
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn mask(block: &[u8; BLOCK]) -> u64 {
    let mut mask = 0;
    for (index, byte) in block.iter().enumerate() {
        mask |= u64::from(matches!(byte, b'"' | b'\\')) << index;
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
                prop_oneof![Just(b'"'), Just(b'\\'), any::<u8>(), Just(b'a'), Just(b'a')], 0..300),
            steps in proptest::collection::vec(0_usize..80, 1..20),
        ) {
            let mut specials = Specials::new(&bytes);
            let mut at = 0;
            for step in steps {
                let plain = (at..bytes.len()).find(|i| matches!(bytes[*i], b'"' | b'\\'));
                prop_assert_eq!(specials.next(at), plain);
                at += step;
                if at >= bytes.len() { break; }
            }
        }
    }
}
