//! The HTTP side of the stand-in: Slack's methods, as far as this host asks them.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::store::{HistoryPage, Message, Request, Store};
use super::{Event, Shared, lock};

/// Limits of the real one: blocks in a message, characters of all of them, of an updated text, and
/// where a posted text is cut.
const BLOCKS_MAX: usize = 50;
const BLOCKS_CHARS_MAX: usize = 13_200;
const UPDATE_CHARS_MAX: usize = 4_000;
const POST_CHARS_MAX: usize = 40_000;

/// What a method answers: members beside `ok`, or a code.
type Answer = Result<Value, &'static str>;

/// Answers every request.
pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let call = Call::read(&uri, &headers, &body);
    let request = Request {
        method: call.method.clone(),
        arguments: Value::Object(call.arguments.clone()),
        arrived: call.arrived,
    };
    lock(&shared.store).add_request(request);
    let fault = lock(&shared.faults).take(&call.method);
    match fault {
        None => call.respond(&call.perform(&shared)),
        Some(fault) => call.fail(&shared, fault).await,
    }
}

/// One request, read.
struct Call {
    method: String,
    arguments: Map<String, Value>,
    token: Option<String>,
    arrived: Instant,
}

impl Call {
    /// Slack takes JSON, forms and queries alike.
    fn read(uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Self {
        let arrived = Instant::now();
        let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        let mut arguments = Map::new();
        arguments.extend(form(uri.query().unwrap_or_default().as_bytes()));
        if text(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json")) {
            if let Ok(Value::Object(members)) = serde_json::from_slice(body) {
                arguments.extend(members);
            }
        } else {
            arguments.extend(form(body));
        }
        let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let in_form = arguments.remove("token").and_then(|token| Some(token.as_str()?.to_owned()));
        let path = uri.path();
        let (method, token) = match path.strip_prefix("/services/") {
            Some(rest) => ("webhook", rest.rsplit('/').next()),
            None => (path.rsplit('/').next().unwrap_or_default(), bearer),
        };
        Self {
            method: method.to_owned(),
            token: token.map(str::to_owned).or(in_form),
            arguments,
            arrived,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.arguments.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        match self.arguments.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => matches!(text.as_str(), "true" | "True" | "1"),
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            _ => false,
        }
    }

    fn number(&self, name: &str) -> Option<usize> {
        match self.arguments.get(name)? {
            Value::String(text) => text.parse().ok(),
            value => usize::try_from(value.as_u64()?).ok(),
        }
    }

    /// An argument that is an object or a list, also where a form carries it as text.
    fn value(&self, name: &str) -> Value {
        match self.arguments.get(name) {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
            Some(value) => value.clone(),
            None => Value::Null,
        }
    }

    /// Does what is asked.
    fn perform(&self, shared: &Shared) -> Answer {
        let mut store = lock(&shared.store);
        if self.method == "webhook" {
            return self.webhook(&mut store, shared);
        }
        match &self.token {
            None => return Err("not_authed"),
            Some(token) if *token != store.options.token => return Err("invalid_auth"),
            Some(_) => {}
        }
        match self.method.as_str() {
            "auth.test" | "api.test" => Ok(json!({
                "url": "https://stand-in.example/", "team": "Stand-in", "user": "firebell",
                "team_id": "T00000001", "user_id": "U00000001", "bot_id": "B00000001",
            })),
            "chat.postMessage" => self.post(&mut store, shared),
            "chat.update" => self.update(&mut store, shared),
            "conversations.history" => self.history(&mut store),
            "conversations.replies" => self.replies(&mut store),
            "conversations.list" => self.list(&store),
            _ => Err("unknown_method"),
        }
    }

    fn post(&self, store: &mut Store, shared: &Shared) -> Answer {
        let (id, name) = store.channel(self.text("channel"))?;
        self.check()?;
        store.throttle(&id).map_err(|_| "ratelimited")?;
        let mut message = self.message(store, id, name);
        // To a message that is not there any more Slack posts a reply as one of its own.
        let parent = self.text("thread_ts");
        if store.message_mut(&message.channel_id, parent).is_some() {
            message.thread_ts = Some(parent.to_owned());
            message.broadcast = self.flag("reply_broadcast");
        }
        store.add_message(message.clone());
        let answer = json!({
            "channel": message.channel_id, "ts": message.ts, "message": shown(&message, true),
        });
        let event = if message.is_top() { Event::Posted } else { Event::Replied };
        // Nobody needs to watch.
        let _watched = shared.events.send(event(message)).is_ok();
        Ok(answer)
    }

    fn list(&self, store: &Store) -> Answer {
        let types = match self.text("types") {
            "" => "public_channel",
            types => types,
        };
        let of = |kind: &str| types.split(',').any(|one| one == kind);
        let (public, private) = (of("public_channel"), of("private_channel"));
        if private && !store.options.lists_private {
            return Err("missing_scope");
        }
        let is_private = |name: &str| store.options.private.iter().any(|one| one == name);
        let listed =
            store.channels().filter(|(name, ..)| if is_private(name) { private } else { public });
        let channels: Vec<Value> = listed
            .map(|(name, id, archived)| json!({"id": id, "name": name, "is_archived": archived}))
            .collect();
        Ok(json!({"channels": channels, "response_metadata": {"next_cursor": ""}}))
    }

    fn webhook(&self, store: &mut Store, shared: &Shared) -> Answer {
        if self.token.as_deref() != Some(store.options.webhook_secret.as_str()) {
            return Err("invalid_token");
        }
        let first = store.options.channels.first().cloned().unwrap_or_default();
        let (id, name) = store.channel(&first)?;
        self.check()?;
        store.throttle(&id).map_err(|_| "rate_limited")?;
        let message = self.message(store, id, name);
        store.add_message(message.clone());
        let _watched = shared.events.send(Event::Posted(message)).is_ok();
        Ok(Value::Null)
    }

    fn message(&self, store: &mut Store, channel_id: String, channel: String) -> Message {
        Message {
            channel,
            channel_id,
            ts: store.next_ts(),
            text: self.text("text").chars().take(POST_CHARS_MAX).collect(),
            blocks: self.value("blocks"),
            metadata: self.value("metadata"),
            arguments: Value::Object(self.arguments.clone()),
            arrived: self.arrived,
            edits: 0,
            thread_ts: None,
            broadcast: false,
        }
    }

    fn update(&self, store: &mut Store, shared: &Shared) -> Answer {
        let (id, _) = store.channel(self.text("channel"))?;
        self.check()?;
        if self.text("text").chars().count() > UPDATE_CHARS_MAX {
            return Err("msg_too_long");
        }
        let message = store.message_mut(&id, self.text("ts")).ok_or("message_not_found")?;
        message.text = self.text("text").to_owned();
        message.blocks = self.value("blocks");
        if self.arguments.contains_key("metadata") {
            message.metadata = self.value("metadata");
        }
        message.arguments = Value::Object(self.arguments.clone());
        message.edits += 1;
        let answer = json!({"channel": id, "ts": message.ts, "text": message.text});
        let _watched = shared.events.send(Event::Changed(message.clone())).is_ok();
        Ok(answer)
    }

    /// What Slack checks of a message before it takes it.
    fn check(&self) -> Result<(), &'static str> {
        let blocks = self.value("blocks");
        if self.text("text").is_empty() && blocks.is_null() {
            return Err("no_text");
        }
        let count = blocks.as_array().map_or(0, Vec::len);
        if count > BLOCKS_MAX || !(blocks.is_null() || blocks.is_array()) || !sound(&blocks) {
            return Err("invalid_blocks");
        }
        if blocks.to_string().chars().count() > BLOCKS_CHARS_MAX {
            return Err("msg_blocks_too_long");
        }
        let metadata = self.value("metadata");
        let named = metadata["event_type"].is_string() && metadata["event_payload"].is_object();
        if metadata.is_null() || named { Ok(()) } else { Err("invalid_metadata_format") }
    }

    fn history(&self, store: &mut Store) -> Answer {
        if !store.options.history {
            return Err("missing_scope");
        }
        let given = self.text("channel").to_owned();
        // Unlike chat.postMessage this takes ids only.
        let (id, _) = store.channel(&given)?;
        if id != given {
            return Err("channel_not_found");
        }
        let cursor = Some(self.text("cursor")).filter(|cursor| !cursor.is_empty());
        let page = HistoryPage {
            oldest: self.text("oldest"),
            latest: self.text("latest"),
            inclusive: self.flag("inclusive"),
            cursor,
            limit: self.number("limit").unwrap_or(100).clamp(1, 999),
        };
        let (messages, more) = store.history(&id, &page);
        Ok(self.page_of(&messages, more))
    }

    fn replies(&self, store: &mut Store) -> Answer {
        if !store.options.history {
            return Err("missing_scope");
        }
        let (id, _) = store.channel(self.text("channel"))?;
        let cursor = Some(self.text("cursor")).filter(|cursor| !cursor.is_empty());
        let page = (cursor, self.number("limit").unwrap_or(1_000).clamp(1, 1_000));
        let found = store.thread(&id, self.text("ts"), page);
        let (messages, more) = found.ok_or("thread_not_found")?;
        Ok(self.page_of(&messages, more))
    }

    fn page_of(&self, messages: &[&Message], more: bool) -> Value {
        let with_metadata = self.flag("include_all_metadata");
        let next = messages.last().filter(|_| more).map_or("", |last| last.ts.as_str());
        let messages: Vec<_> = messages.iter().map(|each| shown(each, with_metadata)).collect();
        json!({"messages": messages, "has_more": more, "response_metadata": {"next_cursor": next}})
    }

    /// A right answer in Slack's form.
    fn respond(&self, answer: &Answer) -> Response<Body> {
        if self.method == "webhook" {
            return match answer {
                Ok(_) => page(200, "ok"),
                Err("rate_limited") => limited(1),
                Err(word @ "invalid_token") => page(403, word),
                Err(word) => page(400, word),
            };
        }
        let body = match answer {
            Err("ratelimited") => return limited(1),
            Err(code) => json!({"ok": false, "error": code}),
            Ok(members) => {
                let mut body = json!({"ok": true});
                if let (Some(body), Some(members)) = (body.as_object_mut(), members.as_object()) {
                    body.extend(members.clone());
                }
                body
            }
        };
        json_page(200, &body)
    }

    /// The answer of a request that fails so.
    async fn fail(&self, shared: &Arc<Shared>, fault: Fault) -> Response<Body> {
        if fault.accepts()
            && let Err(code) = self.perform(shared)
        {
            // What Slack refuses it cannot accept; the caller learns the true reason.
            return self.respond(&Err(code));
        }
        match fault {
            Fault::RateLimited { retry_after } => limited(retry_after),
            Fault::RatelimitedBody => json_page(200, &json!({"ok": false, "error": "ratelimited"})),
            Fault::OkFalse(code) | Fault::OkFalseAfterAccept(code) => self.respond(&Err(code)),
            Fault::StatusBeforeAccept(status) | Fault::StatusAfterAccept(status) => {
                page(status, "<html>something went wrong</html>")
            }
            Fault::NotJson | Fault::NotJsonAfterAccept => page(200, "<html>welcome</html>"),
            Fault::ResetBefore | Fault::ResetAfterAccept => reset(),
            Fault::ResetAndAcceptLater(after) => {
                let (shared, call) = (Arc::clone(shared), self.clone_for_later());
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    let _late = call.perform(&shared);
                });
                reset()
            }
            Fault::Hang | Fault::HangAfterAccept => std::future::pending().await,
            Fault::Slow(after) => {
                tokio::time::sleep(after).await;
                self.respond(&self.perform(shared))
            }
        }
    }

    fn clone_for_later(&self) -> Self {
        Self {
            method: self.method.clone(),
            arguments: self.arguments.clone(),
            token: self.token.clone(),
            arrived: self.arrived,
        }
    }
}

/// Ends the connection without an answer: the panic takes the connection's task, and only that.
fn reset() -> Response<Body> {
    // Unlike `panic!` it prints nothing.
    std::panic::resume_unwind(Box::new("the slack stand-in was told to reset this connection"))
}

fn shown(message: &Message, metadata: bool) -> Value {
    let mut shown = json!({
        "type": "message", "ts": message.ts, "text": message.text, "bot_id": "B00000001",
    });
    if !message.blocks.is_null() {
        shown["blocks"] = message.blocks.clone();
    }
    if let Some(parent) = &message.thread_ts {
        shown["thread_ts"] = parent.as_str().into();
    }
    if metadata && !message.metadata.is_null() {
        shown["metadata"] = message.metadata.clone();
    }
    shown
}

/// Whether every element has a type and no text is empty, as Slack demands.
fn sound(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(sound),
        Value::Object(members) => {
            let empty = members.get("text").and_then(Value::as_str).is_some_and(str::is_empty);
            !empty && members.iter().all(|(name, member)| name == "style" || sound(member))
        }
        _ => true,
    }
}

fn limited(retry_after: u64) -> Response<Body> {
    let mut response = json_page(429, &json!({"ok": false, "error": "ratelimited"}));
    response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
    response
}

fn json_page(status: u16, body: &Value) -> Response<Body> {
    let mut response = page(status, &body.to_string());
    let kind = header::HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn page(status: u16, body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    response
}

/// Reads `application/x-www-form-urlencoded`.
fn form(bytes: &[u8]) -> impl Iterator<Item = (String, Value)> {
    url::form_urlencoded::parse(bytes)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
}
