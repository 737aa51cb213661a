//! Which records go to which rule.
//!
//! In: the records of one partition. Out: for each rule the rows that its conditions let through, as
//! columns ([`Survivors`]), and the records that could not be decoded though a rule might have wanted them.
//! A [`TopicMatcher`] holds all rules of one topic and never changes; what it needs while it
//! works is in a [`Scratch`] that its caller keeps.
//!
//! `matching/condition.rs` says what a condition means, `index` how a thousand of them cost little
//! more than one, `prefilter` how most records never reach a parser. Neither changes an answer.

mod compile;
mod condition;
mod error;
mod index;
mod interpreter;
mod literals;
mod macros;
mod parse;
mod prefilter;
mod rewrite;

use std::sync::Arc;

use crate::batch::Batch;
use crate::decode::cell::Cell;
use crate::decode::{DecodeError, Decoder, Fields, Slots};
use crate::record::Record;
use crate::subscription::{Field, FieldSource, Format};

use condition::{Column, Condition};
pub use error::{ConditionError, ConditionProblem, Place};
use index::{Index, IndexScratch};
use prefilter::Prefilter;

/// Records of a scan after which a prefilter that lets most of them pass is left out.
const PREFILTER_TRIAL: usize = 64;

/// Bytes of one batch's cells: ends are 32-bit. What is beyond is null and counted; no caller reads
/// that much at once.
const CELLS_BYTES_MAX: usize = u32::MAX as usize;
/// Bytes that a buffer keeps from one scan to the next.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// The topic and partition that records are from.
type Origin<'a> = (&'a Arc<str>, i32);

/// What matching needs to know of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchRule {
    /// How the topic's values are decoded for it.
    pub format: Format,
    /// Its columns.
    pub fields: Vec<Field>,
    /// CEL conditions over the fields' names; all must hold.
    pub conditions: Vec<String>,
}

/// All rules of one topic.
#[derive(Debug)]
pub struct TopicMatcher {
    /// Rules of one format each; every rule is in one of them.
    groups: Vec<Group>,
    rules: usize,
}

/// The records that passed, by rule.
#[derive(Debug, Default)]
pub struct Survivors {
    /// A batch for each rule, in the order of the rules; only those of `matched` say anything.
    pub batches: Vec<RuleBatch>,
    /// The rules whose batches have rows, ascending.
    pub matched: Vec<usize>,
    /// Records that could not be decoded and that a rule might have wanted, in offset order.
    pub undecodable: Vec<Undecodable>,
}

/// The rows of one rule.
#[derive(Debug, Default)]
pub struct RuleBatch {
    /// The columns.
    pub batch: Batch,
    /// Row to index into the records.
    pub rows: Vec<u32>,
    /// Cells that are null because the record holds another type than declared.
    pub mismatched: u64,
}

/// A record that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// Its index in the records.
    pub record: u32,
    /// Why.
    pub error: DecodeError,
}

/// Room that a scan works in; kept by the caller, for all topics.
#[derive(Debug, Default)]
pub struct Scratch {
    slots: Slots,
    index: IndexScratch,
}

/// The rules of one topic that have one format.
#[derive(Debug)]
struct Group {
    prefilter: Option<Prefilter>,
    decoder: Decoder,
    index: Index,
    rules: Vec<GroupRule>,
}

#[derive(Debug)]
struct GroupRule {
    /// Its place among the topic's rules.
    index: usize,
    columns: Vec<Column>,
    condition: Condition,
    /// Whether its condition or a column looks into the decoded value.
    decoded: bool,
}

/// Checks a condition without a topic, as when a rule is loaded.
///
/// # Errors
///
/// What is wrong with the condition, and where.
pub fn check_condition(text: &str, fields: &[Field]) -> Result<(), ConditionError> {
    let columns: Vec<_> = fields
        .iter()
        .enumerate()
        .map(|(slot, field)| Column { slot, field_type: field.field_type })
        .collect();
    parse::with_stack(|| compile::compile(text, fields, &columns).map(|_| ()))
        .unwrap_or_else(|| Err(ConditionError::new(text, 0, ConditionProblem::Parser)))
}

impl TopicMatcher {
    /// A matcher for all rules of a topic; a rule's number is its place.
    ///
    /// # Errors
    ///
    /// The first condition that cannot be used.
    pub fn new(rules: Vec<MatchRule>) -> Result<Self, ConditionError> {
        let mut formats: Vec<Format> = rules.iter().map(|rule| rule.format).collect();
        formats.sort_by_key(|format| format.as_str());
        formats.dedup();
        let groups = parse::with_stack(|| {
            formats.into_iter().map(|format| Group::new(format, &rules)).collect()
        });
        // Conditions that were checked one by one do not fail here.
        let failed = || Err(ConditionError::new("", 0, ConditionProblem::Parser));
        Ok(Self { groups: groups.unwrap_or_else(failed)?, rules: rules.len() })
    }

    /// Scans records of one partition, in offset order, and fills `out`, which is cleared first.
    pub fn scan(
        &self,
        topic: &Arc<str>,
        partition: i32,
        records: &[Record<'_>],
        scratch: &mut Scratch,
        out: &mut Survivors,
    ) {
        out.begin(self.rules);
        scratch.slots.shrink(KEPT_BYTES_MAX);
        let origin = (topic, partition);
        for group in &self.groups {
            group.scan(origin, records, scratch, out);
        }
        out.end(self.groups.len());
    }
}

impl Group {
    fn new(format: Format, rules: &[MatchRule]) -> Result<Self, ConditionError> {
        let mut sources: Vec<FieldSource> = Vec::new();
        let mut slots = std::collections::HashMap::new();
        let mut grouped = Vec::new();
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.format == format) {
            let columns: Vec<_> = rule
                .fields
                .iter()
                .map(|field| {
                    let slot = *slots.entry(&field.source).or_insert_with(|| {
                        sources.push(field.source.clone());
                        sources.len() - 1
                    });
                    Column { slot, field_type: field.field_type }
                })
                .collect();
            let mut conditions = rule
                .conditions
                .iter()
                .map(|text| compile::compile(text, &rule.fields, &columns))
                .collect::<Result<Vec<_>, _>>()?;
            let condition = match conditions.len() {
                1 => conditions.swap_remove(0),
                _ => Condition::All(conditions),
            };
            let decoded =
                rule.fields.iter().any(|field| matches!(field.source, FieldSource::Pointer(_)));
            grouped.push(GroupRule { index, columns, condition, decoded });
        }
        let conditions = || grouped.iter().map(|rule| &rule.condition);
        Ok(Self {
            prefilter: Prefilter::new(format, &sources, conditions()),
            index: Index::new(conditions()),
            decoder: Decoder::new(format, sources),
            rules: grouped,
        })
    }

    fn scan(
        &self,
        origin: Origin<'_>,
        records: &[Record<'_>],
        scratch: &mut Scratch,
        out: &mut Survivors,
    ) {
        let (mut tried, mut passed) = (0_usize, 0);
        for (index, record) in records.iter().enumerate() {
            let prefilter = self.prefilter.as_ref();
            if let Some(prefilter) = prefilter
                && (tried < PREFILTER_TRIAL || !prefilter.is_vain(tried, passed))
            {
                tried += 1;
                // What is looked for must be in the value, so a tombstone has nothing.
                if !record.value.is_some_and(|value| prefilter.might_match(value)) {
                    continue;
                }
                passed += 1;
            }
            let (fields, decoded) = self.decoder.decode(record, &mut scratch.slots);
            if let Err(error) = decoded {
                // Whether a record is reported must not depend on the records before it.
                let value = record.value.unwrap_or_default();
                if prefilter.is_none_or(|prefilter| prefilter.might_match(value)) {
                    self.undecodable(origin, index, record, &fields, error, out);
                }
                continue;
            }
            self.index.each(&fields, &mut scratch.index, &mut |rule| {
                out.push(origin, &self.rules[rule], index, record, &fields);
            });
        }
    }

    /// A record that could not be decoded: it goes to the rules that need no decoded field, and is
    /// reported when one of the others might have wanted it.
    #[cold]
    fn undecodable(
        &self,
        origin: Origin<'_>,
        index: usize,
        record: &Record<'_>,
        fields: &Fields<'_>,
        error: DecodeError,
        out: &mut Survivors,
    ) {
        let unknown = |slot: usize| matches!(self.decoder.sources()[slot], FieldSource::Pointer(_));
        let mut wanted = false;
        for rule in &self.rules {
            if rule.decoded {
                wanted |= rule.condition.might_hold(fields, &unknown);
            } else if rule.condition.holds(fields) {
                out.push(origin, rule, index, record, fields);
            }
        }
        if wanted {
            out.undecodable.push(Undecodable { record: index as u32, error });
        }
    }
}

impl Survivors {
    fn begin(&mut self, rules: usize) {
        for rule in self.matched.drain(..) {
            if let Some(batch) = self.batches.get_mut(rule) {
                batch.clear();
            }
        }
        self.undecodable.clear();
        self.batches.resize_with(rules, RuleBatch::default);
    }

    fn end(&mut self, groups: usize) {
        if groups > 1 {
            // A record that two formats cannot decode is reported once.
            self.undecodable.sort_by_key(|undecodable| undecodable.record);
            self.undecodable.dedup_by_key(|undecodable| undecodable.record);
        }
        self.matched.sort_unstable();
    }

    /// Appends a row to a rule's batch.
    fn push(
        &mut self,
        (topic, partition): Origin<'_>,
        rule: &GroupRule,
        index: usize,
        record: &Record<'_>,
        fields: &Fields<'_>,
    ) {
        let RuleBatch { batch, rows, mismatched } = &mut self.batches[rule.index];
        if rows.is_empty() {
            self.matched.push(rule.index);
            if !Arc::ptr_eq(&batch.topic, topic) {
                batch.topic = Arc::clone(topic);
            }
            batch.partition = partition;
        }
        rows.push(index as u32);
        batch.offsets.push(record.offset);
        batch.timestamps.push(record.timestamp_ms);
        for Column { slot, field_type } in &rule.columns {
            let start = batch.cells.len();
            let mut cell = fields.write(*slot, *field_type, &mut batch.cells);
            if batch.cells.len() > CELLS_BYTES_MAX {
                batch.cells.truncate(start);
                cell = Cell::Mismatch;
            }
            if cell != Cell::Value(()) {
                *mismatched += u64::from(cell == Cell::Mismatch);
                let bit = batch.ends.len();
                batch.nulls.resize(batch.nulls.len().max(bit / 8 + 1), 0);
                batch.nulls[bit / 8] |= 1 << (bit % 8);
            }
            batch.ends.push(batch.cells.len() as u32);
        }
        if !batch.nulls.is_empty() {
            batch.nulls.resize(batch.ends.len().div_ceil(8), 0);
        }
    }
}

impl RuleBatch {
    fn clear(&mut self) {
        let Self { batch, rows, mismatched } = self;
        batch.offsets.clear();
        batch.timestamps.clear();
        batch.cells.clear();
        batch.cells.shrink_to(KEPT_BYTES_MAX);
        batch.ends.clear();
        batch.nulls.clear();
        rows.clear();
        *mismatched = 0;
    }
}

#[cfg(test)]
mod tests;
