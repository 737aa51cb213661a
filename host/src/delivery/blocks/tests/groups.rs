//! Messages of groups.

use super::super::groups::{Saying, notification};
use super::*;
use crate::group::{Folded, Line, Lines, RULE, Stands};

fn line(n: usize, title: &str, severity: Severity, stands: Stands) -> Line {
    let opened_ms = i64::try_from(n).unwrap();
    Line {
        alert: format!("{n:032x}").parse().unwrap(),
        title: title.into(),
        severity,
        stands,
        opened_ms,
        last_ms: 1_520_176_464_000,
        turn: 1,
    }
}

fn said(lines: Vec<Line>, saying: Saying) -> Message {
    let labels = [("host".to_owned(), "rpi-03".to_owned()), ("site".to_owned(), String::new())];
    let group = format!("{:032x}", 7).parse().unwrap();
    let lines = Lines::new(lines, Folded::default());
    let mut entry = entry("", vec![], vec![]);
    entry.intent.rule = RULE.into();
    entry.notification = notification((&group, &labels.into()), &lines, saying, "firebell.ledger");
    render(&entry)
}

#[test]
fn a_group_tells_its_counts_its_labels_and_a_line_for_each_alert() {
    let lines = vec![
        line(1, "disk full", Severity::Error, Stands::Fires),
        line(2, "login", Severity::Info, Stands::Event),
        line(3, "slow", Severity::Warning, Stands::Ended),
    ];
    let message = said(lines, Saying::Stands);
    assert_eq!(message.text, "🔴 1 firing, 1 event, 1 resolved: disk full · host=rpi-03");
    assert!(message.text.find("disk full").is_some_and(|at| at + "disk full".len() <= 60));
    let blocks = message.blocks.unwrap().to_string();
    for told in ["🔴 disk full · error, firing", "🔵 login · info", "✅ slow · resolved"] {
        assert!(blocks.contains(told), "{blocks}");
    }
    let over = said(vec![line(1, "disk full", Severity::Error, Stands::Ended)], Saying::Over);
    assert_eq!(over.text, "✅ resolved: disk full · host=rpi-03");
}

#[test]
fn a_group_is_shortened_to_the_worst_and_says_how_many_are_left_out_and_where_they_are() {
    // As long as a title may be, with what takes the most room in JSON and tries to be markup.
    let title = "<!channel> \"\\\n".repeat(100);
    let lines = (0..500)
        .map(|n| {
            let severity = if n == 499 { Severity::Critical } else { Severity::Info };
            let stands = if n % 2 == 1 { Stands::Fires } else { Stands::Ended };
            line(n, &title, severity, stands)
        })
        .collect();
    let message = said(lines, Saying::Stands);
    let blocks = message.blocks.unwrap().to_string();
    assert!(units(&blocks) <= 12_000);
    assert_eq!(blocks.matches("info, firing").count(), 19);
    assert_eq!(blocks.matches("critical, firing").count(), 1);
    for told in ["and 480 more (230 firing, 250 resolved)", "firebell alerts", "firebell.ledger"] {
        assert!(blocks.contains(told), "{blocks}");
    }
    assert!(!message.text.contains("<!channel>"));
}
