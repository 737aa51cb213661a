//! Which records are behind a notification: those of the windows that its rule was shown for its row.
//!
//! A rule need not say it, and cannot say it wrongly. Pure.

use firebell_state::{Evidence, Firing};

use crate::effect::{Effect, RowEffect};
use crate::engine::Shown;
use crate::notification::Notification;
use crate::record::RecordId;

/// Records that are kept for a notification.
const EVIDENCE_MAX: usize = 20;

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
    fn only_the_first_records_are_kept() {
        let mut effects = [effect(0, None)];
        attach(&mut effects, &[shown(0, 0, 0..100)]);
        assert_eq!(offsets(&effects[0]), (0..20).collect::<Vec<_>>());
    }
}
