//! Silences as JSON: of the topic, with a version in `v`, and of `/api/silences`, both with the names
//! of Alertmanager's API v2.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{InvalidSilence, Silence};
use crate::policy::matcher::{InvalidMatcher, Matcher, Matchers, Operator};
use crate::state::query::time;

/// The version that is written, and the only one that is read.
const VERSION: u64 = 1;

/// Why bytes are not a silence.
#[derive(Debug, thiserror::Error)]
pub enum SilenceError {
    /// A newer host wrote it.
    #[error(
        "the silence has version {0}, this firebell reads version {VERSION}; upgrade this host to the \
         version that wrote it"
    )]
    Version(u64),
    /// It is no JSON, or not of its shape.
    #[error("cannot be read as a silence: {0}")]
    Shape(#[source] serde_json::Error),
    /// A matcher is wrong.
    #[error(transparent)]
    Matcher(#[from] InvalidMatcher),
    /// It may not be.
    #[error(transparent)]
    Invalid(#[from] InvalidSilence),
}

#[derive(Deserialize)]
struct Versioned {
    v: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SilenceV1 {
    id: String,
    matchers: Vec<MatcherV1>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    updated_at: Timestamp,
    created_by: String,
    comment: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MatcherV1 {
    name: String,
    value: String,
    #[serde(default)]
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: bool,
}

fn yes() -> bool {
    true
}

/// What `POST /api/silences` takes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SilenceRequest {
    /// The one to change; none = a new one.
    pub id: Option<String>,
    matchers: Vec<MatcherV1>,
    starts_at: Option<Timestamp>,
    ends_at: Timestamp,
    created_by: String,
    comment: String,
}

impl SilenceRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// When it is no JSON of this shape.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SilenceError> {
        serde_json::from_slice(bytes).map_err(SilenceError::Shape)
    }

    /// The silence that is asked for; without a start it begins now.
    ///
    /// # Errors
    /// When it may not be.
    pub fn silence(self, id: String, now_ms: i64) -> Result<Silence, SilenceError> {
        let silence = Silence {
            id,
            matchers: from_wire(self.matchers)?,
            starts_at_ms: self.starts_at.map_or(now_ms, Timestamp::as_millisecond),
            ends_at_ms: self.ends_at.as_millisecond(),
            updated_at_ms: now_ms,
            created_by: self.created_by,
            comment: self.comment,
        };
        silence.check(now_ms)?;
        Ok(silence)
    }
}

impl Silence {
    /// The record's value: JSON of the current version.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut json = self.members();
        json["v"] = json!(VERSION);
        json.to_string().into_bytes()
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// When it is of another version, or no silence.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SilenceError> {
        let Versioned { v } = serde_json::from_slice(bytes).map_err(SilenceError::Shape)?;
        if v != VERSION {
            return Err(SilenceError::Version(v));
        }
        let wire: SilenceV1 = serde_json::from_slice(bytes).map_err(SilenceError::Shape)?;
        Ok(Self {
            id: wire.id,
            matchers: from_wire(wire.matchers)?,
            starts_at_ms: wire.starts_at.as_millisecond(),
            ends_at_ms: wire.ends_at.as_millisecond(),
            updated_at_ms: wire.updated_at.as_millisecond(),
            created_by: wire.created_by,
            comment: wire.comment,
        })
    }

    /// As the API and `firebell silence list --output json` show it.
    pub fn to_json(&self, now_ms: i64) -> Value {
        let mut json = self.members();
        json["status"] = json!({ "state": self.state(now_ms).as_str() });
        json
    }

    fn members(&self) -> Value {
        let matchers: Vec<Value> = self.matchers.0.iter().map(to_wire).collect();
        json!({
            "id": self.id,
            "matchers": matchers,
            "startsAt": time(self.starts_at_ms),
            "endsAt": time(self.ends_at_ms),
            "updatedAt": time(self.updated_at_ms),
            "createdBy": self.created_by,
            "comment": self.comment,
        })
    }
}

fn to_wire(matcher: &Matcher) -> Value {
    let is_regex = matches!(matcher.operator, Operator::Regex | Operator::NotRegex);
    let is_equal = matches!(matcher.operator, Operator::Equal | Operator::Regex);
    json!({
        "name": matcher.name,
        "value": matcher.value,
        "isRegex": is_regex,
        "isEqual": is_equal,
    })
}

fn from_wire(matchers: Vec<MatcherV1>) -> Result<Matchers, InvalidMatcher> {
    let matcher = |wire: MatcherV1| {
        let operator = match (wire.is_regex, wire.is_equal) {
            (false, true) => Operator::Equal,
            (false, false) => Operator::NotEqual,
            (true, true) => Operator::Regex,
            (true, false) => Operator::NotRegex,
        };
        Matcher::new(&wire.name, operator, &wire.value)
    };
    Ok(Matchers(matchers.into_iter().map(matcher).collect::<Result<_, _>>()?))
}
