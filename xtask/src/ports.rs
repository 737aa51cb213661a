//! Free TCP ports for servers that must know theirs beforehand.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// Below the range from which Linux and macOS take ports for outgoing connections: a client that
/// reconnects to a stopped server can't get the server's port for itself.
const RANGE: std::ops::Range<u32> = 20_000..32_000;

/// A port on 127.0.0.1 that nobody listens on now.
///
/// # Errors
/// When every port tried is taken.
pub fn free_port() -> Result<u16> {
    // Each process walks the range from its own start, so that two at the same time do not meet.
    static STEP: AtomicU32 = AtomicU32::new(0);
    let width = RANGE.end - RANGE.start;
    let start = std::process::id().wrapping_mul(7919) % width;
    (0..width)
        .map(|_| (start + STEP.fetch_add(1, Ordering::Relaxed)) % width + RANGE.start)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no free port on 127.0.0.1 between 20000 and 32000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_given_out_once() {
        let (first, second) = (free_port().unwrap(), free_port().unwrap());
        assert_ne!(first, second);
        assert!(TcpListener::bind(("127.0.0.1", first)).is_ok());
    }
}
