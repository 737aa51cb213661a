//! What is kept of a tumbling, hopping or session window of one key.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::limits::{EVIDENCE_BYTES, ITEM_BYTES};
use crate::moment::{Evidence, WindowState};
use crate::plan::{Aggregate, Window};

/// What a record brings to a window.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// Finite; not looked at by `count`.
    Number(f64),
    Item(&'a [u8]),
}

/// The aggregate of a window and what it needs to go on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tally {
    pub(crate) end_ms: i64,
    /// Records in it.
    pub(crate) count: u64,
    /// The aggregate; 0 without records.
    pub(crate) value: f64,
    /// Whether the rule was told that it crossed.
    pub(crate) crossed: bool,
    /// Whether the rule was told that it closed: then it is, whatever the grace is now.
    pub(crate) told: bool,
    /// The different items of a `distinct` window.
    pub(crate) items: Option<Box<Items>>,
    /// Shared with the journal until it changes; none: no records kept.
    pub(crate) evidence: Option<Arc<Vec<Evidence>>>,
}

/// Different items, in order, so that they are written the same whenever they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Items {
    set: BTreeSet<Box<[u8]>>,
    /// Lengths of the items together.
    bytes: usize,
}

impl Items {
    /// Adds an item unless it is there.
    pub(crate) fn insert(&mut self, item: &[u8]) {
        if !self.set.contains(item) {
            self.bytes += item.len();
            self.set.insert(Box::from(item));
        }
    }

    pub(crate) fn contains(&self, item: &[u8]) -> bool {
        self.set.contains(item)
    }

    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.set.iter().map(|item| &**item)
    }

    fn cost(&self) -> usize {
        self.bytes + self.set.len() * ITEM_BYTES
    }
}

impl Tally {
    /// A window without records.
    pub(crate) fn new(end_ms: i64) -> Self {
        Self {
            end_ms,
            count: 0,
            value: 0.0,
            crossed: false,
            told: false,
            items: None,
            evidence: None,
        }
    }

    /// The aggregate with one more record.
    pub(crate) fn value_with(&self, aggregate: Aggregate, input: Input<'_>) -> f64 {
        match (aggregate, input) {
            (Aggregate::Count, _) => (self.count.saturating_add(1)) as f64,
            (Aggregate::Distinct, Input::Item(item)) => {
                let known = self.items.as_ref().is_some_and(|items| items.contains(item));
                if known { self.value } else { self.value + 1.0 }
            }
            (_, Input::Number(number)) => self.combined(aggregate, number, self.count == 0),
            (_, Input::Item(_)) => self.value,
        }
    }

    /// Bytes that [`add`](Self::add) would add to [`cost`](Self::cost).
    pub(crate) fn growth_with(&self, window: &Window, input: Input<'_>) -> usize {
        let kept = self.evidence.as_ref().map_or(0, |evidence| evidence.len());
        let evidence = if kept < window.evidence as usize { EVIDENCE_BYTES } else { 0 };
        match input {
            Input::Item(item) if !self.items.as_ref().is_some_and(|all| all.contains(item)) => {
                evidence + item.len() + ITEM_BYTES
            }
            _ => evidence,
        }
    }

    /// Adds a record; true if the window crossed by it.
    pub(crate) fn add(&mut self, window: &Window, input: Input<'_>, record: &Evidence) -> bool {
        self.value = self.value_with(window.aggregate, input);
        self.count = self.count.saturating_add(1);
        if let (Aggregate::Distinct, Input::Item(item)) = (window.aggregate, input) {
            self.items.get_or_insert_default().insert(item);
        }
        let kept = self.evidence.as_ref().map_or(0, |evidence| evidence.len());
        if kept < window.evidence as usize {
            let evidence = Arc::make_mut(self.evidence.get_or_insert_default());
            if evidence.len() == evidence.capacity() {
                // Most windows keep one or two: there are many windows.
                evidence.reserve_exact(kept.max(1));
            }
            evidence.push(record.clone());
        }
        self.cross(window)
    }

    /// Takes in the records of a later session; what was told of either stays told.
    pub(crate) fn merge(&mut self, window: &Window, later: Self) {
        self.value = match window.aggregate {
            Aggregate::Count => self.count.saturating_add(later.count) as f64,
            Aggregate::Distinct => {
                let items = self.items.get_or_insert_default();
                later.items.iter().flat_map(|all| all.iter()).for_each(|item| items.insert(item));
                items.len() as f64
            }
            aggregate => self.combined(aggregate, later.value, self.count == 0),
        };
        self.count = self.count.saturating_add(later.count);
        self.end_ms = self.end_ms.max(later.end_ms);
        self.crossed |= later.crossed;
        if let Some(evidence) = later.evidence
            && window.evidence > 0
        {
            let all = Arc::make_mut(self.evidence.get_or_insert_default());
            all.extend(evidence.iter().cloned());
            all.truncate(window.evidence as usize);
        }
    }

    /// Marks it crossed if it is past the threshold and was not.
    pub(crate) fn cross(&mut self, window: &Window) -> bool {
        let crosses = !self.crossed && window.crossing.passes(self.value);
        self.crossed |= crosses;
        crosses
    }

    /// What it costs besides its key.
    pub(crate) fn cost(&self) -> usize {
        let items = self.items.as_ref().map_or(0, |items| items.cost());
        items + self.evidence.as_ref().map_or(0, |evidence| evidence.len() * EVIDENCE_BYTES)
    }

    /// What is told of it.
    pub(crate) fn state(&self, window: u32, key: &[u8], start_ms: i64) -> WindowState {
        WindowState {
            window,
            key: key.to_vec(),
            start_ms,
            end_ms: self.end_ms,
            value: self.value,
            count: self.count,
            evidence: self.evidence.as_ref().map_or_else(Vec::new, |all| all.to_vec()),
        }
    }

    fn combined(&self, aggregate: Aggregate, number: f64, first: bool) -> f64 {
        let smaller = number < self.value;
        match aggregate {
            Aggregate::Sum => self.value + number,
            Aggregate::Min if first || smaller => number,
            Aggregate::Max if first || (!smaller && number != self.value) => number,
            _ => self.value,
        }
    }
}
