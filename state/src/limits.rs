//! How much a rule may keep, and what is said when it wants more.

use thiserror::Error;

/// Bytes of a key, of a timer or of an item that is counted.
pub const KEY_BYTES_MAX: usize = 64 << 10;
/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Estimated bytes of one entry of a window: the items of a `distinct` window or the records of a
/// sliding one.
pub const ENTRY_BYTES_MAX: usize = 4 << 20;
/// No entry is longer than this on the changelog topic, key and value together.
pub const WIRE_BYTES_MAX: usize = 5 << 20;
/// How long closed windows are retained for questions, in milliseconds of stream time.
pub const RETENTION_MS: i64 = 24 * 60 * 60 * 1_000;

/// What an entry costs besides its bytes: the places in the map and the indices.
pub(crate) const ENTRY_BYTES: usize = 240;
/// What a contributing record costs.
pub(crate) const EVIDENCE_BYTES: usize = 64;
/// What an item of a `distinct` window costs besides its bytes.
pub(crate) const ITEM_BYTES: usize = 48;
/// What a record of a sliding window costs: its time and number.
pub(crate) const RECORD_BYTES: usize = 16;

/// Why an operation was refused; it changed nothing. The rule's fault, but for `Full`, which the
/// operator can help.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum StateError {
    #[error("a key of {bytes} bytes is too long: {KEY_BYTES_MAX} are allowed")]
    Key { bytes: usize },
    #[error("a value of {bytes} bytes is too long: {VALUE_BYTES_MAX} are allowed")]
    Value { bytes: usize },
    #[error(
        "an item of {bytes} bytes for window `{window}` is too long: {KEY_BYTES_MAX} are allowed"
    )]
    Item { window: String, bytes: usize },
    #[error("window `{window}` was given {value}, which is no finite number")]
    Number { window: String, value: f64 },
    #[error("there is no window {window}: the plan has {windows}")]
    UnknownWindow { window: u32, windows: usize },
    #[error("window `{window}` counts different items: add items to it, not numbers")]
    WantsItems { window: String },
    #[error("window `{window}` does not count different items: add numbers to it, not items")]
    WantsNumbers { window: String },
    #[error(
        "window `{window}` would keep {bytes} bytes for one key, {ENTRY_BYTES_MAX} are allowed: \
         make it shorter, or count with a tumbling or hopping window"
    )]
    Entry { window: String, bytes: usize },
    #[error(
        "the rule's state would grow from {bytes} to {wanted} bytes, the limit `state_mib` is \
         {bytes_max} bytes: raise it, or keep less (shorter windows, fewer keys, a ttl)"
    )]
    Full { bytes: usize, wanted: usize, bytes_max: usize },
}

/// Refuses a key that is too long.
pub(crate) fn check_key(key: &[u8]) -> Result<(), StateError> {
    if key.len() > KEY_BYTES_MAX { Err(StateError::Key { bytes: key.len() }) } else { Ok(()) }
}
