//! What of one channel is in memory, and what is left in the outbox until there is room: a target that is
//! away or slow holds nobody else up. A pure core.
//!
//! In: entries as they are read. Out: which of them are taken into memory; and from where the outbox is
//! to be read again when there is room. Once one entry is left, all that follow are, so that they come in
//! their order.

/// So many entries, and their bytes, about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Entries.
    pub entries: usize,
    /// Their bytes, about.
    pub bytes: usize,
}

impl Load {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }

    /// Whether it is as much as another, in entries or in bytes.
    pub fn reaches(&self, other: Self) -> bool {
        self.entries >= other.entries || self.bytes >= other.bytes
    }

    /// Takes another away.
    pub fn sub(&mut self, other: Self) {
        self.entries = self.entries.saturating_sub(other.entries);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// How much of the outbox is in memory at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Of all channels together: above this reading is held, and goes on below four fifths of it. Above half
    /// of it each channel leaves in the outbox what it cannot tell soon, so that only very many channels
    /// together can hold so much.
    pub all: Load,
    /// Of a channel of Slack, which a storm's tally relieves: what comes then is looked at as soon as it comes.
    pub of_slacks: Load,
    /// Of another target.
    pub of_sinks: Load,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            all: Load { entries: 10_000, bytes: 32 << 20 },
            of_slacks: Load { entries: 5_000, bytes: 16 << 20 },
            of_sinks: Load { entries: 1_000, bytes: 3 << 20 },
        }
    }
}

/// One channel's.
#[derive(Debug)]
pub(super) struct Backlog {
    most: Load,
    held: Load,
    /// Entries that are in memory and not counted there: their target did not take them.
    aside: usize,
    left: Option<Left>,
}

/// What is left in the outbox.
#[derive(Debug)]
struct Left {
    /// The offset from which it is read again.
    from: i64,
    entries: usize,
    is_being_read: bool,
}

/// Above this part of what may be held, nothing is read again.
const LIGHT: usize = 5;
/// While much is in memory of all channels together, each holds this part of what it may.
const TIGHT: usize = 20;

impl Backlog {
    /// Nothing is there; `most` is held in memory.
    pub(super) fn new(most: Load) -> Self {
        Self { most, held: Load::default(), aside: 0, left: None }
    }

    /// The same for another courier of the channel, and what the first one held, which is gone with it.
    pub(super) fn handed_on(&mut self) -> (Self, Load) {
        (Self { left: self.left.take(), ..Self::new(self.most) }, self.held)
    }

    /// What may be held, `is_tight` while much is in memory of all channels together.
    fn most(&self, is_tight: bool) -> Load {
        let part = if is_tight { TIGHT } else { 1 };
        Load { entries: self.most.entries / part, bytes: self.most.bytes / part }
    }

    /// Whether an entry that was just read is taken into memory; if not, it is left in the outbox.
    pub(super) fn takes(&mut self, offset: i64, bytes: usize, is_tight: bool) -> bool {
        let most = self.most(is_tight);
        match &mut self.left {
            Some(left) => left.entries += 1,
            None if self.held.reaches(most) => {
                self.left = Some(Left { from: offset, entries: 1, is_being_read: false });
            }
            None => self.held.add(Load { entries: 1, bytes }),
        }
        self.left.is_none()
    }

    /// Something that was held is finished, or waits elsewhere.
    pub(super) fn finished(&mut self, done: Load) {
        self.held.sub(done);
    }

    /// So many lie aside.
    pub(super) fn set_aside(&mut self, entries: usize) {
        self.aside = entries;
    }

    /// How many wait beside those that are held: they are left in the outbox, or lie aside.
    pub(super) fn beside(&self) -> usize {
        self.left() + self.aside
    }

    /// How many entries are left in the outbox.
    pub(super) fn left(&self) -> usize {
        self.left.as_ref().map_or(0, |left| left.entries)
    }

    /// From which offset the outbox is to be read again now, and how much; [`Backlog::was_read`] follows.
    pub(super) fn read_again(&mut self, is_tight: bool) -> Option<(i64, Load)> {
        let mut room = self.most(is_tight);
        let is_light =
            self.held.entries <= room.entries / LIGHT && self.held.bytes <= room.bytes / LIGHT;
        let left = self.left.as_mut().filter(|left| is_light && !left.is_being_read)?;
        left.is_being_read = true;
        room.sub(self.held);
        Some((left.from, room))
    }

    /// The outbox was read again up to the offset `next`, and `read` of it are in memory now; `newest` is
    /// the offset after the last entry that came meanwhile, of any channel. Returns how many were not there
    /// any more, `None` = something is left.
    pub(super) fn was_read(&mut self, read: Load, next: i64, newest: i64) -> Option<usize> {
        self.held.add(read);
        let Some(left) = &mut self.left else { return Some(0) };
        left.from = next;
        left.entries = left.entries.saturating_sub(read.entries);
        left.is_being_read = false;
        // What comes behind `newest` is none of the channel's, or it would be counted.
        let is_over = left.entries == 0 || next >= newest;
        is_over.then(|| self.left.take().map_or(0, |left| left.entries))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const MOST: Load = Load { entries: 10, bytes: 1_000 };

    #[test]
    fn bytes_count_as_entries_do() {
        let mut backlog = Backlog::new(MOST);
        assert!(backlog.takes(0, 999, false) && backlog.takes(1, 900, false));
        assert!(!backlog.takes(2, 0, false) && !backlog.takes(3, 0, false));
        assert_eq!((backlog.left(), backlog.read_again(false)), (2, None));
        backlog.finished(Load { entries: 1, bytes: 999 });
        assert_eq!(backlog.read_again(false), None);
        backlog.finished(Load { entries: 1, bytes: 900 });
        assert_eq!(backlog.read_again(false), Some((2, MOST)));
        assert_eq!(backlog.read_again(false), None, "it is being read");
    }

    #[test]
    fn nothing_is_left_when_all_that_was_left_is_read_whatever_others_were_told_meanwhile() {
        let mut backlog = Backlog::new(Load { entries: 1, bytes: 1_000 });
        assert!(backlog.takes(0, 1, false) && !backlog.takes(1, 1, false));
        backlog.finished(Load { entries: 1, bytes: 1 });
        assert!(backlog.read_again(false).is_some());
        assert_eq!(backlog.was_read(Load { entries: 1, bytes: 1 }, 2, 9), Some(0));
        backlog.finished(Load { entries: 1, bytes: 1 });
        assert!(backlog.takes(9, 1, false), "nobody would read it again");
        // One that came meanwhile, and one that is not there any more.
        assert!(!backlog.takes(10, 1, false));
        backlog.finished(Load { entries: 1, bytes: 1 });
        assert!(backlog.read_again(false).is_some() && !backlog.takes(11, 1, false));
        assert_eq!(backlog.was_read(Load { entries: 1, bytes: 1 }, 11, 12), None);
        backlog.finished(Load { entries: 1, bytes: 1 });
        assert_eq!(backlog.read_again(false).map(|(from, _)| from), Some(11));
        assert_eq!(backlog.was_read(Load::default(), 12, 12), Some(1));
    }

    #[test]
    fn while_much_is_in_memory_little_is_held_of_each() {
        let mut backlog = Backlog::new(Load { entries: 100, bytes: 1_000_000 });
        assert!((0..5).all(|offset| backlog.takes(offset, 1, true)));
        assert!(!backlog.takes(5, 1, true) && !backlog.takes(6, 1, false));
        assert_eq!(backlog.read_again(true), None);
        let room = backlog.read_again(false).unwrap().1;
        assert_eq!(room.entries, 95);
        let (mut next, gone) = backlog.handed_on();
        assert_eq!((next.left(), next.held, backlog.left()), (2, Load::default(), 0));
        assert_eq!(gone, Load { entries: 5, bytes: 5 });
        assert!(!next.takes(7, 1, false));
    }

    proptest! {
        /// A channel's entries among others, with a target that takes them as it pleases.
        #[test]
        fn every_entry_comes_once_in_its_order_and_what_is_held_is_bounded(
            ours in proptest::collection::vec(any::<bool>(), 1..200), mut draw: u64,
        ) {
            let mut draw = move || {
                draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                draw >> 33
            };
            let size = Load { entries: 1, bytes: 10 };
            let (mut backlog, mut queue) = (Backlog::new(MOST), VecDeque::new());
            let (mut newest, mut taken, mut reading) = (0, Vec::new(), None);
            let all: Vec<i64> = (0..).zip(&ours).filter(|(_, ours)| **ours).map(|(at, _)| at).collect();
            while taken.len() < all.len() || usize::try_from(newest).unwrap() < ours.len() {
                match draw() % 3 {
                    0 if usize::try_from(newest).unwrap() < ours.len() => {
                        if ours[usize::try_from(newest).unwrap()] && backlog.takes(newest, 10, draw() % 8 == 0) {
                            queue.push_back(newest);
                        }
                        newest += 1;
                    }
                    1 => if let Some(offset) = queue.pop_front() {
                        taken.push(offset);
                        backlog.finished(size);
                    },
                    _ => match reading.take() {
                        None => reading = backlog.read_again(false).map(|(from, room)| (from, room, newest)),
                        Some((from, room, to)) => {
                            let mut read = Load::default();
                            let mut next = to;
                            for offset in all.iter().copied().filter(|at| (from..to).contains(at)) {
                                if read.entries >= room.entries {
                                    next = offset;
                                    break;
                                }
                                read.add(size);
                                queue.push_back(offset);
                            }
                            backlog.was_read(read, next, newest);
                        }
                    },
                }
                prop_assert!(queue.len() <= MOST.entries);
            }
            prop_assert_eq!(taken, all);
        }
    }
}
