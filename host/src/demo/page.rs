//! The demo's page: messages as Slack shows them, beside the counters of the host.
//!
//! What rules and records say reaches it as JSON and is shown as text.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::board::Board;
use crate::http::typed;

/// What the page is made of.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// The last messages and records.
    pub(super) board: Arc<Board>,
    /// The folder of the rules, for people.
    pub(super) rules_dir: Arc<str>,
}

/// What a reader has seen.
#[derive(Debug, Deserialize)]
struct Seen {
    #[serde(default)]
    revision: u64,
    #[serde(default)]
    line: u64,
}

/// The page at `/` and `/demo`, and what it loads.
pub(super) fn router(page: Page) -> Router {
    const CSS: &str = "text/css; charset=utf-8";
    const JS: &str = "text/javascript; charset=utf-8";
    Router::new()
        .route("/", get(html))
        .route("/demo", get(html))
        .route("/demo/page.css", get(|| async { typed(CSS, include_str!("page/page.css")) }))
        .route("/demo/page.js", get(|| async { typed(JS, include_str!("page/page.js")) }))
        .route("/demo/blocks.js", get(|| async { typed(JS, include_str!("page/blocks.js")) }))
        .route("/demo/board", get(board))
        .with_state(page)
}

async fn html() -> Response {
    typed("text/html; charset=utf-8", include_str!("page/page.html"))
}

async fn board(State(page): State<Page>, Query(seen): Query<Seen>) -> Response {
    let mut board = page.board.since(seen.revision, seen.line);
    board["rules_dir"] = (*page.rules_dir).into();
    typed("application/json", board.to_string())
}
