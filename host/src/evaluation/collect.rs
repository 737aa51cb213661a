//! What rules returned becomes outbox entries, records to write and dead letters, in the order of
//! records and then of rules, so that a replay gives the same bytes.

use std::sync::Arc;

use crate::dead_letter::{DeadLetter, RuleVersion, Stage, owned_headers};
use crate::effect::{Effect, EmittedContent, RowEffect};
use crate::evaluation::slot::{Failed, Outcome};
use crate::evaluation::{Evaluation, RuleReport};
use crate::notification::{AlertId, IntentId, Notification};
use crate::outbox::Entry;
use crate::record::{OutgoingRecord, Record, RecordId, TopicPartition};
use crate::rules::{Mode, Rule};

/// Where the effects of one batch come from.
pub(super) struct Source<'a> {
    pub(super) partition: &'a TopicPartition,
    pub(super) records: &'a [Record<'a>],
    pub(super) generation: u64,
}

/// One thing to write.
enum Item {
    Entry(Entry),
    Emitted(OutgoingRecord),
    DeadLetter(DeadLetter),
}

/// Things to write, each with its record's and its rule's position.
#[derive(Default)]
pub(super) struct Collected {
    items: Vec<(u32, u32, Item)>,
}

impl std::fmt::Debug for Collected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collected").field("items", &self.items.len()).finish()
    }
}

impl Source<'_> {
    fn id(&self, record: u32) -> RecordId {
        RecordId {
            topic: Arc::clone(&self.partition.topic),
            partition: self.partition.partition,
            offset: self.records[record as usize].offset,
        }
    }

    fn dead_letter(
        &self,
        record: u32,
        rule: Option<&Rule>,
        why: (Stage, &'static str),
        message: String,
    ) -> DeadLetter {
        let rule = rule.map(|rule| RuleVersion {
            name: Arc::clone(&rule.name),
            version: rule.version.clone(),
        });
        let id = self.id(record);
        DeadLetter::new(id, &self.records[record as usize], rule, self.generation, why, message)
    }
}

impl Collected {
    /// A record that could not be decoded: one dead letter, whatever the number of rules.
    pub(super) fn undecodable(&mut self, source: &Source<'_>, record: u32, message: String) {
        let letter = source.dead_letter(record, None, (Stage::Decode, "undecodable"), message);
        self.items.push((record, 0, Item::DeadLetter(letter)));
    }

    /// What one rule made of its batch; `rows[row]` is the position of the record.
    pub(super) fn add(
        &mut self,
        source: &Source<'_>,
        rule: (u32, &Rule),
        rows: &[u32],
        outcome: Outcome,
        report: &mut RuleReport,
    ) {
        // After the undecodable record's dead letter, which is nobody's.
        let (position, rule) = (rule.0 + 1, rule.1);
        let goes_out = rule.mode == Mode::Active;
        let Outcome { effects, failed, .. } = outcome;
        for (row, failed) in failed {
            let (reason, message) = match failed {
                Failed::Call(failure) => (failure.reason.as_str(), failure.message),
                Failed::Quarantined => ("quarantined", quarantined(rule)),
            };
            let record = rows[row as usize];
            if goes_out {
                let why = (Stage::Evaluate, reason);
                let letter = source.dead_letter(record, Some(rule), why, message);
                self.items.push((record, position, Item::DeadLetter(letter)));
            }
        }
        let mut numbered = Numbered::default();
        for RowEffect { row, effect } in effects {
            let record = rows[row as usize];
            let index = numbered.next(row);
            let refused = match effect {
                Effect::Notify(notification) => {
                    report.notifications[notification.severity as usize] += 1;
                    self.notify(source, (position, rule), (record, index), *notification)
                }
                Effect::Emit { topic, content } => {
                    report.emitted(&topic);
                    self.emit(source, (position, rule), record, &topic, content)
                }
            };
            // One for a record and stage, however often it asks: a dead letter is replayed once.
            if let Err((stage, reason, message)) = refused
                && goes_out
                && numbered.first_refusal(row, stage)
            {
                let letter = source.dead_letter(record, Some(rule), (stage, reason), message);
                self.items.push((record, position, Item::DeadLetter(letter)));
            }
        }
    }

    fn notify(
        &mut self,
        source: &Source<'_>,
        (position, rule): (u32, &Rule),
        (record, index): (u32, u32),
        notification: Notification,
    ) -> Result<(), (Stage, &'static str, String)> {
        let channel = channel_of(rule, notification.channel.as_deref())
            .map_err(|message| (Stage::Channel, "channel_not_allowed", message))?;
        if rule.mode != Mode::Active {
            return Ok(());
        }
        let intent = IntentId { record: source.id(record), rule: rule.name.to_string(), index };
        let event_time_ms = source.records[record as usize].timestamp_ms;
        let entry = Entry {
            alert: AlertId::of(&intent, event_time_ms, &notification),
            intent,
            channel,
            event_time_ms,
            rule_version: rule.version.clone(),
            generation: source.generation,
            notification,
        };
        self.items.push((record, position, Item::Entry(entry)));
        Ok(())
    }

    fn emit(
        &mut self,
        source: &Source<'_>,
        (position, rule): (u32, &Rule),
        record: u32,
        topic: &str,
        content: EmittedContent,
    ) -> Result<(), (Stage, &'static str, String)> {
        if !rule.emit.iter().any(|allowed| allowed == topic) {
            let message = format!(
                "rule `{name}` may not emit to topic `{topic}` ({}); add it to `emit` in {name}.toml",
                allowed(&rule.emit),
                name = rule.name,
            );
            return Err((Stage::Emit, "topic_not_allowed", message));
        }
        if rule.mode != Mode::Active {
            return Ok(());
        }
        let original = &source.records[record as usize];
        let (key, value, headers) = match content {
            EmittedContent::Whole => (
                original.key.map(<[u8]>::to_vec),
                original.value.map(<[u8]>::to_vec),
                owned_headers(original),
            ),
            EmittedContent::Derived { key, value, headers } => {
                let headers = headers.into_iter().map(|(name, value)| (name, Some(value)));
                (key, value, headers.collect())
            }
        };
        let outgoing = OutgoingRecord {
            topic: topic.into(),
            partition: None,
            key,
            value,
            headers,
            timestamp_ms: (original.timestamp_ms >= 0).then_some(original.timestamp_ms),
        };
        self.items.push((record, position, Item::Emitted(outgoing)));
        Ok(())
    }

    /// Puts everything in its order, and empties itself.
    pub(super) fn drain_into(&mut self, out: &mut Evaluation) {
        // Stable: one rule's things for one record stay as it returned them.
        self.items.sort_by_key(|(record, rule, _)| (*record, *rule));
        for (_, _, item) in self.items.drain(..) {
            match item {
                Item::Entry(entry) => out.entries.push(entry),
                Item::Emitted(record) => out.emitted.push(record),
                Item::DeadLetter(letter) => out.dead_letters.push(letter),
            }
        }
    }
}

/// Numbers the effects of each row from 0; rows come in ascending order.
#[derive(Default)]
struct Numbered {
    row: Option<u32>,
    next: u32,
    refused: Vec<Stage>,
}

impl Numbered {
    fn next(&mut self, row: u32) -> u32 {
        if self.row != Some(row) {
            *self = Self { row: Some(row), ..Self::default() };
        }
        let index = self.next;
        self.next += 1;
        index
    }

    fn first_refusal(&mut self, row: u32, stage: Stage) -> bool {
        debug_assert_eq!(self.row, Some(row));
        let first = !self.refused.contains(&stage);
        if first {
            self.refused.push(stage);
        }
        first
    }
}

/// The channel that a notification goes to, or why it may not.
fn channel_of(rule: &Rule, asked: Option<&str>) -> Result<String, String> {
    // People write channels with the sign that Slack shows.
    let bare = |name: &str| name.strip_prefix('#').unwrap_or(name).to_owned();
    let found = match asked {
        None => rule.channels.first(),
        Some(asked) => rule.channels.iter().find(|allowed| bare(allowed) == bare(asked)),
    };
    found.map(|channel| bare(channel)).ok_or_else(|| {
        format!(
            "rule `{name}` may not post to channel `{}` ({}); add it to `channels` in {name}.toml",
            bare(asked.unwrap_or_default()),
            allowed(&rule.channels),
            name = rule.name,
        )
    })
}

fn allowed(names: &[String]) -> String {
    if names.is_empty() {
        "none is allowed".into()
    } else {
        format!("allowed: {}", names.join(", "))
    }
}

fn quarantined(rule: &Rule) -> String {
    let last = rule
        .health
        .last_failure()
        .map_or_else(String::new, |last| format!("; last {}: {}", last.record, last.message));
    format!(
        "rule `{}` is quarantined after {} failed records in a row, until its file changes{last}",
        rule.name, rule.limits.quarantine_after,
    )
}
