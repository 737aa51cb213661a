//! Which topics exist, as they were looked up before something was written to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::record::OutgoingRecord;
use crate::transaction::Rejected;

/// How long the knowledge that a topic does not exist is trusted; one that exists is not looked up
/// again, since Kafka tells when it is gone.
const MISSING_FOR: Duration = Duration::from_secs(30);

/// Topics that were looked up, when, and whether they exist.
#[derive(Debug, Default)]
pub(super) struct KnownTopics(HashMap<Arc<str>, (Instant, bool)>);

impl KnownTopics {
    /// Records for topics that do not exist, as `exists` says. The topic of dead letters is passed
    /// over: there is nothing that could be written in their place.
    pub(super) fn missing(
        &mut self,
        records: &[OutgoingRecord],
        dead_letters: &str,
        mut exists: impl FnMut(&str) -> bool,
    ) -> Vec<Rejected> {
        let mut missing = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let known = match self.0.get(&record.topic) {
                Some((when, known)) if *known || when.elapsed() < MISSING_FOR => *known,
                _ => {
                    let found = exists(&record.topic);
                    self.0.insert(Arc::clone(&record.topic), (Instant::now(), found));
                    found
                }
            };
            if !known && *record.topic != *dead_letters {
                let reason = format!("topic `{}` does not exist; create it", record.topic);
                missing.push(Rejected { index, reason });
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_looked_up_once_and_what_goes_to_a_missing_one_is_told() {
        let record = |topic: &str| OutgoingRecord {
            topic: topic.into(),
            partition: None,
            key: None,
            value: None,
            headers: Vec::new(),
            timestamp_ms: None,
        };
        let records = ["OUT", "GONE", "OUT", "dead"].map(record);
        let (mut known, mut looked_up) = (KnownTopics::default(), Vec::new());
        for _ in 0..2 {
            let missing = known.missing(&records, "dead", |topic| {
                looked_up.push(topic.to_owned());
                topic == "OUT"
            });
            assert_eq!(missing.len(), 1);
            assert_eq!(missing[0].index, 1);
            assert!(missing[0].reason.contains("`GONE`"));
        }
        assert_eq!(looked_up, ["OUT", "GONE", "dead"]);
    }
}
