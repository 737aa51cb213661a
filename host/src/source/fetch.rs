//! Taking records from librdkafka by the batch.

pub(crate) mod kafka;
