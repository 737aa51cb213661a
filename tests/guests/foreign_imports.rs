//! A component that imports a clock beside what a rule may import.

#![allow(
    unsafe_code,
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated bindings"
)]

wit_bindgen::generate!({
    path: ["../../wit/0.1.0", "wit/clocks", "wit/foreign"],
    world: "test:foreign/foreign-imports",
    generate_all,
});

use exports::firebell::rule::guest::{Batch, Effect, Guest, Subscription};

struct ForeignImports;

impl Guest for ForeignImports {
    fn describe(_: String) -> Result<Subscription, String> {
        Ok(Subscription { topics: vec![], fields: vec![], where_: None })
    }

    fn evaluate(_: Batch) -> Result<Vec<Effect>, String> {
        Err(format!("it is {}", wasi::clocks::wall_clock::now().seconds))
    }
}

export!(ForeignImports);
