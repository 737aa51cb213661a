//! What one instance may hold: memory, tables, log lines.

use wasmtime::ResourceLimiter;

use crate::limits::{LOG_LINE_BYTES_MAX, PANIC_BYTES_MAX, cut};

/// Elements of all tables of one instance; language runtimes use some ten thousand.
const TABLE_ELEMENTS_MAX: usize = 1_000_000;
/// Core instances, memories and tables inside one component.
const PARTS_MAX: usize = 1_000;

/// Counts all memories of a store together: wasmtime's own `StoreLimits` caps each alone.
#[derive(Debug)]
pub(super) struct Limiter {
    memory: usize,
    memory_max: usize,
    elements: usize,
    /// A growth was refused since the last `rearm`.
    denied: bool,
}

impl Limiter {
    pub(super) fn new(memory_mib: u32) -> Self {
        Self { memory: 0, memory_max: (memory_mib as usize) << 20, elements: 0, denied: false }
    }

    /// Bytes of linear memory now.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn denied(&self) -> bool {
        self.denied
    }

    pub(super) fn rearm(&mut self) {
        self.denied = false;
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_sub(current).saturating_add(desired);
        if total > self.memory_max {
            self.denied = true;
            return Ok(false);
        }
        // Wasmtime refuses this growth itself, after this call.
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.memory = total;
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.elements.saturating_sub(current).saturating_add(desired);
        if total > TABLE_ELEMENTS_MAX {
            self.denied = true;
            return Ok(false);
        }
        self.elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        PARTS_MAX
    }

    fn tables(&self) -> usize {
        PARTS_MAX
    }

    fn memories(&self) -> usize {
        PARTS_MAX
    }
}

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogLevel {
    /// For the author.
    Debug,
    /// For information.
    Info,
    /// Something is odd.
    Warn,
    /// Something is wrong.
    Error,
}

/// A line that a rule wrote to the operator's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How loud.
    pub level: LogLevel,
    /// The text, cut to a length. It is the guest's: not to be trusted.
    pub message: String,
}

/// The lines of one call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Logs {
    /// Kept lines, in order.
    pub lines: Vec<LogLine>,
    /// How many were over the limit and are gone.
    pub dropped: u64,
}

/// Where the log import writes to.
#[derive(Debug)]
pub(super) struct LogBook {
    logs: Logs,
    lines_max: u32,
    panic: Option<String>,
}

impl LogBook {
    pub(super) fn new(lines_max: u32) -> Self {
        Self { logs: Logs::default(), lines_max, panic: None }
    }

    pub(super) fn line(&mut self, level: LogLevel, mut message: String) {
        if self.logs.lines.len() >= self.lines_max as usize {
            self.logs.dropped += 1;
            return;
        }
        cut(&mut message, LOG_LINE_BYTES_MAX);
        self.logs.lines.push(LogLine { level, message });
    }

    pub(super) fn panicked(&mut self, mut message: String) {
        cut(&mut message, PANIC_BYTES_MAX);
        // The first panic is the cause; a second one happens while the first is told.
        self.panic.get_or_insert(message);
    }

    /// Hands out what was logged since the last time.
    pub(super) fn take(&mut self) -> (Logs, Option<String>) {
        (std::mem::take(&mut self.logs), self.panic.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn all_memories_count_together_and_a_refusal_is_remembered_until_rearmed() {
        let mut limiter = Limiter::new(3);
        assert!(limiter.memory_growing(0, MIB, None).unwrap());
        assert!(limiter.memory_growing(0, MIB, None).unwrap());
        assert!(!limiter.memory_growing(MIB, 3 * MIB, None).unwrap());
        assert!(limiter.denied());
        assert_eq!(limiter.memory(), 2 * MIB);
        limiter.rearm();
        assert!(limiter.memory_growing(MIB, 2 * MIB, None).unwrap());
        assert!(!limiter.denied());
        assert_eq!(limiter.memory(), 3 * MIB);
    }

    #[test]
    fn lines_over_the_limit_are_counted_and_long_ones_are_cut() {
        let mut book = LogBook::new(2);
        book.line(LogLevel::Info, "x".repeat(LOG_LINE_BYTES_MAX + 1));
        book.line(LogLevel::Warn, "b".into());
        book.line(LogLevel::Error, "c".into());
        let (logs, panic) = book.take();
        assert_eq!(logs.lines.len(), 2);
        assert!(logs.lines[0].message.len() <= LOG_LINE_BYTES_MAX);
        assert_eq!(logs.dropped, 1);
        assert_eq!(panic, None);
        assert_eq!(book.take().0, Logs::default());
    }
}
