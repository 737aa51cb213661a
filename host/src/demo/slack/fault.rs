//! What can go wrong with a request, queued by a test or drawn at random.

use std::collections::VecDeque;
use std::time::Duration;

/// One way for a request to fail. "Accepted" means that Slack did what was asked, whatever it
/// says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// HTTP 429 with `Retry-After` in whole seconds.
    RateLimited {
        /// The seconds.
        retry_after: u64,
    },
    /// HTTP 200, `ok: false`, `ratelimited`, and no `Retry-After`.
    RatelimitedBody,
    /// HTTP 200 with `ok: false` and this code (a webhook: 400 with this word), not accepted.
    OkFalse(&'static str),
    /// The same, accepted.
    OkFalseAfterAccept(&'static str),
    /// This HTTP status with a page, not accepted.
    StatusBeforeAccept(u16),
    /// The same, accepted.
    StatusAfterAccept(u16),
    /// The connection ends without an answer, not accepted.
    ResetBefore,
    /// The same, accepted.
    ResetAfterAccept,
    /// The connection ends without an answer; accepted after a while.
    ResetAndAcceptLater(Duration),
    /// No answer comes, not accepted.
    Hang,
    /// The same, accepted.
    HangAfterAccept,
    /// HTTP 200 with a page, not accepted.
    NotJson,
    /// The same, accepted.
    NotJsonAfterAccept,
    /// Answered rightly, after a while.
    Slow(Duration),
}

impl Fault {
    /// Whether Slack did what was asked before the fault showed.
    pub(super) fn accepts(&self) -> bool {
        matches!(
            self,
            Self::OkFalseAfterAccept(_)
                | Self::StatusAfterAccept(_)
                | Self::ResetAfterAccept
                | Self::HangAfterAccept
                | Self::NotJsonAfterAccept
        )
    }
}

/// Faults drawn with a seed, so that a run can be repeated.
#[derive(Debug, Clone)]
pub struct RandomFaults {
    /// Where the draw begins.
    pub seed: u64,
    /// Of a thousand requests, how many fail.
    pub per_mille: u32,
    /// The methods that fail; empty = all.
    pub methods: Vec<String>,
    /// What is drawn from. Never empty.
    pub faults: Vec<Fault>,
}

/// Faults that are to happen.
#[derive(Debug, Default)]
pub(super) struct Faults {
    queued: VecDeque<(String, Fault)>,
    random: Option<RandomFaults>,
}

impl Faults {
    pub(super) fn queue(&mut self, method: &str, fault: Fault) {
        self.queued.push_back((method.to_owned(), fault));
    }

    pub(super) fn left(&self) -> usize {
        self.queued.len()
    }

    pub(super) fn at_random(&mut self, random: Option<RandomFaults>) {
        self.random = random.filter(|random| !random.faults.is_empty());
    }

    /// The fault of this request, if it has one.
    pub(super) fn take(&mut self, method: &str) -> Option<Fault> {
        let queued = self.queued.iter().position(|(of, _)| of == method);
        if let Some((_, fault)) = queued.and_then(|index| self.queued.remove(index)) {
            return Some(fault);
        }
        let random = self.random.as_mut()?;
        if !random.methods.is_empty() && !random.methods.iter().any(|of| of == method) {
            return None;
        }
        let failed = draw(&mut random.seed) % 1_000 < u64::from(random.per_mille);
        let index = draw(&mut random.seed) % random.faults.len() as u64;
        // The index is smaller than the list.
        failed.then(|| random.faults[usize::try_from(index).unwrap_or(0)].clone())
    }
}

/// SplitMix64.
fn draw(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
