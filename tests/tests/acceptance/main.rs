//! Acceptance tests: the real program on a real Kafka, and the rules that the code keeps.

mod sandbox;
mod tidy;
