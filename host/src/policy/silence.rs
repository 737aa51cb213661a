//! Silences: alerts that are not told for a while, because somebody said so.
//!
//! They lie in a compacted topic by id (`kafka.rs`), which every host has whole in [`Silences`]. Pure
//! but for `kafka.rs`: the time is handed in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use super::SEVERITIES;
use super::labels::Labels;
use super::matcher::{Matcher, Matchers};
use crate::notification::Severity;

pub mod kafka;
mod wire;

pub use wire::{SilenceError, SilenceRequest};

/// How long a silence is kept that has ended: five days, as Alertmanager does.
pub const KEPT_MS: i64 = 5 * 24 * 3_600_000;

/// A name for a new silence.
pub fn new_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// One silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Its name: 32 hexadecimal digits.
    pub id: String,
    /// What it silences.
    pub matchers: Matchers,
    /// From when, milliseconds since the Unix epoch.
    pub starts_at_ms: i64,
    /// Until when.
    pub ends_at_ms: i64,
    /// When it was written.
    pub updated_at_ms: i64,
    /// Who wrote it.
    pub created_by: String,
    /// Why.
    pub comment: String,
}

/// Where a silence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilenceState {
    /// It has not begun.
    Pending,
    /// It silences.
    Active,
    /// It has ended.
    Expired,
}

impl SilenceState {
    /// Alertmanager's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Expired => "expired",
        }
    }
}

/// What is wrong with a silence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSilence {
    /// It ends before it begins.
    #[error("the silence ends before it begins; give it a later end")]
    Order,
    /// It is over already.
    #[error("the silence ends in the past; give it a later end")]
    Past,
    /// It has no matchers.
    #[error("the silence has no matcher; write such as 'rule = \"ssh-login\"'")]
    Empty,
    /// It would silence alerts that have none of its labels, so nearly all.
    #[error(
        "no matcher of the silence asks for a label to be there, so it would silence everything; \
         add one such as 'rule = \"ssh-login\"', or 'rule =~ \".+\"' when that is meant"
    )]
    Everything,
    /// Nobody says why.
    #[error("the silence has no comment; say why")]
    Comment,
    /// Nobody says who.
    #[error("the silence has no author; say who")]
    Author,
    /// No alert has the severity that it asks for.
    #[error("no alert has {matcher}: a severity is one of {}", SEVERITIES.map(Severity::as_str).join(", "))]
    Severity {
        /// What asks for it.
        matcher: String,
    },
}

impl Silence {
    /// Whether it may be written at `now_ms`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, now_ms: i64) -> Result<(), InvalidSilence> {
        let wrong = [
            (self.ends_at_ms <= self.starts_at_ms, InvalidSilence::Order),
            (self.ends_at_ms <= now_ms, InvalidSilence::Past),
            (self.matchers.0.is_empty(), InvalidSilence::Empty),
            (!self.matchers.ask_for_something(), InvalidSilence::Everything),
            (self.comment.trim().is_empty(), InvalidSilence::Comment),
            (self.created_by.trim().is_empty(), InvalidSilence::Author),
        ];
        if let Some((_, error)) = wrong.into_iter().find(|(is, _)| *is) {
            return Err(error);
        }
        let exists = |matcher: &&Matcher| {
            SEVERITIES
                .iter()
                .any(|one| matcher.matches(&[("severity", one.as_str())].into_iter().collect()))
        };
        let mut of_severity = self.matchers.0.iter().filter(|one| one.name == "severity");
        match of_severity.find(|matcher| !exists(matcher)) {
            Some(matcher) => Err(InvalidSilence::Severity { matcher: matcher.to_string() }),
            None => Ok(()),
        }
    }

    /// Where it stands.
    pub fn state(&self, now_ms: i64) -> SilenceState {
        if now_ms >= self.ends_at_ms {
            SilenceState::Expired
        } else if now_ms < self.starts_at_ms {
            SilenceState::Pending
        } else {
            SilenceState::Active
        }
    }

    /// Whether it silences an alert now.
    pub fn silences(&self, labels: &Labels, now_ms: i64) -> bool {
        self.state(now_ms) == SilenceState::Active && self.matchers.matches(labels)
    }

    /// The same, ended now; `None` = it has ended already.
    pub fn expired(&self, now_ms: i64) -> Option<Self> {
        let (starts, ends) = (self.starts_at_ms.min(now_ms), now_ms);
        (self.state(now_ms) != SilenceState::Expired).then(|| Self {
            starts_at_ms: starts,
            ends_at_ms: ends,
            updated_at_ms: now_ms,
            ..self.clone()
        })
    }

    /// Whether nobody needs it any more.
    pub fn is_forgotten(&self, now_ms: i64) -> bool {
        self.ends_at_ms.saturating_add(KEPT_MS) <= now_ms
    }
}

/// All silences by id; a clone is another handle of them.
#[derive(Debug, Clone, Default)]
pub struct Silences {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    silences: ArcSwap<BTreeMap<String, Arc<Silence>>>,
    ready: AtomicBool,
}

impl Silences {
    /// Writes one down, or takes it out.
    pub fn set(&self, id: &str, silence: Option<Silence>) {
        let silence = silence.map(Arc::new);
        self.shared.silences.rcu(|all| {
            let mut all = BTreeMap::clone(all);
            match &silence {
                Some(silence) => drop(all.insert(id.to_owned(), Arc::clone(silence))),
                None => drop(all.remove(id)),
            }
            all
        });
    }

    /// A silence by its id.
    pub fn get(&self, id: &str) -> Option<Arc<Silence>> {
        self.shared.silences.load().get(id).cloned()
    }

    /// The silence with this id, or whose id alone begins so.
    ///
    /// # Errors
    /// When there is none, or several; for people.
    pub fn named(&self, id: &str) -> Result<Arc<Silence>, String> {
        if let Some(silence) = self.get(id) {
            return Ok(silence);
        }
        let all = self.shared.silences.load();
        let mut alike = all.range(id.to_owned()..).take_while(|(one, _)| one.starts_with(id));
        match (alike.next().filter(|_| !id.is_empty()), alike.next()) {
            (Some((_, silence)), None) => Ok(Arc::clone(silence)),
            (Some((first, _)), Some((second, _))) => {
                Err(format!("`{id}` may be {first} or {second}; write more of it"))
            }
            (None, _) => {
                Err(format!("there is no silence `{id}`; `firebell silence list` shows all"))
            }
        }
    }

    /// All of them, by their end.
    pub fn all(&self) -> Vec<Arc<Silence>> {
        let mut all: Vec<_> = self.shared.silences.load().values().cloned().collect();
        all.sort_by(|one, other| (one.ends_at_ms, &one.id).cmp(&(other.ends_at_ms, &other.id)));
        all
    }

    /// A silence that silences an alert now.
    pub fn silencing(&self, labels: &Labels, now_ms: i64) -> Option<Arc<Silence>> {
        let all = self.shared.silences.load();
        all.values().find(|silence| silence.silences(labels, now_ms)).cloned()
    }

    /// Whether they were read to the end that their topic had when reading began. Who tells alerts
    /// before that may tell what is silenced.
    pub fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire)
    }

    /// They were read to the end.
    pub fn set_ready(&self) {
        self.shared.ready.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
