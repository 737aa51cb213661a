//! Reading back: which of our messages a channel has, when nobody can say whether one was posted.

use std::collections::{HashMap, HashSet};

use super::common::{Common, Ending, Stopped};
use super::directory::Unlisted;
use super::ports::Ports;
use super::slack::{Asked, Found, Page};
use super::verdict::{Method, Verdict, is_thread_gone};
use crate::ledger::Place;
use crate::outbox::Entry;

/// Pages of a history that are read at most: 200,000 messages.
const PAGES_MAX: usize = 1_000;

/// Our messages of a channel, by alert and the intent that made them.
#[derive(Debug, Default)]
pub struct Past {
    channel_id: String,
    messages: HashMap<(String, String), String>,
}

/// What a history says.
#[derive(Debug)]
pub enum History {
    /// It was read to its end.
    Read(Past),
    /// It cannot be read, now or later: a webhook, no scope, not a member.
    Unreadable(String),
}

impl Past {
    /// The message that `entry` made, if it made one.
    pub fn find(&self, entry: &Entry) -> Option<Place> {
        let ids = (entry.alert.to_string(), entry.intent.to_string());
        let ts = self.messages.get(&ids)?.clone();
        Some(Place { channel_id: self.channel_id.clone(), ts })
    }
}

/// Reads our messages in `channel` from `oldest_ms` (milliseconds since the Unix epoch) to now.
///
/// # Errors
/// When work on the partition is stopped before.
pub async fn read<P: Ports>(
    common: &Common<P>,
    channel: &str,
    oldest_ms: i64,
    ending: &Ending,
) -> Result<History, Stopped> {
    if common.slack.is_webhook() {
        return Ok(History::Unreadable("a webhook has no history".into()));
    }
    let channel_id = match id(common, channel, ending).await? {
        Ok(id) => id,
        Err(why) => return Ok(History::Unreadable(why)),
    };
    let oldest_ms = oldest_ms.max(0);
    let oldest = format!("{}.{:03}000", oldest_ms / 1_000, oldest_ms % 1_000);
    let mut past = Past { channel_id, messages: HashMap::new() };
    let mut cursor = String::new();
    for _ in 0..PAGES_MAX {
        let ask = || common.slack.history(&past.channel_id, &oldest, &cursor);
        let asked = page(common, ask, ending).await?;
        let Some(page) = asked.value else {
            return Ok(History::Unreadable(asked.detail));
        };
        past.messages.extend(
            page.items.into_iter().map(|Found { ts, alert, opened_by }| ((alert, opened_by), ts)),
        );
        match page.next {
            Some(next) => cursor = next,
            None => return Ok(History::Read(past)),
        }
    }
    Ok(History::Unreadable("the history has too many pages".into()))
}

/// What the thread of a message says.
#[derive(Debug)]
pub enum Thread {
    /// The intents of all our replies.
    Read(HashSet<String>),
    /// There is none any more.
    Gone,
    /// It cannot be read, now or later.
    Unreadable(String),
}

/// Reads our replies to the message at `place`.
///
/// # Errors
/// When work on the partition is stopped before.
pub async fn read_thread<P: Ports>(
    common: &Common<P>,
    place: &Place,
    ending: &Ending,
) -> Result<Thread, Stopped> {
    let mut intents = HashSet::new();
    let mut cursor = String::new();
    for _ in 0..PAGES_MAX {
        let asked = page(common, || common.slack.replies(place, &cursor), ending).await?;
        let gone = asked.code().is_some_and(is_thread_gone);
        let Some(page) = asked.value else {
            return Ok(if gone { Thread::Gone } else { Thread::Unreadable(asked.detail) });
        };
        intents.extend(page.items.into_iter().map(|found| found.opened_by));
        match page.next {
            Some(next) => cursor = next,
            None => return Ok(Thread::Read(intents)),
        }
    }
    Ok(Thread::Unreadable("the thread has too many pages".into()))
}

/// One page, asked for until it comes or never will.
async fn page<P: Ports, F: Future<Output = Asked<Page<Found>>>>(
    common: &Common<P>,
    ask: impl Fn() -> F,
    ending: &Ending,
) -> Result<Asked<Page<Found>>, Stopped> {
    let mut backoff = common.backoff();
    loop {
        ending.idle(common.gate.pass(Method::History)).await?;
        let asked = ending.idle(ask()).await?;
        if is_about_us(&asked) {
            common.metrics.slack_errors(asked.verdict().as_str(), 1);
            return Ok(asked);
        }
        match common.heed(&asked) {
            // Reading changes nothing: it may always be repeated.
            Verdict::RetryLater | Verdict::Ambiguous => {
                ending.idle(tokio::time::sleep(backoff.failed())).await?;
            }
            Verdict::Throttled(_) | Verdict::Credentials => {}
            _ => return Ok(asked),
        }
    }
}

async fn id<P: Ports>(
    common: &Common<P>,
    channel: &str,
    ending: &Ending,
) -> Result<Result<String, String>, Stopped> {
    let mut backoff = common.backoff();
    loop {
        ending.idle(common.gate.pass(Method::List)).await?;
        let asked = match ending.idle(common.directory.id(channel, &common.slack)).await? {
            Ok(id) => return Ok(Ok(id)),
            Err(Unlisted::Unknown) => {
                return Ok(Err("the channel's id is not known; set it in [slack.channels]".into()));
            }
            Err(Unlisted::Failed(asked)) => asked,
        };
        if is_about_us(&asked) {
            return Ok(Err(format!("{}; set the channel's id in [slack.channels]", asked.detail)));
        }
        match common.heed(&asked) {
            Verdict::RetryLater | Verdict::Ambiguous => {
                ending.idle(tokio::time::sleep(backoff.failed())).await?;
            }
            Verdict::Throttled(_) | Verdict::Credentials => {}
            _ => return Ok(Err(asked.detail)),
        }
    }
}

/// Whether the token is good but may not do this: no reason to stop sending.
fn is_about_us<T>(asked: &Asked<T>) -> bool {
    matches!(
        asked.code(),
        Some("missing_scope" | "no_permission" | "not_allowed_token_type" | "access_denied")
    )
}
