//! `[slack] on_ambiguous`: what is done when nobody can say whether Slack has a message.

use super::reader::Table;
use crate::notification::Severity;

/// What to do when Slack's answer does not say whether a message was posted and its history cannot
/// be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnAmbiguous {
    /// Send again: perhaps twice, never lost.
    #[default]
    Send,
    /// Do not: perhaps lost, never twice.
    Drop,
}

/// The words of the configuration.
const WORDS: [(&str, OnAmbiguous); 2] = [("send", OnAmbiguous::Send), ("drop", OnAmbiguous::Drop)];

impl OnAmbiguous {
    /// The word of the configuration, and of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Drop => "drop",
        }
    }
}

/// The decision for each severity. The default sends all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ambiguity {
    info: OnAmbiguous,
    warning: OnAmbiguous,
    error: OnAmbiguous,
    critical: OnAmbiguous,
}

impl Ambiguity {
    /// The same for every severity.
    pub fn all(decision: OnAmbiguous) -> Self {
        Self { info: decision, warning: decision, error: decision, critical: decision }
    }

    /// The decision for a severity.
    pub fn of(&self, severity: Severity) -> OnAmbiguous {
        match severity {
            Severity::Info => self.info,
            Severity::Warning => self.warning,
            Severity::Error => self.error,
            Severity::Critical => self.critical,
        }
    }

    /// For people: what is done, and about what when that differs.
    pub fn words(&self) -> String {
        let severities = [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];
        let of = |decision: OnAmbiguous| {
            severities.into_iter().filter(move |severity| self.of(*severity) == decision)
        };
        let dropped: Vec<&str> = of(OnAmbiguous::Drop).map(Severity::as_str).collect();
        match dropped.len() {
            0 => "send again: perhaps twice, never lost".into(),
            4 => "do not send again: perhaps lost, never twice".into(),
            _ => format!(
                "send again: perhaps twice, never lost; but not {}: perhaps lost, never twice",
                dropped.join(", ")
            ),
        }
    }
}

/// Reads the key: one word for all, or a table of severities, where those that are missing are sent.
pub(super) fn read(table: &mut Table<'_, '_>) -> Ambiguity {
    const KEY: &str = "on_ambiguous";
    if !table.holds_table(KEY) {
        return Ambiguity::all(table.word(KEY, &WORDS).unwrap_or_default());
    }
    let mut severities = table.table(KEY);
    let mut of = |severity| severities.word(severity, &WORDS).unwrap_or_default();
    let ambiguity = Ambiguity {
        info: of("info"),
        warning: of("warning"),
        error: of("error"),
        critical: of("critical"),
    };
    severities.finish();
    ambiguity
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{check, parse};

    fn with(line: &str) -> Ambiguity {
        let text = format!(
            "[kafka]\nbootstrap_servers = \"k:1\"\n[slack]\ntoken_env = \"TOKEN\"\n\
             default_channel = \"general\"\n{line}\n"
        );
        parse(&text).unwrap().slack.unwrap().on_ambiguous
    }

    #[test]
    fn one_word_is_for_all_and_a_table_for_each() {
        assert_eq!(with(""), Ambiguity::all(OnAmbiguous::Send));
        assert_eq!(with("on_ambiguous = \"drop\""), Ambiguity::all(OnAmbiguous::Drop));
        let mixed = with("on_ambiguous = { critical = \"send\", info = \"drop\" }");
        assert_eq!(mixed.of(Severity::Info), OnAmbiguous::Drop);
        assert_eq!(mixed.of(Severity::Warning), OnAmbiguous::Send);
        assert_eq!(mixed.of(Severity::Critical), OnAmbiguous::Send);
        assert!(mixed.words().contains("but not info"), "{}", mixed.words());
    }

    #[test]
    fn a_severity_that_is_none_and_a_word_that_is_none_are_told() {
        check(
            "slack",
            "on_ambiguous = { fatal = \"send\" }",
            &["firebell.toml:4: slack.on_ambiguous.fatal: unknown key; the keys here are `info`, \
               `warning`, `error`, `critical`"],
        );
        check(
            "slack",
            "on_ambiguous = { info = \"drp\" }",
            &[
                "firebell.toml:4: slack.on_ambiguous.info: does not know \"drp\"; did you mean \"drop\"?",
            ],
        );
    }
}
