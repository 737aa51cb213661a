//! The ledger: what became of every alert in every channel, as entries of a compacted Kafka topic.
//!
//! In: what Slack answered. Out: whether an alert was already sent, and where its message is. The
//! topic has as many partitions as the outbox, and an entry lies in the partition of its channel, so
//! that whoever owns a partition of the outbox restores the same one of the ledger. Pure but for
//! `kafka.rs`: no clock, no Kafka.

use std::collections::{BTreeSet, HashMap};

use crate::digest::Digest;
use crate::group::{Folded, Group, Member, Stands};
use crate::notification::{AlertId, Severity};
use crate::policy::Labels;
use crate::tally::{Sum, Tally, ToldIn};

pub mod kafka;
pub mod open;
mod wire;

/// Where a message is: what `chat.update` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The channel's id.
    pub channel_id: String,
    /// The message's `ts`, its id within the channel.
    pub ts: String,
}

/// What became of an alert in one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its message stands; a second `fire` sends nothing.
    Open,
    /// It was resolved; a later `fire` opens it anew with a message of its own.
    Resolved,
    /// It was given up on (a dead letter, or dropped by `on_ambiguous`); a later `fire` tries again.
    Abandoned,
    /// It was silenced, muted or inhibited until it was over; a later `fire` is another one. With labels
    /// it is open still, and not told yet.
    Suppressed,
}

impl State {
    /// The word in the wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Abandoned => "abandoned",
            Self::Suppressed => "suppressed",
        }
    }
}

/// What a message says of its alert, as it was told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When what opened the alert happened; where it has no time, when it was told. Milliseconds
    /// since the Unix epoch.
    pub opened_ms: i64,
    /// The rule.
    pub rule: String,
    /// The title, its first 300 bytes.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
}

/// One alert in one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The alert.
    pub alert: AlertId,
    /// The channel by name. The same alert may be told to several channels.
    pub channel: String,
    /// The message; `None` = there is none that can be changed (webhook, abandoned).
    pub place: Option<Place>,
    /// What became of it.
    pub state: State,
    /// The intent whose notification made the message; its metadata carries it.
    pub opened_by: String,
    /// The last intent that was carried out.
    pub last_intent: String,
    /// The offset in the outbox of the last entry that was carried out: what is not after it is
    /// a repetition. -1 = not known.
    pub outbox_offset: i64,
    /// When this was written, milliseconds since the Unix epoch.
    pub updated_ms: i64,
    /// What the message of a digest tells, all entries that went into it together.
    pub digest: Option<Digest>,
    /// The tally that tells of it, instead of a message of its own.
    pub told_in: Option<ToldIn>,
    /// This is a tally.
    pub tally: Option<Tally>,
    /// This is a group.
    pub group: Option<Group>,
    /// The group whose message tells of it, instead of a message of its own.
    pub member: Option<Member>,
    /// The channel that it was posted to because its own takes nothing. Without a place: that is about
    /// to be tried.
    pub fallback: Option<String>,
    /// What the message says; `None` = it was never told.
    pub told: Option<Told>,
    /// The last intent that was told as a reply in the message's thread.
    pub last_reply: Option<String>,
    /// What its target must be told again and again while the alert is open: Alertmanager's alert.
    pub standing: Option<serde_json::Value>,
    /// The alert's labels while it is open and can end, told or not. While they are here, it inhibits
    /// others, and its end is told here.
    pub labels: Option<Labels>,
    /// Why it is not told, or was not until it was over: the silence, the time interval, the alert that
    /// inhibits it.
    pub why: Option<String>,
}

/// Why a record is not a ledger entry.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A newer host wrote it. It is refused, not guessed.
    #[error(
        "ledger entry has version {found}, this firebell reads version {known}; \
         upgrade this host to the version that wrote it"
    )]
    Version {
        /// The version that was found.
        found: u64,
        /// The only version that is read.
        known: u64,
    },
    /// It is no JSON, or not of the shape of its version.
    #[error("ledger entry cannot be read")]
    Shape(#[source] serde_json::Error),
    /// A word or an id in it has no meaning.
    #[error("ledger entry has a wrong {place}: {message}")]
    Value {
        /// Which member.
        place: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl Entry {
    /// What is known of an alert when its first intent was carried out, and nothing else: no message.
    pub fn new(alert: AlertId, channel: &str, intent: String, state: State) -> Self {
        Self {
            alert,
            channel: channel.to_owned(),
            place: None,
            state,
            opened_by: intent.clone(),
            last_intent: intent,
            outbox_offset: -1,
            updated_ms: 0,
            digest: None,
            told_in: None,
            tally: None,
            group: None,
            member: None,
            fallback: None,
            told: None,
            last_reply: None,
            standing: None,
            labels: None,
            why: None,
        }
    }

    /// The same, opened by what opened another one, if there is one.
    #[must_use]
    pub fn opened_like(self, other: Option<&Self>) -> Self {
        match other {
            Some(other) => Self { opened_by: other.opened_by.clone(), ..self },
            None => self,
        }
    }

    /// Whether this is a group that more may go into.
    pub fn is_open_group(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.closed_ms.is_none())
    }

    /// Whether its alert is open and was not told yet.
    pub fn is_held(&self) -> bool {
        self.state == State::Suppressed && self.labels.is_some()
    }

    /// How it stands as an alert of a group.
    pub fn stands(&self) -> Stands {
        let is_event = self.member.as_ref().is_some_and(|member| member.key.is_none());
        match self.state {
            State::Resolved => Stands::Ended,
            _ if is_event => Stands::Event,
            _ => Stands::Fires,
        }
    }

    /// The group that only counts it, with what it counts as.
    fn counted(&self) -> Option<(AlertId, Stands, Severity)> {
        let member = self.member.as_ref().filter(|member| member.is_folded)?;
        let severity = self.told.as_ref().map_or(Severity::Info, |told| told.severity);
        Some((member.group, self.stands(), severity))
    }

    /// The record's key: `ALERT/CHANNEL`.
    pub fn key(&self) -> Vec<u8> {
        wire::key(&self.alert, &self.channel)
    }

    /// The record's value: JSON of the current version.
    pub fn to_bytes(&self) -> Vec<u8> {
        wire::to_bytes(self)
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// When it is of another version, or not an entry.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LedgerError> {
        wire::from_bytes(bytes)
    }
}

/// All entries of one partition.
#[derive(Debug, Default, Clone)]
pub struct Ledger {
    entries: HashMap<Vec<u8>, Entry>,
    /// The alerts of each group, by the group's alert id.
    members: HashMap<AlertId, Members>,
}

/// The alerts of a group.
#[derive(Debug, Default, Clone)]
struct Members {
    /// The keys of those that are told one by one.
    keys: BTreeSet<Vec<u8>>,
    /// Those that are only counted.
    folded: Folded,
}

impl Ledger {
    /// Takes a record of the topic; no value = its key is forgotten.
    ///
    /// # Errors
    /// When the value cannot be read; the ledger is then as before.
    pub fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), LedgerError> {
        match value {
            Some(value) => {
                let entry = Entry::from_bytes(value)?;
                self.insert(key.to_vec(), entry);
            }
            None => self.remove(key),
        }
        Ok(())
    }

    /// What is known of an alert in a channel.
    pub fn get(&self, alert: &AlertId, channel: &str) -> Option<&Entry> {
        self.entries.get(&wire::key(alert, channel))
    }

    /// All entries, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// What is known of all alerts in a channel, in no order.
    pub fn of_channel<'a>(&'a self, channel: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.values().filter(move |entry| entry.channel == channel)
    }

    /// Notes what became of an alert.
    pub fn put(&mut self, entry: Entry) {
        self.insert(entry.key(), entry);
    }

    fn insert(&mut self, key: Vec<u8>, entry: Entry) {
        self.remove(&key);
        if let Some((group, stands, severity)) = entry.counted() {
            self.members.entry(group).or_default().folded.add(stands, severity);
        } else if let Some(member) = &entry.member {
            self.members.entry(member.group).or_default().keys.insert(key.clone());
        }
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &[u8]) {
        let Some(entry) = self.entries.remove(key) else { return };
        let Some(group) = entry.member.as_ref().map(|member| member.group) else { return };
        let Some(members) = self.members.get_mut(&group) else { return };
        match entry.counted() {
            Some((_, stands, severity)) => members.folded.remove(stands, severity),
            None => {
                members.keys.remove(key);
            }
        }
        if members.keys.is_empty() && members.folded.is_empty() {
            self.members.remove(&group);
        }
    }

    /// The alerts of a group that are told one by one, in no order.
    pub fn members(&self, group: &AlertId) -> impl Iterator<Item = &Entry> {
        let keys = self.members.get(group).into_iter().flat_map(|members| &members.keys);
        keys.filter_map(|key| self.entries.get(key))
    }

    /// How many alerts of a group are only counted.
    pub fn folded(&self, group: &AlertId) -> Folded {
        self.members.get(group).map(|members| members.folded).unwrap_or_default()
    }

    /// The groups of a channel that are open, in no order.
    pub fn groups(&self, channel: &str) -> Vec<Entry> {
        let groups = self.of_channel(channel).filter(|entry| entry.is_open_group());
        groups.cloned().collect()
    }

    /// The channels for which there are tallies or open groups.
    pub fn channels_of_many(&self) -> BTreeSet<String> {
        let many = |entry: &&Entry| entry.tally.is_some() || entry.is_open_group();
        self.entries.values().filter(many).map(|entry| entry.channel.clone()).collect()
    }

    /// The tallies of a channel, each with the sum of its alerts.
    pub fn tallies(&self, channel: &str) -> Vec<(Entry, Sum)> {
        let of_channel = || self.entries.values().filter(|entry| entry.channel == channel);
        let mut sums: HashMap<AlertId, Sum> = HashMap::new();
        for entry in of_channel() {
            if let Some(told_in) = &entry.told_in {
                let sum = sums.entry(told_in.tally).or_default();
                sum.add(told_in, entry.state == State::Resolved);
            }
        }
        let tallies = of_channel().filter(|entry| entry.tally.is_some());
        tallies
            .map(|entry| (entry.clone(), sums.remove(&entry.alert).unwrap_or_default()))
            .collect()
    }

    /// The sum of the alerts that a tally tells of.
    pub fn sum(&self, tally: &AlertId) -> Sum {
        let mut sum = Sum::default();
        for entry in self.entries.values() {
            if let Some(told_in) = entry.told_in.as_ref().filter(|told| told.tally == *tally) {
                sum.add(told_in, entry.state == State::Resolved);
            }
        }
        sum
    }

    /// Forgets what was last written before `before_ms` and returns the keys, for tombstones. What waits
    /// in a group to be told stays, since the ledger alone knows of it, and so does a group that has alerts; and
    /// what the outbox has from `position` on, since it is read again.
    pub fn expire(&mut self, before_ms: i64, position: i64) -> Vec<Vec<u8>> {
        let waits = |entry: &Entry| {
            entry.member.as_ref().is_some_and(|member| entry.is_held() || member.is_news)
        };
        let is_old = |entry: &Entry| {
            entry.updated_ms < before_ms && entry.outbox_offset < position && !waits(entry)
        };
        let lives = |group: &AlertId| self.members(group).any(|member| !is_old(member));
        let old = self
            .entries
            .iter()
            .filter(|(_, entry)| is_old(entry) && !(entry.is_open_group() && lives(&entry.alert)));
        let old: Vec<_> = old.map(|(key, _)| key.clone()).collect();
        old.iter().for_each(|key| self.remove(key));
        old
    }

    /// Forgets outbox offsets when the outbox ends before one of them: then the topic was made
    /// anew, and its offsets mean other entries. True when that was so.
    pub fn outbox_ends_at(&mut self, end: i64) -> bool {
        let anew = self.entries.values().any(|entry| entry.outbox_offset >= end);
        if anew {
            self.entries.values_mut().for_each(|entry| entry.outbox_offset = -1);
        }
        anew
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests;
