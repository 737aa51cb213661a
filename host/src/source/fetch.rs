//! Taking records from librdkafka by the batch.

pub(super) mod kafka;
