//! Any bytes as what a rule returns: what Slack is sent has no mention, link or formatting but what the
//! operator allows, and keeps Slack's limits.
//!
//! The bytes become the effects of a call, which go the host's way: its checks, the outbox's wire form and
//! back, then every form of a message. The judge is the one of the host's own tests.
#![no_main]

use firebell::delivery::blocks::{Manners, Message, Story, message, plain, reply, reply_plain};
use firebell::delivery::decision::News;
use firebell::digest::{Digest, key_of_day};
use firebell::effect::{Effect, RowEffect, check};
use firebell::limits::Limits;
use firebell::notification::{AlertId, IntentId, Kind, Notification, Severity, Span};
use firebell::outbox::Entry;
use firebell::record::RecordId;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[path = "../../host/src/delivery/blocks/tests/oracle.rs"]
mod oracle;

const ALLOWED: oracle::Allowed = oracle::Allowed {
    mentions: &["S0AB", "U0CD", "channel"],
    addresses: &[
        "http://runbooks.example.com/",
        "http://runbooks.example.com:",
        "https://runbooks.example.com/",
        "https://runbooks.example.com:",
        "https://firebell.example.com/host",
    ],
};

const SEVERITIES: [Severity; 4] =
    [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];
const KINDS: [Kind; 3] = [Kind::Fire, Kind::Update, Kind::Resolve];

/// Texts that a mutation would not find soon.
const TEXTS: [&str; 8] = [
    "<!channel> <@U1> <#C1> <!subteam^S1> <http://evil.example|x>",
    "https://runbooks.example.com/a",
    "https://me@runbooks.example.com/",
    "https://evil.example/",
    "oncall",
    "all",
    "\u{202e}*_~`\u{200b}&amp;lt;\u{feff}\r\n\u{0}",
    "👩\u{200d}👩\u{200d}👧 e\u{301}",
];

/// A text that no part of a message has room for.
const LONG_BYTES: usize = 7_000;

/// Reads bytes as whatever is wanted; behind the end there are zeros.
struct Bytes<'a> {
    left: &'a [u8],
    may_be_long: bool,
}

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.left.split_first() else { return 0 };
        self.left = rest;
        *first
    }

    fn number(&mut self) -> i64 {
        let width = usize::from(self.byte() % 9);
        (0..width).fold(0, |number, _| (number << 8) | i64::from(self.byte()))
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    /// A text: some bytes, or one of a list; perhaps again and again.
    fn text(&mut self) -> String {
        let how = self.byte();
        let once = match how % 4 {
            0 => self.choose(&TEXTS).to_owned(),
            _ => {
                let length = usize::from(self.byte()).min(self.left.len());
                let (taken, rest) = self.left.split_at(length);
                self.left = rest;
                String::from_utf8_lossy(taken).into_owned()
            }
        };
        // Once: long ones make each try slow.
        match how / 4 {
            56.. if !once.is_empty() && std::mem::take(&mut self.may_be_long) => {
                once.repeat(LONG_BYTES / once.len())
            }
            _ => once,
        }
    }

    fn several<T>(&mut self, most: u8, one: impl Fn(&mut Self) -> T) -> Vec<T> {
        let many = self.byte() % (most + 1);
        (0..many).map(|_| one(self)).collect()
    }

    fn span(&mut self) -> Span {
        match self.byte() % 6 {
            0 => Span::Text(self.text()),
            1 => Span::Code(self.text()),
            2 => Span::Emphasis(self.text()),
            3 => Span::Link { url: self.text(), label: self.text() },
            4 => Span::Mention(self.text()),
            _ => Span::Timestamp(self.number()),
        }
    }

    fn record(&mut self) -> RecordId {
        let (topic, partition) = (self.text().into(), i32::from(self.byte()));
        RecordId { topic, partition, offset: self.number() }
    }

    fn notification(&mut self) -> Notification {
        Notification {
            severity: self.choose(&SEVERITIES),
            kind: self.choose(&KINDS),
            title: self.text(),
            body: self.several(30, Self::span),
            fields: self.several(24, |bytes| (bytes.text(), bytes.several(4, Self::span))),
            labels: self.several(3, |bytes| (bytes.text(), bytes.text())),
            evidence: self.several(24, Self::record),
            excerpt: self.several(1, Self::text).pop(),
            alert_key: self.several(1, Self::text).pop(),
            window_start_ms: self.several(1, Self::number).pop(),
            channel: None,
        }
    }
}

fn judge(message: &Message) {
    let blocks = message.blocks.as_ref().unwrap_or(&Value::Null);
    let wrong = oracle::wrong(&message.text, blocks, &message.metadata, &ALLOWED);
    assert!(wrong.is_empty(), "{wrong:?}");
}

fuzz_target!(init: {
    // The backtrace of a finding says less than the finding.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
}, |bytes: &[u8]| {
    let mut bytes = Bytes { left: bytes, may_be_long: true };
    let manners = Manners {
        mentions: [("oncall", "S0AB"), ("robin", "U0CD"), ("all", "channel")]
            .map(|(name, id)| (name.into(), id.into()))
            .into(),
        link_hosts: vec!["runbooks.example.com".into()],
        public_url: Some("https://firebell.example.com".into()),
        hides_values: false,
    };
    let how = bytes.byte();
    // Names of topics and rules are the operator's, and short.
    let record = RecordId { topic: "SYSLOG".into(), partition: 0, offset: bytes.number() };
    let intent = IntentId { record, rule: "invalid-user".into(), index: 0 };
    let event_time_ms = bytes.number();
    let notification = bytes.notification();
    let mut effects = [RowEffect { row: 0, effect: Effect::Notify(Box::new(notification)) }];
    if check(&mut effects, 1, &Limits::default()).is_err() {
        return;
    }
    let [RowEffect { effect: Effect::Notify(notification), .. }] = effects else { unreachable!() };
    let mut entry = Entry {
        alert: AlertId::of(&intent, event_time_ms, &notification),
        intent,
        channel: "general".into(),
        event_time_ms,
        rule_version: "ab12".into(),
        generation: 1,
        notification: *notification,
        is_stale: how & 1 != 0,
        digest: None,
    };
    if how & 2 != 0 {
        // What is too old is told by its title.
        let digest = Digest::of(event_time_ms, &entry.notification.title);
        let key = key_of_day(event_time_ms.clamp(0, 253_402_300_799_000));
        entry.notification = digest.notification(&entry.intent.rule, key);
        entry.digest = Some(digest);
    }
    let entry = Entry::from_bytes(&entry.to_bytes()).unwrap();
    let opened_by = entry.intent.to_string();
    let opened_ms = (how & 4 != 0).then(|| bytes.number());
    let story = Story { opened_by: &opened_by, opened_ms, is_over: how & 8 != 0 };
    let full = message(&entry, &manners, &story);
    assert!(full.blocks.is_some(), "the least level always fits");
    let worse = News::Worse(bytes.choose(&SEVERITIES));
    judge(&full);
    judge(&match how >> 4 {
        0..4 => plain(&entry, &manners, &story),
        4..7 => reply(&entry, &manners, &story, worse),
        7..10 => reply_plain(&entry, &manners, &story, worse),
        10..13 => reply(&entry, &manners, &story, News::Over),
        _ => reply_plain(&entry, &manners, &story, News::Over),
    });
});
