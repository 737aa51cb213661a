//! How far a partition of the outbox is worked off: channels finish in any order. A pure core.

use std::collections::BTreeSet;

/// Offsets that are seen and not done, and where the partition goes on.
#[derive(Debug, Default)]
pub struct Watermark {
    open: BTreeSet<i64>,
    next: Option<i64>,
    committed: Option<i64>,
}

impl Watermark {
    /// Notes where reading starts.
    pub fn start(&mut self, offset: i64) {
        self.next.get_or_insert(offset);
    }

    /// Notes an entry that was read. False when it was read before.
    pub fn seen(&mut self, offset: i64) -> bool {
        if self.next.is_some_and(|next| offset < next) {
            return false;
        }
        self.open.insert(offset);
        self.next = Some(offset + 1);
        true
    }

    /// The offset after the last entry that was read; zero when none was.
    pub fn next(&self) -> i64 {
        self.next.unwrap_or_default()
    }

    /// Notes an entry that is finished.
    pub fn done(&mut self, offset: i64) {
        self.open.remove(&offset);
    }

    /// The topic has no entry before `offset` any more: whatever they are, nobody can read them again.
    pub fn forget_before(&mut self, offset: i64) {
        self.open = self.open.split_off(&offset);
    }

    /// The offset of the first entry that is not done, if it moved since the last call.
    pub fn advance(&mut self) -> Option<i64> {
        let next = self.position()?;
        if self.committed == Some(next) {
            return None;
        }
        self.committed = Some(next);
        Some(next)
    }

    /// The offset of the first entry that is not done; `None` = none was read.
    pub fn position(&self) -> Option<i64> {
        self.open.first().copied().or(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_watermark_never_passes_an_unfinished_entry_and_reaches_the_end(
            gaps in proptest::collection::vec(1..4i64, 1..40), order: u64,
        ) {
            let mut watermark = Watermark::default();
            let mut offsets: Vec<i64> = gaps.iter().scan(100, |at, gap| { *at += gap; Some(*at) }).collect();
            let last = *offsets.last().unwrap();
            for offset in &offsets {
                prop_assert!(watermark.seen(*offset));
                prop_assert!(!watermark.seen(*offset));
            }
            let mut highest = 0;
            let mut draw = order;
            while !offsets.is_empty() {
                draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let index = (draw >> 33) as usize % offsets.len();
                watermark.done(offsets.swap_remove(index));
                if let Some(next) = watermark.advance() {
                    prop_assert!(next > highest);
                    prop_assert!(offsets.iter().all(|open| *open >= next));
                    highest = next;
                }
            }
            prop_assert_eq!(watermark.position(), Some(last + 1));
            prop_assert_eq!(watermark.advance(), None);
            for offset in [last + 3, last + 5, last + 9] {
                watermark.seen(offset);
            }
            watermark.forget_before(last + 5);
            prop_assert_eq!(watermark.advance(), Some(last + 5));
        }
    }
}
