//! `/api/silences`: reading, writing and ending silences.
//!
//! What changes something must not come from a page of somebody else in an operator's browser: it has
//! to say that it is JSON, which no form can, and a browser has to say that the page is ours.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use serde_json::{Value, json};

use super::typed;
use crate::delivery::common::now_ms;
use crate::policy::silence::{Silence, SilenceRequest, Silences, new_id};

/// The end of a write; an error is a sentence.
pub type Written = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Where the page of silences reads and writes.
#[derive(Clone)]
pub struct SilencePages {
    /// The silences as this host knows them.
    pub silences: Silences,
    /// Writes one for all hosts.
    pub write: Arc<dyn Fn(Silence) -> Written + Send + Sync>,
}

/// The pages of silences.
pub fn router(pages: SilencePages) -> Router {
    Router::new()
        .route("/api/silences", get(list).post(add))
        .route("/api/silences/{id}", delete(expire))
        .with_state(pages)
}

async fn list(State(pages): State<SilencePages>) -> Response {
    if !pages.silences.is_ready() {
        return told(StatusCode::SERVICE_UNAVAILABLE, "silences are not read yet");
    }
    let now = now_ms();
    let all: Vec<Value> = pages.silences.all().iter().map(|one| one.to_json(now)).collect();
    typed("application/json", Value::from(all).to_string())
}

async fn add(State(pages): State<SilencePages>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err((status, why)) = is_ours(&headers).and_then(|()| is_json(&headers)) {
        return told(status, why);
    }
    let now = now_ms();
    let asked = SilenceRequest::from_bytes(&body).and_then(|request| {
        let id = request.id.clone().unwrap_or_else(new_id);
        let known = request.id.is_none() || pages.silences.get(&id).is_some();
        Ok((request.silence(id, now)?, known))
    });
    match asked {
        Err(error) => told(StatusCode::BAD_REQUEST, &error.to_string()),
        Ok((_, false)) => told(StatusCode::NOT_FOUND, "there is no silence of this id"),
        Ok((silence, true)) => write(&pages, silence).await,
    }
}

async fn expire(
    State(pages): State<SilencePages>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    if let Err((status, why)) = is_ours(&headers) {
        return told(status, why);
    }
    match pages.silences.get(&id) {
        None => told(StatusCode::NOT_FOUND, "there is no silence of this id"),
        Some(silence) => match silence.expired(now_ms()) {
            Some(expired) => write(&pages, expired).await,
            None => told(StatusCode::CONFLICT, "the silence has ended already"),
        },
    }
}

async fn write(pages: &SilencePages, silence: Silence) -> Response {
    let id = silence.id.clone();
    match (pages.write)(silence).await {
        Ok(()) => typed("application/json", json!({ "silenceID": id }).to_string()),
        Err(error) => told(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

fn told(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

/// Why a request is not carried out.
type Refusal = (StatusCode, &'static str);

fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if kind.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let why = "send JSON, with the header Content-Type: application/json";
    Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why))
}

/// Whether no browser sends it, or one for a page of this host. Its name does not count: a page of
/// somebody else can let its own name lead here, but not an address or `localhost`.
fn is_ours(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let same_site =
        text("sec-fetch-site").is_none_or(|site| ["same-origin", "none"].contains(&site));
    let same_origin = text("origin").is_none_or(|origin| {
        let host = text("host").unwrap_or_default();
        let of_page = origin.split_once("://").map(|(_, host)| host);
        of_page == Some(host) && is_address(host)
    });
    if same_site && same_origin {
        return Ok(());
    }
    Err((StatusCode::FORBIDDEN, "this does not come from a page of this host"))
}

/// Whether a `Host` is `localhost` or an address, with or without a port.
fn is_address(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests;
