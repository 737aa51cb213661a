//! What the page shows: the last messages, as the Slack stand-in has them, and the last records.
//!
//! Bounded: who opens the page late sees the latest. A reader says what it has seen and gets what is
//! newer, so that it may come and go.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::slack::Message;
use super::stream::Fed;

/// Messages that are kept.
const POSTS_MAX: usize = 200;
/// Records that are kept; a page shows fewer.
const LINES_MAX: usize = 60;

/// The last messages and records.
#[derive(Debug, Default)]
pub(super) struct Board {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Grows with every message and every edit.
    revision: u64,
    posts: VecDeque<Post>,
    /// The number of the newest line.
    line: u64,
    lines: VecDeque<Line>,
}

#[derive(Debug)]
struct Post {
    revision: u64,
    message: Message,
}

#[derive(Debug)]
struct Line {
    number: u64,
    topic: &'static str,
    text: String,
    attempt: bool,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The board is whole between any two statements.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message that is new or was edited.
    pub(super) fn message(&self, message: Message) {
        let mut inner = self.lock();
        inner.revision += 1;
        let revision = inner.revision;
        let same = |post: &&mut Post| {
            post.message.ts == message.ts && post.message.channel_id == message.channel_id
        };
        if let Some(post) = inner.posts.iter_mut().find(same) {
            *post = Post { revision, message };
            return;
        }
        if inner.posts.len() == POSTS_MAX {
            inner.posts.pop_front();
        }
        inner.posts.push_back(Post { revision, message });
    }

    /// Takes records that were written; their lines are moved out of them.
    pub(super) fn fed(&self, records: &mut [Fed]) {
        if records.is_empty() {
            return;
        }
        let mut inner = self.lock();
        let skipped = records.len().saturating_sub(LINES_MAX);
        inner.line += skipped as u64;
        for record in &mut records[skipped..] {
            inner.line += 1;
            let text = std::mem::take(&mut record.line);
            let line =
                Line { number: inner.line, topic: record.topic, text, attempt: record.attempt };
            if inner.lines.len() == LINES_MAX {
                inner.lines.pop_front();
            }
            inner.lines.push_back(line);
        }
    }

    /// What is newer than a reader's `revision` of the messages and its last `line`.
    pub(super) fn since(&self, revision: u64, line: u64) -> Value {
        let inner = self.lock();
        // A number from an earlier process, whose page is still open.
        let revision = if revision > inner.revision { 0 } else { revision };
        let line = if line > inner.line { 0 } else { line };
        let posts: Vec<Value> =
            inner.posts.iter().filter(|post| post.revision > revision).map(Post::to_json).collect();
        let lines: Vec<Value> = inner
            .lines
            .iter()
            .filter(|each| each.number > line)
            .map(|each| json!({"topic": each.topic, "text": each.text, "attempt": each.attempt}))
            .collect();
        json!({"revision": inner.revision, "line": inner.line, "posts": posts, "lines": lines})
    }
}

impl Post {
    fn to_json(&self) -> Value {
        let message = &self.message;
        json!({
            "channel": message.channel,
            "ts": message.ts,
            "text": message.text,
            "blocks": message.blocks,
            "edits": message.edits,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn message(ts: &str, text: &str) -> Message {
        Message {
            channel: "general".into(),
            channel_id: "C000000001".into(),
            ts: ts.into(),
            text: text.into(),
            blocks: Value::Null,
            metadata: Value::Null,
            arguments: Value::Null,
            arrived: Instant::now(),
            edits: 0,
            thread_ts: None,
            broadcast: false,
        }
    }

    fn texts(board: &Board, revision: u64) -> Vec<String> {
        let since = board.since(revision, 0);
        let posts = since["posts"].as_array().unwrap().iter();
        posts.map(|post| post["text"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_reader_gets_what_is_newer_and_edits_in_the_messages_place() {
        let board = Board::default();
        board.message(message("1.1", "one"));
        board.message(message("1.2", "two"));
        assert_eq!(texts(&board, 1), ["two"]);
        board.message(message("1.1", "one, edited"));
        assert_eq!(texts(&board, 2), ["one, edited"]);
        assert_eq!(texts(&board, 0), ["one, edited", "two"]);
        assert_eq!(board.since(3, 0)["revision"], 3);
        assert_eq!(texts(&board, 99), ["one, edited", "two"]);
    }

    #[test]
    fn only_the_last_are_kept() {
        let board = Board::default();
        for n in 0..=POSTS_MAX {
            board.message(message(&format!("1.{n:06}"), &n.to_string()));
        }
        let kept = texts(&board, 0);
        assert_eq!((kept.len(), kept[0].as_str()), (POSTS_MAX, "1"));
        let line = |text: String| Fed {
            topic: "T",
            key: None,
            value: String::new(),
            line: text,
            attempt: false,
        };
        let mut many: Vec<Fed> = (0..LINES_MAX + 5).map(|n| line(n.to_string())).collect();
        board.fed(&mut many);
        let since = board.since(0, 0);
        assert_eq!(since["line"], LINES_MAX + 5);
        assert_eq!(since["lines"].as_array().unwrap().len(), LINES_MAX);
        assert_eq!(since["lines"][0]["text"], "5");
        let newer = board.since(0, u64::try_from(LINES_MAX + 3).unwrap());
        assert_eq!(newer["lines"].as_array().unwrap().len(), 2);
    }
}
