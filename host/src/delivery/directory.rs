//! Names and ids of channels. History and edits need ids; posts take both.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::slack::{Asked, Channel, Page, Slack};
use super::verdict::Verdict;

/// Pages of the list that are read at most: 200,000 channels.
const PAGES_MAX: usize = 200;
/// How long a list without a name is trusted; `conversations.list` allows 20 a minute.
const LISTED_FOR: Duration = Duration::from_secs(60);

/// What is known of channels.
#[derive(Debug)]
pub struct Directory {
    ids: Mutex<HashMap<String, String>>,
    listing: tokio::sync::Mutex<Listing>,
}

/// How far the list was read.
#[derive(Debug, Default)]
struct Listing {
    /// When its end was last reached.
    ended: Option<Instant>,
    /// The page that comes next. Slack lets twenty a minute be read: who is stopped goes on there.
    cursor: String,
}

/// Why a name has no id yet.
#[derive(Debug)]
pub enum Unlisted {
    /// It is not among the channels that we may see.
    Unknown,
    /// Slack could not be asked.
    Failed(Box<Asked<Page<Channel>>>),
}

impl Directory {
    /// Starts with `[slack.channels]`.
    pub fn new(configured: &BTreeMap<String, String>) -> Self {
        let ids = configured.iter().map(|(name, id)| (name.clone(), id.clone())).collect();
        Self { ids: Mutex::new(ids), listing: tokio::sync::Mutex::default() }
    }

    /// The id of a channel, as far as it is known.
    pub fn known(&self, name: &str) -> Option<String> {
        if is_id(name) {
            return Some(name.to_owned());
        }
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Notes what Slack answered to a post by name.
    pub fn learn(&self, name: &str, id: &str) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.entry(name.to_owned()).or_insert_with(|| id.to_owned());
    }

    /// The id of a channel; asks Slack for the list when it is not known.
    ///
    /// # Errors
    /// When it is not in the list, or the list cannot be had.
    pub async fn id(&self, name: &str, slack: &Slack) -> Result<String, Unlisted> {
        if let Some(id) = self.known(name) {
            return Ok(id);
        }
        // One asks; the others wait for the answer.
        let mut listing = self.listing.lock().await;
        if let Some(id) = self.known(name) {
            return Ok(id);
        }
        if listing.ended.is_none_or(|at| at.elapsed() > LISTED_FOR) {
            let listed = self.list(slack, &mut listing.cursor).await;
            listed.map_err(|asked| Unlisted::Failed(Box::new(asked)))?;
            *listing = Listing { ended: Some(Instant::now()), cursor: String::new() };
        }
        self.known(name).ok_or(Unlisted::Unknown)
    }

    async fn list(&self, slack: &Slack, cursor: &mut String) -> Result<(), Asked<Page<Channel>>> {
        for _ in 0..PAGES_MAX {
            let asked = slack.channels(cursor).await;
            let page = match (asked.verdict(), asked.value) {
                (Verdict::Sent, Some(page)) => page,
                (verdict, value) => {
                    if !matches!(verdict, Verdict::Throttled(_) | Verdict::RetryLater) {
                        // Slack may have forgotten the cursor.
                        cursor.clear();
                    }
                    return Err(Asked { value, ..asked });
                }
            };
            for channel in page.items {
                self.learn(&channel.name, &channel.id);
            }
            let Some(next) = page.next else { break };
            *cursor = next;
        }
        Ok(())
    }
}

/// Whether a name is an id already: `C`, `G` or `D` and eight or more capitals and digits. Slack's
/// names have no capitals.
fn is_id(name: &str) -> bool {
    name.len() >= 9
        && name.starts_with(['C', 'G', 'D'])
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::slack::{Fault, Options, SlackStandIn};
    use crate::secret::Secret;

    #[tokio::test]
    async fn private_channels_are_found_where_the_bot_may_list_them() {
        for lists_private in [true, false] {
            let options = Options {
                channels: vec!["general".into(), "oncall".into()],
                private: vec!["oncall".into()],
                lists_private,
                ..Options::default()
            };
            let stand_in = SlackStandIn::start(options).await.unwrap();
            let token = Secret::new(Options::default().token);
            let slack = Slack::bot(&stand_in.api_url(), token, Duration::from_secs(5)).unwrap();
            let directory = Directory::new(&BTreeMap::new());
            assert_eq!(directory.id("oncall", &slack).await.is_ok(), lists_private);
            assert_eq!(directory.id("general", &slack).await.unwrap(), "C000000001");
        }
    }

    #[tokio::test]
    async fn names_are_configured_learnt_or_listed_once() {
        let stand_in = SlackStandIn::start(Options::default()).await.unwrap();
        let token = Secret::new(Options::default().token);
        let slack = Slack::bot(&stand_in.api_url(), token, Duration::from_secs(5)).unwrap();
        let configured = [("ops".to_owned(), "C9".to_owned())].into();
        let directory = Directory::new(&configured);
        assert_eq!(directory.id("ops", &slack).await.unwrap(), "C9");
        assert_eq!(directory.id("C0123ABCD", &slack).await.unwrap(), "C0123ABCD");
        assert_eq!(directory.known("general"), None);
        stand_in.fail_next("conversations.list", Fault::StatusBeforeAccept(503));
        assert!(matches!(directory.id("general", &slack).await, Err(Unlisted::Failed(_))));
        assert_eq!(directory.id("general", &slack).await.unwrap(), "C000000001");
        assert!(matches!(directory.id("nowhere", &slack).await, Err(Unlisted::Unknown)));
        assert_eq!(stand_in.requests().len(), 2);
        directory.learn("nowhere", "C7");
        assert_eq!(directory.id("nowhere", &slack).await.unwrap(), "C7");
    }
}
