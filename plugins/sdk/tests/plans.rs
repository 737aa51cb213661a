//! Plans of what a rule keeps, as the harness checks them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use firebell_rule::testing::Harness;
use firebell_rule::{Config, Effects, Record, Rule, State, Subscription, Window};

#[test]
fn a_plan_that_a_host_would_refuse_is_refused_with_the_cure() {
    struct Planned(State);
    impl Rule for Planned {
        fn new(config: Config) -> Result<Self, String> {
            let minute = Duration::from_secs(60);
            Ok(Self(match config.as_json() {
                "key" => State::new(1).key_by("hots"),
                "time" => State::new(1).event_time("do"),
                "none" => State::none().key_by("k"),
                _ => State::new(1)
                    .window(Window::sliding("w", minute))
                    .window(Window::tumbling("w", minute)),
            }))
        }
        fn subscribe(&self) -> Subscription {
            Subscription::new().text("do", "/do").text("k", "/k")
        }
        fn state(&self) -> State {
            self.0.clone()
        }
        fn record(&self, _: &Record<'_>, _: &mut Effects) {}
    }
    let error = |json: &str| Harness::<Planned>::new(json).err().unwrap();
    assert!(error("key").contains("`hots`"));
    assert!(error("time").contains("does not declare as integer"));
    assert!(error("none").contains("`State::new(1)`"));
    assert!(error("windows").contains("two windows are named `w`"));
}
