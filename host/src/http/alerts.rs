//! `/api/alerts` and `/api/alerts/ID`: every alert's life.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::typed;
use crate::alerts::{Found, Question, STATES, Unclear};
use crate::delivery::common::now_ms;
use crate::policy::parse_duration;

/// Reads ledger and history, of the history what was written since then; an error is a sentence. Blocks.
pub type AlertsReader = Arc<dyn Fn(Option<i64>) -> Result<Found, String> + Send + Sync>;

/// What reads, and whose turn it is: each reads whole topics, and several at once would cost as much memory
/// as they are many.
#[derive(Clone)]
struct Reading {
    read: AlertsReader,
    turn: Arc<Semaphore>,
}

/// The pages of alerts.
pub fn router(read: AlertsReader) -> Router {
    Router::new()
        .route("/api/alerts", get(list))
        .route("/api/alerts/{id}", get(show))
        .with_state(Reading { read, turn: Arc::new(Semaphore::new(1)) })
}

/// What may be asked of `/api/alerts`.
#[derive(Debug, serde::Deserialize)]
struct ListQuery {
    since: Option<String>,
    rule: Option<String>,
    state: Option<String>,
}

async fn list(State(reading): State<Reading>, Query(query): Query<ListQuery>) -> Response {
    let since = query.since.map(|text| since(&text, now_ms())).transpose();
    let since_ms = match since {
        Ok(since_ms) => since_ms,
        Err(error) => return told(StatusCode::BAD_REQUEST, &error),
    };
    if let Some(state) = query.state.as_deref().filter(|state| !STATES.contains(state)) {
        let error = format!("`{state}` is no state; write one of {}", STATES.join(", "));
        return told(StatusCode::BAD_REQUEST, &error);
    }
    let question = Question { since_ms, rule: query.rule, state: query.state };
    let answer = ask(reading, since_ms, move |found| {
        let alerts = found.answer(&question);
        Ok(alerts.iter().map(|alert| alert.to_json(false)).collect::<Vec<_>>().into())
    });
    answer.await
}

async fn show(State(reading): State<Reading>, Path(id): Path<String>) -> Response {
    let answer = ask(reading, None, move |found| {
        let alerts = found.show(&id)?;
        Ok(alerts.iter().map(|alert| alert.to_json(true)).collect::<Vec<_>>().into())
    });
    answer.await
}

async fn ask(
    Reading { read, turn }: Reading,
    since_ms: Option<i64>,
    answer: impl FnOnce(Found) -> Result<Value, Unclear> + Send + 'static,
) -> Response {
    let turn = turn.acquire_owned().await;
    let asked = tokio::task::spawn_blocking(move || {
        // Kept also when whoever asked has gone away meanwhile.
        let _turn = turn;
        read(since_ms).map(answer)
    });
    let asked = asked.await;
    match asked {
        Ok(Ok(Ok(json))) => typed("application/json", json.to_string()),
        Ok(Ok(Err(error @ Unclear::None(_)))) => told(StatusCode::NOT_FOUND, &error.to_string()),
        Ok(Ok(Err(error))) => told(StatusCode::BAD_REQUEST, &error.to_string()),
        Ok(Err(error)) => told(StatusCode::SERVICE_UNAVAILABLE, &error),
        Err(_) => told(StatusCode::INTERNAL_SERVER_ERROR, "reading alerts failed"),
    }
}

/// The time a length before `now_ms`.
///
/// # Errors
/// When the text is no length of time.
pub fn since(text: &str, now_ms: i64) -> Result<i64, String> {
    let length = parse_duration(text).and_then(|length| i64::try_from(length.as_millis()).ok());
    let length = length.ok_or_else(|| {
        format!(
            "`{text}` is no length of time; write numbers and units (ms, s, m, h, d, w) such as 1h"
        )
    })?;
    Ok(now_ms.saturating_sub(length))
}

fn told(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::What;
    use crate::history::tests::event;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn topics_are_read_by_one_at_a_time() {
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (at, highest) = (Arc::clone(&now), Arc::clone(&most));
        let read: AlertsReader = Arc::new(move |_| {
            highest.fetch_max(at.fetch_add(1, SeqCst) + 1, SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(5));
            at.fetch_sub(1, SeqCst);
            Ok(Found::default())
        });
        let reading = Reading { read, turn: Arc::new(Semaphore::new(1)) };
        let ask = || ask(reading.clone(), None, |_| Ok(Value::Null));
        let asked = (0..8).map(|_| tokio::spawn(ask()));
        for asked in asked.collect::<Vec<_>>() {
            assert_eq!(asked.await.unwrap().status(), StatusCode::OK);
        }
        assert_eq!((now.load(SeqCst), most.load(SeqCst)), (0, 1));
    }

    async fn asked(path: &str) -> (StatusCode, String) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let events = vec![event(1, What::ended("posted", ""))];
        let read: AlertsReader =
            Arc::new(move |_| Ok(Found { events: events.clone(), ..Found::default() }));
        let server = super::super::Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (address, stop) = (server.address(), tokio_util::sync::CancellationToken::new());
        let served = tokio::spawn(server.serve(router(read), stop.clone()));
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        stop.cancel();
        served.await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        (StatusCode::from_u16(status).unwrap(), body.to_owned())
    }

    #[tokio::test]
    async fn alerts_are_listed_and_shown_and_what_is_no_question_is_refused() {
        let (status, body) = asked("/api/alerts?state=forgotten").await;
        let listed: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, listed[0]["rule"].as_str()), (StatusCode::OK, Some("invalid-user")));
        assert_eq!(asked("/api/alerts?state=open").await.1, "[]");
        let (status, body) = asked("/api/alerts/0123").await;
        let shown: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &shown[0]["events"][0]["what"]), (StatusCode::OK, &"ended".into()));
        assert_eq!(asked("/api/alerts/9").await.0, StatusCode::NOT_FOUND);
        assert_eq!(asked("/api/alerts?state=ajar").await.0, StatusCode::BAD_REQUEST);
        assert_eq!(asked("/api/alerts?since=soon").await.0, StatusCode::BAD_REQUEST);
    }
}
