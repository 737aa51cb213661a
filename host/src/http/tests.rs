use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use super::*;
use crate::telemetry::{Metrics, Readiness, RuleState};

/// A running server with its parts, stopped when dropped.
struct Running {
    address: SocketAddr,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), HttpError>>,
}

async fn start(status: Status) -> Running {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (metrics, readiness, shutdown) =
        (Metrics::new(), Readiness::default(), CancellationToken::new());
    let pages = Pages {
        state: Arc::new(|_| Err("nobody keeps state here".into())),
        metrics: metrics.clone(),
        readiness: readiness.clone(),
        status: Arc::new(move || status.clone()),
    };
    let address = server.address();
    let ended = tokio::spawn(server.serve(router(pages), shutdown.clone()));
    Running { address, metrics, readiness, shutdown, ended }
}

/// Head and body of an answer.
async fn ask(address: SocketAddr, path: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let (head, body) = exchange(address, request).await;
    (head.to_lowercase(), body)
}

/// Head and body of the answer to a whole request.
pub(super) async fn exchange(address: SocketAddr, request: String) -> (String, String) {
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn readyz_says_503_with_the_reasons_until_every_part_is_ready() {
    let host = start(Status::default()).await;
    let (head, body) = ask(host.address, "/readyz").await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert_eq!(body, "not ready\nhost: it is starting\n");
    host.readiness.set_ready("rules");
    host.readiness.set_not_ready("kafka", "no broker answers at k:9092");
    let (head, body) = ask(host.address, "/readyz").await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert_eq!(body, "not ready\nkafka: no broker answers at k:9092\n");
    host.readiness.set_ready("kafka");
    let (head, body) = ask(host.address, "/readyz").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, "ready\n");
    assert_eq!(ask(host.address, "/healthz").await.1, "ok\n");
    let (head, body) = ask(host.address, "/nothing").await;
    assert!(head.starts_with("http/1.1 404") && body == "there is no such page\n");
}

#[tokio::test]
async fn metrics_are_served_as_openmetrics() {
    let host = start(Status::default()).await;
    host.metrics.records("SYSLOG", 3);
    let (head, body) = ask(host.address, "/metrics").await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.contains("firebell_records_total{topic=\"SYSLOG\"} 3\n"), "{body}");
}

#[tokio::test]
async fn the_status_joins_counts_and_what_the_host_knows() {
    let name = "<img src=x onerror=alert(1)>";
    let rule = RuleStatus {
        name: name.into(),
        version: "ab12".into(),
        state: RuleState::Quarantined,
        topics: vec!["SYSLOG".into()],
        problem: Some("out of fuel".into()),
    };
    let problem = ProblemStatus { at_ms: 5, source: "rules".into(), message: "bad file".into() };
    let status = Status {
        rules: vec![rule],
        problems: vec![problem],
        delivery: DeliveryStatus { mode: "bot", paused: None },
        ..Status::default()
    };
    let host = start(status).await;
    host.metrics.matched(name, "SYSLOG", 7);
    host.metrics.lag("SYSLOG", 2, 9, 1.5);
    host.metrics.delivery_paused(true);
    let (head, body) = ask(host.address, "/api/status").await;
    assert!(head.contains("content-type: application/json"), "{head}");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["rules"][0]["name"], name);
    assert_eq!(json["rules"][0]["state"], "quarantined");
    assert_eq!(json["rules"][0]["matched"], 7);
    assert_eq!(json["topics"][0]["partitions"][0]["records"], 9);
    assert_eq!(json["counts"]["lag_records"], 9);
    assert_eq!(json["delivery"]["paused"], "see the log");
    assert_eq!(json["problems"][0]["message"], "bad file");
    assert_eq!(json["ready"], false);
}

#[tokio::test]
async fn the_page_loads_only_from_itself_and_never_makes_markup_of_data() {
    let host = start(Status::default()).await;
    for path in ["/", "/page.css", "/page.js"] {
        let (head, body) = ask(host.address, path).await;
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        for word in ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "://"] {
            assert!(!body.contains(word), "{path} has {word}");
        }
    }
    // What the script looks for is on the page.
    let (page, script) = (include_str!("page.html"), include_str!("page.js"));
    let calls = [" at(\"", " show(\"", " table(\""];
    let ids: Vec<&str> = calls
        .iter()
        .flat_map(|call| script.split(call).skip(1))
        .filter_map(|rest| Some(rest.split_once('"')?.0))
        .collect();
    assert!(ids.contains(&"rules") && ids.contains(&"spark-line"), "{ids:?}");
    for id in ids {
        assert!(page.contains(&format!("id=\"{id}\"")), "the page has no {id}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_told_with_the_key_to_change() {
    let first = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let second = Server::bind(first.address()).await.unwrap_err();
    assert_eq!(
        second.to_string(),
        format!(
            "cannot listen on {}: another process does; end it, or choose another address with \
             `listen` under [http] (\"off\" serves no page)",
            first.address()
        )
    );
    let foreign = Server::bind("192.0.2.1:9464".parse().unwrap()).await.unwrap_err();
    assert!(foreign.to_string().starts_with("cannot listen on 192.0.2.1:9464; choose another"));
}

#[tokio::test]
async fn the_server_ends_with_the_host_even_while_a_browser_holds_its_connection() {
    let host = start(Status::default()).await;
    let mut idle = TcpStream::connect(host.address).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    // The server has taken the connection up when it answers another.
    ask(host.address, "/healthz").await;
    host.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), host.ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn pages_in_front_have_the_same_headers_and_the_hosts_page_is_behind_them() {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let pages = Pages {
        state: Arc::new(|_| Err("nobody keeps state here".into())),
        metrics: Metrics::new(),
        readiness: Readiness::default(),
        status: Arc::new(Status::default),
    };
    let front = Router::new().route("/", get(|| async { "in front" }));
    let (address, shutdown) = (server.address(), CancellationToken::new());
    let ended = tokio::spawn(server.serve(router_behind(front, pages), shutdown.clone()));
    let (head, body) = ask(address, "/").await;
    assert_eq!(body, "in front");
    assert!(head.contains("script-src 'self'"), "{head}");
    assert!(ask(address, "/host").await.1.contains("<title>Firebell</title>"));
    assert!(ask(address, "/nothing").await.0.starts_with("http/1.1 404"));
    shutdown.cancel();
    ended.await.unwrap().unwrap();
}
