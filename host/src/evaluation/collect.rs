//! What rules returned becomes outbox entries, records to write and dead letters, in the order of
//! records and then of rules, so that a replay gives the same bytes.

use std::sync::Arc;

use firebell_state::{Firing, Moment};

use crate::dead_letter::{DeadLetter, RuleVersion, Stage, owned_headers};
use crate::effect::{Effect, EmittedContent, RowEffect};
use crate::evaluation::evidence::excerpt;
use crate::evaluation::slot::{Failed, Outcome};
use crate::evaluation::stateful::Fired;
use crate::evaluation::{Evaluation, RuleReport};
use crate::notification::{AlertId, IntentId, Notification};
use crate::outbox::Entry;
use crate::record::{OutgoingRecord, Record, RecordId, TopicPartition};
use crate::rules::{Mode, Rule};

/// Where the effects of one batch come from.
pub(super) struct Source<'a> {
    pub(super) partition: &'a TopicPartition,
    pub(super) records: &'a [Record<'a>],
    /// Partitions that the records are from, where they came by the repartition topic.
    pub(super) origins: Option<&'a [i32]>,
    pub(super) generation: u64,
    /// When the wall clock, and no record, made time go on; milliseconds since the Unix epoch.
    pub(super) ticked_ms: Option<i64>,
}

/// One thing to write.
enum Item {
    Entry(Box<Entry>),
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
    pub(super) fn id(&self, record: u32) -> RecordId {
        let own = self.partition.partition;
        RecordId {
            topic: Arc::clone(&self.partition.topic),
            partition: self.origins.map_or(own, |origins| origins[record as usize]),
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

impl Source<'_> {
    /// A notification on its way; `None` when the rule's do not go out. `alert` is what it is about.
    fn entry(
        &self,
        rule: &Rule,
        (intent, alert): (IntentId, AlertId),
        event_time_ms: i64,
        notification: Notification,
    ) -> Result<Option<Entry>, Refusal> {
        let channel = channel_of(rule, notification.channel.as_deref())
            .map_err(|message| (Stage::Channel, "channel_not_allowed", message))?;
        if rule.mode != Mode::Active {
            return Ok(None);
        }
        Ok(Some(Entry {
            alert,
            intent,
            channel,
            event_time_ms,
            rule_version: rule.version.clone(),
            generation: self.generation,
            notification,
            is_stale: false,
            digest: None,
        }))
    }

    /// The dead letter of a firing: no record, but what fired and when.
    fn fired_letter(
        &self,
        rule: &Rule,
        id: &RecordId,
        firing: &Firing,
        (stage, reason): (Stage, &'static str),
        message: String,
    ) -> DeadLetter {
        DeadLetter {
            record: id.clone(),
            timestamp_ms: -1,
            key: Some(firing_key(firing).to_vec()),
            value: Some(format!("{firing:?}").into_bytes()),
            headers: Vec::new(),
            rule: Some(RuleVersion { name: Arc::clone(&rule.name), version: rule.version.clone() }),
            generation: self.generation,
            stage,
            reason,
            message,
        }
    }
}

/// Why an effect does not happen: stage, reason, message.
type Refusal = (Stage, &'static str, String);

/// Effects of firings are numbered from here, so that they never meet those of a record.
const FIRED_INDEX: u32 = 1 << 31;

/// The first index of what a tick of the wall clock did. While no record comes, ticks follow each other at
/// the same offset, a second apart at least: the second tells them apart, for six days, with room for
/// 4,096 effects of each.
fn ticked_index(wall_ms: i64) -> u32 {
    let second = u32::try_from(wall_ms.div_euclid(1_000).rem_euclid(1 << 19)).unwrap_or(0);
    FIRED_INDEX + (second << 12)
}

/// The timer's or the window's key.
fn firing_key(firing: &Firing) -> &[u8] {
    match firing {
        Firing::Timer { key, .. } => key,
        Firing::Closed(window) => &window.key,
    }
}

/// A record that a rule emits; `None` when the rule's do not go out. `original` is the record that it
/// is about; a firing is about none.
fn emission(
    rule: &Rule,
    original: Option<&Record<'_>>,
    timestamp_ms: i64,
    topic: &str,
    content: EmittedContent,
) -> Result<Option<OutgoingRecord>, Refusal> {
    if !rule.emit.iter().any(|allowed| allowed == topic) {
        let message = format!(
            "rule `{name}` may not emit to topic `{topic}` ({}); add it to `emit` in {name}.toml",
            allowed(&rule.emit),
            name = rule.name,
        );
        return Err((Stage::Emit, "topic_not_allowed", message));
    }
    if rule.mode != Mode::Active {
        return Ok(None);
    }
    let (key, value, headers) = match (content, original) {
        (EmittedContent::Whole, Some(original)) => (
            original.key.map(<[u8]>::to_vec),
            original.value.map(<[u8]>::to_vec),
            owned_headers(original),
        ),
        (EmittedContent::Whole, None) => {
            let message =
                format!("rule `{}` emits a record whole where there is none: a timer", rule.name);
            return Err((Stage::Emit, "invalid_effect", message));
        }
        (EmittedContent::Derived { key, value, headers }, _) => {
            let headers = headers.into_iter().map(|(name, value)| (name, Some(value)));
            (key, value, headers.collect())
        }
    };
    let timestamp_ms = (timestamp_ms >= 0).then_some(timestamp_ms);
    Ok(Some(OutgoingRecord {
        topic: topic.into(),
        partition: None,
        key,
        value,
        headers,
        timestamp_ms,
    }))
}

impl Collected {
    /// A record that could not be decoded: one dead letter, whatever the number of rules.
    pub(super) fn undecodable(&mut self, source: &Source<'_>, record: u32, message: String) {
        let letter = source.dead_letter(record, None, (Stage::Decode, "undecodable"), message);
        self.items.push((record, 0, Item::DeadLetter(letter)));
    }

    /// What one rule made of its batch; `rows[row]` is the position of the record, and a row's moment is
    /// its event time where the rule declares one.
    pub(super) fn add(
        &mut self,
        source: &Source<'_>,
        rule: (u32, &Rule),
        (rows, moments): (&[u32], &[Moment]),
        outcome: Outcome,
        report: &mut RuleReport,
    ) {
        // After the undecodable record's dead letter, which is nobody's.
        let (position, rule) = (rule.0 + 1, rule.1);
        let goes_out = rule.mode == Mode::Active;
        let Outcome { effects, failed, fired, .. } = outcome;
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
        self.fired(source, (position, rule), fired, report);
        for RowEffect { row, effect } in effects {
            let record = rows[row as usize];
            let index = numbered.next(row);
            let refused = match effect {
                Effect::Notify(mut notification) => {
                    report.notifications[notification.severity as usize] += 1;
                    let value = source.records[record as usize].value;
                    notification.excerpt = excerpt(&notification, value);
                    let intent =
                        IntentId { record: source.id(record), rule: rule.name.to_string(), index };
                    let timestamp_ms = source.records[record as usize].timestamp_ms;
                    let alert = AlertId::of(&intent, timestamp_ms, &notification);
                    let event_time_ms =
                        moments.get(row as usize).map_or(timestamp_ms, |moment| moment.event_ms);
                    let ids = (intent, alert);
                    let entry = source.entry(rule, ids, event_time_ms, *notification);
                    entry.map(|entry| entry.map(|entry| Item::Entry(Box::new(entry))))
                }
                Effect::Emit { topic, content } => {
                    report.emitted(&topic);
                    let original = &source.records[record as usize];
                    let outgoing =
                        emission(rule, Some(original), original.timestamp_ms, &topic, content);
                    outgoing.map(|outgoing| outgoing.map(Item::Emitted))
                }
            };
            let refused = match refused {
                Ok(item) => {
                    self.items.extend(item.map(|item| (record, position, item)));
                    Ok(())
                }
                Err(refused) => Err(refused),
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

    /// What time did: firings, each before the record of its row.
    fn fired(
        &mut self,
        source: &Source<'_>,
        (position, rule): (u32, &Rule),
        fired: Vec<Fired>,
        report: &mut RuleReport,
    ) {
        let goes_out = rule.mode == Mode::Active;
        let first = source.ticked_ms.map_or(FIRED_INDEX, ticked_index);
        let mut numbered: (Option<RecordId>, u32) = (None, first);
        for Fired { before: record, record: id, due_ms, event_ms, firing, effects, failure } in
            fired
        {
            if numbered.0.as_ref() != Some(&id) {
                numbered = (Some(id.clone()), first);
            }
            if let Some(failure) = failure {
                let why = (Stage::Evaluate, failure.reason.as_str());
                if goes_out {
                    let letter = source.fired_letter(rule, &id, &firing, why, failure.message);
                    self.items.push((record, position, Item::DeadLetter(letter)));
                }
                continue;
            }
            for effect in effects {
                let index = numbered.1;
                numbered.1 = index.saturating_add(1);
                let item = match effect {
                    Effect::Notify(mut notification) => {
                        report.notifications[notification.severity as usize] += 1;
                        // Its own key and time name the situation where the rule does not.
                        if notification.alert_key.is_none() {
                            let key = String::from_utf8_lossy(firing_key(&firing));
                            notification.alert_key = Some(key.into_owned());
                            notification.window_start_ms.get_or_insert(due_ms);
                        }
                        let intent =
                            IntentId { record: id.clone(), rule: rule.name.to_string(), index };
                        let alert = AlertId::of(&intent, due_ms, &notification);
                        let ids = (intent, alert);
                        let entry = source.entry(rule, ids, event_ms, *notification);
                        entry.map(|entry| entry.map(|entry| Item::Entry(Box::new(entry))))
                    }
                    Effect::Emit { topic, content } => {
                        report.emitted(&topic);
                        let outgoing = emission(rule, None, due_ms, &topic, content);
                        outgoing.map(|outgoing| outgoing.map(Item::Emitted))
                    }
                };
                match item {
                    Ok(item) => self.items.extend(item.map(|item| (record, position, item))),
                    Err((stage, reason, message)) if goes_out => {
                        let why = (stage, reason);
                        let letter = source.fired_letter(rule, &id, &firing, why, message);
                        self.items.push((record, position, Item::DeadLetter(letter)));
                    }
                    Err(_) => {}
                }
            }
        }
    }

    /// Puts everything in its order, and empties itself.
    pub(super) fn drain_into(&mut self, out: &mut Evaluation) {
        // Stable: one rule's things for one record stay as it returned them.
        self.items.sort_by_key(|(record, rule, _)| (*record, *rule));
        for (_, _, item) in self.items.drain(..) {
            match item {
                Item::Entry(entry) => out.entries.push(*entry),
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
