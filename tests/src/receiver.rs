//! The stand-in for webhooks, driven from tests that are not async.

use firebell::demo::receiver::{Receiver as StandIn, Say, Seen};
use tokio::runtime::Runtime;

/// A running receiver; ends when dropped.
#[derive(Debug)]
pub struct Receiver {
    // Before the runtime: fields are dropped in this order.
    stand_in: StandIn,
    _runtime: Runtime,
}

impl Receiver {
    /// Starts one that says yes to everything.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let stand_in = runtime.block_on(StandIn::start()).unwrap();
        Self { stand_in, _runtime: runtime }
    }

    /// Its address, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.stand_in.url
    }

    /// The next answers, in order.
    pub fn say(&self, says: impl IntoIterator<Item = Say>) {
        self.stand_in.say(says);
    }

    /// From now on it says 500 to bodies that contain `text`; to none when that is empty.
    pub fn refuse(&self, text: &str) {
        self.stand_in.refuse(text);
    }

    /// All requests so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.stand_in.seen()
    }
}
