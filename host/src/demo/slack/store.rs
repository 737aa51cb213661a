//! What the stand-in knows: channels, messages, requests.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::Options;

/// A message in a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The channel's name.
    pub channel: String,
    /// The channel's id.
    pub channel_id: String,
    /// Its id within the channel: seconds and microseconds.
    pub ts: String,
    /// `text`
    pub text: String,
    /// `blocks`; null without.
    pub blocks: Value,
    /// `metadata`; null without.
    pub metadata: Value,
    /// All arguments of the request that made it what it is now.
    pub arguments: Value,
    /// When the request that made it arrived.
    pub arrived: Instant,
    /// How often it was edited.
    pub edits: u32,
    /// The message in whose thread it is; `None` = it is in the channel.
    pub thread_ts: Option<String>,
    /// Whether a reply is shown in the channel as well.
    pub broadcast: bool,
}

impl Message {
    /// Whether it is one of the channel, and not of a thread.
    pub fn is_top(&self) -> bool {
        self.thread_ts.is_none()
    }
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// `chat.postMessage`, …, or `webhook`.
    pub method: String,
    /// Its arguments.
    pub arguments: Value,
    /// When it arrived.
    pub arrived: Instant,
}

#[derive(Debug)]
struct Channel {
    id: String,
    name: String,
    archived: bool,
}

/// Arguments of `conversations.history`.
pub(super) struct HistoryPage<'a> {
    pub(super) oldest: &'a str,
    pub(super) latest: &'a str,
    pub(super) inclusive: bool,
    /// Only messages before this one.
    pub(super) cursor: Option<&'a str>,
    pub(super) limit: usize,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) options: Options,
    pub(super) messages: Vec<Message>,
    pub(super) requests: Vec<Request>,
    channels: Vec<Channel>,
    last_ts_micros: u128,
    /// Tokens of each channel's bucket, and when they were counted.
    buckets: HashMap<String, (f64, Instant)>,
}

impl Store {
    pub(super) fn new(options: Options) -> Self {
        let mut store = Self {
            messages: Vec::new(),
            requests: Vec::new(),
            channels: Vec::new(),
            last_ts_micros: 0,
            buckets: HashMap::new(),
            options,
        };
        for name in store.options.channels.clone() {
            store.add_channel(&name);
        }
        store
    }

    pub(super) fn add_channel(&mut self, name: &str) -> String {
        if let Some(channel) = self.channels.iter().find(|channel| channel.name == name) {
            return channel.id.clone();
        }
        let id = format!("C{:09}", self.channels.len() + 1);
        self.channels.push(Channel { id: id.clone(), name: name.to_owned(), archived: false });
        id
    }

    pub(super) fn add_message(&mut self, message: Message) {
        forget(&mut self.messages, self.options.keep);
        self.messages.push(message);
    }

    pub(super) fn add_request(&mut self, request: Request) {
        forget(&mut self.requests, self.options.keep);
        self.requests.push(request);
    }

    pub(super) fn archive(&mut self, name: &str) {
        for channel in self.channels.iter_mut().filter(|channel| channel.name == name) {
            channel.archived = true;
        }
    }

    pub(super) fn delete(&mut self, channel_id: &str, ts: &str) -> bool {
        let before = self.messages.len();
        self.messages.retain(|message| message.channel_id != channel_id || message.ts != ts);
        self.messages.len() < before
    }

    /// Id and name of a channel given by either, or Slack's code why it takes nothing.
    pub(super) fn channel(&mut self, given: &str) -> Result<(String, String), &'static str> {
        let given = given.strip_prefix('#').unwrap_or(given);
        if given.is_empty() {
            return Err("channel_not_found");
        }
        let known = |channel: &Channel| channel.id == given || channel.name == given;
        if self.options.make_channels && !self.channels.iter().any(known) {
            self.add_channel(given);
        }
        match self.channels.iter().find(|channel| known(channel)) {
            None => Err("channel_not_found"),
            Some(channel) if channel.archived => Err("is_archived"),
            Some(channel) => Ok((channel.id.clone(), channel.name.clone())),
        }
    }

    /// Name and id of all channels, and whether they are archived.
    pub(super) fn channels(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.channels.iter().map(|each| (each.name.as_str(), each.id.as_str(), each.archived))
    }

    /// Takes a token of a channel's bucket, or says how long to wait for one.
    pub(super) fn throttle(&mut self, channel: &str) -> Result<(), Duration> {
        let Some(rate) = self.options.messages_per_second else { return Ok(()) };
        let burst = f64::from(self.options.burst.max(1));
        let now = Instant::now();
        let (tokens, counted) = self.buckets.entry(channel.to_owned()).or_insert((burst, now));
        *tokens = (*tokens + now.duration_since(*counted).as_secs_f64() * rate).min(burst);
        *counted = now;
        if *tokens >= 1.0 {
            *tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - *tokens) / rate))
    }

    /// The next `ts`: now, and later than every other.
    pub(super) fn next_ts(&mut self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        self.last_ts_micros = now.max(self.last_ts_micros + 1);
        format!("{}.{:06}", self.last_ts_micros / 1_000_000, self.last_ts_micros % 1_000_000)
    }

    pub(super) fn message_mut(&mut self, channel_id: &str, ts: &str) -> Option<&mut Message> {
        self.messages
            .iter_mut()
            .find(|message| message.channel_id == channel_id && message.ts == ts)
    }

    /// A page of a channel's messages, newest first, and whether there are more.
    pub(super) fn history(
        &self,
        channel_id: &str,
        page: &HistoryPage<'_>,
    ) -> (Vec<&Message>, bool) {
        // Slack's `ts` all have ten digits before the point and six after it, but people write less.
        let at = |ts: &str| ts.parse::<f64>().ok();
        let (oldest, latest) = (at(page.oldest), at(page.latest));
        let within = |message: &&Message| {
            let Some(ts) = at(&message.ts) else { return false };
            let after = oldest.is_none_or(|oldest| ts > oldest || (page.inclusive && ts == oldest));
            let before =
                latest.is_none_or(|latest| ts < latest || (page.inclusive && ts == latest));
            let next = page.cursor.is_none_or(|cursor| message.ts.as_str() < cursor);
            let shown = message.is_top() || message.broadcast;
            message.channel_id == channel_id && shown && after && before && next
        };
        let mut found = self.messages.iter().rev().filter(within);
        let messages: Vec<_> = found.by_ref().take(page.limit).collect();
        (messages, found.next().is_some())
    }
}

impl Store {
    /// A page of a thread, its message first, and whether there are more; `None` = there is none.
    pub(super) fn thread(
        &self,
        channel_id: &str,
        ts: &str,
        (cursor, limit): (Option<&str>, usize),
    ) -> Option<(Vec<&Message>, bool)> {
        let of_channel = || self.messages.iter().filter(|one| one.channel_id == channel_id);
        let parent = of_channel().find(|one| one.ts == ts && one.is_top())?;
        let replies = of_channel().filter(|one| one.thread_ts.as_deref() == Some(ts));
        let after = |one: &&Message| cursor.is_none_or(|cursor| one.ts.as_str() > cursor);
        let mut found = std::iter::once(parent).chain(replies).filter(after);
        let messages: Vec<_> = found.by_ref().take(limit).collect();
        Some((messages, found.next().is_some()))
    }
}

/// Makes room for one more; many at once, so that it is rarely done.
fn forget<T>(kept: &mut Vec<T>, keep: Option<usize>) {
    if let Some(keep) = keep
        && kept.len() >= keep.max(1) * 2
    {
        kept.drain(..=kept.len() - keep.max(1));
    }
}
