//! The single values of a rule's toml: a topic, a channel, a condition, a length of time.

use std::time::Duration;

use crate::target::Target;

/// Kafka's own limit on a topic's name.
const TOPIC_LETTERS_MAX: usize = 249;

/// A topic's name as Kafka allows it, or why it is none.
pub(in crate::rules) fn topic(name: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > TOPIC_LETTERS_MAX || [".", ".."].contains(&name) {
        return Err(format!(
            "`{name}` is not a topic's name; it has 1 to {TOPIC_LETTERS_MAX} letters and is not \
             `.` or `..`"
        ));
    }
    if !name.bytes().all(fits) {
        return Err(format!(
            "`{name}` is not a topic's name; it has only letters, digits, `.`, `_` and `-`"
        ));
    }
    Ok(name.to_owned())
}

/// A channel by name, or why it is none.
pub(super) fn channel(name: &str) -> Result<String, String> {
    if let Some(plain) = name.strip_prefix('#') {
        return Err(format!("a channel is named without its #: write `{plain}`"));
    }
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(format!("`{name}` is not a channel's name; write one such as `general`"));
    }
    Target::of(name).map_err(|error| error.to_string())?;
    Ok(name.to_owned())
}

/// A condition's text; whether it is CEL is seen when the rule's fields are known.
pub(super) fn condition(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("the condition is empty; write one such as `host == 'rpi-03'`, or remove the \
                    key"
        .into());
    }
    Ok(text.to_owned())
}

/// A length of time such as `15m`; `None` = `off`.
pub(super) fn stale_after(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    let invalid = || {
        format!(
            "`{text}` is not a length of time; write a whole number and a unit (s, m, h or d) \
             such as `90s`, `15m`, `12h`, `2d`, or `off`"
        )
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number = number.parse::<u64>().map_err(|_| invalid())?;
    let seconds_per_unit = match unit.trim_start() {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(invalid()),
    };
    let seconds = number.checked_mul(seconds_per_unit).ok_or_else(invalid)?;
    Ok(Some(Duration::from_secs(seconds)))
}
