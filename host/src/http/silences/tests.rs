//! Who may write silences, and what comes of it.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::Server;
use crate::http::tests::exchange;

/// The pages, which write into the silences that they read.
fn pages() -> SilencePages {
    let silences = Silences::default();
    silences.set_ready();
    let written = silences.clone();
    let write = move |silence: Silence| -> Written {
        written.set(&silence.id.clone(), Some(silence));
        Box::pin(async { Ok(()) })
    };
    SilencePages { silences, write: Arc::new(write) }
}

/// Status and body of an answer to a request with these lines behind the first.
async fn ask(pages: &SilencePages, first: &str, headers: &[&str], body: &str) -> (u16, String) {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, shutdown) = (server.address(), CancellationToken::new());
    let serve = tokio::spawn(server.serve(router(pages.clone()), shutdown.clone()));
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!(
        "{first} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    let (head, body) = exchange(address, request).await;
    shutdown.cancel();
    serve.await.unwrap().unwrap();
    (head[9..12].parse().unwrap(), body)
}

const HOST: &str = "Host: 127.0.0.1:9464";
const JSON: &str = "Content-Type: application/json";

fn body(ends: &str) -> String {
    format!(
        r#"{{"matchers":[{{"name":"rule","value":"x"}}],"endsAt":"{ends}","createdBy":"a","comment":"c"}}"#
    )
}

#[tokio::test]
async fn a_silence_is_written_listed_changed_and_ended() {
    let pages = pages();
    let (status, answer) =
        ask(&pages, "POST /api/silences", &[HOST, JSON], &body("2999-01-01T00:00:00Z")).await;
    assert_eq!(status, 200, "{answer}");
    let id =
        serde_json::from_str::<Value>(&answer).unwrap()["silenceID"].as_str().unwrap().to_owned();
    let (_, listed) = ask(&pages, "GET /api/silences", &[HOST], "").await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["id"], &listed[0]["status"]["state"]), (&json!(id), &json!("active")));
    let changed = body("2998-01-01T00:00:00Z").replacen('{', &format!("{{\"id\":\"{id}\","), 1);
    assert_eq!(ask(&pages, "POST /api/silences", &[HOST, JSON], &changed).await.0, 200);
    let unknown = changed.replace(&id, "0123");
    assert_eq!(ask(&pages, "POST /api/silences", &[HOST, JSON], &unknown).await.0, 404);
    let all = pages.silences.all();
    assert_eq!(all.len(), 1);
    assert!(all[0].to_json(0)["endsAt"].as_str().unwrap().starts_with("2998"));
    let path = format!("DELETE /api/silences/{id}");
    assert_eq!(ask(&pages, &path, &[HOST], "").await.0, 200);
    assert_eq!(ask(&pages, &path, &[HOST], "").await.0, 409);
    assert_eq!(ask(&pages, "DELETE /api/silences/x", &[HOST], "").await.0, 404);
}

#[tokio::test]
async fn what_may_not_be_is_told() {
    let pages = pages();
    let (status, told) =
        ask(&pages, "POST /api/silences", &[HOST, JSON], &body("1999-01-01T00:00:00Z")).await;
    assert_eq!(
        (status, told.as_str()),
        (400, "the silence ends before it begins; give it a later end\n")
    );
    assert_eq!(ask(&pages, "POST /api/silences", &[HOST, JSON], "{").await.0, 400);
    assert!(pages.silences.all().is_empty());
    let unread = SilencePages { silences: Silences::default(), ..pages };
    assert_eq!(ask(&unread, "GET /api/silences", &[HOST], "").await.0, 503);
}

#[tokio::test]
async fn a_page_of_somebody_else_cannot_write() {
    let pages = pages();
    let good = body("2999-01-01T00:00:00Z");
    let with = async |headers: &[&str]| ask(&pages, "POST /api/silences", headers, &good).await.0;
    // What a form can send.
    assert_eq!(with(&[HOST]).await, 415);
    assert_eq!(with(&[HOST, "Content-Type: text/plain"]).await, 415);
    // A script of another page.
    assert_eq!(with(&[HOST, JSON, "Origin: http://evil.example"]).await, 403);
    assert_eq!(with(&[HOST, JSON, "Origin: null"]).await, 403);
    assert_eq!(with(&[HOST, JSON, "Sec-Fetch-Site: cross-site"]).await, 403);
    // Another page whose name was made to lead here.
    let rebound = ["Host: evil.example:9464", JSON, "Origin: http://evil.example:9464"];
    assert_eq!(with(&rebound).await, 403);
    assert!(pages.silences.all().is_empty());
    // Nor end one.
    let from = ["Origin: http://evil.example", HOST];
    assert_eq!(ask(&pages, "DELETE /api/silences/x", &from, "").await.0, 403);
    // A page of ours, by address and by name.
    assert_eq!(with(&[HOST, JSON, "Origin: http://127.0.0.1:9464"]).await, 200);
    assert_eq!(with(&["Host: localhost:1", JSON, "Origin: http://localhost:1"]).await, 200);
    assert_eq!(with(&["Host: [::1]:1", JSON, "Origin: http://[::1]:1"]).await, 200);
}
