//! Returns an effect for a row that is not in the batch, on a message with `row`.

#![allow(
    unsafe_code,
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated bindings"
)]

wit_bindgen::generate!({ path: "../../wit/0.1.0", world: "rule", generate_all });

use exports::firebell::rule::guest::{Batch, Effect, Guest, Subscription};
use firebell::rule::types::{ColumnType, Field, Kind, Notification, Severity};

struct BadRow;

impl Guest for BadRow {
    fn describe(_: String) -> Result<Subscription, String> {
        let type_ = ColumnType::Text;
        let field = Field { name: "message".into(), source: "/message".into(), type_ };
        Ok(Subscription { topics: vec![], fields: vec![field], where_: None })
    }

    fn evaluate(batch: Batch) -> Result<Vec<Effect>, String> {
        let mut start = 0;
        let notify = |(row, end): (usize, &u32)| {
            let message = String::from_utf8_lossy(&batch.cells[start..*end as usize]).into_owned();
            start = *end as usize;
            let row = if message.contains("row") { u32::MAX } else { row as u32 };
            Effect::Notify(Notification {
                row,
                alert_key: None,
                window_start: None,
                severity: Severity::Warning,
                kind: Kind::Fire,
                title: message,
                body: vec![],
                fields: vec![],
                labels: vec![],
                channel: None,
            })
        };
        Ok(batch.ends.iter().enumerate().map(notify).collect())
    }
}

export!(BadRow);
