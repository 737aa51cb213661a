//! Delivery: from the outbox to Slack.

pub mod blocks;
pub mod slack;
mod text;
pub mod verdict;
