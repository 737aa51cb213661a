//! The sandbox: components compiled once, instances that are called with batches.

/// A compiled component.
#[derive(Debug, Clone)]
pub struct Component;
