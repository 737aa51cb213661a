//! Ids and words as text in JSON.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serializer, de};

/// What is written as the text of it.
pub(crate) trait Text: FromStr {
    fn text(&self) -> String;
}

impl Text for crate::notification::AlertId {
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for crate::notification::Severity {
    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

pub(crate) fn serialize<T: Text, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&value.text())
}

pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<T, D::Error>
where
    T::Err: Display,
{
    String::deserialize(from)?.parse().map_err(de::Error::custom)
}
