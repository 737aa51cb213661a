//! Lines for the operator's log. The host caps their number and length.
//!
//! ```
//! let host = "rpi-03";
//! firebell_rule::warn!("no user in the message of {host}");
//! ```

#[cfg(target_arch = "wasm32")]
use crate::__private::bindings::firebell::rule::log as host;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the rule's author.
    Debug,
    /// For the record.
    Info,
    /// Something is odd.
    Warn,
    /// Something is wrong.
    Error,
}

/// Writes a line.
#[cfg(target_arch = "wasm32")]
pub fn write(level: Level, message: &str) {
    let level = match level {
        Level::Debug => host::Level::Debug,
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
        Level::Error => host::Level::Error,
    };
    host::log(level, message);
}

/// Writes a line.
#[cfg(not(target_arch = "wasm32"))]
pub fn write(level: Level, message: &str) {
    crate::testing::log(level, message);
}

/// Writes a line for the rule's author, formatted as by [`format!`].
#[macro_export]
macro_rules! debug {
    ($($argument:tt)*) => {
        $crate::log::write($crate::log::Level::Debug, &::std::format!($($argument)*))
    };
}

/// Writes a line for the record, formatted as by [`format!`].
#[macro_export]
macro_rules! info {
    ($($argument:tt)*) => {
        $crate::log::write($crate::log::Level::Info, &::std::format!($($argument)*))
    };
}

/// Writes a line about something odd, formatted as by [`format!`].
#[macro_export]
macro_rules! warn {
    ($($argument:tt)*) => {
        $crate::log::write($crate::log::Level::Warn, &::std::format!($($argument)*))
    };
}

/// Writes a line about something wrong, formatted as by [`format!`].
#[macro_export]
macro_rules! error {
    ($($argument:tt)*) => {
        $crate::log::write($crate::log::Level::Error, &::std::format!($($argument)*))
    };
}

/// Makes every panic tell the host its text before the instance traps.
#[cfg(target_arch = "wasm32")]
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("a panic without text");
        match info.location() {
            Some(place) => {
                host::panicked(&format!("{message} ({}:{})", place.file(), place.line()));
            }
            None => host::panicked(message),
        }
    }));
}
