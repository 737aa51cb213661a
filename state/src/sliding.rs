//! What is kept of a sliding window of one key: its records, in the order of their times.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use crate::limits::{EVIDENCE_BYTES, ITEM_BYTES, RECORD_BYTES};
use crate::moment::{Evidence, WindowState};
use crate::plan::{Aggregate, Window};
use crate::tally::Input;

/// The records of one key. They are kept in columns, since a count needs nothing but the times:
/// a column that the aggregate does not need is empty, any other is as long as `times`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sliding {
    /// Whether the value was past the threshold at the last look.
    pub(crate) above: bool,
    /// Event times, ascending; records of equal times in the order of their coming.
    times: VecDeque<i64>,
    /// For `sum`, `min` and `max`.
    numbers: VecDeque<f64>,
    /// For `distinct`.
    items: VecDeque<Item>,
    /// Lengths of the items together.
    item_bytes: usize,
    /// Empty as long as the plan keeps none; none: the record came when the plan kept none.
    evidence: VecDeque<Option<Evidence>>,
}

/// An item that is counted.
#[derive(Debug, Clone, PartialEq)]
struct Item {
    bytes: Box<[u8]>,
    /// Time of the next record with the same item. So the different ones among the records up to
    /// some time are those whose next is later, or that have none.
    next_ms: Option<i64>,
}

/// Which records a sliding window is about: those after `end_ms - size_ms` and after
/// `horizon_ms`, up to and including `end_ms`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) size_ms: i64,
    pub(crate) end_ms: i64,
    /// What is this old is forgotten, whether or not it was removed.
    pub(crate) horizon_ms: i64,
}

/// A record of a sliding window, to write it and to read it back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) time_ms: i64,
    pub(crate) number: Option<f64>,
    pub(crate) item: Option<&'a [u8]>,
    pub(crate) evidence: Option<&'a Evidence>,
}

impl Sliding {
    /// Time of the newest record.
    pub(crate) fn last_ms(&self) -> Option<i64> {
        self.times.back().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// Forgets the records up to and including `horizon_ms`. Without any left, what comes is a
    /// new situation.
    pub(crate) fn prune(&mut self, horizon_ms: i64) {
        let gone = self.times.partition_point(|time| *time <= horizon_ms);
        self.times.drain(..gone);
        self.numbers.drain(..gone.min(self.numbers.len()));
        let items = self.items.drain(..gone.min(self.items.len()));
        self.item_bytes -= items.map(|item| item.bytes.len()).sum::<usize>();
        self.evidence.drain(..gone.min(self.evidence.len()));
        self.above &= !self.times.is_empty();
    }

    /// What it would cost with one more record, after [`prune`](Self::prune).
    pub(crate) fn cost_with(&self, window: &Window, input: Input<'_>, horizon_ms: i64) -> usize {
        let gone = self.times.partition_point(|time| *time <= horizon_ms);
        let left = self.times.len() - gone;
        let items = match input {
            Input::Item(item) => {
                let gone = self.items.iter().take(gone).map(|item| item.bytes.len()).sum::<usize>();
                self.item_bytes - gone + item.len() + (left + 1) * ITEM_BYTES
            }
            Input::Number(_) => 0,
        };
        let keeps = window.evidence > 0 || (!self.evidence.is_empty() && left > 0);
        let evidence = if keeps { (left + 1) * EVIDENCE_BYTES } else { 0 };
        (left + 1) * RECORD_BYTES + items + evidence
    }

    /// What it costs besides its key.
    pub(crate) fn cost(&self) -> usize {
        self.times.len() * RECORD_BYTES
            + self.item_bytes
            + self.items.len() * ITEM_BYTES
            + self.evidence.len() * EVIDENCE_BYTES
    }

    /// Adds a record behind those of its time.
    pub(crate) fn insert(
        &mut self,
        window: &Window,
        time_ms: i64,
        input: Input<'_>,
        record: &Evidence,
    ) {
        let place = self.times.partition_point(|time| *time <= time_ms);
        if window.evidence > 0 || !self.evidence.is_empty() {
            // The plan began to keep evidence only now.
            self.evidence.resize(self.times.len(), None);
            self.evidence.insert(place, (window.evidence > 0).then(|| record.clone()));
        }
        match input {
            Input::Item(item) => self.insert_item(place, time_ms, item),
            Input::Number(number) if window.aggregate != Aggregate::Count => {
                self.numbers.insert(place, number);
            }
            Input::Number(_) => {}
        }
        self.times.insert(place, time_ms);
    }

    fn insert_item(&mut self, place: usize, time_ms: i64, bytes: &[u8]) {
        let same = |item: &Item| *item.bytes == *bytes;
        let next_ms = match self.items.iter_mut().take(place).rev().find(|item| same(item)) {
            Some(before) => before.next_ms.replace(time_ms),
            None => {
                let after = self.items.iter().skip(place).position(same);
                after.and_then(|after| self.times.get(place + after).copied())
            }
        };
        self.item_bytes += bytes.len();
        self.items.insert(place, Item { bytes: Box::from(bytes), next_ms });
    }

    /// The aggregate over some of the records; 0 if there are none.
    pub(crate) fn value(&self, aggregate: Aggregate, reach: Reach) -> f64 {
        let range = self.range(reach);
        let numbers = || self.numbers.range(self.clipped(&range, self.numbers.len())).copied();
        match aggregate {
            Aggregate::Count => range.len() as f64,
            Aggregate::Sum => numbers().fold(0.0, |sum, number| sum + number),
            Aggregate::Min => numbers().reduce(|a, b| if b < a { b } else { a }).unwrap_or(0.0),
            Aggregate::Max => numbers().reduce(|a, b| if b > a { b } else { a }).unwrap_or(0.0),
            Aggregate::Distinct => {
                let items = self.items.range(self.clipped(&range, self.items.len()));
                items.filter(|item| item.next_ms.is_none_or(|next| next > reach.end_ms)).count()
                    as f64
            }
        }
    }

    /// What is told of a window of the plan, by its place there; none if no record is in it.
    pub(crate) fn state(
        &self,
        (position, window): (u32, &Window),
        key: &[u8],
        reach: Reach,
    ) -> Option<WindowState> {
        let range = self.range(reach);
        let evidence = self.evidence.range(self.clipped(&range, self.evidence.len())).flatten();
        (!range.is_empty()).then(|| WindowState {
            window: position,
            key: key.to_vec(),
            start_ms: reach.end_ms.saturating_sub(reach.size_ms),
            end_ms: reach.end_ms,
            value: self.value(window.aggregate, reach),
            count: range.len() as u64,
            evidence: evidence.take(window.evidence as usize).cloned().collect(),
        })
    }

    /// Its records, to be written.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.times.iter().enumerate().map(|(place, time)| Row {
            time_ms: *time,
            number: self.numbers.get(place).copied(),
            item: self.items.get(place).map(|item| &*item.bytes),
            evidence: self.evidence.get(place).and_then(Option::as_ref),
        })
    }

    /// Whether the plan kept evidence when records came.
    pub(crate) fn keeps_evidence(&self) -> bool {
        !self.evidence.is_empty()
    }

    /// Adds what was read back; rows come in the order in which they were written, and all have
    /// the same columns.
    pub(crate) fn push(&mut self, row: Row<'_>, keeps_evidence: bool) {
        self.times.push_back(row.time_ms);
        self.numbers.extend(row.number);
        if let Some(item) = row.item {
            self.item_bytes += item.len();
            self.items.push_back(Item { bytes: Box::from(item), next_ms: None });
        }
        if keeps_evidence {
            self.evidence.push_back(row.evidence.cloned());
        }
    }

    /// Finds again what is not written: the next record of every item.
    pub(crate) fn link(&mut self) {
        let mut next: HashMap<&[u8], i64> = HashMap::new();
        for (item, time) in self.items.iter_mut().zip(&self.times).rev() {
            item.next_ms = next.insert(&item.bytes, *time);
        }
    }

    fn range(&self, reach: Reach) -> Range<usize> {
        let after_ms = reach.end_ms.saturating_sub(reach.size_ms);
        let after_ms = after_ms.max(reach.horizon_ms);
        let end = self.times.partition_point(|time| *time <= reach.end_ms);
        let start = self.times.partition_point(|time| *time <= after_ms);
        start.min(end)..end
    }

    /// The part of `range` that a column of this length has.
    fn clipped(&self, range: &Range<usize>, len: usize) -> Range<usize> {
        range.start.min(len)..range.end.min(len)
    }
}
