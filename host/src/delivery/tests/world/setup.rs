//! How a host of a test is set up.

use std::sync::Arc;
use std::time::Duration;

use super::super::sinks::slack_only;
use crate::config::Ambiguity;
use crate::delivery::backlog::{Load, Room};
use crate::delivery::canary::Canary;
use crate::delivery::patience::Patience;
use crate::delivery::sinks::Sinks;
use crate::delivery::suppression::Suppression;
use crate::demo::slack::Options;

/// How a host is set up.
#[derive(Debug, Clone)]
pub(in crate::delivery::tests) struct Setup {
    pub(in crate::delivery::tests) on_ambiguous: Ambiguity,
    pub(in crate::delivery::tests) canary: Option<Canary>,
    pub(in crate::delivery::tests) suppression: Suppression,
    pub(in crate::delivery::tests) broadcast_worsening: bool,
    pub(in crate::delivery::tests) messages_per_second: f64,
    pub(in crate::delivery::tests) burst: u32,
    pub(in crate::delivery::tests) workspace_messages_per_second: f64,
    /// Changes of messages that tell of many: how many a second, and at once.
    pub(in crate::delivery::tests) changes: (f64, u32),
    pub(in crate::delivery::tests) digest_after: Option<Duration>,
    pub(in crate::delivery::tests) fallback: Option<String>,
    pub(in crate::delivery::tests) patience: Patience,
    /// The bot's; the address of a webhook where that is to be another than the stand-in's.
    pub(in crate::delivery::tests) token: String,
    pub(in crate::delivery::tests) token_file: Option<std::path::PathBuf>,
    pub(in crate::delivery::tests) webhook: bool,
    pub(in crate::delivery::tests) retention: Duration,
    pub(in crate::delivery::tests) request_timeout: Duration,
    pub(in crate::delivery::tests) sinks: Arc<Sinks>,
    pub(in crate::delivery::tests) room: Room,
}

impl Default for Setup {
    fn default() -> Self {
        let milliseconds = Duration::from_millis;
        let request_timeout = milliseconds(250);
        let patience = Patience {
            retry_least: milliseconds(4),
            retry_most: milliseconds(40),
            throttle: milliseconds(20),
            settle: milliseconds(20),
            probe_least: milliseconds(20),
            probe_most: milliseconds(100),
            drain: milliseconds(1_000),
            quiet: milliseconds(20),
            finish: milliseconds(1_000),
            suppressed: milliseconds(10),
            edits: milliseconds(20),
            ..Patience::new(request_timeout)
        };
        Self {
            on_ambiguous: Ambiguity::default(),
            canary: None,
            suppression: Suppression::default(),
            broadcast_worsening: false,
            messages_per_second: 100_000.0,
            burst: 1_000,
            workspace_messages_per_second: 100_000.0,
            changes: (1_000.0, 1_000),
            digest_after: None,
            fallback: None,
            patience,
            token: Options::default().token,
            token_file: None,
            webhook: false,
            retention: Duration::from_secs(3_600),
            request_timeout,
            sinks: slack_only(),
            room: Room::default(),
        }
    }
}

/// A tenth of what a host has.
pub(in crate::delivery::tests) fn small_room() -> Room {
    let tenth = |load: Load| Load { entries: load.entries / 10, bytes: load.bytes / 10 };
    let Room { all, of_slacks, of_sinks } = Room::default();
    Room { all: tenth(all), of_slacks: tenth(of_slacks), of_sinks: tenth(of_sinks) }
}
