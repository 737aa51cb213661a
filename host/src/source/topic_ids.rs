//! Telling a topic from another one that was made in its place.

pub(super) mod kafka;
