//! Components that tests and benchmarks run in a host; each example of this package is one.
//!
//! Built to `target/guests/NAME.wasm` by `xtask::guests`. Those that are rules read `message` at
//! `/message` (and `host` at `/host`) of the topics that the operator names. Every record gives one
//! notification that has the message as its title, but for the messages that a guest reacts to:
//!
//! | name | on | what it does |
//! |---|---|---|
//! | trap | a message with `trap` | executes `unreachable` |
//! | panic-text | `panic` | panics with `cannot read the message: MESSAGE` |
//! | endless-loop | `loop` | never returns |
//! | memory-hog | `hog` | asks for memory until there is none |
//! | huge-output | `huge`, `enormous` | returns a notification of 1.25 MiB, of 16 MiB |
//! | many-notifications | `many` | returns 500 notifications |
//! | log-flood | `flood` | logs a line of 64 KiB and 1,000 short ones |
//! | returns-error | `error` | fails with `cannot judge: MESSAGE` |
//! | bad-row | `row` | returns an effect for a row that is not in the batch |
//! | emits | `KEY=VALUE` | emits a derived record to the topic `[config] topic`, with a header |
//! | refuses-config | always | refuses its configuration |
//! | unstable-describe | always | declares another field when it is described again |
//! | foreign-imports | always | is a component that imports `wasi:clocks` |
//! | foreign-env | always | is a core module that imports `env.now` |
//! | wrong-world | always | is a component with exports of its own, not ours |
//! | newer-contract | always | exports `firebell:rule/guest@0.9.0` |
//! | no-interface | always | is a core module without any interface |
//! | graded | `SEVERITY TEXT` | its title is `TEXT`, as bad as the word says |
//! | v1, v2 | every record | its title is `v1: MESSAGE`, `v2: MESSAGE` |
//! | parses-value | the same | parses the whole value itself |
//! | state-hog | `hog` | keeps ever more values of 1 MiB |
//! | predicate | `Invalid user` on host `rpi-03` | looks itself: it declares no condition |
//!
//! Those that keep state, and what their notifications say; each keeps it by host:
//!
//! | name | says | what it keeps |
//! |---|---|---|
//! | counter | `count KEY N` when a window reaches the threshold | `[config]` `shape`, `window_ms`, `threshold`, `key`, `key_by`, `grace_ms` |
//! | kv | `HOST seen N` | a value; a message with `fail` fails after it was put |
//! | timers | `timer HOST due MS` | a timer `[config] after_ms` after each record, or by the `wall_clock`; `idle_ms` |
//! | migrates-v1, migrates-v2 | `v1 HOST N`, `v2 HOST N` | the same count, written in two ways; `[config] refuse` of v2 |
//! | table-join | `HOST is VALUE` | nothing; the value is of the table `hosts` |

#![allow(missing_docs, reason = "the table above says it")]

pub use firebell_rule::{Config, Effects, Notification, Record, Rule, Subscription, export};

/// The subscription of a guest that reads the message.
pub fn message() -> Subscription {
    Subscription::new().text("message", "/message")
}

/// What a guest does with an ordinary record.
pub fn notify(message: &str, out: &mut Effects) {
    out.notify(Notification::fire(message));
}

/// A guest that reads the message: `guest!(Name, |message, out| what it does)`.
#[macro_export]
macro_rules! guest {
    ($name:ident, |$message:ident, $out:ident| $body:expr) => {
        struct $name;

        impl $crate::Rule for $name {
            fn new(_: $crate::Config) -> Result<Self, String> {
                Ok(Self)
            }

            fn subscribe(&self) -> $crate::Subscription {
                $crate::message()
            }

            fn record(&self, record: &$crate::Record<'_>, $out: &mut $crate::Effects) {
                let $message = record.text("message").unwrap_or_default();
                $body
            }
        }

        $crate::export!($name);
    };
}
