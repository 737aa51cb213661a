//! A Slack stand-in on 127.0.0.1: behaves as Slack does towards this host, keeps what it was told,
//! and fails on demand. For tests and `firebell demo`; it never leaves the machine.

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

mod api;
mod fault;
mod store;
#[cfg(test)]
mod tests;

pub use fault::{Fault, RandomFaults};
pub use store::{Message, Request};

use fault::Faults;
use store::Store;

/// Events that a slow subscriber may be behind before it loses some.
const EVENTS_MAX: usize = 1_024;

/// What a stand-in starts with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The bot token that it takes.
    pub token: String,
    /// The secret end of the webhook's address.
    pub webhook_secret: String,
    /// The channels that exist, by name. Their ids are `C` and nine digits.
    pub channels: Vec<String>,
    /// Those of them that are private.
    pub private: Vec<String>,
    /// The scope `groups:read`: private channels are listed to whoever asks for them.
    pub lists_private: bool,
    /// Whether an unknown channel is made when it is first posted to, instead of refused.
    pub make_channels: bool,
    /// The scope `channels:history`.
    pub history: bool,
    /// Messages that a channel takes a second, after a burst of as many as `burst`; `None` = any.
    pub messages_per_second: Option<f64>,
    /// See `messages_per_second`.
    pub burst: u32,
    /// Messages that it keeps, and requests; older ones are forgotten. `None` = all.
    pub keep: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: "xoxb-stand-in".into(),
            webhook_secret: "webhook-stand-in".into(),
            channels: vec!["general".into()],
            private: vec![],
            lists_private: true,
            make_channels: false,
            history: true,
            messages_per_second: None,
            burst: 1,
            keep: None,
        }
    }
}

/// What happens to messages, for those who watch.
#[derive(Debug, Clone)]
pub enum Event {
    /// A new message.
    Posted(Message),
    /// A reply in a message's thread.
    Replied(Message),
    /// A message was edited; this is how it is now.
    Changed(Message),
}

/// A running stand-in; dropping it ends it.
#[derive(Debug)]
pub struct SlackStandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

/// What the handlers share.
#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    faults: Mutex<Faults>,
    events: broadcast::Sender<Event>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these mutexes guard is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SlackStandIn {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(options: Options) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), options).await
    }

    /// Starts on `address`.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start_at(address: SocketAddr, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            store: Mutex::new(Store::new(options)),
            faults: Mutex::default(),
            events: broadcast::channel(EVENTS_MAX).0,
        });
        let router = Router::new().fallback(api::answer).with_state(Arc::clone(&shared));
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!("slack stand-in: cannot set TCP_NODELAY: {error}");
            }
        });
        let server = axum::serve(listener, router).into_future();
        let server = tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!("slack stand-in ended: {error}");
            }
        });
        Ok(Self { address, shared, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `slack.api_url` for it.
    pub fn api_url(&self) -> String {
        format!("http://{}/api/", self.address)
    }

    /// An incoming webhook that posts to the first channel.
    pub fn webhook_url(&self) -> String {
        let secret = &lock(&self.shared.store).options.webhook_secret;
        format!("http://{}/services/T00000001/B00000001/{secret}", self.address)
    }

    /// All kept messages of channels in the order in which they were accepted, as they are now.
    pub fn messages(&self) -> Vec<Message> {
        let store = lock(&self.shared.store);
        store.messages.iter().filter(|message| message.is_top()).cloned().collect()
    }

    /// All kept replies in threads, in the same order.
    pub fn replies(&self) -> Vec<Message> {
        let store = lock(&self.shared.store);
        store.messages.iter().filter(|message| !message.is_top()).cloned().collect()
    }

    /// How many messages of channels are kept.
    pub fn count(&self) -> usize {
        lock(&self.shared.store).messages.iter().filter(|message| message.is_top()).count()
    }

    /// All kept requests in the order of their arrival, also those that were refused or failed.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.store).requests.clone()
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Fails the next request to `method` (as `chat.postMessage`, or `webhook`) that has no other
    /// fault before it; faults of one method happen in the order in which they were queued.
    pub fn fail_next(&self, method: &str, fault: Fault) {
        lock(&self.shared.faults).queue(method, fault);
    }

    /// Faults that were queued and did not happen yet.
    pub fn faults_left(&self) -> usize {
        lock(&self.shared.faults).left()
    }

    /// Fails requests at random from now on; `None` ends it.
    pub fn fail_at_random(&self, random: Option<RandomFaults>) {
        lock(&self.shared.faults).at_random(random);
    }

    /// Takes another token from now on; the old one is `invalid_auth`.
    pub fn set_token(&self, token: &str) {
        lock(&self.shared.store).options.token = token.to_owned();
    }

    /// Gives or takes the scope `channels:history`.
    pub fn set_history(&self, readable: bool) {
        lock(&self.shared.store).options.history = readable;
    }

    /// Makes a channel, and returns its id.
    pub fn add_channel(&self, name: &str) -> String {
        lock(&self.shared.store).add_channel(name)
    }

    /// Archives a channel: it takes no more messages.
    pub fn archive(&self, name: &str) {
        lock(&self.shared.store).archive(name);
    }

    /// Deletes a message, as a person does. False when there is none.
    pub fn delete(&self, channel_id: &str, ts: &str) -> bool {
        lock(&self.shared.store).delete(channel_id, ts)
    }

    /// Waits until there are `count` messages. False when there are not within `patience`.
    pub async fn wait_for(&self, count: usize, patience: Duration) -> bool {
        let mut events = self.subscribe();
        let enough = async {
            // A lagging receiver is only told that something happened, which is all it needs.
            while self.count() < count {
                if let Err(broadcast::error::RecvError::Closed) = events.recv().await {
                    return;
                }
            }
        };
        tokio::time::timeout(patience, enough).await.is_ok() && self.count() >= count
    }
}

impl Drop for SlackStandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}
