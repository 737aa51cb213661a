//! A component that exports something, but not a rule.

#![allow(
    unsafe_code,
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated bindings"
)]

wit_bindgen::generate!({
    path: ["../../wit/0.1.0", "wit/clocks", "wit/foreign"],
    world: "test:foreign/wrong-world",
    generate_all,
});

struct WrongWorld;

impl exports::greeting::Guest for WrongWorld {
    fn greet(name: String) -> String {
        format!("hello, {name}")
    }
}

export!(WrongWorld);
