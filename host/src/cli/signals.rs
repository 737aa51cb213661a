//! SIGTERM and SIGINT: the first asks to end, the second ends.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// As a shell tells it: 128 and the number of SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// A signal that comes again within this time is the same one: whoever ends a whole process group
/// (`timeout`, a terminal, a service manager) often tells the process twice.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// A token that is cancelled by the first SIGTERM or SIGINT; a second one ends the process at once.
///
/// Must be called inside a tokio runtime.
///
/// # Errors
/// When the signals cannot be listened to.
pub(super) fn shutdown_token() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let shutdown = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(
            signal = name,
            "ending: what is in hand is finished first; a second signal ends at once"
        );
        shutdown.cancel();
        let first = Instant::now();
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first.elapsed() > SAME_SIGNAL {
                break;
            }
        }
        tracing::warn!("ended at once by a second signal");
        std::process::exit(EXIT_INTERRUPTED);
    });
    Ok(token)
}
