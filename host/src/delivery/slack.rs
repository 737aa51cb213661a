//! Slack over HTTP: the only place that sends requests and reads Slack's JSON.
//!
//! In: what is to be asked. Out: what came back ([`Reply`]) and what was in it. It decides nothing
//! and repeats nothing, and no text that it returns holds the token or a webhook's address.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::blocks::{EVENT_TYPE, Message, REPLY_TYPE};
use super::http::{ClientError, client, exchange};
use super::verdict::{Body, Method, Reply, Verdict, verdict};
use crate::ledger::Place;
use crate::secret::Secret;

/// Messages of a page of history; Slack asks for at most 200.
const HISTORY_PAGE: &str = "200";
/// Channels of a page of the list.
const LIST_PAGE: &str = "999";

/// What came back, and what was in it.
#[derive(Debug)]
pub struct Asked<T> {
    /// What was asked.
    pub method: Method,
    /// What came back.
    pub reply: Reply,
    /// For people, where something went wrong: a code, a status, the causes of an error.
    pub detail: String,
    /// What was in it, when it was a yes and could be read.
    pub value: Option<T>,
}

impl<T> Asked<T> {
    /// What the reply means.
    pub fn verdict(&self) -> Verdict {
        verdict(self.method, &self.reply)
    }

    /// Slack's own code, when it gave one.
    pub fn code(&self) -> Option<&str> {
        match &self.reply {
            Reply::Answer { body: Body::Code(code), .. } => Some(code),
            _ => None,
        }
    }
}

/// A message of ours, found in a channel's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The message's `ts`.
    pub ts: String,
    /// The alert id.
    pub alert: String,
    /// The intent that made it.
    pub opened_by: String,
}

/// A page of something.
#[derive(Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Names the next page; `None` = this is the last.
    pub next: Option<String>,
}

/// A channel of the workspace.
#[derive(Debug, Clone, Deserialize)]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Who we are to Slack.
#[derive(Debug, Clone, Deserialize)]
pub struct Identity {
    /// The workspace.
    #[serde(default)]
    pub team: String,
    /// The bot's name.
    #[serde(default)]
    pub user: String,
}

/// A client with a bot token or a webhook's address.
#[derive(Debug)]
pub struct Slack {
    http: Client,
    api_url: String,
    /// The bot's token, or the webhook's address.
    secret: RwLock<Secret>,
    is_webhook: bool,
}

#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(flatten)]
    value: T,
}

#[derive(Deserialize)]
struct Outcome {
    ok: bool,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Posted {
    channel: String,
    ts: String,
}

#[derive(Deserialize, Default)]
struct Cursor {
    #[serde(default)]
    next_cursor: String,
}

#[derive(Deserialize)]
struct History {
    messages: Vec<HistoryMessage>,
    #[serde(default)]
    response_metadata: Option<Cursor>,
}

#[derive(Deserialize)]
struct HistoryMessage {
    ts: String,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    event_type: String,
    #[serde(default)]
    event_payload: Value,
}

#[derive(Deserialize)]
struct Channels {
    channels: Vec<Channel>,
    #[serde(default)]
    response_metadata: Option<Cursor>,
}

impl Slack {
    /// A client for the Web API at `api_url` (with a slash at its end).
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn bot(api_url: &str, token: Secret, timeout: Duration) -> Result<Self, ClientError> {
        let http = client(api_url, timeout)?;
        Ok(Self { http, api_url: api_url.to_owned(), secret: token.into(), is_webhook: false })
    }

    /// A client for an incoming webhook.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn webhook(url: Secret, timeout: Duration) -> Result<Self, ClientError> {
        let http = client(url.reveal(), timeout)?;
        Ok(Self { http, api_url: String::new(), secret: url.into(), is_webhook: true })
    }

    /// Stands where there is no `[slack]`: no channel leads here, so nobody asks it.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn absent() -> Result<Self, ClientError> {
        Self::bot("http://localhost/", Secret::new(""), Duration::from_secs(1))
    }

    /// Whether this is a webhook: no edits, no history.
    pub fn is_webhook(&self) -> bool {
        self.is_webhook
    }

    /// Uses another token, or another address of a webhook, from now on.
    pub fn set_secret(&self, secret: Secret) {
        *self.secret.write().unwrap_or_else(PoisonError::into_inner) = secret;
    }

    fn secret(&self) -> Secret {
        self.secret.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Posts to a channel by id or name: `chat.postMessage`, or the webhook, which has no place to
    /// tell and posts to the channel that it was made for.
    pub async fn post(&self, channel: &str, message: &Message) -> Asked<Option<Place>> {
        let mut body = arguments(message);
        if self.is_webhook {
            let request = self.http.post(self.secret().reveal());
            return self.words(request.header(CONTENT_TYPE, JSON).body(body.to_string())).await;
        }
        body["channel"] = channel.into();
        body["metadata"] = message.metadata.clone();
        let asked = self.json::<Posted>(Method::Post, "chat.postMessage", &body).await;
        asked.map(|posted| Some(Place { channel_id: posted.channel, ts: posted.ts }))
    }

    /// Changes a message: `chat.update`.
    pub async fn update(&self, place: &Place, message: &Message) -> Asked<()> {
        let mut body = arguments(message);
        body["channel"] = place.channel_id.as_str().into();
        body["ts"] = place.ts.as_str().into();
        body["metadata"] = message.metadata.clone();
        if message.blocks.is_none() {
            // Without it the old blocks would stay.
            body["blocks"] = json!([]);
        }
        self.json::<Posted>(Method::Update, "chat.update", &body).await.map(|_| ())
    }

    /// Replies in a message's thread; `broadcast` shows the reply in the channel as well. To a message
    /// that somebody has deleted meanwhile Slack posts it as one of its own (slack-go 1571).
    pub async fn reply(&self, parent: &Place, message: &Message, broadcast: bool) -> Asked<()> {
        let mut body = arguments(message);
        body["channel"] = parent.channel_id.as_str().into();
        body["thread_ts"] = parent.ts.as_str().into();
        body["reply_broadcast"] = broadcast.into();
        body["metadata"] = message.metadata.clone();
        self.json::<Posted>(Method::Post, "chat.postMessage", &body).await.map(|_| ())
    }

    /// A page of our messages in a channel that are not older than `oldest` (a `ts`), newest first:
    /// `conversations.history`.
    pub async fn history(
        &self,
        channel_id: &str,
        oldest: &str,
        cursor: &str,
    ) -> Asked<Page<Found>> {
        let form = [("channel", channel_id), ("oldest", oldest), ("cursor", cursor)];
        self.found("conversations.history", EVENT_TYPE, &form).await
    }

    /// A page of our replies in a thread: `conversations.replies`.
    pub async fn replies(&self, parent: &Place, cursor: &str) -> Asked<Page<Found>> {
        let form = [("channel", &*parent.channel_id), ("ts", &*parent.ts), ("cursor", cursor)];
        self.found("conversations.replies", REPLY_TYPE, &form).await
    }

    async fn found(
        &self,
        name: &str,
        event_type: &str,
        form: &[(&str, &str)],
    ) -> Asked<Page<Found>> {
        let mut form = form.to_vec();
        form.extend([("include_all_metadata", "true"), ("limit", HISTORY_PAGE)]);
        let asked = self.form::<History>(Method::History, name, &form).await;
        asked.map(|history| Page {
            items: history.messages.into_iter().filter_map(|one| ours(one, event_type)).collect(),
            next: next(history.response_metadata),
        })
    }

    /// A page of the channels that the bot may see, private ones where it has the scope `groups:read`:
    /// `conversations.list`.
    pub async fn channels(&self, cursor: &str) -> Asked<Page<Channel>> {
        let ask = async |types: &str| {
            let page = [("exclude_archived", "true"), ("limit", LIST_PAGE), ("cursor", cursor)];
            let form = [&page[..], &[("types", types)]].concat();
            self.form::<Channels>(Method::List, "conversations.list", &form).await
        };
        let mut asked = ask("public_channel,private_channel").await;
        if asked.code() == Some("missing_scope") {
            asked = ask("public_channel").await;
        }
        asked.map(|list| Page { items: list.channels, next: next(list.response_metadata) })
    }

    /// Whether the token is taken, and for whom: `auth.test`.
    pub async fn identity(&self) -> Asked<Identity> {
        self.form(Method::Auth, "auth.test", &[]).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        name: &str,
        body: &Value,
    ) -> Asked<T> {
        self.call(method, name, JSON, body.to_string()).await
    }

    /// Methods that read take forms; not all of them take JSON.
    async fn form<T: DeserializeOwned>(
        &self,
        method: Method,
        name: &str,
        form: &[(&str, &str)],
    ) -> Asked<T> {
        let form = form.iter().filter(|(_, value)| !value.is_empty());
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.call(method, name, "application/x-www-form-urlencoded", body).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        name: &str,
        content_type: &str,
        body: String,
    ) -> Asked<T> {
        let Some(bearer) = self.bearer() else {
            let detail = "the token has characters that no header can carry".into();
            let body = Body::Code("invalid_auth".into());
            let reply = Reply::Answer { status: 200, body, retry_after: None };
            return Asked { method, reply, detail, value: None };
        };
        let request = self.http.post(format!("{}{name}", self.api_url));
        let request = request.header(AUTHORIZATION, bearer).header(CONTENT_TYPE, content_type);
        let (status, retry_after, bytes) = match exchange(request.body(body)).await {
            Ok(answer) => answer,
            Err((reply, detail)) => return Asked { method, reply, detail, value: None },
        };
        let outcome =
            bytes.as_deref().and_then(|bytes| serde_json::from_slice::<Outcome>(bytes).ok());
        let (body, detail) = match outcome {
            Some(Outcome { ok: true, .. }) => (Body::Ok, String::new()),
            Some(Outcome { error: Some(code), .. }) => (Body::Code(code.clone()), code),
            Some(_) | None => (Body::Unreadable, format!("HTTP {status} without Slack's JSON")),
        };
        let value = match (&body, bytes) {
            (Body::Ok, Some(bytes)) => serde_json::from_slice::<Envelope<T>>(&bytes).ok(),
            _ => None,
        };
        let reply = match (&body, &value) {
            // A yes that does not tell what it must: as unclear as no JSON.
            (Body::Ok, None) => Reply::Answer { status, body: Body::Unreadable, retry_after },
            _ => Reply::Answer { status, body, retry_after },
        };
        Asked { method, reply, detail, value: value.map(|envelope| envelope.value) }
    }

    fn bearer(&self) -> Option<HeaderValue> {
        let mut value =
            HeaderValue::from_str(&format!("Bearer {}", self.secret().reveal())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// A webhook answers `ok`, or a word.
    async fn words(&self, request: reqwest::RequestBuilder) -> Asked<Option<Place>> {
        let method = Method::Webhook;
        let (status, retry_after, bytes) = match exchange(request).await {
            Ok(answer) => answer,
            Err((reply, detail)) => return Asked { method, reply, detail, value: None },
        };
        let text = String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).trim().to_owned();
        let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
        let (body, detail) = match text.as_str() {
            "ok" => (Body::Ok, String::new()),
            word if !word.is_empty() && word.len() < 64 && word.chars().all(is_word) => {
                (Body::Code(word.to_owned()), word.to_owned())
            }
            _ => (Body::Unreadable, format!("HTTP {status} without a word of Slack's")),
        };
        let value = (body == Body::Ok).then_some(None);
        Asked { method, reply: Reply::Answer { status, body, retry_after }, detail, value }
    }
}

impl<T> Asked<T> {
    fn map<U>(self, map: impl FnOnce(T) -> U) -> Asked<U> {
        let Self { method, reply, detail, value } = self;
        Asked { method, reply, detail, value: value.map(map) }
    }
}

const JSON: &str = "application/json; charset=utf-8";

/// What `chat.postMessage`, `chat.update` and webhooks are told alike: nothing is to be parsed,
/// linked or unfurled (an unfurl fetches an address that somebody may have chosen).
fn arguments(message: &Message) -> Value {
    let mut arguments = json!({
        "text": message.text,
        "mrkdwn": false,
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
    });
    if let Some(blocks) = &message.blocks {
        arguments["blocks"] = blocks.clone();
    }
    arguments
}

fn next(cursor: Option<Cursor>) -> Option<String> {
    cursor.map(|cursor| cursor.next_cursor).filter(|cursor| !cursor.is_empty())
}

/// The ids in a message's metadata, when it is one of ours of this type.
fn ours(message: HistoryMessage, event_type: &str) -> Option<Found> {
    let metadata = message.metadata.filter(|metadata| metadata.event_type == event_type)?;
    let text = |name: &str| Some(metadata.event_payload.get(name)?.as_str()?.to_owned());
    Some(Found { alert: text("id")?, opened_by: text("intent")?, ts: message.ts })
}

#[cfg(test)]
pub(crate) mod tests;
