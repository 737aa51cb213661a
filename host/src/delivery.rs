//! Delivery: from the outbox to Slack.

pub mod blocks;
mod text;
pub mod verdict;
