//! Write Firebell alert rules in Rust.
//!
//! A rule says what it needs from a record ([`Rule::subscribe`]) and what follows from one
//! ([`Rule::record`]). The host reads Kafka, decodes, evaluates the condition, sends; the rule has
//! no clock, no network and no files, and needs none.
//!
//! ```
//! use firebell_rule::{Config, Effects, Notification, Record, Rule, Severity, Subscription, field};
//!
//! struct DiskFull {
//!     percent: i64,
//! }
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     percent: i64,
//! }
//!
//! impl Rule for DiskFull {
//!     fn new(config: Config) -> Result<Self, String> {
//!         let settings: Settings = config.parse()?;
//!         Ok(Self { percent: settings.percent })
//!     }
//!
//!     fn subscribe(&self) -> Subscription {
//!         Subscription::new()
//!             .text("host", "/host")
//!             .integer("used", "/disk/used_percent")
//!             .condition(field("used").ge(self.percent))
//!     }
//!
//!     fn record(&self, record: &Record<'_>, out: &mut Effects) {
//!         let host = record.text("host").unwrap_or("unknown");
//!         let used = record.integer("used").unwrap_or_default();
//!         out.notify(
//!             Notification::fire(format!("Disk of {host} is {used} % full"))
//!                 .severity(Severity::Error)
//!                 .key(host)
//!                 .field("host", host),
//!         );
//!     }
//! }
//!
//! firebell_rule::export!(DiskFull);
//!
//! // It is tested without a host, by the code that runs in one:
//! use firebell_rule::testing::{Harness, Row};
//!
//! let rule = Harness::<DiskFull>::new(r#"{"percent": 90}"#).unwrap();
//! assert_eq!(rule.subscription().condition.as_deref(), Some("used >= 90"));
//! let outcome = rule.evaluate([Row::new().set("host", "rpi-03").set("used", 97)]).unwrap();
//! assert_eq!(outcome.notifications()[0].title, "Disk of rpi-03 is 97 % full");
//! ```
//!
//! # Building
//!
//! `crate-type = ["cdylib"]`, then `cargo build --release --target wasm32-unknown-unknown`. The
//! module that comes out is a rule as it is: the host makes a component of it when it loads it.
//!
//! # A rule has no memory
//!
//! A rule is a function of the record, its configuration and the state that the host keeps for it,
//! which is why [`Rule::record`] takes `&self`: an instance is gone after a trap, a reload or a move
//! to another host, and a replay must give what live gave.
//!
//! # State
//!
//! [`Rule::state`] says what is kept: windows, values by key, timers, tables that are looked up.
//! [`Effects`] changes it from [`Rule::record`]; [`Rule::crossed`], [`Rule::closed`] and
//! [`Rule::timer`] are told what came of it.
//!
//! ```
//! use std::time::Duration;
//! use firebell_rule::{Config, Effects, Notification, Record, Rule, State, Subscription};
//! use firebell_rule::{Window, WindowState};
//!
//! struct Slow;
//!
//! impl Rule for Slow {
//!     fn new(_: Config) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//!
//!     fn subscribe(&self) -> Subscription {
//!         Subscription::new().text("path", "/path").condition("ms > 500").integer("ms", "/ms")
//!     }
//!
//!     fn state(&self) -> State {
//!         let slow = Window::sliding("slow", Duration::from_secs(60)).count().at_least(3.0);
//!         State::new(1).key_by("path").window(slow.evidence(3))
//!     }
//!
//!     fn record(&self, record: &Record<'_>, out: &mut Effects) {
//!         out.window("slow").add(record.text("path").unwrap_or_default());
//!     }
//!
//!     fn crossed(&self, window: &WindowState, record: &Record<'_>, out: &mut Effects) {
//!         let (path, ms) = (window.key_text(), record.integer("ms").unwrap_or_default());
//!         let title = format!("{path} was slow {} times in a minute, now {ms} ms", window.count);
//!         out.notify(Notification::fire(title).key(&*path).field("at", window.evidence_text()));
//!     }
//! }
//!
//! firebell_rule::export!(Slow);
//!
//! // Rows with times; batches may be cut anywhere.
//! use firebell_rule::testing::{Harness, Row};
//!
//! let mut rule = Harness::<Slow>::new("{}").unwrap();
//! let slow = |at_ms| Row::new().timestamp_ms(at_ms).set("path", "/buy").set("ms", 900);
//! assert!(rule.evaluate([slow(55_000), slow(60_000)]).unwrap().notifications().is_empty());
//! rule.restart(); // The state stays.
//! let outcome = rule.evaluate([slow(70_000), slow(71_000)]).unwrap();
//! assert_eq!(
//!     outcome.notifications()[0].title,
//!     "/buy was slow 3 times in a minute, now 900 ms"
//! );
//! ```
//!
//! How records come in batches makes no difference to a rule: what crossed at a record is told
//! before a later record looks at what is kept.
//!
//! # Layout
//!
//! In the order of a rule's life:
//!
//! - [`Config`]: what the operator wrote.
//! - [`Subscription`], [`Condition`]: what the rule needs.
//! - [`State`], [`Window`]: what is kept for it.
//! - [`Record`], [`WindowState`], [`Timer`]: what it is given.
//! - [`Effects`], [`Notification`], [`Derived`]: what it asks for.
//! - [`log`](mod@log), [`time`]: lines for the operator, times as text.
//! - [`testing`]: all of it natively.

#![warn(missing_docs)]

mod condition;
mod config;
mod effects;
mod host;
mod instance;
pub mod log;
mod notification;
mod record;
mod state;
mod subscription;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;
mod timer;
mod window;

pub use condition::{Condition, FieldName, Literal, field};
pub use config::Config;
pub use effects::{Derived, Effect, Effects, Emitted, RowEffect, Table, Windows};
pub use notification::{IntoSpans, Kind, Notification, Severity, Span};
pub use record::Record;
pub use state::{Entries, State};
pub use subscription::{Field, FieldType, Subscription};
pub use timer::{Due, Timer};
pub use window::{Aggregate, Closing, Crossing, Evidence, Shape, Window, WindowState};

/// A rule: what it needs from records and what follows from one.
///
/// [`export!`] makes a component of it; the [crate's page](crate) has a whole example.
pub trait Rule: Sized + 'static {
    /// Makes the rule from what the operator wrote under `[config]`.
    ///
    /// # Errors
    ///
    /// A sentence for the operator: what is wrong with the configuration and how to mend it. It is
    /// shown as it is; the rule is not loaded, and its last good version runs on.
    fn new(config: Config) -> Result<Self, String>;

    /// The fields that the rule reads and the condition under which it wants a record. Equal
    /// configurations must give equal answers.
    fn subscribe(&self) -> Subscription;

    /// Looks at a record for which the condition is true, and says in `out` what follows from it.
    ///
    /// A panic, or [`Effects::fail`], gives this record to the dead-letter topic for this rule; the
    /// records beside it are not touched.
    fn record(&self, record: &Record<'_>, out: &mut Effects);

    /// What the rule keeps from record to record; nothing unless said. Equal configurations must
    /// give equal answers.
    #[inline(always)]
    fn state(&self) -> State {
        State::none()
    }

    /// A window became what [`Window::at_least`] or [`Window::at_most`] said, by this record: once
    /// for each key and window. It comes after [`record`](Self::record) of the same record and
    /// before that of any later one that could tell the difference.
    #[expect(unused_variables, reason = "named for the author")]
    fn crossed(&self, window: &WindowState, record: &Record<'_>, out: &mut Effects) {}

    /// A window takes no more records; only where [`Window::tell_closed`] asked for it.
    #[expect(unused_variables, reason = "named for the author")]
    fn closed(&self, window: &WindowState, out: &mut Effects) {}

    /// A timer is due that [`Effects::set_timer`] set.
    #[expect(unused_variables, reason = "named for the author")]
    fn timer(&self, timer: &Timer, out: &mut Effects) {}

    /// Makes keys and values of another version of [`State`] into those of this one. Windows and
    /// timers are not asked for: windows that were changed begin anew.
    ///
    /// # Errors
    ///
    /// A sentence for the operator: why the state can't be taken over. The rule's last good version
    /// runs on.
    #[expect(unused_variables, reason = "named for the author")]
    fn migrate(&self, from: u32, entries: Entries) -> Result<Entries, String> {
        Err(format!("this rule can't read the state that version {from} of it left"))
    }
}

/// Makes a component of a [`Rule`]. Once per crate.
///
/// Natively it checks that the type is a rule and exports nothing.
#[macro_export]
macro_rules! export {
    ($rule:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static INSTANCE: $crate::__private::Instance<$rule> =
                    const { $crate::__private::Instance::new() };
            }

            struct Component;

            impl $crate::__private::Guest for Component {
                fn describe(
                    config: ::std::string::String,
                ) -> ::core::result::Result<
                    $crate::__private::wit::Subscription,
                    ::std::string::String,
                > {
                    $crate::__private::report_panics();
                    INSTANCE
                        .with(|instance| instance.describe(config))
                        .map(::core::convert::Into::into)
                }

                fn evaluate(
                    batch: $crate::__private::wit::Batch,
                ) -> ::core::result::Result<
                    ::std::vec::Vec<$crate::__private::wit::Effect>,
                    ::std::string::String,
                > {
                    INSTANCE.with(|instance| instance.evaluate(batch)).map($crate::__private::lower)
                }
            }

            impl $crate::__private::Stateful for Component {
                fn declare() -> $crate::__private::wit::Plan {
                    $crate::__private::lower_plan(INSTANCE.with(|instance| instance.declare()))
                }

                fn elapsed(
                    firings: ::std::vec::Vec<$crate::__private::Firing>,
                    stream_time_ms: i64,
                    wall_clock_ms: ::core::option::Option<i64>,
                ) -> ::core::result::Result<
                    ::std::vec::Vec<$crate::__private::wit::Effect>,
                    ::std::string::String,
                > {
                    INSTANCE
                        .with(|instance| instance.elapsed(firings, stream_time_ms, wall_clock_ms))
                        .map($crate::__private::lower)
                }

                fn migrate(
                    from: u32,
                    entries: $crate::Entries,
                ) -> ::core::result::Result<$crate::Entries, ::std::string::String> {
                    INSTANCE.with(|instance| instance.migrate(from, entries))
                }
            }

            $crate::__private::export_component!(
                Component with_types_in $crate::__private::bindings
            );
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::__private::assert_rule::<$rule>();
    };
}

/// What [`export!`] expands to needs; not for authors, and free to change.
#[doc(hidden)]
pub mod __private {
    /// The contract's functions and types, generated from the WIT.
    #[allow(
        missing_docs,
        unsafe_code,
        unused_qualifications,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    pub mod bindings {
        wit_bindgen::generate!({
            path: "wit/0.1.1",
            world: "stateful-rule",
            generate_all,
            pub_export_macro: true,
            export_macro_name: "export_component",
            default_bindings_module: "firebell_rule::__private::bindings",
        });
    }

    pub use bindings::export_component;
    pub use bindings::exports::firebell::rule::guest::Guest;
    pub use bindings::exports::firebell::rule::stateful::Guest as Stateful;
    pub use bindings::exports::firebell::rule::stateful::{Firing, Timer};
    pub use bindings::firebell::rule::types as wit;

    pub use crate::effects::lower;
    pub use crate::instance::{Instance, lower_plan};
    #[cfg(target_arch = "wasm32")]
    pub use crate::log::report_panics;

    /// Compiles only for a rule.
    pub const fn assert_rule<R: crate::Rule>() {}
}
