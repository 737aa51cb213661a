//! The rule, called natively.

use super::*;
use firebell_rule::testing::{Harness, Outcome, Row};

fn relay(row: Row) -> Outcome {
    Harness::<NotifyRelay>::new("{}").unwrap().evaluate([row]).unwrap()
}

fn told(text: &str, channel: &str) -> Notification {
    let outcome = relay(Row::new().set("text", text).set("channel", channel));
    outcome.notifications()[0].clone()
}

#[test]
fn the_text_goes_to_the_channel_as_it_is_told() {
    let notification = told("❗ <!channel> *4* attempts", "general");
    assert_eq!(notification.title, "❗ <!channel> *4* attempts");
    assert_eq!(notification.channel.as_deref(), Some("general"));
    assert_eq!(told("x", "#ops").channel.as_deref(), Some("ops"));
}

#[test]
fn further_lines_are_the_body() {
    let notification = told("first\r\nsecond\nthird\n", "general");
    assert_eq!(notification.title, "first");
    assert_eq!(
        notification,
        Notification::fire("first")
            .severity(Severity::Info)
            .text("second\nthird")
            .channel("general")
    );
}

#[test]
fn without_a_channel_the_operators_first_is_left_to_be_chosen() {
    let outcome = relay(Row::new().set("text", "hello"));
    assert_eq!(outcome.notifications()[0].channel, None);
}

#[test]
fn without_a_text_there_is_a_log_line_and_no_notification() {
    for row in [Row::new().set("channel", "general"), Row::new().set("text", " \n")] {
        let outcome = relay(row);
        assert_eq!(outcome.effects, []);
        assert_eq!(
            outcome.logs[0].message,
            "TEST/0/0 has no TEXT (field `text`); nothing is posted"
        );
    }
}
