//! `[rules]`.

use super::reader::Table;
use super::{Context, RulesConfig};
use crate::limits::Limits;

/// Linear memory that one instance may be given, MiB: 32-bit wasm has no more.
const MEMORY_MIB_MAX: i64 = 4096;

/// Reads the section.
pub(super) fn read(mut table: Table<'_, '_>, context: Context<'_>) -> RulesConfig {
    let dir = context.path(table.text("dir").unwrap_or("rules"));
    let cache_dir = match table.text("cache_dir") {
        Some("off") => None,
        Some(written) => Some(context.path(written)),
        None => context.environment.cache_dir(),
    };
    let limits = read_limits(table.table("limits"));
    table.finish();
    RulesConfig { dir, cache_dir, limits }
}

/// `[rules.limits]`.
fn read_limits(mut table: Table<'_, '_>) -> Limits {
    let default = Limits::default();
    let mut whole = |key, least: i64, most: i64| table.whole(key, least..=most);
    let u32 = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    let limits = Limits {
        fuel_per_record: whole("fuel_per_record", 1_000, 1_000_000_000_000)
            .map_or(default.fuel_per_record, i64::unsigned_abs),
        memory_mib: u32(whole("memory_mib", 1, MEMORY_MIB_MAX)).unwrap_or(default.memory_mib),
        output_bytes: whole("output_bytes", 1_024, 1 << 30)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(default.output_bytes),
        notifications_per_record: u32(whole("notifications_per_record", 0, 10_000))
            .unwrap_or(default.notifications_per_record),
        emits_per_record: u32(whole("emits_per_record", 0, 10_000))
            .unwrap_or(default.emits_per_record),
        log_lines: u32(whole("log_lines", 0, 100_000)).unwrap_or(default.log_lines),
        quarantine_after: u32(whole("quarantine_after", 0, 1_000_000))
            .unwrap_or(default.quarantine_after),
    };
    table.finish();
    limits
}
