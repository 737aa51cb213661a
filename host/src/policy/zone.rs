//! Time zones by name.

use jiff::tz::TimeZone;

/// A zone of the IANA database: the system's, or the one in the binary where the system has none.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// A name that is nearly this one.
pub(super) fn nearest(name: &str) -> Option<String> {
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    crate::nearest::nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}
