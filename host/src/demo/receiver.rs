//! Stands in the place of webhooks and Alertmanagers: takes requests, remembers them, and answers as it
//! is told. For tests of this crate and of those who write receivers.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long [`Say::Hang`] says nothing: longer than anybody waits.
const HANG: Duration = Duration::from_secs(3_600);

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The path that was asked for.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Seen {
    /// A header's text; empty = it has none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON; null = it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say {
    /// This status, and nothing else.
    Status(u16),
    /// 429 with `Retry-After: 0`.
    TooFast,
    /// Nothing.
    Hang,
}

#[derive(Debug, Default)]
struct Inner {
    seen: Mutex<Vec<Seen>>,
    says: Mutex<VecDeque<Say>>,
    /// What it does not take: bodies with this in them. Empty = it takes all.
    refused: Mutex<String>,
}

/// A receiver on this machine; it says 200 unless it is told otherwise, and ends when dropped.
#[derive(Debug)]
pub struct Receiver {
    inner: Arc<Inner>,
    /// Its address, without a slash at its end.
    pub url: String,
    _end: DropGuard,
}

impl Receiver {
    /// Starts one.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        let inner = Arc::<Inner>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().fallback(take).with_state(Arc::clone(&inner));
        let end = CancellationToken::new();
        let ended = end.clone().cancelled_owned();
        tokio::spawn(async move {
            tokio::select! {
                () = ended => {}
                served = axum::serve(listener, router).into_future() => {
                    if let Err(error) = served {
                        tracing::error!("the receiver stopped: {error}");
                    }
                }
            }
        });
        Ok(Self { inner, url, _end: end.drop_guard() })
    }

    /// The next answers, in order.
    pub fn say(&self, says: impl IntoIterator<Item = Say>) {
        self.inner.says.lock().unwrap_or_else(PoisonError::into_inner).extend(says);
    }

    /// From now on it says 500 to bodies that contain `text`; to none when that is empty.
    pub fn refuse(&self, text: &str) {
        text.clone_into(&mut self.inner.refused.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All requests so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

async fn take(
    State(inner): State<Arc<Inner>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let say = inner.says.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let refused = inner.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let is_refused = !refused.is_empty() && String::from_utf8_lossy(&body).contains(&refused);
    let seen = Seen { path: uri.path().to_owned(), headers, body };
    inner.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    match say {
        None if is_refused => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        None => StatusCode::OK.into_response(),
        Some(Say::Status(status)) => {
            StatusCode::from_u16(status).unwrap_or(StatusCode::OK).into_response()
        }
        Some(Say::TooFast) => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "0")]).into_response()
        }
        Some(Say::Hang) => {
            tokio::time::sleep(HANG).await;
            StatusCode::OK.into_response()
        }
    }
}
