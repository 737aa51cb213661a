//! A notification as Slack shows it: typed spans become Block Kit, plus `text` for the phone.
//!
//! In: an outbox entry and what the operator allows. Out: `text`, `blocks`, `metadata`. Text from a
//! record is only ever the text of a `plain_text` or `rich_text` element, which Slack does not read as
//! markup; mentions come from the operator's map and links go to the operator's hosts. Limits are
//! measured here, so that Slack never has to count. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use url::Url;

use super::text::{fallback, shorten, shorten_before, units, visible};
use crate::notification::{Kind, Severity, Span};
use crate::outbox::Entry;

mod context;
mod evidence;
pub mod groups;
mod replies;

use context::{footer, when};
use evidence::{evidence, evidence_words, excerpt};
pub use replies::{REPLY_TYPE, group_reply, reply, reply_plain};

/// `event_type` of the metadata that every message carries.
pub const EVENT_TYPE: &str = "firebell_alert";

/// Units of `text`: Slack cuts `chat.postMessage` at 40,000 but refuses `chat.update` above 4,000.
const TEXT_UNITS_MAX: usize = 4_000;
/// Units of all blocks as JSON. Slack documents no sum; 13,200 was refused (bolt-js 2509).
const BLOCKS_UNITS_MAX: usize = 12_000;
/// Bytes of a link's address (Block Kit: 3,000).
const URL_BYTES_MAX: usize = 3_000;
/// Seconds of the last instant that Slack's date element is given, 9999-12-31T23:59:59Z.
const DATE_SECONDS_MAX: i64 = 253_402_300_799;

/// Units of a `header` block's text. A longer head is bold rich text, which has room for it.
const HEADER_UNITS_MAX: usize = 150;

/// What a message begins with: how bad it is. One character each, so that a phone shows the title.
const MARKS: [(Severity, char); 4] = [
    (Severity::Info, '🔵'),
    (Severity::Warning, '🟡'),
    (Severity::Error, '🔴'),
    (Severity::Critical, '🚨'),
];
/// What it begins with when it is over, however bad it was.
const RESOLVED_MARK: char = '✅';

/// What the operator allows in messages.
#[derive(Debug, Clone, Default)]
pub struct Manners {
    /// Names that may be mentioned: a user's id, a user group's, or `here`, `channel`, `everyone`.
    pub mentions: BTreeMap<String, String>,
    /// Hosts that links may go to; `*.example.com` allows all below.
    pub link_hosts: Vec<String>,
    /// Where people reach the host's page, without a slash at its end (`http.public_url`).
    pub public_url: Option<String>,
    /// Whether what is in records is left out (`delivery.evidence_values`).
    pub hides_values: bool,
}

/// What is known of an alert beyond the entry that is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Story<'a> {
    /// The intent that made the message, which is another than the entry's own when this changes it.
    pub opened_by: &'a str,
    /// Event time of what opened the alert, milliseconds since the Unix epoch; `None` = not known.
    pub opened_ms: Option<i64>,
    /// Whether it was resolved before, or is now.
    pub is_over: bool,
}

/// A message, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What a phone shows, and clients that do not show blocks.
    pub text: String,
    /// Block Kit; `None` in the plain form.
    pub blocks: Option<Value>,
    /// The ids by which it is found again.
    pub metadata: Value,
}

/// How much of each part is shown. Levels are tried from the most to the least.
struct Level {
    title: usize,
    body: usize,
    spans: usize,
    fields: usize,
    field: usize,
    records: usize,
}

const LEVELS: [Level; 4] = [
    Level { title: 1_000, body: 6_000, spans: 100, fields: 20, field: 600, records: 20 },
    Level { title: 300, body: 2_500, spans: 40, fields: 10, field: 200, records: 10 },
    Level { title: 300, body: 800, spans: 10, fields: 5, field: 100, records: 5 },
    Level { title: 150, body: 100, spans: 2, fields: 0, field: 0, records: 1 },
];

/// The full form of an entry's message.
pub fn message(entry: &Entry, manners: &Manners, story: &Story<'_>) -> Message {
    let title = title(entry);
    let blocks = LEVELS.iter().map(|level| blocks(entry, manners, story, &title, level));
    let fits = |blocks: &Value| units(&blocks.to_string()) <= BLOCKS_UNITS_MAX;
    Message {
        text: fallback(&head(entry, story, &title), TEXT_UNITS_MAX),
        blocks: blocks.into_iter().find(fits),
        metadata: metadata(entry, story.opened_by),
    }
}

/// The plain form, for when Slack refused the blocks: the same words in `text` alone.
pub fn plain(entry: &Entry, manners: &Manners, story: &Story<'_>) -> Message {
    let mut text = head(entry, story, &title(entry));
    let mut add = |line: String| {
        if !line.is_empty() {
            text.push('\n');
            text.push_str(&line);
        }
    };
    add(spoken(&entry.notification.body, manners));
    for (name, value) in &entry.notification.fields {
        add(format!("{}: {}", visible(name, false), spoken(value, manners)));
    }
    add(evidence_words(entry, LEVELS[0].records));
    add(excerpt(entry, manners).map_or_else(String::new, |text| format!("record: {text}")));
    if entry.event_time_ms >= 0 {
        add(date_words(entry.event_time_ms));
    }
    add(footer(entry, story));
    Message {
        text: fallback(&text, TEXT_UNITS_MAX),
        blocks: None,
        metadata: metadata(entry, story.opened_by),
    }
}

fn metadata(entry: &Entry, opened_by: &str) -> Value {
    json!({
        "event_type": EVENT_TYPE,
        "event_payload": {
            "id": entry.alert.to_string(),
            "intent": opened_by,
            "last_intent": entry.intent.to_string(),
            "kind": entry.notification.kind.as_str(),
            "severity": entry.notification.severity.as_str(),
        },
    })
}

fn title(entry: &Entry) -> String {
    let title = visible(&entry.notification.title, false);
    // Slack refuses a message without text.
    if title.trim().is_empty() { visible(&entry.intent.rule, false) } else { title }
}

/// The mark and the title: what is read first, and on a phone often all.
fn head(entry: &Entry, story: &Story<'_>, title: &str) -> String {
    let over = story.is_over || entry.notification.kind == Kind::Resolve;
    let mark = if over { RESOLVED_MARK } else { mark(entry.notification.severity) };
    format!("{mark} {title}")
}

fn mark(severity: Severity) -> char {
    let of_severity = MARKS.iter().find(|(marked, _)| *marked == severity);
    of_severity.map_or(' ', |(_, mark)| *mark)
}

fn blocks(
    entry: &Entry,
    manners: &Manners,
    story: &Story<'_>,
    title: &str,
    level: &Level,
) -> Value {
    let notification = &entry.notification;
    let mut blocks = Vec::new();
    let mut elements = Vec::new();
    let mut is_short = units(title) > level.title;
    let head = head(entry, story, &shorten(title, level.title));
    if units(&head) <= HEADER_UNITS_MAX {
        let text = json!({"type": "plain_text", "text": head, "emoji": false});
        blocks.push(json!({"type": "header", "text": text}));
    } else {
        elements.push(section(vec![text_element(&head, Some("bold"))]));
    }
    let (body, cut) = paragraphs(pieces(&notification.body, manners), level.body, level.spans);
    elements.extend(body);
    is_short |= cut;
    for (name, value) in notification.fields.iter().take(level.fields) {
        let whole = format!("{}: ", visible(name, false));
        let name = shorten(&whole, level.field);
        let (value, cut) = paragraphs(pieces(value, manners), level.field, level.spans);
        is_short |= cut || name != whole;
        // A field is one line; what is set apart in its value follows it.
        let mut line = vec![text_element(&name, Some("bold"))];
        let mut rest = value.into_iter().peekable();
        if let Some(first) = rest.next_if(|element| element["type"] == "rich_text_section") {
            line.extend(first["elements"].as_array().cloned().unwrap_or_default());
        }
        elements.push(section(line));
        elements.extend(rest);
    }
    let left_out = notification.fields.len().saturating_sub(level.fields);
    if left_out > 0 || is_short {
        let fields =
            if left_out > 0 { format!("… {left_out} more fields; ") } else { String::new() };
        let lead = format!("{fields}shortened, whole in the outbox topic: alert ");
        let alert = text_element(&entry.alert.to_string(), Some("code"));
        elements.push(section(vec![text_element(&lead, None), alert]));
    }
    let evidence = evidence(entry, level.records);
    if !evidence.is_empty() {
        elements.push(section(evidence));
    }
    if let Some(excerpt) = excerpt(entry, manners) {
        let name = text_element("record: ", Some("bold"));
        elements.push(section(vec![name, text_element(&excerpt, Some("code"))]));
    }
    let when = when(entry, manners, story);
    if !when.is_empty() {
        elements.push(section(when));
    }
    if !elements.is_empty() {
        blocks.push(json!({"type": "rich_text", "elements": elements}));
    }
    blocks.push(json!({"type": "context", "elements": [
        {"type": "plain_text", "text": footer(entry, story), "emoji": false},
    ]}));
    Value::Array(blocks)
}

fn section(elements: Vec<Value>) -> Value {
    json!({"type": "rich_text_section", "elements": elements})
}

fn text_element(text: &str, style: Option<&str>) -> Value {
    match style {
        Some(style) => json!({"type": "text", "text": text, "style": {style: true}}),
        None => json!({"type": "text", "text": text}),
    }
}

/// A span whose words are decided.
enum Piece {
    Text(String, Option<&'static str>),
    /// Code of several lines, a paragraph of its own.
    Preformatted(String),
    /// An element that is made by us alone, and its length.
    Element(Value, usize),
}

impl Piece {
    fn units(&self) -> usize {
        match self {
            Self::Text(text, _) | Self::Preformatted(text) => units(text),
            Self::Element(_, units) => *units,
        }
    }
}

fn pieces(spans: &[Span], manners: &Manners) -> Vec<Piece> {
    let piece = |span: &Span| match span {
        Span::Text(text) => Piece::Text(visible(text, true), None),
        Span::Emphasis(text) => Piece::Text(visible(text, true), Some("italic")),
        Span::Code(text) if text.contains('\n') => Piece::Preformatted(visible(text, true)),
        Span::Code(text) => Piece::Text(visible(text, true), Some("code")),
        Span::Link { url, label } => link(url, label, manners),
        Span::Mention(name) => mention(name, manners),
        Span::Timestamp(ms) => date(*ms),
    };
    let empty =
        |piece: &Piece| matches!(piece, Piece::Text(t, _) | Piece::Preformatted(t) if t.is_empty());
    spans.iter().map(piece).filter(|piece| !empty(piece)).collect()
}

fn link(url: &str, label: &str, manners: &Manners) -> Piece {
    let shown = visible(label, false);
    match allowed_url(url, manners) {
        Some(url) => {
            let label = if shown.trim().is_empty() { url.clone() } else { shown };
            let label = shorten(&label, 300);
            let length = units(&label) + units(&url);
            Piece::Element(json!({"type": "link", "url": url, "text": label}), length)
        }
        None => Piece::Text(link_words(url, label), None),
    }
}

/// A link that may not be one, in words.
fn link_words(url: &str, label: &str) -> String {
    let (url, label) = (visible(url, false), visible(label, false));
    if label.trim().is_empty() || label == url { url } else { format!("{label} ({url})") }
}

/// The address as it will be sent, if it may be a link: http(s), an allowed host, no user name.
fn allowed_url(url: &str, manners: &Manners) -> Option<String> {
    let parsed = Url::parse(url).ok()?;
    let plain = matches!(parsed.scheme(), "http" | "https")
        && parsed.username().is_empty()
        && parsed.password().is_none();
    let host = parsed.host_str()?;
    let allowed = manners.link_hosts.iter().any(|allowed| match allowed.strip_prefix("*.") {
        Some(domain) => host
            .len()
            .checked_sub(domain.len() + 1)
            .is_some_and(|dot| host.as_bytes()[dot] == b'.' && same(&host[dot + 1..], domain)),
        None => same(host, allowed),
    });
    // The parser's own spelling: what was checked is what is sent.
    (plain && allowed && parsed.as_str().len() <= URL_BYTES_MAX).then(|| parsed.into())
}

fn same(host: &str, allowed: &str) -> bool {
    host.eq_ignore_ascii_case(allowed)
}

fn mention(name: &str, manners: &Manners) -> Piece {
    let Some(id) = manners.mentions.get(name) else {
        return Piece::Text(format!("@{}", visible(name, false)), None);
    };
    let element = match id.as_str() {
        "here" | "channel" | "everyone" => json!({"type": "broadcast", "range": id}),
        group if group.starts_with('S') => json!({"type": "usergroup", "usergroup_id": group}),
        user => json!({"type": "user", "user_id": user}),
    };
    Piece::Element(element, units(id))
}

fn date(ms: i64) -> Piece {
    let words = date_words(ms);
    let seconds = ms.div_euclid(1_000);
    if !(0..=DATE_SECONDS_MAX).contains(&seconds) {
        return Piece::Text(words, None);
    }
    let format = "{date_num} {time_secs}";
    let length = units(&words);
    let element =
        json!({"type": "date", "timestamp": seconds, "format": format, "fallback": words});
    Piece::Element(element, length)
}

fn date_words(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(instant) => instant.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

/// Rich-text elements of at most `max` units of text and `spans` spans, and whether that is not all.
fn paragraphs(pieces: Vec<Piece>, max: usize, spans: usize) -> (Vec<Value>, bool) {
    let mut is_cut = false;
    let mut done = Vec::new();
    let mut line = Vec::new();
    let mut left = max;
    let mut following: usize = pieces.iter().map(Piece::units).sum();
    for (shown, piece) in pieces.into_iter().enumerate() {
        following -= piece.units();
        let last = shown + 1 == spans && following > 0;
        let full = piece.units() > left || last;
        let cut =
            |text: &str| if full { shorten_before(text, left, following) } else { text.to_owned() };
        match &piece {
            Piece::Text(text, style) => line.push(text_element(&cut(text), *style)),
            Piece::Preformatted(text) => {
                if !line.is_empty() {
                    done.push(section(std::mem::take(&mut line)));
                }
                let text = text_element(&cut(text), None);
                done.push(json!({"type": "rich_text_preformatted", "elements": [text]}));
            }
            Piece::Element(_, units) if *units > left => {
                line.push(text_element(&shorten_before("", left, units + following), None));
            }
            Piece::Element(element, _) => {
                line.push(element.clone());
                if full {
                    line.push(text_element(&shorten_before("", left, following), None));
                }
            }
        }
        if full {
            is_cut = true;
            break;
        }
        left -= piece.units();
    }
    if !line.is_empty() {
        done.push(section(line));
    }
    (done, is_cut)
}

/// Spans in words alone.
fn spoken(spans: &[Span], manners: &Manners) -> String {
    let word = |span: &Span| match span {
        Span::Code(text) if text.contains('\n') => format!("\n{}\n", visible(text, true)),
        Span::Text(text) | Span::Code(text) | Span::Emphasis(text) => visible(text, true),
        Span::Link { url, label } => link_words(url, label),
        // Nobody is called by the plain form: it is a second attempt with the same words.
        Span::Mention(name) if manners.mentions.contains_key(name) => format!("@{name}"),
        Span::Mention(name) => format!("@{}", visible(name, false)),
        Span::Timestamp(ms) => date_words(*ms),
    };
    spans.iter().map(word).collect()
}

#[cfg(test)]
mod tests;
