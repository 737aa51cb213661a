//! Records in librdkafka's memory, and their grouping by partition.

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::kafka::fetch::Fetched;
use crate::record::{Headers, Record};
use crate::source::{Grouping, PartitionRecords};

/// Records as they were polled; they live in librdkafka's memory.
#[derive(Default)]
pub struct Polled<'c> {
    pub(super) fetched: Vec<Fetched<'c>>,
    /// Records that came by the consumer's own queue, before their partition was forwarded.
    pub(super) strays: Vec<BorrowedMessage<'c>>,
}

struct StrayHeaders<'a, 'c>(&'a BorrowedMessage<'c>);

impl Headers for StrayHeaders<'_, '_> {
    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for header in self.0.headers().into_iter().flat_map(|headers| headers.iter()) {
            each(header.key, header.value);
        }
    }
}

impl Polled<'_> {
    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.fetched.is_empty() && self.strays.is_empty()
    }

    /// Gives the memory back to librdkafka.
    pub fn clear(&mut self) {
        self.fetched.clear();
        self.strays.clear();
    }

    /// Calls `each` with the records of every partition.
    pub fn each_partition(&self, each: impl FnMut(&PartitionRecords<'_>)) {
        let headers: Vec<_> = self.strays.iter().map(StrayHeaders).collect();
        let mut grouping = Grouping::default();
        for (message, headers) in self.strays.iter().zip(&headers) {
            let record = Record {
                offset: message.offset(),
                timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                key: message.key(),
                value: message.payload(),
                headers,
            };
            grouping.push(message.topic(), message.partition(), record);
        }
        let mut last = None;
        for fetched in &self.fetched {
            let record = Record {
                offset: fetched.offset(),
                timestamp_ms: fetched.timestamp_ms(),
                key: fetched.key(),
                value: fetched.value(),
                headers: fetched,
            };
            // Records come in runs of one partition; its topic's name is then not looked at.
            let handle = Some((fetched.topic_handle(), fetched.partition()));
            if handle == last {
                grouping.push_again(record);
            } else {
                grouping.push(fetched.topic(), fetched.partition(), record);
                last = handle;
            }
        }
        grouping.finish().iter().for_each(each);
    }
}
