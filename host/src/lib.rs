//! Firebell: a host for alert rules on Kafka.
//!
//! It consumes records, passes them to hot-reloadable WebAssembly rules and sends what they return
//! to Slack: once, soon, readable, explained.
//!
//! # Layout
//!
//! In the order of a record's way:
//!
//! - [`config`], [`secret`], [`nearest`]: what the operator says.
//! - [`record`]: a record as evaluation sees it.
//! - [`subscription`]: what a rule declares that it needs.
//! - [`decode`]: bytes to the fields that some rule asked for.
//! - [`matching`]: which records go to which rule.
//! - [`batch`]: the columns that a rule is given.
//! - [`limits`]: what a call may use.
//! - [`engine`]: the sandbox.
//! - [`rules`]: what a user writes, loaded and published as one immutable set.
//! - [`shipped`]: the rules that are in the binary.
//! - [`effect`], [`notification`]: what a rule asks for.
//! - [`digest`]: alerts about old records, told in one message.
//! - [`tally`]: alerts of a storm, told in one message.
//! - [`state`]: what the host keeps for rules.
//! - [`tables`]: topics that rules look things up in.
//! - [`evaluation`]: records in, effects out; knows neither Kafka nor Slack nor a clock.
//! - [`target`]: where alerts can be told.
//! - [`policy`]: who is told of which alert, when, and when not.
//! - [`dead_letter`]: records that were given up on, and why.
//! - [`outbox`]: decided notifications on their way.
//! - [`delivery`]: from the outbox to Slack.
//! - [`ledger`]: what became of every alert.
//! - [`history`], [`alerts`]: how that came, step by step, and both put together for people.
//! - [`kafka`], [`oauth`], [`topics`], [`tls`], [`causes`], [`backoff`]: what clients have in common.
//! - [`source`]: where records come from.
//! - [`progress`]: how far a worker has come.
//! - [`transaction`]: effects and offsets, both or neither.
//! - [`telemetry`]: what the host counts and says about itself.
//! - [`http`]: the page, metrics and readiness for those who ask.
//! - [`check`]: everything that could fail later.
//! - [`ops`]: the host's own alerts.
//! - [`demo`]: what stands in the place of the world.

pub mod alerts;
pub mod backoff;
pub mod batch;
pub mod canary;
pub mod causes;
pub mod check;
pub mod config;
pub mod dead_letter;
pub mod decode;
pub mod delivery;
pub mod demo;
pub mod digest;
pub mod effect;
pub mod engine;
pub mod evaluation;
pub mod group;
pub mod history;
pub mod http;
pub mod kafka;
pub mod ledger;
pub mod limits;
pub mod matching;
pub mod nearest;
pub mod notification;
pub mod oauth;
pub mod ops;
pub mod outbox;
pub mod policy;
pub mod progress;
pub mod record;
pub mod rules;
pub mod run;
pub mod secret;
pub mod shipped;
pub mod source;
pub mod state;
pub mod subscription;
pub mod tables;
pub mod tally;
pub mod target;
pub mod telemetry;
pub mod tls;
pub mod topics;
pub mod transaction;
pub mod worker;
