//! What the operator wrote under `[config]`, read into the rule's own type.

use serde::de::DeserializeOwned;

/// The rule's configuration: the `[config]` table of its toml, as JSON.
#[derive(Debug, Clone)]
pub struct Config {
    json: String,
}

impl Config {
    /// A configuration from the text of a JSON object.
    pub fn from_json(json: impl Into<String>) -> Self {
        Self { json: json.into() }
    }

    /// The text of the JSON object.
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// Reads the configuration into `T`. Put `#[serde(deny_unknown_fields)]` on `T`, so that a
    /// misspelt key is an error and not a default.
    ///
    /// # Errors
    ///
    /// Names the key and what was expected there, ready to be returned from
    /// [`Rule::new`](crate::Rule::new).
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, String> {
        let json = if self.json.trim().is_empty() { "{}" } else { &self.json };
        serde_json::from_str(json).map_err(|error| explain(json, &error))
    }
}

/// The error without the place in a JSON text that the operator never saw, with the key instead.
fn explain(json: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let reason = text.strip_suffix(&place).unwrap_or(&text);
    // An unknown or a missing key is named by the reason itself.
    let about_a_value = reason.starts_with("invalid ");
    let line_start: usize =
        json.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    match path_at(json, line_start + error.column()) {
        Some(path) if about_a_value => format!("[config] {path}: {reason}"),
        _ => format!("[config] {reason}"),
    }
}

/// The dotted path of the value that ends at byte `end` of `json`, a text that parses up to there.
fn path_at(json: &str, end: usize) -> Option<String> {
    // One entry per open object or array: the key that is being read, if it is an object.
    let mut path: Vec<Option<&str>> = Vec::new();
    let mut last_text = "";
    let mut at = 0;
    let bytes = json.as_bytes();
    while at < end.min(bytes.len()) {
        match bytes[at] {
            b'"' => {
                let start = at + 1;
                at = start;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                last_text = json.get(start..at)?;
            }
            b':' => *path.last_mut()? = Some(last_text),
            b'{' | b'[' => path.push(None),
            // The end of what the error is about is still inside it.
            b'}' | b']' if at + 1 < end => {
                path.pop();
            }
            _ => {}
        }
        at += 1;
    }
    let keys: Vec<&str> = path.into_iter().flatten().collect();
    (!keys.is_empty()).then(|| keys.join("."))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        threshold: u32,
        #[serde(default)]
        hosts: BTreeMap<String, Vec<u8>>,
    }

    fn error(json: &str) -> String {
        Config::from_json(json).parse::<Settings>().unwrap_err()
    }

    #[test]
    fn a_good_configuration_is_read() {
        let config = Config::from_json(r#"{"threshold": 4, "hosts": {"a": [1]}}"#);
        let settings: Settings = config.parse().unwrap();
        assert_eq!(settings.threshold, 4);
        assert_eq!(settings.hosts["a"], [1]);
    }

    #[test]
    fn an_error_names_the_key_and_not_a_column() {
        assert_eq!(
            error(r#"{"treshold": 4}"#),
            "[config] unknown field `treshold`, expected `threshold` or `hosts`"
        );
        assert_eq!(error("{}"), "[config] missing field `threshold`");
        assert_eq!(error(""), "[config] missing field `threshold`");
        assert_eq!(
            error(r#"{"threshold": "four"}"#),
            "[config] threshold: invalid type: string \"four\", expected u32"
        );
        assert_eq!(
            error("{\n  \"hosts\": {\"a:\\\"\": [1], \"b\": [1, 300]}}"),
            "[config] hosts.b: invalid value: integer `300`, expected u8"
        );
    }
}
