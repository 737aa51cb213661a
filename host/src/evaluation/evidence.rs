//! Which records are behind a notification: those of the windows that its rule was shown for its row.
//!
//! A rule need not say it, and cannot say it wrongly. Pure.

use firebell_state::{Evidence, Firing};

use crate::effect::{Effect, RowEffect};
use crate::engine::Shown;
use crate::limits::cut;
use crate::notification::Notification;
use crate::record::RecordId;

/// Records that are kept for a notification.
const EVIDENCE_MAX: usize = 20;
/// Bytes of a record that are kept for a notification.
const EXCERPT_BYTES_MAX: usize = 300;
/// Bytes of the longest character.
const UTF8_BYTES_MAX: usize = 4;

/// Gives notifications the records of the windows that were shown at their rows; of several windows
/// those that begin when the notification's does.
pub(super) fn attach(effects: &mut [RowEffect], shown: &[Shown]) {
    if shown.is_empty() {
        return;
    }
    for RowEffect { row, effect } in effects {
        let Effect::Notify(notification) = effect else { continue };
        let start_ms = notification.window_start_ms;
        let of_row = || shown.iter().filter(|shown| shown.row == *row);
        let is_meant = |shown: &&Shown| Some(shown.start_ms) == start_ms;
        let named = of_row().any(|shown| is_meant(&shown));
        for shown in of_row().filter(|shown| !named || is_meant(shown)) {
            add(notification, &shown.evidence);
        }
    }
}

/// What is in the record that caused a notification, for people; where it is about more than one, since one
/// that is about its record alone says what is worth saying. It is the record of the notification's row,
/// which is there however batches are cut. `None` = it is no text.
pub(super) fn excerpt(notification: &Notification, value: Option<&[u8]>) -> Option<String> {
    let value = value.filter(|_| !notification.evidence.is_empty())?;
    // With more than is kept of it, so that it is seen to be cut.
    let head = value.get(..EXCERPT_BYTES_MAX + UTF8_BYTES_MAX).unwrap_or(value);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character that was cut in two.
        Err(error) if error.error_len().is_none() && head.len() < value.len() => {
            std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let mut text = text.to_owned();
    cut(&mut text, EXCERPT_BYTES_MAX);
    Some(text)
}

/// Gives a notification the records of the window whose end it is about.
pub(super) fn attach_closed(effect: &mut Effect, firing: &Firing) {
    if let (Effect::Notify(notification), Firing::Closed(window)) = (effect, firing) {
        add(notification, &window.evidence);
    }
}

fn add(notification: &mut Notification, evidence: &[Evidence]) {
    for Evidence { topic, partition, offset, .. } in evidence {
        if notification.evidence.len() >= EVIDENCE_MAX {
            return;
        }
        let record = RecordId { topic: topic.clone(), partition: *partition, offset: *offset };
        if !notification.evidence.contains(&record) {
            notification.evidence.push(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::world::fire;

    fn effect(row: u32, window_start_ms: Option<i64>) -> RowEffect {
        let notification = Notification { window_start_ms, ..fire(0, "general").notification };
        RowEffect { row, effect: Effect::Notify(Box::new(notification)) }
    }

    fn shown(row: u32, start_ms: i64, offsets: std::ops::Range<i64>) -> Shown {
        let evidence = offsets.map(|offset| Evidence {
            topic: "SYSLOG".into(),
            partition: 1,
            offset,
            timestamp_ms: 0,
        });
        Shown { row, start_ms, evidence: evidence.collect() }
    }

    fn offsets(effect: &RowEffect) -> Vec<i64> {
        let Effect::Notify(notification) = &effect.effect else { panic!("a notification") };
        notification.evidence.iter().map(|record| record.offset).collect()
    }

    #[test]
    fn a_notification_has_the_records_of_its_rows_windows() {
        let mut effects = [effect(0, None), effect(1, Some(60)), effect(1, None), effect(2, None)];
        attach(&mut effects, &[shown(0, 0, 1..3), shown(1, 0, 4..6), shown(1, 60, 5..8)]);
        let found: Vec<_> = effects.iter().map(offsets).collect();
        assert_eq!(found, [vec![1, 2], vec![5, 6, 7], vec![4, 5, 6, 7], vec![]]);
    }

    #[test]
    fn the_record_at_hand_is_kept_as_text_where_a_notification_is_about_a_window() {
        let mut notification = fire(0, "general").notification;
        assert_eq!(excerpt(&notification, Some(b"text")), None, "its rule says what is in it");
        add(&mut notification, &shown(0, 0, 1..2).evidence);
        let kept = |value: &[u8]| excerpt(&notification, Some(value));
        assert_eq!(kept(b"{\"a\":1}").as_deref(), Some("{\"a\":1}"));
        assert_eq!((kept(b"\xff\xfe"), excerpt(&notification, None)), (None, None));
        assert_eq!(kept("é".as_bytes().get(..1).unwrap()), None, "nothing follows");
        for long in ["x".repeat(301), "é".repeat(200), format!("x{}", "👽".repeat(100))] {
            let kept = kept(long.as_bytes()).unwrap();
            let (text, mark) = kept.split_at(kept.len() - "…".len());
            assert!(kept.len() <= 300 && mark == "…" && long.starts_with(text), "{kept}");
        }
        let whole = "x".repeat(300);
        assert_eq!(kept(whole.as_bytes()), Some(whole));
    }

    #[test]
    fn only_the_first_records_are_kept() {
        let mut effects = [effect(0, None)];
        attach(&mut effects, &[shown(0, 0, 0..100)]);
        assert_eq!(offsets(&effects[0]), (0..20).collect::<Vec<_>>());
    }
}
