//! The Slack stand-in, driven from tests that are not async.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use firebell::demo::slack::{Fault, Message, Options, RandomFaults, SlackStandIn};
use tokio::runtime::Runtime;

use crate::site::TOKEN;

/// A running stand-in; ends when dropped.
#[derive(Debug)]
pub struct Slack {
    // Before the runtime: fields are dropped in this order.
    stand_in: SlackStandIn,
    _runtime: Runtime,
}

/// A message as it was posted.
#[derive(Debug, Clone)]
pub struct Post {
    /// The channel's name.
    pub channel: String,
    /// Its first line, as people read it.
    pub title: String,
    /// `text`, as it went over the wire.
    pub text: String,
    /// `blocks` as JSON.
    pub blocks: String,
    /// When the request arrived.
    pub arrived: Instant,
    /// When it was accepted, milliseconds since the Unix epoch.
    pub accepted_ms: i64,
    /// The alert that its metadata names.
    pub alert: String,
    /// How often it was edited.
    pub edits: u32,
    /// Its id within the channel.
    pub ts: String,
    /// The id of the message in whose thread it is.
    pub thread_ts: Option<String>,
    /// Whether it is shown in the channel although it is in a thread.
    pub broadcast: bool,
    /// `metadata` as JSON.
    pub metadata: String,
}

impl Slack {
    /// Starts one that has every channel and takes any number of messages.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start() -> Self {
        Self::start_with(Options { make_channels: true, ..Options::default() })
    }

    /// Starts one that takes a message a second and channel, and a burst of so many.
    ///
    /// # Panics
    /// As [`Slack::start`].
    pub fn start_paced(burst: u32) -> Self {
        let messages_per_second = Some(1.0);
        Self::start_with(Options {
            make_channels: true,
            messages_per_second,
            burst,
            ..Options::default()
        })
    }

    fn start_with(options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let options = Options { token: TOKEN.1.to_owned(), ..options };
        let stand_in = runtime.block_on(SlackStandIn::start(options)).unwrap();
        Self { stand_in, _runtime: runtime }
    }

    /// `slack.api_url` for it.
    pub fn api_url(&self) -> String {
        self.stand_in.api_url()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.stand_in.address()
    }

    /// All posts in the order of their arrival.
    pub fn posts(&self) -> Vec<Post> {
        self.stand_in.messages().into_iter().map(Post::of).collect()
    }

    /// All replies in threads in the order of their arrival.
    pub fn replies(&self) -> Vec<Post> {
        self.stand_in.replies().into_iter().map(Post::of).collect()
    }

    /// Deletes a message of a channel, as a person does.
    ///
    /// # Panics
    /// When there is none with this title.
    pub fn delete(&self, title: &str) {
        let mut messages = self.stand_in.messages().into_iter();
        let message = messages.find(|message| Post::of(message.clone()).title == title).unwrap();
        assert!(self.stand_in.delete(&message.channel_id, &message.ts));
    }

    /// When each request to a method of Slack's arrived.
    pub fn asked(&self, method: &str) -> Vec<Instant> {
        let requests = self.stand_in.requests().into_iter();
        requests.filter(|one| one.method == method).map(|one| one.arrived).collect()
    }

    /// How many posts there are.
    pub fn count(&self) -> usize {
        self.stand_in.count()
    }

    /// Lets every post take so long from now on.
    pub fn set_delay(&self, delay: Duration) {
        self.stand_in.fail_at_random(Some(RandomFaults {
            seed: 1,
            per_mille: 1_000,
            methods: vec!["chat.postMessage".into()],
            faults: vec![Fault::Slow(delay)],
        }));
    }

    /// Fails so many of a thousand requests from now on, each with one of these faults.
    pub fn fail_at_random(&self, seed: u64, per_mille: u32, faults: Vec<Fault>) {
        let methods = vec![];
        self.stand_in.fail_at_random(Some(RandomFaults { seed, per_mille, methods, faults }));
    }

    /// Answers the next posts with a page instead of JSON, in turn without and after having posted.
    pub fn answer_not_json(&self, count: usize) {
        for number in 0..count {
            let accepted = number % 2 == 1;
            let fault = if accepted { Fault::NotJsonAfterAccept } else { Fault::NotJson };
            self.stand_in.fail_next("chat.postMessage", fault);
        }
    }
}

/// A message's `ts`, seconds and six digits, in milliseconds.
fn milliseconds(ts: &str) -> i64 {
    let digits: String = ts.chars().filter(char::is_ascii_digit).collect();
    digits.parse::<i64>().unwrap_or(0) / 1_000
}

impl Post {
    fn of(message: Message) -> Self {
        // Word joiners keep a text from being read as markup; nobody sees them.
        let seen = message.text.replace('\u{2060}', "");
        Self {
            channel: message.channel,
            title: title(&seen).to_owned(),
            text: message.text,
            blocks: message.blocks.to_string(),
            arrived: message.arrived,
            edits: message.edits,
            accepted_ms: milliseconds(&message.ts),
            alert: message.metadata["event_payload"]["id"].as_str().unwrap_or("").to_owned(),
            ts: message.ts,
            thread_ts: message.thread_ts,
            broadcast: message.broadcast,
            metadata: message.metadata.to_string(),
        }
    }
}

/// The first line without the mark of its severity or state.
fn title(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    let marked =
        ["🔵 ", "🟡 ", "🔴 ", "🚨 ", "✅ "].iter().find_map(|mark| line.strip_prefix(mark));
    marked.unwrap_or(line)
}
