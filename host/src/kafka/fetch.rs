//! Fetched records of all owned partitions in one queue of librdkafka's, taken by the batch.
//!
//! rust-rdkafka polls one event a record, with an allocation and two looks at the clock each; a batch
//! of librdkafka's is one lock a record. There is no safe binding for it (rust-rdkafka issue 402), so
//! this file has one.
#![allow(unsafe_code, reason = "librdkafka's batch consume has no safe binding")]

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::types::RDKafka;

use crate::record::Headers;

/// A queue that owned partitions are forwarded to.
pub(crate) struct FetchQueue {
    client: *mut RDKafka,
    queue: NonNull<sys::rd_kafka_queue_t>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for FetchQueue {}

impl FetchQueue {
    /// A queue of `client`, which must outlive it. `None` when librdkafka has no memory.
    pub(crate) fn new(client: *mut RDKafka) -> Option<Self> {
        // SAFETY: the caller's client is alive.
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_new(client) })?;
        Some(Self { client, queue })
    }

    /// Forwards a partition's records here. To be repeated for a while after every change of the
    /// assignment: when librdkafka stops a fetcher, which it does later, it ends the forwarding.
    pub(crate) fn collect(&self, topic: &str, partition: i32) {
        let Ok(topic) = CString::new(topic) else { return };
        // SAFETY: client and queue are alive; the reference that is got is given back.
        unsafe {
            let of = sys::rd_kafka_queue_get_partition(self.client, topic.as_ptr(), partition);
            if !of.is_null() {
                sys::rd_kafka_queue_forward(of, self.queue.as_ptr());
                sys::rd_kafka_queue_destroy(of);
            }
        }
    }

    /// Adds at most `max` records that are there; waits for the first of them at most `wait`.
    pub(crate) fn take<'c>(&self, into: &mut Vec<Fetched<'c>>, max: usize, wait: Duration) {
        if !wait.is_zero() {
            let before = into.len();
            // With more than one wanted, librdkafka waits for all of them.
            self.take_now(into, max.min(1), wait);
            if into.len() == before {
                return;
            }
        }
        self.take_now(into, max.saturating_sub(usize::from(!wait.is_zero())), Duration::ZERO);
    }

    fn take_now<'c>(&self, into: &mut Vec<Fetched<'c>>, max: usize, wait: Duration) {
        into.reserve(max);
        let room = into.spare_capacity_mut().as_mut_ptr().cast::<*mut sys::rd_kafka_message_t>();
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `Fetched` is a transparent pointer, `room` has space for `max` of them, and
        // librdkafka fills the first `count` with messages that are ours to destroy.
        unsafe {
            let queue = self.queue.as_ptr();
            let count = sys::rd_kafka_consume_batch_queue(queue, wait_ms, room, max);
            into.set_len(into.len() + usize::try_from(count).unwrap_or(0));
        }
    }
}

impl Drop for FetchQueue {
    fn drop(&mut self) {
        // SAFETY: this is our reference; forwarding partitions hold their own.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// A record, or an error about a partition, in librdkafka's memory.
#[repr(transparent)]
pub(crate) struct Fetched<'c> {
    message: NonNull<sys::rd_kafka_message_t>,
    client: PhantomData<&'c RDKafka>,
}

impl Fetched<'_> {
    fn message(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: alive until dropped, and not changed by anybody.
        unsafe { self.message.as_ref() }
    }

    /// The error, when this is no record.
    pub(crate) fn error(&self) -> Option<sys::rd_kafka_resp_err_t> {
        let code = self.message().err;
        (code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(code)
    }

    pub(crate) fn offset(&self) -> i64 {
        self.message().offset
    }

    pub(crate) fn partition(&self) -> i32 {
        self.message().partition
    }

    /// The same for all records of a topic, as long as they live.
    pub(crate) fn topic_handle(&self) -> usize {
        self.message().rkt.addr()
    }

    pub(crate) fn topic(&self) -> &str {
        // SAFETY: the topic's handle and name live as long as the message.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.message().rkt)) };
        name.to_str().unwrap_or_default()
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.bytes(self.message().key, self.message().key_len)
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.bytes(self.message().payload, self.message().len)
    }

    fn bytes(&self, start: *mut std::ffi::c_void, len: usize) -> Option<&[u8]> {
        // SAFETY: librdkafka gives a start and a length within the message; null is null.
        (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), len) })
    }

    /// Milliseconds since the Unix epoch; -1 = none.
    pub(crate) fn timestamp_ms(&self) -> i64 {
        // SAFETY: the message is alive; a null type is allowed.
        unsafe { sys::rd_kafka_message_timestamp(self.message.as_ptr(), ptr::null_mut()) }
    }
}

impl Headers for Fetched<'_> {
    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive and keeps its headers; name and value live as long.
        unsafe {
            let found = sys::rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers);
            if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            for index in 0.. {
                let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
                let found = sys::rd_kafka_header_get_all(
                    headers,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut len,
                );
                if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return;
                }
                let name = CStr::from_ptr(name).to_string_lossy();
                let value = (!value.is_null()).then(|| slice::from_raw_parts(value.cast(), len));
                each(&name, value);
            }
        }
    }
}

impl Drop for Fetched<'_> {
    fn drop(&mut self) {
        // SAFETY: it is ours, and dropped once.
        unsafe { sys::rd_kafka_message_destroy(self.message.as_ptr()) }
    }
}
