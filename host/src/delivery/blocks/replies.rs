//! What is said in the thread of an alert's message: that it got worse, that it is over.
//!
//! A changed message notifies nobody; a reply does. That it got worse comes with the text and so with the
//! mentions of the change; that it is over calls nobody.

use serde_json::{Value, json};

use super::context::{footer, resolved, when};
use super::{
    Manners, Message, RESOLVED_MARK, Story, TEXT_UNITS_MAX, date_words, mark, paragraphs, pieces,
    section, spoken, text_element, title,
};
use crate::delivery::decision::News;
use crate::delivery::text::{fallback, shorten};
use crate::outbox::Entry;

/// `event_type` of the metadata of replies. Another one than that of messages: a reply that is shown in
/// the channel is in its history, and is not the message.
pub const REPLY_TYPE: &str = "firebell_reply";

/// Units of a title in a reply; its message has the whole.
const TITLE_UNITS_MAX: usize = 300;
/// Units, and spans, of the text that comes with what got worse.
const BODY_UNITS_MAX: usize = 1_000;
const SPANS_MAX: usize = 20;
/// Units of the lines of a group.
const GROUP_UNITS_MAX: usize = 4_000;

/// The full form of a reply.
pub fn reply(entry: &Entry, manners: &Manners, story: &Story<'_>, news: News) -> Message {
    let head = head(entry, story, news);
    let mut elements = vec![section(vec![text_element(&head, Some("bold"))])];
    if let News::Worse(_) = news {
        let body = pieces(&entry.notification.body, manners);
        elements.extend(paragraphs(body, BODY_UNITS_MAX, SPANS_MAX).0);
    }
    let when = when(entry, manners, story);
    if !when.is_empty() {
        elements.push(section(when));
    }
    let footer = json!({"type": "plain_text", "text": footer(entry, story), "emoji": false});
    let blocks = json!([
        {"type": "rich_text", "elements": elements},
        {"type": "context", "elements": [footer]},
    ]);
    Message {
        text: fallback(&head, TEXT_UNITS_MAX),
        blocks: Some(blocks),
        metadata: metadata(entry, word(news)),
    }
}

/// The plain form of a reply: the same words in `text` alone.
pub fn reply_plain(entry: &Entry, manners: &Manners, story: &Story<'_>, news: News) -> Message {
    let mut lines = vec![head(entry, story, news)];
    if let News::Worse(_) = news {
        lines.push(shorten(&spoken(&entry.notification.body, manners), BODY_UNITS_MAX));
    }
    if entry.event_time_ms >= 0 {
        lines.push(date_words(entry.event_time_ms));
    }
    lines.push(footer(entry, story));
    lines.retain(|line| !line.is_empty());
    Message {
        text: fallback(&lines.join("\n"), TEXT_UNITS_MAX),
        blocks: None,
        metadata: metadata(entry, word(news)),
    }
}

/// A reply about a group: all that it says is in the notification.
pub fn group_reply(entry: &Entry, manners: &Manners, is_plain: bool) -> Message {
    let story = Story::default();
    let head = super::head(entry, &story, &shorten(&title(entry), TITLE_UNITS_MAX));
    let footer = footer(entry, &story);
    let metadata = metadata(entry, entry.notification.kind.as_str());
    if is_plain {
        let lines = [head, spoken(&entry.notification.body, manners), footer];
        let text = fallback(&lines.join("\n"), TEXT_UNITS_MAX);
        return Message { text, blocks: None, metadata };
    }
    let mut elements = vec![section(vec![text_element(&head, Some("bold"))])];
    let body = pieces(&entry.notification.body, manners);
    elements.extend(paragraphs(body, GROUP_UNITS_MAX, SPANS_MAX).0);
    let footer = json!({"type": "plain_text", "text": footer, "emoji": false});
    let blocks = json!([
        {"type": "rich_text", "elements": elements},
        {"type": "context", "elements": [footer]},
    ]);
    Message { text: fallback(&head, TEXT_UNITS_MAX), blocks: Some(blocks), metadata }
}

/// The news, then what it is about.
fn head(entry: &Entry, story: &Story<'_>, news: News) -> String {
    let title = shorten(&title(entry), TITLE_UNITS_MAX);
    let severity = entry.notification.severity;
    match news {
        News::Worse(before) => {
            let (mark, now, before) = (mark(severity), severity.as_str(), before.as_str());
            format!("{mark} {now}, was {before}: {title}")
        }
        News::Over => format!("{RESOLVED_MARK} {}: {title}", capitalised(&resolved(entry, story))),
    }
}

fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn word(news: News) -> &'static str {
    match news {
        News::Worse(_) => "worse",
        News::Over => "over",
    }
}

/// The ids by which a reply is found again in its thread.
fn metadata(entry: &Entry, word: &str) -> Value {
    json!({
        "event_type": REPLY_TYPE,
        "event_payload": {
            "id": entry.alert.to_string(),
            "intent": entry.intent.to_string(),
            "reply": word,
            "severity": entry.notification.severity.as_str(),
        },
    })
}
