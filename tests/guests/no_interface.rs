//! A core module that knows nothing of components.

#![allow(unsafe_code, reason = "an export by name")]

#[unsafe(no_mangle)]
pub extern "C" fn add(left: i32, right: i32) -> i32 {
    left.wrapping_add(right)
}
