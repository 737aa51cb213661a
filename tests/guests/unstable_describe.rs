//! Declares another field each time it is described.
//!
//! Without a clock and without chance it can only differ within one instance.

use std::sync::atomic::{AtomicU32, Ordering};

use firebell_guests::{Config, Effects, Record, Rule, Subscription, notify};

static DESCRIBED: AtomicU32 = AtomicU32::new(0);

struct UnstableDescribe(u32);

impl Rule for UnstableDescribe {
    fn new(_: Config) -> Result<Self, String> {
        Ok(Self(DESCRIBED.fetch_add(1, Ordering::Relaxed)))
    }

    fn subscribe(&self) -> Subscription {
        Subscription::new().text(format!("message{}", self.0), "/message")
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        notify(record.text(&format!("message{}", self.0)).unwrap_or_default(), out);
    }
}

firebell_guests::export!(UnstableDescribe);
