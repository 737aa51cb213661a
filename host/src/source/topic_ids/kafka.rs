//! Kafka's ids of topics (KIP-516), asked for by way of a consumer.
//!
//! rust-rdkafka has no binding for them, so this file has one.
#![allow(unsafe_code, reason = "rust-rdkafka does not bind DescribeTopics")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafka;

/// Topics, and the id of each.
pub(in crate::source) type Ids = BTreeMap<Arc<str>, Arc<str>>;

/// How Kafka writes the id of a topic that has none: its broker is older than ids.
const NONE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Questions about topics' ids, and the queue of their answers.
pub(in crate::source) struct TopicIds {
    client: *mut RDKafka,
    queue: NonNull<sys::rd_kafka_queue_t>,
}

// SAFETY: librdkafka's clients and queues may be used from any thread.
unsafe impl Send for TopicIds {}

impl TopicIds {
    /// Questions for `client`, which must outlive them. `None` when librdkafka has no memory.
    pub(in crate::source) fn new(client: *mut RDKafka) -> Option<Self> {
        // SAFETY: the caller's client is alive.
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_new(client) })?;
        Some(Self { client, queue })
    }

    /// Asks a broker, or the controller; the answer comes within `patience`, see [`answer`](Self::answer).
    pub(in crate::source) fn ask<'t>(
        &self,
        topics: impl Iterator<Item = &'t str>,
        broker: Option<i32>,
        patience: Duration,
    ) {
        let names: Vec<CString> = topics.filter_map(|topic| CString::new(topic).ok()).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let patience_ms = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: client and queue are alive; librdkafka copies the names, and what is made here is
        // destroyed here.
        unsafe {
            let topics =
                sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
            let options = sys::rd_kafka_AdminOptions_new(self.client, op);
            // What is out of range leaves the default.
            let none = ptr::null_mut();
            sys::rd_kafka_AdminOptions_set_request_timeout(options, patience_ms, none, 0);
            if let Some(broker) = broker {
                sys::rd_kafka_AdminOptions_set_broker(options, broker, none, 0);
            }
            sys::rd_kafka_DescribeTopics(self.client, topics, options, self.queue.as_ptr());
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_TopicCollection_destroy(topics);
        }
    }

    /// The answer to the last question, if it comes within `wait`; topics of which Kafka says nothing
    /// are not in it. An error is about all of them.
    pub(in crate::source) fn answer(
        &self,
        wait: Duration,
    ) -> Option<Result<Ids, RDKafkaErrorCode>> {
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive; the event is ours, and destroyed when it was read.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.queue.as_ptr(), wait_ms);
            if event.is_null() {
                return None;
            }
            let ids = match sys::rd_kafka_event_error(event) {
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(read(event)),
                code => Err(code.into()),
            };
            sys::rd_kafka_event_destroy(event);
            Some(ids)
        }
    }
}

/// # Safety
///
/// The event is alive.
unsafe fn read(event: *mut sys::rd_kafka_event_t) -> Ids {
    let mut ids = Ids::new();
    // SAFETY: what is looked at belongs to the event, and is copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return ids;
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        for at in 0..count {
            let topic = *topics.add(at);
            let error = sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic));
            if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                continue;
            }
            let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic));
            let id = sys::rd_kafka_TopicDescription_topic_id(topic);
            let id = CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id)).to_string_lossy();
            if id != NONE {
                ids.insert(name.to_string_lossy().into(), id.into());
            }
        }
    }
    ids
}

impl Drop for TopicIds {
    fn drop(&mut self) {
        // SAFETY: this is our reference; an answer on its way holds its own.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}
