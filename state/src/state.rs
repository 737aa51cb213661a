//! The state of one rule and input partition: taking up a plan, versions and stream time.

use std::sync::Arc;

use crate::entry::{Definition, Definitions, Entry, Meta};
use crate::key::{Key, KeyRef};
use crate::limits::StateError;
use crate::moment::Dropped;
use crate::plan::{Plan, Window};
use crate::sources::Sources;
use crate::store::Store;
use crate::wire::{self, Topics, WireError};

/// What a rule keeps between the records of one input partition.
///
/// Changes are undone in two steps: those of a call by [`undo_call`](Self::undo_call), those of
/// all transactions that are not committed by [`abort`](Self::abort). Time comes with every
/// operation; a row's times are those of its [`Moment`](crate::Moment).
///
/// ```
/// # use std::sync::Arc;
/// # use firebell_state::{
/// #     Aggregate, Closing, Crossing, Evidence, Moment, Plan, RuleState, Shape, Window,
/// # };
/// let burst = Window {
///     name: "attempts".into(),
///     shape: Shape::Tumbling(60_000),
///     aggregate: Aggregate::Count,
///     grace_ms: 0,
///     crossing: Crossing::AtLeast(2.0),
///     closing: Closing::None,
///     evidence: 5,
/// };
/// let mut state = RuleState::new(64 << 20);
/// state.adopt(Arc::new(Plan { windows: vec![burst], ..Plan::default() }));
/// let mut crossed = vec![];
/// for (offset, event_ms) in [(7, 10_000), (8, 12_000), (9, 15_000)] {
///     let record = Evidence { topic: "T".into(), partition: 0, offset, timestamp_ms: event_ms };
///     let at = Moment { event_ms, stream_ms: event_ms };
///     crossed.extend(state.add(0, at, &record, b"rpi-03", 1.0)?.crossed);
/// }
/// assert_eq!(crossed.len(), 1);
/// assert_eq!((crossed[0].start_ms, crossed[0].end_ms, crossed[0].count), (0, 60_000, 2));
/// # Ok::<(), firebell_state::StateError>(())
/// ```
#[derive(Debug)]
pub struct RuleState {
    pub(crate) store: Store,
    pub(crate) definitions: Arc<Definitions>,
    plan: Option<Arc<Plan>>,
    /// Whether something was undone since the plan was taken up: entries that it has no place for
    /// may be back.
    unsettled: bool,
    /// Names of topics in restored evidence.
    topics: Topics,
}

impl PartialEq for RuleState {
    /// Whether both hold the same entries. Plans and what can be undone are not looked at.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.store.iter().all(|(key, entry)| {
                other.store.get(&key.borrowed()).is_some_and(|others| entry == others)
            })
    }
}

impl RuleState {
    /// An empty state that may grow to `bytes_max` bytes, as [`bytes`](Self::bytes) counts them.
    /// It has no plan: it takes what is restored, and values and timers; not records.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            store: Store::new(bytes_max),
            definitions: Arc::default(),
            plan: None,
            unsettled: false,
            topics: Topics::default(),
        }
    }

    /// Sets the limit, `state_mib` in bytes: state that is over it already stays, and grows no more.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.store.set_bytes_max(bytes_max);
    }

    /// Takes up the plan of a rule, or of its new version; [checked](Plan::check) before.
    ///
    /// A window whose name, shape and aggregate are as before goes on, wherever it stands in the
    /// plan; what was told stays told, whatever its threshold is now. Entries of other windows
    /// are removed, as a change that is written and can be undone, and returned.
    ///
    /// After an undo that reaches back behind this, adopt the plan that is to hold, or the next
    /// call begins by removing again what the present one has no place for.
    pub fn adopt(&mut self, plan: Arc<Plan>) -> Vec<Dropped> {
        if self.plan.as_deref() != Some(&*plan) {
            self.definitions = Arc::new(Definitions::of(&plan));
            self.store.define(Arc::clone(&self.definitions));
            self.plan = Some(plan);
        }
        self.settle()
    }

    /// The plan that was taken up last.
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.plan.as_ref()
    }

    /// The version of keys and values that are stored; none: nothing was ever stored.
    pub fn stored_version(&self) -> Option<u32> {
        self.meta().and_then(|meta| meta.version)
    }

    /// Notes that keys and values are of this version now.
    pub fn set_version(&mut self, version: u32) {
        if self.stored_version() != Some(version) {
            self.change_meta(|meta| meta.version = Some(version));
        }
    }

    /// The rule's stream time, milliseconds since the Unix epoch; none before the first record.
    pub fn stream_ms(&self) -> Option<i64> {
        self.meta().and_then(|meta| meta.stream_ms)
    }

    /// How far the partitions are that feed the rule; empty where its records are not grouped.
    pub fn sources(&self) -> Arc<Sources> {
        self.meta().map(|meta| Arc::clone(&meta.sources)).unwrap_or_default()
    }

    /// Notes how far the partitions are that feed the rule.
    pub fn set_sources(&mut self, sources: Sources) {
        if *self.sources() != sources {
            self.change_meta(|meta| meta.sources = Arc::new(sources));
        }
    }

    /// Moves the rule's stream time on; it never goes back.
    pub fn advance(&mut self, stream_ms: i64) {
        if self.stream_ms().is_none_or(|now_ms| now_ms < stream_ms) {
            self.change_meta(|meta| meta.stream_ms = Some(stream_ms));
        }
    }

    /// Sets where the rule's stream time stands before it [begins](Sources::begin): it may go back.
    pub fn stand_at(&mut self, stream_ms: i64) {
        if self.stream_ms() != Some(stream_ms) {
            self.change_meta(|meta| meta.stream_ms = Some(stream_ms));
        }
    }

    /// Begins a call of the rule: [`undo_call`](Self::undo_call) goes back to here.
    pub fn begin_call(&mut self) {
        if self.unsettled {
            self.settle();
        }
        self.store.begin_call();
    }

    /// Undoes what was done since the call began, or since the last seal, exactly.
    pub fn undo_call(&mut self) {
        self.unsettled |= self.store.undo_call();
    }

    /// Goes back to what was last committed, exactly, whatever was sealed since.
    pub fn abort(&mut self) {
        self.unsettled |= self.store.abort();
    }

    /// Hands out every entry that changed since the last seal, once, as it is now, in a fixed
    /// order: its key and its value for the changelog topic; no value is a tombstone. Ends the
    /// call. The next transaction begins, while this one may still be aborted.
    pub fn seal(&mut self, each: &mut dyn FnMut(Vec<u8>, Option<Vec<u8>>)) {
        self.store.seal(&mut |key, entry| each(wire::encode_key(key), entry.map(wire::encode)));
    }

    /// Notes that what was sealed is committed. What changed since can still be undone.
    pub fn committed(&mut self) {
        self.store.committed();
    }

    /// Whether something changed since the last seal.
    pub fn is_dirty(&self) -> bool {
        self.store.is_dirty()
    }

    /// Takes an entry from the changelog topic; no value: it was removed. Before anything else
    /// is done with the state, oldest entry first. It is no change: nothing to undo or to write.
    /// The limit of bytes is not looked at.
    ///
    /// # Errors
    /// [`WireError`]: the bytes are not what this or an older Firebell has written.
    pub fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), WireError> {
        let key = wire::decode_key(key)?;
        let entry = value.map(|value| wire::decode(key.kind, value, &mut self.topics));
        self.store.restore(key, entry.transpose()?);
        Ok(())
    }

    /// The window at a place of the plan.
    pub(crate) fn definition(
        definitions: &Definitions,
        at: u32,
    ) -> Result<&Definition, StateError> {
        let windows = definitions.0.len();
        let found = usize::try_from(at).ok().and_then(|at| definitions.0.get(at));
        found.ok_or(StateError::UnknownWindow { window: at, windows })
    }

    pub(crate) fn meta(&self) -> Option<&Meta> {
        match self.store.get(&KeyRef::META) {
            Some(Entry::Meta(meta)) => Some(meta),
            _ => None,
        }
    }

    fn change_meta(&mut self, change: impl FnOnce(&mut Meta)) {
        let mut meta = self.meta().cloned().unwrap_or_default();
        change(&mut meta);
        self.store.replace(KeyRef::META.owned(), Some(Entry::Meta(meta)));
    }

    /// Removes entries of windows that the plan does not have, and notes those that it has.
    fn settle(&mut self) -> Vec<Dropped> {
        self.unsettled = false;
        let Some(plan) = &self.plan else { return vec![] };
        let kept = |fingerprint| self.definitions.find(fingerprint).is_some();
        let gone =
            self.store.by_definition().iter().filter(|(fingerprint, _)| !kept(**fingerprint));
        let mut dropped: Vec<Dropped> = gone
            .map(|(fingerprint, entries)| {
                let names = self.meta().map(|meta| &*meta.windows).unwrap_or_default();
                let named = names.iter().find(|(known, _)| known == fingerprint);
                let window = named.map_or("unknown", |(_, window)| &window.name).to_owned();
                let redefined = plan.windows.iter().any(|present| present.name == window);
                Dropped { window, entries: *entries, redefined }
            })
            .collect();
        dropped.sort_unstable_by(|a, b| a.window.cmp(&b.window));
        if !dropped.is_empty() {
            let entries = self.store.iter().map(|(key, _)| key);
            let gone: Vec<Key> = entries
                .filter(|key| key.kind.is_window() && !kept(key.definition))
                .cloned()
                .collect();
            gone.into_iter().for_each(|key| self.store.replace(key, None));
        }
        let windows = self.definitions.0.iter();
        let windows: Vec<(u64, Window)> =
            windows.map(|known| (known.fingerprint, known.window.clone())).collect();
        if self.meta().map(|meta| &*meta.windows).unwrap_or_default() != windows {
            self.change_meta(|meta| meta.windows = windows.into());
        }
        dropped
    }
}
