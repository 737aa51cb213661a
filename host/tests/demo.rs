//! `firebell demo`, the real binary, from its start to its end.

#![allow(clippy::unwrap_used, reason = "a helper of a test may end the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Starts the demo; the page is on a free port, so that several can run.
fn demo(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firebell"));
    command.args(["demo", "--listen", "127.0.0.1:0", "--output", "json"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.spawn().unwrap()
}

fn ask(page: &str, path: &str) -> (String, String) {
    let address = page.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn records_become_messages_and_it_ends_by_itself() {
    let began = Instant::now();
    let mut child = demo(&["--for", "6"]);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let events: Vec<Value> =
        lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(child.wait().unwrap().success());
    let ran = began.elapsed();
    assert!((6.0..16.0).contains(&ran.as_secs_f64()), "{ran:?}");
    assert_eq!(events[0]["event"], "started");
    let rules = events[0]["rules_dir"].as_str().unwrap();
    assert!(!std::path::Path::new(rules).exists(), "the rules folder is left behind: {rules}");
    let posted: Vec<&Value> = events.iter().filter(|event| event["event"] == "posted").collect();
    let text = posted[0]["text"].as_str().unwrap();
    assert!(text.contains("Invalid user"), "{text}");
    assert_eq!(posted[0]["channel"], "general");
    let summary = events.last().unwrap();
    assert_eq!(summary["event"], "ended");
    assert!(summary["records"].as_u64().unwrap() > 100, "{summary}");
    assert!(summary["posted"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!(summary["posted"].as_u64(), Some(posted.len() as u64));
    assert!(summary["first_post_ms"].as_u64().unwrap() < 3_000, "{summary}");
    for failures in ["call_failures", "dead_letters", "slack_errors"] {
        assert_eq!(summary[failures], 0, "{summary}");
    }
}

#[test]
fn the_page_shows_text_as_text_a_rule_is_edited_and_an_interrupt_ends_it_cleanly() {
    let mut child = demo(&["--rate", "100"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let started = next();
    let page = started["page"].as_str().unwrap();
    // The third attempt has a name that would call everybody.
    while !next()["text"].as_str().unwrap().contains("<!channel>") {}
    let (head, html) = ask(page, "/");
    assert!(head.contains("script-src 'self'") && html.contains("<title>Firebell demo"), "{head}");
    let (_, body) = ask(page, "/demo/board?revision=0&line=0");
    let board: Value = serde_json::from_str(&body).unwrap();
    let mut posts = board["posts"].as_array().unwrap().iter();
    let hostile = posts.find(|post| post["blocks"].to_string().contains("<!channel>"));
    let hostile = hostile.unwrap();
    assert!(hostile["text"].as_str().unwrap().contains("&lt;!channel&gt;"), "{hostile}");
    assert!(!hostile["blocks"].to_string().contains("mrkdwn"), "{hostile}");

    let rule =
        std::path::Path::new(started["rules_dir"].as_str().unwrap()).join("invalid-user.toml");
    let text = std::fs::read_to_string(&rule).unwrap().replace("\"general\"", "\"security\"");
    std::fs::write(&rule, text).unwrap();
    loop {
        let post = next();
        if post["channel"] == "security" && post["text"].as_str().unwrap().contains("👽") {
            break;
        }
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let last = lines.map(|line| line.unwrap()).last().unwrap();
    let summary: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(summary["event"], "ended");
    assert!(child.wait().unwrap().success());
}
