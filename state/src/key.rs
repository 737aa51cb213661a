//! What identifies an entry, owned and borrowed.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::Equivalent;

/// What an entry is. The numbers are written to the changelog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The one entry about the state itself.
    Meta = 1,
    Value = 2,
    Timer = 3,
    /// A tumbling or hopping window of a key.
    Window = 4,
    /// A session of a key.
    Session = 5,
    /// All that a sliding window keeps for a key.
    Sliding = 6,
}

impl Kind {
    /// Whether such an entry belongs to a window of the plan.
    pub(crate) fn is_window(self) -> bool {
        matches!(self, Self::Window | Self::Session | Self::Sliding)
    }
}

/// Identifies an entry. Its order is that of the changelog: a key's sessions stand together, by
/// their starts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    /// Fingerprint of the window's definition; 0 for what is no window.
    pub(crate) definition: u64,
    /// The rule's key.
    pub(crate) bytes: Arc<[u8]>,
    /// Start of the window or session; else 0.
    pub(crate) start_ms: i64,
}

/// A [`Key`] to look up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyRef<'a> {
    pub(crate) kind: Kind,
    pub(crate) definition: u64,
    pub(crate) bytes: &'a [u8],
    pub(crate) start_ms: i64,
}

impl<'a> KeyRef<'a> {
    /// The key of the entry about the state itself.
    pub(crate) const META: KeyRef<'static> =
        KeyRef { kind: Kind::Meta, definition: 0, bytes: &[], start_ms: 0 };

    pub(crate) fn value(bytes: &'a [u8]) -> Self {
        Self { kind: Kind::Value, definition: 0, bytes, start_ms: 0 }
    }

    pub(crate) fn timer(bytes: &'a [u8]) -> Self {
        Self { kind: Kind::Timer, definition: 0, bytes, start_ms: 0 }
    }

    pub(crate) fn owned(&self) -> Key {
        let Self { kind, definition, bytes, start_ms } = *self;
        Key { kind, definition, bytes: Arc::from(bytes), start_ms }
    }
}

impl Key {
    /// The key of another session of the same.
    pub(crate) fn at(&self, start_ms: i64) -> Self {
        Self { start_ms, ..self.clone() }
    }

    pub(crate) fn borrowed(&self) -> KeyRef<'_> {
        KeyRef {
            kind: self.kind,
            definition: self.definition,
            bytes: &self.bytes,
            start_ms: self.start_ms,
        }
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.definition ^ self.kind as u64);
        state.write_i64(self.start_ms);
        state.write(self.bytes);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrowed().hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.borrowed()
    }
}
