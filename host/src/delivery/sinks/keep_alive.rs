//! Tells an Alertmanager again and again which alerts are open: it takes the silence for their end.

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use super::{Answer, Sink, SinkWay};
use crate::delivery::book::Book;
use crate::delivery::common::{Common, Ending, Stopped, now_ms};
use crate::delivery::ports::Ports;

/// Alerts of one request.
const ALERTS_MAX: usize = 200;

/// Keeps the open alerts of a partition alive at one target, until work on the partition ends.
///
/// # Errors
/// Never: an alert that is not kept alive passes, and is told anew by its next news.
pub async fn keep_alive<P: Ports>(
    common: Arc<Common<P>>,
    sink: Arc<Sink>,
    book: Arc<Book>,
    ending: Ending,
) -> Result<(), Stopped> {
    let SinkWay::Alertmanager(alertmanager) = &sink.way else { return Ok(()) };
    let mut tick = interval(alertmanager.resend);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while ending.idle(tick.tick()).await.is_ok() {
        let round = async {
            // What is resolved meanwhile must not be told as open after that.
            let _turn = sink.turn().await;
            let standing = book.standing(&sink.name);
            for alerts in standing.chunks(ALERTS_MAX) {
                let Some(answer) = alertmanager.tell_again(alerts, now_ms()).await else {
                    continue;
                };
                let (class, detail) = match answer {
                    Answer::Later { class, detail, .. } => (class, detail),
                    Answer::Never { detail } => ("refused", detail),
                    Answer::Taken { .. } => continue,
                };
                common.metrics.sink_errors(&sink.name, class);
                tracing::warn!(
                    channel = sink.name,
                    alerts = alerts.len(),
                    "cannot tell that alerts are still open: {detail}"
                );
            }
        };
        if ending.idle(round).await.is_err() {
            break;
        }
    }
    Ok(())
}
