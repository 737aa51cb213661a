//! The page, `/metrics`, `/healthz`, `/readyz`, `/api/status`, `/api/state/RULE`, `/api/alerts`
//! and `/api/silences`.
//!
//! It reads what others count and say, and changes nothing but silences. The page is three embedded files
//! without a build step; what rules and records say reaches it only as JSON and is shown as text.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::state::query::{Question, parse_time};
use crate::telemetry;

pub mod alerts;
pub mod silences;
mod status;

pub use status::{DeliveryStatus, Pages, ProblemStatus, RuleStatus, StateReader, Status};

/// How long requests in hand may take after the shutdown began; a browser that keeps its connection
/// open does not keep the process.
const DRAIN: Duration = Duration::from_secs(1);

/// What the page may load: itself, and nothing from anywhere else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {listen}: another process does; end it, or choose another address with \
         `listen` under [http] (\"off\" serves no page)"
    )]
    InUse {
        /// The address.
        listen: SocketAddr,
    },
    /// The address cannot be had for another reason.
    #[error("cannot listen on {listen}; choose another address with `listen` under [http]")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The server stopped.
    #[error("the server on {listen} stopped")]
    Serve {
        /// The address.
        listen: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A bound address, before anything is served: a wrong address is told before Kafka is touched.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds `[http] listen`.
    ///
    /// # Errors
    /// When the address is taken or cannot be had, with the key to change.
    pub async fn bind(listen: SocketAddr) -> Result<Self, HttpError> {
        let bind = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => HttpError::InUse { listen },
            _ => HttpError::Bind { listen, source },
        };
        let listener = TcpListener::bind(listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self { listener, address })
    }

    /// Where it listens: the port is known even if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves a router (see [`router`]) until the shutdown.
    ///
    /// # Errors
    /// When the operating system takes the listener away.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) -> Result<(), HttpError> {
        let listen = self.address;
        let stop = shutdown.clone().cancelled_owned();
        let serve = axum::serve(self.listener, router).with_graceful_shutdown(stop);
        let drained = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            ended = serve.into_future() => ended.map_err(|source| HttpError::Serve { listen, source }),
            () = drained => Ok(()),
        }
    }
}

/// All pages of the host.
pub fn router(pages: Pages) -> Router {
    router_behind(front(), pages)
}

/// The host's own page at `/`.
pub fn front() -> Router {
    Router::new().route("/", get(page))
}

/// All pages of the host behind those of another, such as the demo's, which has the one at `/`;
/// the host's own is at `/host` in any case. All of them get the same headers.
pub fn router_behind(front: Router, pages: Pages) -> Router {
    const CSS: &str = "text/css; charset=utf-8";
    const JS: &str = "text/javascript; charset=utf-8";
    const SVG: &str = "image/svg+xml";
    Router::new()
        .route("/host", get(page))
        .route("/favicon.svg", get(|| async { typed(SVG, include_str!("http/favicon.svg")) }))
        .route("/page.css", get(|| async { typed(CSS, include_str!("http/page.css")) }))
        .route("/page.js", get(|| async { typed(JS, include_str!("http/page.js")) }))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/api/status", get(api_status))
        .route("/api/state/{rule}", get(api_state))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is no such page\n") })
        .with_state(pages)
        .merge(front)
        .layer(axum::middleware::map_response(guard))
}

async fn page() -> Response {
    typed("text/html; charset=utf-8", include_str!("http/page.html"))
}

/// A body with its type.
pub(crate) fn typed(content_type: &'static str, body: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// The headers that every answer has.
async fn guard(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn metrics(State(pages): State<Pages>) -> Response {
    typed(telemetry::CONTENT_TYPE, pages.metrics.encode())
}

/// 200, or 503 with a line for each part that is not ready.
async fn readyz(State(pages): State<Pages>) -> Response {
    let snapshot = pages.readiness.snapshot();
    if snapshot.is_ready() {
        return "ready\n".into_response();
    }
    let mut body = String::from("not ready\n");
    if snapshot.parts.is_empty() {
        body.push_str("host: it is starting\n");
    }
    for (part, reason) in &snapshot.parts {
        if let Some(reason) = reason {
            body.push_str(&format!("{part}: {reason}\n"));
        }
    }
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

async fn api_status(State(pages): State<Pages>) -> Response {
    typed("application/json", pages.to_json().to_string())
}

/// What may be asked of `/api/state/RULE`.
#[derive(Debug, serde::Deserialize)]
struct StateQuery {
    key: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

/// What a rule keeps, of all hosts of the group, as it is committed now.
async fn api_state(
    State(pages): State<Pages>,
    Path(rule): Path<String>,
    Query(query): Query<StateQuery>,
) -> Response {
    let time = |written: Option<String>| written.map(|text| parse_time(&text)).transpose();
    let (from_ms, to_ms) = match (time(query.from), time(query.to)) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(error), _) | (_, Err(error)) => {
            return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response();
        }
    };
    let key = query.key.map(String::into_bytes);
    let question = Question { rule, key, from_ms, to_ms };
    let read = move || (pages.state)(&question).map(|answer| answer.to_json(&question.rule));
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(json)) => typed("application/json", json.to_string()),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "reading state failed\n").into_response(),
    }
}

#[cfg(test)]
mod tests;
