//! What one call of a rule may use. Every limit has a name and a default.

use std::ops::RangeInclusive;

/// Bytes of one log line of a rule.
pub const LOG_LINE_BYTES_MAX: usize = 2_048;
/// Bytes of a panic's text.
pub const PANIC_BYTES_MAX: usize = 8_192;
/// Fields that a rule may declare.
pub const FIELDS_MAX: usize = 256;
/// Topics that a rule may declare.
pub const TOPICS_MAX: usize = 256;
/// Bytes of a declared field's name: people type it, and it stands in errors.
pub const FIELD_NAME_BYTES_MAX: usize = 128;
/// Bytes of a declared field's source.
pub const FIELD_SOURCE_BYTES_MAX: usize = 1_024;
/// Bytes of a condition, a rule's or an operator's.
pub const CONDITION_BYTES_MAX: usize = 64 << 10;
/// Rows of one call; a batch with more survivors is called in parts. More rows gain nothing
/// (baselines section 2) and make the guest's memory grow.
pub const ROWS_PER_CALL_MAX: usize = 4_096;

/// Linear memory that one instance may be given, MiB: 32-bit wasm has no more.
const MEMORY_MIB_MAX: i64 = 4096;

/// State of one rule and partition, MiB: it is in memory.
const STATE_MIB_MAX: i64 = 65_536;

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
    /// State of the rule in one input partition, MiB.
    pub state_mib: u32,
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
        state_mib: 256,
        quarantine_after: 10,
    };

    /// `state_mib` in bytes.
    pub fn state_bytes(&self) -> usize {
        (self.state_mib as usize) << 20
    }

    /// The keys of `[limits]`, each a field of this struct.
    pub const KEYS: [&'static str; 8] = [
        "fuel_per_record",
        "memory_mib",
        "output_bytes",
        "notifications_per_record",
        "emits_per_record",
        "log_lines",
        "state_mib",
        "quarantine_after",
    ];

    /// These limits, with the number that `read` finds for a key in its place, where it finds one.
    /// `read` is told what the number may be.
    #[must_use]
    pub fn overridden(
        self,
        mut read: impl FnMut(&'static str, RangeInclusive<i64>) -> Option<i64>,
    ) -> Self {
        let [fuel, memory, output, notifications, emits, log_lines, state, quarantine] = Self::KEYS;
        let mut number = |key, least, most| read(key, least..=most).map(i64::unsigned_abs);
        let small = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok());
        Self {
            fuel_per_record: number(fuel, 1_000, 1_000_000_000_000).unwrap_or(self.fuel_per_record),
            memory_mib: small(number(memory, 1, MEMORY_MIB_MAX)).unwrap_or(self.memory_mib),
            output_bytes: number(output, 1_024, 1 << 30)
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(self.output_bytes),
            notifications_per_record: small(number(notifications, 0, 10_000))
                .unwrap_or(self.notifications_per_record),
            emits_per_record: small(number(emits, 0, 10_000)).unwrap_or(self.emits_per_record),
            log_lines: small(number(log_lines, 0, 100_000)).unwrap_or(self.log_lines),
            state_mib: small(number(state, 1, STATE_MIB_MAX)).unwrap_or(self.state_mib),
            quarantine_after: small(number(quarantine, 0, 1_000_000))
                .unwrap_or(self.quarantine_after),
        }
    }
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
