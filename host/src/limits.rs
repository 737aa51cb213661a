//! What one call of a rule may use. Every limit has a name and a default.

/// Bytes of one log line of a rule.
pub const LOG_LINE_BYTES_MAX: usize = 2_048;
/// Bytes of a panic's text.
pub const PANIC_BYTES_MAX: usize = 8_192;
/// Fields that a rule may declare.
pub const FIELDS_MAX: usize = 256;
/// Rows of one call; a batch with more survivors is called in parts. More rows gain nothing
/// (baselines section 2) and make the guest's memory grow.
pub const ROWS_PER_CALL_MAX: usize = 4_096;

/// Caps on one rule; `[limits]` in its toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wasm instructions, about, for each record of a batch. 80 are usual on cells, 8,900 with JSON
    /// parsed in the guest.
    pub fuel_per_record: u64,
    /// Linear memory of one instance, MiB, all its memories together.
    pub memory_mib: u32,
    /// Bytes that one call may return, all effects together.
    pub output_bytes: usize,
    /// Notifications that one record may cause.
    pub notifications_per_record: u32,
    /// Records that one record may emit.
    pub emits_per_record: u32,
    /// Log lines of one call; what is over is counted, not kept.
    pub log_lines: u32,
    /// Failed records in a row after which the rule is quarantined; 0 = never.
    pub quarantine_after: u32,
}

impl Limits {
    /// What holds for a rule that sets none.
    pub const DEFAULT: Self = Self {
        fuel_per_record: 2_000_000,
        memory_mib: 64,
        output_bytes: 1 << 20,
        notifications_per_record: 16,
        emits_per_record: 16,
        log_lines: 100,
        quarantine_after: 10,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Cuts `text` to at most `bytes` bytes, between two characters, and marks the cut with `…`.
pub fn cut(text: &mut String, bytes: usize) {
    if text.len() <= bytes {
        return;
    }
    const MARK: &str = "…";
    text.truncate(text.floor_char_boundary(bytes.saturating_sub(MARK.len())));
    if bytes >= MARK.len() {
        text.push_str(MARK);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_is_cut_between_characters_and_marked() {
        let cut = |text: &str, bytes| {
            let mut text = text.to_owned();
            super::cut(&mut text, bytes);
            text
        };
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcdef", 5), "ab…");
        assert_eq!(cut("äöüäöü", 6), "ä…");
        assert_eq!(cut("abcdef", 2), "");
    }
}
