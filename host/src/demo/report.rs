//! What the demo tells while it runs and at its end: for people, and as JSON for programs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::slack::Message;

/// Something that happened, in the order in which it did.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Everything was started; records flow.
    Started(Started),
    /// A message was posted.
    Posted(Post),
    /// A message was edited.
    Edited(Post),
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The page's address, as a browser takes it.
    pub page: String,
    /// The folder of the rules; it goes away at the end.
    pub rules_dir: PathBuf,
    /// `bootstrap.servers` of the embedded broker, for tools that want to look.
    pub bootstrap_servers: String,
    /// When it ends by itself.
    pub duration: Option<Duration>,
}

/// A message as people read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// Since the start of the demo.
    pub after: Duration,
    /// The channel's name.
    pub channel: String,
    /// Its `ts` in the channel.
    pub ts: String,
    /// Its text, with Slack's escapes undone and without what a terminal would obey.
    pub text: String,
}

/// What it came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// How long it ran.
    pub ran: Duration,
    /// Records that were evaluated.
    pub records: u64,
    /// Records that passed a rule's condition.
    pub matched: u64,
    /// Messages that the Slack stand-in has.
    pub posted: u64,
    /// Edits of messages.
    pub edited: u64,
    /// Notifications that were decided and not yet posted at the end.
    pub waiting: u64,
    /// Calls of rules that failed.
    pub call_failures: u64,
    /// Records and notifications that were given up on.
    pub dead_letters: u64,
    /// Requests that Slack refused or did not answer.
    pub slack_errors: u64,
    /// From the start to the first message.
    pub first_post: Option<Duration>,
}

impl Post {
    pub(super) fn new(message: &Message, after: Duration) -> Self {
        Self {
            after,
            channel: message.channel.clone(),
            ts: message.ts.clone(),
            text: readable(&message.text),
        }
    }

    fn to_json(&self, event: &str) -> Value {
        json!({
            "event": event,
            "after_ms": millis(self.after),
            "channel": self.channel,
            "ts": self.ts,
            "text": self.text,
        })
    }
}

impl Event {
    /// A line of `--output json`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Started(started) => json!({
                "event": "started",
                "page": started.page,
                "rules_dir": started.rules_dir.to_string_lossy(),
                "bootstrap_servers": started.bootstrap_servers,
            }),
            Self::Posted(post) => post.to_json("posted"),
            Self::Edited(post) => post.to_json("edited"),
        }
    }
}

impl Summary {
    /// The last line of `--output json`.
    pub fn to_json(&self) -> Value {
        json!({
            "event": "ended",
            "seconds": self.ran.as_secs_f64(),
            "records": self.records,
            "matched": self.matched,
            "posted": self.posted,
            "edited": self.edited,
            "waiting": self.waiting,
            "call_failures": self.call_failures,
            "dead_letters": self.dead_letters,
            "slack_errors": self.slack_errors,
            "first_post_ms": self.first_post.map(millis),
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(started) => {
                writeln!(
                    f,
                    "syslog records -> embedded Kafka -> WebAssembly rules -> a stand-in for Slack"
                )?;
                writeln!(f, "  page   {}", started.page)?;
                writeln!(
                    f,
                    "  rules  {}  (edit a file there: it is live when you save it)",
                    started.rules_dir.display()
                )?;
                match started.duration {
                    Some(duration) => {
                        writeln!(f, "  ends   after {} s, or with Ctrl-C", duration.as_secs_f64())
                    }
                    None => writeln!(f, "  ends   with Ctrl-C"),
                }
            }
            Self::Posted(post) => write!(f, "{post}"),
            Self::Edited(post) => write!(f, "{post} (edited)"),
        }
    }
}

impl fmt::Display for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, channel, text, .. } = self;
        write!(f, "{:>7.2} s  #{channel:<9}  {text}", after.as_secs_f64())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.records as f64 / self.ran.as_secs_f64().max(0.001);
        write!(
            f,
            "{} records in {:.1} s ({rate:.0} a second), {} matched, {} messages posted",
            self.records,
            self.ran.as_secs_f64(),
            self.matched,
            self.posted,
        )?;
        if let Some(first) = self.first_post {
            write!(f, ", the first after {:.2} s", first.as_secs_f64())?;
        }
        for (count, what) in [
            (self.edited, "edits"),
            (self.waiting, "waiting for Slack"),
            (self.slack_errors, "errors of Slack"),
            (self.call_failures, "failed calls"),
            (self.dead_letters, "dead letters"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Slack's three escapes undone; a line, and nothing that a terminal would obey.
fn readable(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(text: &str) -> Post {
        Post {
            after: Duration::from_millis(1_234),
            channel: "general".into(),
            ts: "1.000001".into(),
            text: readable(text),
        }
    }

    #[test]
    fn a_post_is_a_line_that_a_terminal_does_not_obey() {
        let event = Event::Posted(post("Invalid user &lt;!channel&gt; &amp;lt; \u{1b}[31m\nx"));
        assert_eq!(
            event.to_string(),
            "   1.23 s  #general    Invalid user <!channel> &lt;  [31m x"
        );
        assert_eq!(event.to_json()["after_ms"], 1_234);
        assert_eq!(Event::Edited(post("x")).to_json()["event"], "edited");
    }

    #[test]
    fn the_summary_tells_failures_only_when_there_are_some() {
        let mut summary = Summary {
            ran: Duration::from_secs(6),
            records: 300,
            matched: 5,
            posted: 4,
            first_post: Some(Duration::from_millis(900)),
            ..Summary::default()
        };
        assert_eq!(
            summary.to_string(),
            "300 records in 6.0 s (50 a second), 5 matched, 4 messages posted, the first after 0.90 s"
        );
        summary.slack_errors = 2;
        assert!(summary.to_string().ends_with(", 2 errors of Slack"));
        assert_eq!(summary.to_json()["first_post_ms"], 900);
    }
}
