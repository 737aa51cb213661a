//! What one call of a rule may use. Every limit has a name and a default.

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

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel_per_record: 2_000_000,
            memory_mib: 64,
            output_bytes: 1 << 20,
            notifications_per_record: 16,
            emits_per_record: 16,
            log_lines: 100,
            quarantine_after: 10,
        }
    }
}
