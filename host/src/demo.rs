//! What `firebell demo` and the tests put in the place of the world.

pub mod slack;
