//! The host's own alerts: what is wrong with it becomes entries of the outbox like any other alert.
//!
//! In: what is wrong at a moment. Out: what is to be told of it. Several hosts of a group see the same
//! things; their alerts have the same keys, so that the ledger lets one of them through. A pure core.

use std::collections::{BTreeMap, BTreeSet};

use crate::notification::{AlertId, IntentId, Kind, Notification, Severity, Span};
use crate::outbox::Entry;
use crate::record::RecordId;

/// The rule and the topic that the host's own alerts are said to be of; no file can be named so by
/// accident.
pub const OWN: &str = "$firebell";
/// What is gone for so long is over, milliseconds: what comes and goes is not told each time.
const SETTLED_MS: i64 = 30_000;
/// What lasts is said again after so long, milliseconds, in case another host said that it is over; an
/// alert that is open takes no notice.
const SAID_AGAIN_MS: i64 = 300_000;
/// Other words are said at most so often, milliseconds.
const UPDATED_MS: i64 = 60_000;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it is about, the same on every host: the alert's key.
    pub subject: String,
    /// How bad.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// The rest, in words of the host, of rules and of records.
    pub detail: String,
}

/// What was said, and what is to be said.
#[derive(Debug)]
pub struct Ops {
    group: String,
    channel: String,
    told: BTreeMap<String, Told>,
    /// Subjects that a host before this one may have left open.
    left: BTreeSet<String>,
    began_ms: i64,
}

#[derive(Debug)]
struct Told {
    condition: Condition,
    said_ms: i64,
    seen_ms: i64,
}

impl Ops {
    /// For a host of a group that begins at `began_ms`, milliseconds since the Unix epoch. Of `left` it is
    /// said once that they are over, if they are: a host that ended may have had them.
    pub fn new(
        group: &str,
        channel: &str,
        left: impl IntoIterator<Item = String>,
        began_ms: i64,
    ) -> Self {
        let (group, channel) = (group.to_owned(), channel.to_owned());
        let left = left.into_iter().collect();
        Self { group, channel, told: BTreeMap::new(), left, began_ms }
    }

    /// A host that did not end may have left this open: of what only one host at a time can see.
    pub fn may_be_left(&mut self, subject: &str) {
        self.left.insert(subject.to_owned());
    }

    /// What is to be told, when all that is wrong now is this. Of what is `unsure` it is not said that it is
    /// over.
    pub fn look(&mut self, wrong: Vec<Condition>, unsure: &[&str], now_ms: i64) -> Vec<Entry> {
        let mut entries = Vec::new();
        for subject in unsure {
            let told = self.told.get_mut(*subject);
            told.into_iter().for_each(|told| told.seen_ms = now_ms);
        }
        for condition in wrong {
            self.left.remove(&condition.subject);
            let said = self.told.get(&condition.subject);
            let kind = match said {
                None => Some(Kind::Fire),
                Some(said) if now_ms - said.said_ms >= SAID_AGAIN_MS => Some(Kind::Fire),
                Some(said) if said.condition == condition => None,
                Some(said) if now_ms - said.said_ms >= UPDATED_MS => Some(Kind::Update),
                Some(_) => None,
            };
            match kind {
                Some(kind) => {
                    self.push(&mut entries, kind, &condition, now_ms);
                    let subject = condition.subject.clone();
                    let told = Told { condition, said_ms: now_ms, seen_ms: now_ms };
                    self.told.insert(subject, told);
                }
                None => {
                    let told = self.told.get_mut(&condition.subject);
                    told.into_iter().for_each(|told| told.seen_ms = now_ms);
                }
            }
        }
        self.end(&mut entries, unsure, now_ms);
        entries
    }

    /// What is over.
    fn end(&mut self, entries: &mut Vec<Entry>, unsure: &[&str], now_ms: i64) {
        let is_over = |told: &Told| now_ms - told.seen_ms >= SETTLED_MS;
        let over: Vec<String> = self
            .told
            .iter()
            .filter(|(_, told)| is_over(told))
            .map(|(name, _)| name.clone())
            .collect();
        for subject in over {
            if let Some(Told { condition, .. }) = self.told.remove(&subject) {
                self.push(entries, Kind::Resolve, &condition, now_ms);
            }
        }
        if now_ms - self.began_ms >= SETTLED_MS {
            let over = self.left.extract_if(.., |subject| !unsure.contains(&subject.as_str()));
            for subject in over.collect::<Vec<_>>() {
                let title = format!("{subject}: all is well");
                let condition =
                    Condition { subject, severity: Severity::Info, title, detail: String::new() };
                self.push(entries, Kind::Resolve, &condition, now_ms);
            }
        }
    }

    fn push(&self, entries: &mut Vec<Entry>, kind: Kind, condition: &Condition, now_ms: i64) {
        let record = RecordId { topic: OWN.into(), partition: 0, offset: now_ms };
        let index = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let intent = IntentId { record, rule: OWN.to_owned(), index };
        let body = match condition.detail.as_str() {
            "" => vec![],
            detail => vec![Span::Text(detail.to_owned())],
        };
        let notification = Notification {
            alert_key: Some(format!("{} {}", self.group, condition.subject)),
            window_start_ms: None,
            severity: condition.severity,
            kind,
            title: format!("firebell {}: {}", self.group, condition.title),
            body,
            fields: vec![],
            labels: vec![("group".into(), self.group.clone())],
            evidence: vec![],
            excerpt: None,
            channel: None,
        };
        entries.push(Entry {
            alert: AlertId::of(&intent, now_ms, &notification),
            intent,
            channel: self.channel.clone(),
            event_time_ms: now_ms,
            rule_version: String::new(),
            generation: 0,
            notification,
            is_stale: false,
            digest: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(subject: &str, title: &str) -> Condition {
        let (subject, title) = (subject.to_owned(), title.to_owned());
        Condition { subject, severity: Severity::Error, title, detail: "d".into() }
    }

    fn told(entries: &[Entry]) -> Vec<(Kind, &str)> {
        entries.iter().map(|e| (e.notification.kind, &*e.notification.title)).collect()
    }

    #[test]
    fn what_is_wrong_is_said_once_changed_seldom_and_ended_when_it_is_gone_for_a_while() {
        let mut ops = Ops::new("g", "ops", [], 0);
        let lag = || vec![condition("lag", "late")];
        let first = ops.look(lag(), &[], 0);
        assert_eq!(told(&first), [(Kind::Fire, "firebell g: late")]);
        assert!(ops.look(lag(), &[], 10_000).is_empty());
        let later = || vec![condition("lag", "later")];
        assert!(ops.look(later(), &[], 20_000).is_empty(), "not so soon");
        assert_eq!(told(&ops.look(later(), &[], 60_000)), [(Kind::Update, "firebell g: later")]);
        assert!(ops.look(vec![], &[], 80_000).is_empty(), "it may come again");
        let last = ops.look(vec![], &[], 90_000);
        assert_eq!(told(&last), [(Kind::Resolve, "firebell g: later")]);
        assert!(ops.look(vec![], &[], 200_000).is_empty());
        // One alert from begin to end, on whatever host.
        assert_eq!(first[0].alert, last[0].alert);
        let other = Ops::new("g", "ops", [], 7).look(lag(), &[], 7);
        assert_eq!(first[0].alert, other[0].alert);
        assert_ne!(first[0].alert, Ops::new("h", "ops", [], 0).look(lag(), &[], 0)[0].alert);
    }

    #[test]
    fn what_lasts_is_said_again_since_another_host_may_have_ended_it() {
        let mut ops = Ops::new("g", "ops", [], 0);
        let lag = || vec![condition("lag", "late")];
        assert_eq!(ops.look(lag(), &[], 0).len(), 1);
        assert!(ops.look(lag(), &[], SAID_AGAIN_MS - 1).is_empty());
        assert_eq!(told(&ops.look(lag(), &[], SAID_AGAIN_MS)), [(Kind::Fire, "firebell g: late")]);
    }

    #[test]
    fn what_a_host_that_ended_may_have_left_open_is_ended_once() {
        let mut ops = Ops::new("g", "ops", ["lag".to_owned(), "policy".to_owned()], 0);
        assert_eq!(ops.look(vec![condition("policy", "bad")], &[], 1_000).len(), 1);
        let entries = ops.look(vec![condition("policy", "bad")], &[], SETTLED_MS);
        assert_eq!(told(&entries), [(Kind::Resolve, "firebell g: lag: all is well")]);
        assert!(ops.look(vec![condition("policy", "bad")], &[], SETTLED_MS + 1).is_empty());
    }

    #[test]
    fn two_things_of_one_moment_are_two_intents() {
        let mut ops = Ops::new("g", "ops", [], 0);
        let entries = ops.look(vec![condition("a", "a"), condition("b", "b")], &[], 5);
        assert_ne!(entries[0].intent, entries[1].intent);
        assert_ne!(entries[0].alert, entries[1].alert);
    }

    #[test]
    fn what_nobody_here_can_see_is_neither_begun_nor_ended() {
        let mut ops = Ops::new("g", "ops", ["canary".to_owned()], 0);
        assert!(ops.look(vec![], &["canary"], SETTLED_MS).is_empty());
        let missing = || vec![condition("canary", "missing")];
        assert_eq!(ops.look(missing(), &[], 40_000).len(), 1);
        assert!(ops.look(vec![], &["canary"], 200_000).is_empty(), "another host sees it now");
        assert!(ops.look(vec![], &[], 210_000).is_empty());
        let last = ops.look(vec![], &[], 230_000);
        assert_eq!(told(&last), [(Kind::Resolve, "firebell g: missing")]);
        // What another one began is ended here, where it is seen.
        ops.may_be_left("canary");
        assert!(ops.look(vec![], &["canary"], 240_000).is_empty());
        let last = ops.look(vec![], &[], 250_000);
        assert_eq!(told(&last), [(Kind::Resolve, "firebell g: canary: all is well")]);
    }
}
