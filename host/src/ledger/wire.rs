//! The wire form of a ledger entry: JSON with a version in `v`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Entry, LedgerError, Place, State, Told};
use crate::digest::Digest;
use crate::group::{Group, Member};
use crate::notification::{AlertId, Severity};
use crate::policy::Labels;
use crate::tally::{Tally, ToldIn};

/// The version that is written, and the only one that is read.
const VERSION: u64 = 1;

#[derive(Deserialize)]
struct Versioned {
    v: u64,
}

#[derive(Serialize, Deserialize)]
struct EntryV1 {
    v: u64,
    alert: String,
    channel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channel_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ts: Option<String>,
    state: String,
    opened_by: String,
    last_intent: String,
    outbox_offset: i64,
    updated_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told_in: Option<ToldIn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tally: Option<Tally>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<Group>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    member: Option<Member>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fallback: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<ToldV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_reply: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    standing: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ToldV1 {
    opened_ms: i64,
    rule: String,
    title: String,
    severity: String,
}

pub(super) fn key(alert: &AlertId, channel: &str) -> Vec<u8> {
    format!("{alert}/{channel}").into_bytes()
}

/// The channel of a key.
pub(super) fn channel_of(key: &[u8]) -> Option<&str> {
    let (_, channel) = std::str::from_utf8(key).ok()?.split_once('/')?;
    Some(channel)
}

pub(super) fn to_bytes(entry: &Entry) -> Vec<u8> {
    let place = entry.place.clone();
    let (channel_id, ts) = place.map(|place| (place.channel_id, place.ts)).unzip();
    let wire = EntryV1 {
        v: VERSION,
        alert: entry.alert.to_string(),
        channel: entry.channel.clone(),
        channel_id,
        ts,
        state: entry.state.as_str().to_owned(),
        opened_by: entry.opened_by.clone(),
        last_intent: entry.last_intent.clone(),
        outbox_offset: entry.outbox_offset,
        updated_ms: entry.updated_ms,
        digest: entry.digest.clone(),
        told_in: entry.told_in.clone(),
        tally: entry.tally.clone(),
        group: entry.group.clone(),
        member: entry.member.clone(),
        fallback: entry.fallback.clone(),
        told: entry.told.as_ref().map(told_to_wire),
        last_reply: entry.last_reply.clone(),
        standing: entry.standing.clone(),
        labels: entry.labels.as_ref().map(Labels::to_map),
        why: entry.why.clone(),
    };
    // Strings and integers always have a JSON form.
    serde_json::to_vec(&wire).unwrap_or_default()
}

pub(super) fn from_bytes(bytes: &[u8]) -> Result<Entry, LedgerError> {
    let Versioned { v } = serde_json::from_slice(bytes).map_err(LedgerError::Shape)?;
    if v != VERSION {
        return Err(LedgerError::Version { found: v, known: VERSION });
    }
    let wire: EntryV1 = serde_json::from_slice(bytes).map_err(LedgerError::Shape)?;
    let alert: AlertId = wire
        .alert
        .parse()
        .map_err(|error| LedgerError::Value { place: "alert", message: format!("{error}") })?;
    let states = [State::Open, State::Resolved, State::Abandoned, State::Suppressed];
    let state = states.into_iter().find(|state| state.as_str() == wire.state).ok_or_else(|| {
        let message =
            format!("`{}` is not one of open, resolved, abandoned, suppressed", wire.state);
        LedgerError::Value { place: "state", message }
    })?;
    let place = wire.channel_id.zip(wire.ts).map(|(channel_id, ts)| Place { channel_id, ts });
    Ok(Entry {
        alert,
        channel: wire.channel,
        place,
        state,
        opened_by: wire.opened_by,
        last_intent: wire.last_intent,
        outbox_offset: wire.outbox_offset,
        updated_ms: wire.updated_ms,
        digest: wire.digest,
        told_in: wire.told_in,
        tally: wire.tally,
        group: wire.group,
        member: wire.member,
        fallback: wire.fallback,
        told: wire.told.map(told_from_wire).transpose()?,
        last_reply: wire.last_reply,
        standing: wire.standing,
        labels: wire.labels.map(|labels| labels_from_wire(&labels)),
        why: wire.why,
    })
}

fn labels_from_wire(labels: &BTreeMap<String, String>) -> Labels {
    labels.iter().map(|(name, value)| (&**name, &**value)).collect()
}

fn told_to_wire(told: &Told) -> ToldV1 {
    ToldV1 {
        opened_ms: told.opened_ms,
        rule: told.rule.clone(),
        title: told.title.clone(),
        severity: told.severity.as_str().to_owned(),
    }
}

fn told_from_wire(wire: ToldV1) -> Result<Told, LedgerError> {
    let ToldV1 { opened_ms, rule, title, severity } = wire;
    let severity: Severity = severity
        .parse()
        .map_err(|error| LedgerError::Value { place: "severity", message: format!("{error}") })?;
    Ok(Told { opened_ms, rule, title, severity })
}

#[cfg(test)]
mod tests {
    use super::super::tests::entry;
    use super::*;
    use crate::group::Said;

    const ALERT: &str = "0123456789abcdef0123456789abcdef";

    fn told() -> Told {
        let severity = Severity::Error;
        Told { opened_ms: 5, rule: "invalid-user".into(), title: "t".into(), severity }
    }

    #[test]
    fn what_was_told_is_written_down_and_a_severity_outside_the_list_is_refused() {
        let plain = entry(ALERT, "general", 1);
        let told = Entry { told: Some(told()), last_reply: Some("i".into()), ..plain.clone() };
        let text = String::from_utf8(told.to_bytes()).unwrap();
        let added = r#","told":{"opened_ms":5,"rule":"invalid-user","title":"t","severity":"error"},"last_reply":"i"}"#;
        assert!(text.ends_with(added), "{text}");
        assert_eq!(Entry::from_bytes(text.replace(added, "}").as_bytes()).unwrap(), plain);
        let error = Entry::from_bytes(text.replace(r#""error""#, r#""bad""#).as_bytes());
        assert!(matches!(error, Err(LedgerError::Value { place: "severity", .. })), "{error:?}");
    }

    /// A group, and an alert that it tells of.
    fn grouped(plain: &Entry) -> [Entry; 2] {
        let said = Said { turn: 2, shows: "ab".into(), told_ms: 3, notified_ms: 2 };
        let labels: BTreeMap<String, String> = [("host".into(), "rpi-03".into())].into();
        let group = Group {
            labels: labels.clone(),
            offset: 7,
            opened_ms: 1,
            wait_ms: 30,
            interval_ms: 300,
            repeat_ms: Some(4),
            closed_ms: None,
            said: Some(said),
        };
        let member = Member {
            group: plain.alert,
            key: None,
            labels,
            last_ms: 5,
            turn: Some(2),
            is_news: false,
            is_folded: true,
        };
        let own = Entry { group: Some(group), ..plain.clone() };
        [own, Entry { member: Some(member), ..plain.clone() }]
    }

    #[test]
    fn every_entry_reads_back() {
        for state in [State::Open, State::Resolved, State::Abandoned, State::Suppressed] {
            let with = Entry { state, ..entry(ALERT, "general", 1_520_176_464_386) };
            let without = Entry { place: None, ..with.clone() };
            let sum = Entry { digest: Some(Digest::of(1, "a")), ..with.clone() };
            let replied =
                Entry { last_reply: Some("r".into()), told: Some(told()), ..with.clone() };
            let tally = Tally { offset: 7, opened_ms: 1, closed_ms: Some(2), said: None };
            let tally = Entry { tally: Some(tally), ..without.clone() };
            let told_in = ToldIn {
                tally: tally.alert,
                rule: "invalid-user".into(),
                key: Some("rpi-03".into()),
                severity: Severity::Warning,
                fires: 2,
                first_ms: 1,
                last_ms: 2,
            };
            let within = Entry { told_in: Some(told_in), ..without.clone() };
            let fallback = Entry { fallback: Some("ops".into()), ..with.clone() };
            let standing = Some(serde_json::json!({ "labels": { "rule": "r" } }));
            let standing = Entry { standing, ..without.clone() };
            let labels = Some([("rule", "r"), ("host", "rpi-03")].into_iter().collect());
            let waits = Entry { labels, why: Some("silence s".into()), ..without.clone() };
            let grouped = grouped(&without);
            let all = [with, without, sum, replied, tally, within, fallback, standing, waits];
            for entry in all.into_iter().chain(grouped) {
                assert_eq!(Entry::from_bytes(&entry.to_bytes()).unwrap(), entry);
            }
        }
    }

    #[test]
    fn version_1_is_written_down_and_stays_readable() {
        let entry = entry(ALERT, "general", 1_520_176_464_386);
        assert_eq!(entry.key(), format!("{ALERT}/general").into_bytes());
        insta::assert_snapshot!(String::from_utf8(entry.to_bytes()).unwrap(), @r#"{"v":1,"alert":"0123456789abcdef0123456789abcdef","channel":"general","channel_id":"C1","ts":"1520176464.000100","state":"open","opened_by":"SYSLOG/0/42#invalid-user#0","last_intent":"SYSLOG/0/43#invalid-user#0","outbox_offset":17,"updated_ms":1520176464386}"#);
    }

    #[test]
    fn an_unknown_version_and_an_unknown_state_are_refused() {
        let text = String::from_utf8(entry(ALERT, "general", 1).to_bytes()).unwrap();
        let newer = text.replacen(r#""v":1"#, r#""v":2"#, 1);
        let error = Entry::from_bytes(newer.as_bytes()).unwrap_err();
        assert!(matches!(error, LedgerError::Version { found: 2, known: 1 }), "{error}");
        let other = text.replacen(r#""open""#, r#""ajar""#, 1);
        let error = Entry::from_bytes(other.as_bytes()).unwrap_err();
        assert!(matches!(error, LedgerError::Value { place: "state", .. }), "{error}");
        assert!(matches!(Entry::from_bytes(b"nothing"), Err(LedgerError::Shape(_))));
    }
}
