//! What a message may be, whatever was put into it: Slack's documented limits, and nothing that is
//! markup but what the operator allows. It walks the JSON and knows nothing of how it was made.

use serde_json::Value;

/// What may come out of a configuration.
pub(super) struct Allowed {
    /// Ids of users, user groups, and ranges of broadcasts.
    pub(super) mentions: &'static [&'static str],
    /// What an address begins with.
    pub(super) addresses: &'static [&'static str],
}

/// UTF-16 units, which is the most that Slack can count.
fn long(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.encode_utf16().count())
}

/// What is wrong with a payload; nothing when it may be sent. Limits: Slack's reference of
/// chat.postMessage, chat.update and Block Kit.
pub(super) fn wrong(
    text: &str,
    blocks: &Value,
    metadata: &Value,
    allowed: &Allowed,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |ok: bool, what: &str, place: &dyn std::fmt::Display| {
        if !ok {
            wrong.push(format!("{what}: {place}"));
        }
    };
    let units = text.encode_utf16().count();
    check((1..=4_000).contains(&units), "text's length", &units);
    check(!text.contains(['<', '>']), "text has a control sequence", &text);
    let bare = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
    check(!bare.contains('&'), "text has an ampersand", &text);
    check(metadata.to_string().len() <= 8_000, "metadata's size", metadata);
    if let Some(list) = blocks.as_array() {
        check((1..=50).contains(&list.len()), "number of blocks", &list.len());
        check(blocks.to_string().encode_utf16().count() <= 12_000, "sum of blocks", &"");
        for block in list {
            let kind = block["type"].as_str().unwrap_or_default();
            check(["header", "rich_text", "context"].contains(&kind), "block", block);
        }
    } else {
        check(blocks.is_null(), "blocks are no list", blocks);
    }
    walk(blocks, &mut |element| {
        let filled = element["elements"].as_array().is_some_and(|list| !list.is_empty());
        let ok = match element["type"].as_str() {
            Some("header") => {
                element["text"]["type"] == "plain_text"
                    && (1..=150).contains(&long(&element["text"]["text"]))
            }
            Some("context") => {
                filled && element["elements"].as_array().is_some_and(|list| list.len() <= 10)
            }
            Some("rich_text" | "rich_text_section" | "rich_text_preformatted") => filled,
            Some("plain_text") => {
                element["emoji"] == false
                    && (1..=3_000).contains(&long(&element["text"]))
                    && is_plain(&element["text"])
            }
            Some("text") => long(&element["text"]) > 0 && is_plain(&element["text"]),
            Some("link") => {
                let url = element["url"].as_str().unwrap_or_default();
                url.len() <= 3_000
                    && allowed.addresses.iter().any(|start| url.starts_with(start))
                    && long(&element["text"]) > 0
                    && is_plain(&element["text"])
            }
            Some("user") => is_among(&element["user_id"], allowed.mentions),
            Some("usergroup") => is_among(&element["usergroup_id"], allowed.mentions),
            Some("broadcast") => is_among(&element["range"], allowed.mentions),
            Some("date") => {
                element["format"] == "{date_num} {time_secs}"
                    && element["timestamp"]
                        .as_i64()
                        .is_some_and(|seconds| (0..=253_402_300_799).contains(&seconds))
                    && element["fallback"].as_str().is_some_and(|words| words.ends_with(" UTC"))
            }
            // The style of a text. Nothing is `mrkdwn`.
            None => element.as_object().is_some_and(|style| style.values().all(Value::is_boolean)),
            Some(_) => false,
        };
        check(ok, "element", element);
    });
    wrong
}

fn is_among(id: &Value, ids: &[&str]) -> bool {
    id.as_str().is_some_and(|id| ids.contains(&id))
}

/// Nothing that turns the direction of text or cannot be seen.
fn is_plain(text: &Value) -> bool {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.as_str().is_some_and(|text| !text.contains(hidden))
}

/// Every element, wherever it is.
fn walk<'a>(value: &'a Value, visit: &mut dyn FnMut(&'a Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(members) => {
            visit(value);
            members.values().for_each(|member| walk(member, visit));
        }
        _ => {}
    }
}
