//! `[rules]`.

use super::reader::Table;
use super::{Context, RulesConfig};
use crate::limits::Limits;

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
    let limits = Limits::default().overridden(|key, range| table.whole(key, range));
    table.finish();
    limits
}
