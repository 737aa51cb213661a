//! Every alert's life, put together from ledger and history: what `firebell alerts` and `/api/alerts`
//! tell. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::history::{Event, What};
use crate::ledger::{Entry as Known, State};
use crate::notification::AlertId;
use crate::state::query::time;

/// The states of an alert: the ledger's, and those that only the history knows.
pub const STATES: [&str; 8] = [
    State::Open.as_str(),
    State::Resolved.as_str(),
    State::Abandoned.as_str(),
    State::Suppressed.as_str(),
    WAITING,
    PENDING,
    UNTOLD,
    FORGOTTEN,
];
/// Ids that are shown when several are meant.
const SHOWN_MAX: usize = 5;
/// It is silenced, muted or inhibited, and told when that is over.
const WAITING: &str = "waiting";
/// It is being told, or waits for its turn.
const PENDING: &str = "pending";
/// It ended and nobody was ever told of it.
const UNTOLD: &str = "untold";
/// The ledger knows it no more.
const FORGOTTEN: &str = "forgotten";

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The ledger's entries.
    pub ledger: Vec<Known>,
    /// The history.
    pub events: Vec<Event>,
    /// Records of the history that this host cannot read.
    pub unreadable: usize,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Only alerts to which something happened since then, milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// Only those of this rule.
    pub rule: Option<String>,
    /// Only those in this state, one of [`STATES`].
    pub state: Option<String>,
}

/// An alert at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// The target.
    pub channel: String,
    /// One of [`STATES`].
    pub state: &'static str,
    /// The rule.
    pub rule: String,
    /// The last severity; empty = neither in the history any more nor told.
    pub severity: String,
    /// The last title; empty = neither in the history any more nor told.
    pub title: String,
    /// When the history first saw it, milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// When something last happened to it.
    pub updated_ms: i64,
    /// Where it is told, in words: a message, a tally, a group, another channel; empty = nowhere.
    pub told: String,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// Where the ledger says that an alert is told.
fn told(known: &Known) -> String {
    let place = known.place.as_ref().map(|place| format!("{}/{}", place.channel_id, place.ts));
    let message = match (&known.told_in, &known.member, place) {
        (Some(told_in), _, None) => format!("tally {}", told_in.tally),
        (_, Some(member), None) => format!("group {}", member.group),
        (_, _, Some(place)) => format!("message {place}"),
        (None, None, None) => String::new(),
    };
    match &known.fallback {
        Some(channel) if !message.is_empty() => format!("{message} in {channel}"),
        _ => message,
    }
}

/// Why no one alert is meant by an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// There is none.
    #[error("there is no alert `{0}`; `firebell alerts` lists all that ledger and history know")]
    None(String),
    /// There are several.
    #[error("`{id}` may be one of {}; write more of it", several(found))]
    Several {
        /// What was asked for.
        id: String,
        /// Those that begin so.
        found: Vec<AlertId>,
    },
}

/// The first of several ids, and how many more there are.
fn several(found: &[AlertId]) -> String {
    let first: Vec<String> = found.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
    match found.len().saturating_sub(SHOWN_MAX) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

impl Found {
    /// All alerts at their targets, the one that something happened to last first.
    pub fn alerts(self) -> Vec<Alert> {
        let mut known: BTreeMap<(AlertId, String), Known> = BTreeMap::new();
        for entry in self.ledger {
            known.insert((entry.alert, entry.channel.clone()), entry);
        }
        let mut events: BTreeMap<(AlertId, String), Vec<Event>> = BTreeMap::new();
        for event in self.events {
            events.entry((event.alert, event.channel.clone())).or_default().push(event);
        }
        let names: BTreeSet<_> = known.keys().chain(events.keys()).cloned().collect();
        let mut alerts: Vec<Alert> = names
            .into_iter()
            .map(|name| alert(known.remove(&name), events.remove(&name).unwrap_or_default(), name))
            .collect();
        alerts.sort_by_key(|alert| std::cmp::Reverse(alert.updated_ms));
        alerts
    }

    /// All alerts that a question asks for.
    pub fn answer(self, question: &Question) -> Vec<Alert> {
        let mut alerts = self.alerts();
        alerts.retain(|alert| {
            question.since_ms.is_none_or(|since| alert.updated_ms >= since)
                && question.rule.as_ref().is_none_or(|rule| *rule == alert.rule)
                && question.state.as_ref().is_none_or(|state| *state == alert.state)
        });
        alerts
    }

    /// The alert whose id begins so, at each of its targets.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn show(self, id: &str) -> Result<Vec<Alert>, Unclear> {
        let id = id.to_ascii_lowercase();
        let mut alerts = self.alerts();
        alerts.retain(|alert| alert.id.to_string().starts_with(&id));
        let ids: BTreeSet<AlertId> = alerts.iter().map(|alert| alert.id).collect();
        match ids.len() {
            0 => Err(Unclear::None(id)),
            1 => Ok(alerts),
            _ => Err(Unclear::Several { id, found: ids.into_iter().collect() }),
        }
    }
}

fn alert(known: Option<Known>, mut events: Vec<Event>, (id, channel): (AlertId, String)) -> Alert {
    events.sort_by_key(|event| (event.at_ms, event.number));
    let (mut severity, mut title) = (String::new(), String::new());
    for event in &events {
        if let What::TakenUp { severity: last, title: words, .. } = &event.what {
            (severity, title) = (last.clone(), words.clone());
        }
    }
    if title.is_empty()
        && let Some(told) = known.as_ref().and_then(|known| known.told.as_ref())
    {
        // It was taken up before the time that was asked for.
        (severity, title) = (told.severity.as_str().to_owned(), told.title.clone());
    }
    let last_ms = events.last().map(|event| event.at_ms);
    let told_ms = known.as_ref().map(|known| known.updated_ms);
    let updated_ms = last_ms.max(told_ms).unwrap_or_default();
    let rule = events.last().map(|event| event.rule.clone());
    let rule = rule.or_else(|| rule_of(&known.as_ref()?.last_intent)).unwrap_or_default();
    let since_ms = events.first().map(|event| event.at_ms).into_iter().chain(told_ms).min();
    let state = state(known.as_ref(), &events);
    let told = known.as_ref().map(told).unwrap_or_default();
    let since_ms = since_ms.unwrap_or_default();
    Alert { id, channel, state, rule, severity, title, since_ms, updated_ms, told, events }
}

/// The rule in an intent's text: `TOPIC/PARTITION/OFFSET#RULE#INDEX`.
fn rule_of(intent: &str) -> Option<String> {
    let (rest, _) = intent.rsplit_once('#')?;
    Some(rest.split_once('#')?.1.to_owned())
}

fn state(known: Option<&Known>, events: &[Event]) -> &'static str {
    // What is asked for is not yet an end.
    let last = events.iter().rev().find(|event| !matches!(event.what, What::Asked { .. }));
    match (last.map(|event| &event.what), known) {
        (Some(What::Waits { .. }), _) => WAITING,
        // Open, and not told yet.
        (_, Some(Known { state: State::Suppressed, labels: Some(_), why, .. })) => {
            if why.is_some() { WAITING } else { PENDING }
        }
        (_, Some(known)) => known.state.as_str(),
        (Some(What::TakenUp { .. }), None) => PENDING,
        (Some(What::Ended { outcome, .. }), None) if outcome == "untold" => UNTOLD,
        (_, None) => FORGOTTEN,
    }
}

impl Alert {
    /// As JSON, with what happened or without.
    pub fn to_json(&self, with_events: bool) -> Value {
        let mut alert = json!({
            "id": self.id.to_string(),
            "channel": self.channel,
            "state": self.state,
            "rule": self.rule,
            "severity": self.severity,
            "title": self.title,
            "told": self.told,
            "since_ms": self.since_ms,
            "since": time(self.since_ms),
            "updated_ms": self.updated_ms,
            "updated": time(self.updated_ms),
        });
        if with_events {
            alert["events"] = self.events.iter().map(event_json).collect::<Vec<_>>().into();
        }
        alert
    }
}

fn event_json(event: &Event) -> Value {
    let what = serde_json::to_value(&event.what).unwrap_or_default();
    let mut json = json!({
        "at_ms": event.at_ms, "at": time(event.at_ms), "intent": event.intent,
    });
    if let (Some(json), Value::Object(what)) = (json.as_object_mut(), what) {
        json.extend(what);
    }
    json
}

/// What happened, in words for a tired person.
pub fn words(what: &What) -> String {
    let with = |words: String, why: &str| match why {
        "" => words,
        why => format!("{words}: {why}"),
    };
    match what {
        What::TakenUp { kind, severity, title, .. } => format!("{kind} ({severity}): {title}"),
        What::Waits { why } => format!("waits: {why}"),
        What::Asked { method, class, detail } => {
            with(format!("asked to {method}, {class}"), detail)
        }
        What::Ended { outcome, why } => with(outcome.replace('_', " "), why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::event;
    use crate::ledger::Told;
    use crate::notification::Severity;

    const ALERT: &str = "0123456789abcdef0123456789abcdef";

    fn known(state: State) -> Known {
        let intent = "SYSLOG/0/42#a#b#0".to_owned();
        Known {
            opened_by: String::new(),
            outbox_offset: 1,
            updated_ms: 50,
            ..Known::new(ALERT.parse().unwrap(), "general", intent, state)
        }
    }

    fn taken_up(kind: &str) -> What {
        What::TakenUp {
            kind: kind.into(),
            severity: "warning".into(),
            title: format!("the {kind}"),
            event_time_ms: 0,
        }
    }

    fn of(ledger: Option<State>, events: Vec<Event>) -> Alert {
        let ledger = ledger.map(known).into_iter().collect();
        let mut alerts = Found { ledger, events, unreadable: 0 }.alerts();
        assert_eq!(alerts.len(), 1);
        alerts.remove(0)
    }

    #[test]
    fn the_state_is_the_ledgers_unless_only_the_history_knows() {
        let waits = || event(2, What::Waits { why: "silence s".into() });
        let ended = |outcome| event(3, What::ended(outcome, ""));
        let begun = || event(1, taken_up("fire"));
        let asked = || event(2, What::asked("post", "transient", "HTTP 503"));
        for (ledger, events, wanted) in [
            (Some(State::Open), vec![], "open"),
            (Some(State::Open), vec![begun(), asked()], "open"),
            (None, vec![begun(), asked()], "pending"),
            (None, vec![begun(), waits()], "waiting"),
            (Some(State::Resolved), vec![begun(), waits()], "waiting"),
            (Some(State::Suppressed), vec![waits(), ended("suppressed")], "suppressed"),
            (None, vec![ended("untold")], "untold"),
            (None, vec![ended("posted")], "forgotten"),
        ] {
            assert_eq!(of(ledger, events.clone()).state, wanted, "{events:?}");
        }
        assert!(STATES.contains(&"waiting"));
    }

    #[test]
    fn what_is_open_and_not_told_waits_or_has_its_turn_to_come() {
        let labels = Some([("rule", "r")].into_iter().collect());
        let held = Known { labels, ..known(State::Suppressed) };
        let why = Some("inhibited by alert 1".to_owned());
        for (known, wanted) in [(held.clone(), PENDING), (Known { why, ..held }, WAITING)] {
            let found = Found { ledger: vec![known], ..Found::default() };
            assert_eq!(found.alerts()[0].state, wanted);
        }
    }

    #[test]
    fn an_alert_tells_its_last_words_and_its_events_in_order() {
        let events = vec![
            event(30, What::ended("updated", "")),
            event(10, taken_up("fire")),
            Event { number: 1, ..event(20, taken_up("update")) },
            event(20, What::ended("posted", "")),
        ];
        let alert = of(Some(State::Open), events);
        assert_eq!(
            (alert.title.as_str(), alert.since_ms, alert.updated_ms),
            ("the update", 10, 50)
        );
        let told: Vec<_> = alert.events.iter().map(|event| words(&event.what)).collect();
        assert_eq!(
            told,
            ["fire (warning): the fire", "posted", "update (warning): the update", "updated"]
        );
        let json = alert.to_json(true);
        assert_eq!(
            (&json["state"], &json["events"][1]["outcome"]),
            (&json!("open"), &json!("posted"))
        );
        assert_eq!(alert.to_json(false).get("events"), None);
        assert_eq!(of(Some(State::Open), vec![]).rule, "a#b");
    }

    #[test]
    fn what_was_taken_up_before_the_time_that_is_asked_for_has_the_words_of_the_ledger() {
        let told = Some(Told {
            opened_ms: 1,
            rule: "a#b".into(),
            title: "told".into(),
            severity: Severity::Error,
        });
        let found =
            Found { ledger: vec![Known { told, ..known(State::Open) }], ..Found::default() };
        let alert = &found.alerts()[0];
        assert_eq!((alert.title.as_str(), alert.severity.as_str()), ("told", "error"));
    }

    #[test]
    fn an_id_may_be_shortened_while_it_is_clear() {
        let other = Known {
            alert: "0123ffffffffffffffffffffffffffff".parse().unwrap(),
            ..known(State::Open)
        };
        let found =
            || Found { ledger: vec![known(State::Open), other.clone()], ..Found::default() };
        assert_eq!(found().show("01234").unwrap()[0].id.to_string(), ALERT);
        assert_eq!(found().show("0123F").unwrap()[0].id, other.alert);
        assert!(
            matches!(found().show("0123"), Err(Unclear::Several { found, .. }) if found.len() == 2)
        );
        assert_eq!(found().show("x"), Err(Unclear::None("x".into())));
    }

    #[test]
    fn a_question_is_answered_by_rule_state_and_time() {
        let found = || Found { ledger: vec![known(State::Open)], ..Found::default() };
        let count = |question: Question| found().answer(&question).len();
        let none = Question::default;
        assert_eq!(count(none()), 1);
        assert_eq!(count(Question { rule: Some("a#b".into()), ..none() }), 1);
        assert_eq!(count(Question { rule: Some("c".into()), ..none() }), 0);
        assert_eq!(count(Question { state: Some("resolved".into()), ..none() }), 0);
        assert_eq!(count(Question { since_ms: Some(51), ..none() }), 0);
    }
}
