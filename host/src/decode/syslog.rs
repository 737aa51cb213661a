//! A syslog line, RFC 5424 or RFC 3164, with the names that kafka-connect-syslog writes.
//!
//! | field | RFC 5424 | RFC 3164 |
//! |---|---|---|
//! | `/date` | the time, ms since the Unix epoch | the time, read as UTC, in the year that is nearest to the record's timestamp; RFC 3339 is read too |
//! | `/facility`, `/level` | the priority's two halves (level: 0 emergency to 7 debug) | the same |
//! | `/host` | HOSTNAME | HOSTNAME |
//! | `/app`, `/procid` | APP-NAME, PROCID | the tag: `sshd` and `24150` of `sshd[24150]:` |
//! | `/msgid`, `/structured_data` | MSGID, the STRUCTURED-DATA as it stands | none |
//! | `/message` | MSG without its byte order mark | what is behind the tag |
//!
//! `-` and parts that are not there are missing fields. Unlike that connector, `/message` does not
//! begin with the host and the tag. A line break at the end belongs to no field. A line without a priority is
//! read when it starts with a time, as log files do.

use super::{Base, DecodeError, Kind, Slot};
use crate::subscription::Format;

mod time;

/// A field of a syslog line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Date,
    Facility,
    Level,
    Host,
    App,
    ProcId,
    MsgId,
    StructuredData,
    Message,
}

impl Name {
    /// The field that a pointer names; plain text has only `/message`.
    pub(super) fn of(tokens: &[Box<str>], format: Format) -> Option<Self> {
        let [token] = tokens else { return None };
        let name = match &**token {
            "date" => Self::Date,
            "facility" => Self::Facility,
            "level" => Self::Level,
            "host" => Self::Host,
            "app" => Self::App,
            "procid" => Self::ProcId,
            "msgid" => Self::MsgId,
            "structured_data" => Self::StructuredData,
            "message" => Self::Message,
            _ => return None,
        };
        (format == Format::Syslog || name == Self::Message).then_some(name)
    }
}

/// The parts of a line; those that are texts lie in the value.
#[derive(Debug, Default)]
struct Line {
    date_ms: Option<i64>,
    priority: Option<u8>,
    host: Part,
    app: Part,
    procid: Part,
    msgid: Part,
    structured_data: Part,
    message: Part,
}

/// Start and end in the value.
type Part = Option<(usize, usize)>;

/// Fills the slots of the fields that were asked for.
///
/// # Errors
///
/// When the value starts with neither a priority nor a time.
pub(super) fn decode(
    value: &[u8],
    timestamp_ms: i64,
    named: &[(Name, usize)],
    slots: &mut [Slot],
    made: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let line = parse(value, timestamp_ms)?;
    for (name, slot) in named {
        let number = |number: i64, made: &mut Vec<u8>| {
            let start = made.len();
            made.extend_from_slice(number.to_string().as_bytes());
            Slot { base: Base::Made, ..Slot::in_value(Kind::Number, start, made.len()) }
        };
        let part = match name {
            Name::Date => {
                slots[*slot] = line.date_ms.map_or_else(Slot::default, |date| number(date, made));
                continue;
            }
            Name::Facility | Name::Level => {
                let half = |priority: u8| match name {
                    Name::Facility => priority >> 3,
                    _ => priority & 7,
                };
                slots[*slot] = line
                    .priority
                    .map_or_else(Slot::default, |priority| number(half(priority).into(), made));
                continue;
            }
            Name::Host => line.host,
            Name::App => line.app,
            Name::ProcId => line.procid,
            Name::MsgId => line.msgid,
            Name::StructuredData => line.structured_data,
            Name::Message => line.message,
        };
        slots[*slot] =
            part.map_or_else(Slot::default, |(start, end)| Slot::in_value(Kind::Text, start, end));
    }
    Ok(())
}

fn parse(value: &[u8], timestamp_ms: i64) -> Result<Line, DecodeError> {
    let end = value.len()
        - value.iter().rev().take_while(|byte| matches!(byte, b'\n' | b'\r' | 0)).count();
    let mut line = Line::default();
    let mut at = 0;
    if let Some((priority, length)) = priority(value) {
        line.priority = Some(priority);
        at = length;
        if value[at..end].starts_with(b"1 ") && rfc5424(value, at + 2, end, &mut line) {
            return Ok(line);
        }
    }
    if let Some((date_ms, length)) = time::at_start(&value[at..end], timestamp_ms) {
        line.date_ms = date_ms;
        at += length;
        rfc3164(value, at, end, &mut line);
    } else if line.priority.is_some() {
        line.message = Some((at, end));
    } else {
        return Err(DecodeError::Syslog);
    }
    Ok(line)
}

/// `<N>` with N up to 191, and its length.
fn priority(value: &[u8]) -> Option<(u8, usize)> {
    let rest = value.strip_prefix(b"<")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=3).contains(&digits) || rest.get(digits) != Some(&b'>') {
        return None;
    }
    let number =
        rest[..digits].iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    u8::try_from(number).ok().filter(|priority| *priority <= 191).map(|p| (p, digits + 2))
}

/// `TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG]`; false = it is something else.
fn rfc5424(value: &[u8], mut at: usize, end: usize, line: &mut Line) -> bool {
    let mut words = [(0, 0); 5];
    for word in &mut words {
        let Some(length) = memchr::memchr(b' ', &value[at..end]) else { return false };
        *word = (at, at + length);
        at += length + 1;
    }
    let part = |(start, end): (usize, usize)| (&value[start..end] != b"-").then_some((start, end));
    let [time, host, app, procid, msgid] = words;
    let date_ms = time::rfc3339(&value[time.0..time.1]);
    if date_ms.is_none() && part(time).is_some() {
        return false;
    }
    let Some(length) = structured_data(&value[at..end]) else { return false };
    let message = match value[at + length..end] {
        [] => None,
        [b' ', ..] => {
            let start = at + length + 1;
            let mark = if value[start..end].starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
            Some((start + mark, end))
        }
        _ => return false,
    };
    line.date_ms = date_ms.map(|(date, _)| date);
    line.host = part(host);
    line.app = part(app);
    line.procid = part(procid);
    line.msgid = part(msgid);
    line.structured_data = part((at, at + length));
    line.message = message;
    true
}

/// The length of `-` or of `[…][…]`, in whose values `\"`, `\\` and `\]` are escapes.
fn structured_data(rest: &[u8]) -> Option<usize> {
    if rest.first() == Some(&b'-') {
        return Some(1);
    }
    let (mut at, mut quoted) = (0, false);
    if rest.first() != Some(&b'[') {
        return None;
    }
    loop {
        match (rest.get(at)?, quoted) {
            (b'\\', true) => at += 1,
            (b'"', _) => quoted = !quoted,
            (b']', false) if rest.get(at + 1) != Some(&b'[') => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
}

/// ` HOSTNAME TAG[PID]: MSG`, where host and tag may be away.
fn rfc3164(value: &[u8], mut at: usize, end: usize, line: &mut Line) {
    let skip_space = |at: usize| at + usize::from(value[at..end].first() == Some(&b' '));
    at = skip_space(at);
    let word = memchr::memchr(b' ', &value[at..end]).unwrap_or(end - at);
    // A local line has no host: its first word is the tag.
    if word > 0 && value[at + word - 1] != b':' {
        line.host = Some((at, at + word));
        at = skip_space(at + word);
    }
    let rest = &value[at..end];
    let app = rest.iter().position(|byte| matches!(byte, b' ' | b':' | b'[')).unwrap_or(rest.len());
    let mut behind = app;
    let mut procid = None;
    if rest.get(app) == Some(&b'[')
        && let Some(close) = memchr::memchr(b']', &rest[app..])
    {
        procid = Some((at + app + 1, at + app + close));
        behind = app + close + 1;
    }
    let colon = rest.get(behind) == Some(&b':');
    if app > 0 && (colon || procid.is_some()) {
        line.app = Some((at, at + app));
        line.procid = procid.filter(|(start, end)| start < end);
        at = skip_space(at + behind + usize::from(colon));
    }
    line.message = Some((at, end));
}
