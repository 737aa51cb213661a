//! A rule for a contract that no host speaks yet.

#![allow(
    unsafe_code,
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated bindings"
)]

wit_bindgen::generate!({ path: "wit/newer", world: "rule", generate_all });

struct NewerContract;

impl exports::firebell::rule::guest::Guest for NewerContract {
    fn describe(_: String) -> Result<Vec<String>, String> {
        Ok(vec![])
    }

    fn evaluate(records: Vec<String>) -> Result<Vec<String>, String> {
        Ok(records)
    }
}

export!(NewerContract);
