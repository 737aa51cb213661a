//! Finds the rules that a record matches without asking each of them.
//!
//! A rule's condition is a list of conjuncts. A node of the index files each of its rules under one
//! of them: the text or number that a field must equal (a hash), a literal that it must start or end
//! with (a hash for each length), one that it must contain (one search for all), a test that many
//! rules share (made once), a bound that a number must pass (sorted). What is filed there is a node again, with the conjuncts that
//! are left. The few rules of a leaf are asked one by one, the cheap conjuncts first.

mod build;

use rustc_hash::FxHashMap;

use super::condition::{Column, Condition, Number, Order};
use super::literals::Literals;
use crate::decode::Fields;
use build::Filed;

/// The rules of one topic and format, by what they ask for.
#[derive(Debug)]
pub(super) struct Index {
    root: Node,
    rules: usize,
}

/// What a search works in; kept between records.
#[derive(Debug, Default)]
pub(super) struct IndexScratch {
    /// Literals that were found; a stack, since nodes are within nodes.
    found: Vec<u32>,
    /// The last record that a rule was asked for, of rules that are filed more than once.
    asked: Vec<u64>,
    /// The record's number.
    record: u64,
}

type ByText = FxHashMap<Box<[u8]>, Node>;
type ByNumber = FxHashMap<i64, Node>;

#[derive(Debug, Default)]
struct Node {
    /// By slot.
    texts: Vec<(usize, ByText)>,
    numbers: Vec<(Column, ByNumber)>,
    affixes: Vec<Affixes>,
    searches: Vec<Search>,
    shared: Vec<(Condition, Node)>,
    bounds: Vec<Bounds>,
    leaves: Vec<Leaf>,
}

/// What one field may start with, or end with.
#[derive(Debug)]
struct Affixes {
    slot: usize,
    side: Side,
    /// The lengths that there are, ascending.
    lengths: Vec<usize>,
    nodes: ByText,
}

/// An end of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Start,
    End,
}

/// The literals that one field may contain.
#[derive(Debug)]
struct Search {
    slot: usize,
    literals: Literals,
    /// By literal.
    nodes: Vec<Node>,
}

/// Bounds of one number in one direction; those that a value passes come first.
#[derive(Debug)]
struct Bounds {
    column: Column,
    upper: bool,
    bounds: Vec<(Order, Number, Leaf)>,
}

/// A rule with what is left to ask.
#[derive(Debug, Clone)]
struct Leaf {
    rule: usize,
    condition: Condition,
    /// Filed more than once.
    repeated: bool,
}

impl Index {
    /// An index over conditions; a rule's number is its place.
    pub(super) fn new<'c>(conditions: impl Iterator<Item = &'c Condition>) -> Self {
        let rules: Vec<_> =
            conditions.enumerate().map(|(rule, condition)| Filed::new(rule, condition)).collect();
        Self { rules: rules.len(), root: Node::new(rules) }
    }

    /// Calls `hit` with every rule whose condition is true for a record, once.
    #[inline]
    pub(super) fn each(
        &self,
        fields: &Fields<'_>,
        scratch: &mut IndexScratch,
        hit: &mut impl FnMut(usize),
    ) {
        scratch.record += 1;
        if scratch.asked.len() < self.rules {
            scratch.asked.resize(self.rules, 0);
        }
        self.root.each(fields, scratch, hit);
    }
}

impl Node {
    #[inline]
    fn each(&self, fields: &Fields<'_>, scratch: &mut IndexScratch, hit: &mut impl FnMut(usize)) {
        for (slot, nodes) in &self.texts {
            if let Some(text) = fields.text(*slot).value()
                && let Some(node) = nodes.get(text)
            {
                node.each_within(fields, scratch, hit);
            }
        }
        for (column, nodes) in &self.numbers {
            if let Some(number) = fields.integer(column.slot).value()
                && let Some(node) = nodes.get(&number)
            {
                node.each_within(fields, scratch, hit);
            }
        }
        for Affixes { slot, side, lengths, nodes } in &self.affixes {
            let Some(text) = fields.text(*slot).value() else { continue };
            for length in lengths.iter().take_while(|length| **length <= text.len()) {
                let affix = match side {
                    Side::Start => &text[..*length],
                    Side::End => &text[text.len() - length..],
                };
                if let Some(node) = nodes.get(affix) {
                    node.each_within(fields, scratch, hit);
                }
            }
        }
        for Search { slot, literals, nodes } in &self.searches {
            let Some(text) = fields.text(*slot).value() else { continue };
            let start = scratch.found.len();
            literals.find(text, &mut scratch.found);
            for index in start..scratch.found.len() {
                let node = &nodes[scratch.found[index] as usize];
                node.each_within(fields, scratch, hit);
            }
            scratch.found.truncate(start);
        }
        for (condition, node) in &self.shared {
            if condition.holds(fields) {
                node.each_within(fields, scratch, hit);
            }
        }
        for Bounds { column, bounds, .. } in &self.bounds {
            let Some(value) = Number::of(fields, *column) else { continue };
            let passed =
                bounds.partition_point(|(order, bound, _)| order.holds(value.compare(*bound)));
            for (_, _, leaf) in &bounds[..passed] {
                leaf.ask(fields, scratch, hit);
            }
        }
        for leaf in &self.leaves {
            leaf.ask(fields, scratch, hit);
        }
    }

    /// The same; apart, since a function that calls itself is not inlined.
    #[inline(never)]
    fn each_within(
        &self,
        fields: &Fields<'_>,
        scratch: &mut IndexScratch,
        hit: &mut impl FnMut(usize),
    ) {
        self.each(fields, scratch, hit);
    }
}

impl Leaf {
    #[inline]
    fn ask(&self, fields: &Fields<'_>, scratch: &mut IndexScratch, hit: &mut impl FnMut(usize)) {
        if self.repeated {
            if scratch.asked[self.rule] == scratch.record {
                return;
            }
            scratch.asked[self.rule] = scratch.record;
        }
        if self.condition.holds(fields) {
            hit(self.rule);
        }
    }
}
