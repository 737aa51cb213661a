//! What identifies an entry, owned and borrowed.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use hashbrown::{DefaultHashBuilder, Equivalent};

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
    /// Hash of the bytes: a table that grows need not visit them all. Last, since it has no part in the
    /// order.
    hashed: u64,
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
        Key::new(self.kind, self.definition, Arc::from(self.bytes), self.start_ms)
    }

    fn hash_with<H: Hasher>(&self, hashed: u64, state: &mut H) {
        state.write_u64(hashed ^ self.definition ^ self.kind as u64);
        state.write_i64(self.start_ms);
    }
}

/// Keys come from records: who writes them must not know which ones collide.
fn hash_of(bytes: &[u8]) -> u64 {
    static SEED: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);
    SEED.hash_one(bytes)
}

impl Key {
    pub(crate) fn new(kind: Kind, definition: u64, bytes: Arc<[u8]>, start_ms: i64) -> Self {
        let hashed = hash_of(&bytes);
        Self { kind, definition, bytes, start_ms, hashed }
    }

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
        self.hash_with(hash_of(self.bytes), state);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrowed().hash_with(self.hashed, state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.borrowed()
    }
}
