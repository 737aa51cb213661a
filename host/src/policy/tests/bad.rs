//! Policies that are wrong.

use std::path::Path;

use super::super::{KEYS, Policy, parse_duration};

/// The problems of a text, each as it is shown, without the file's name.
fn problems(text: &str) -> Vec<String> {
    let (_, problems) = Policy::examine(Path::new("policy.toml"), text);
    let shown = problems.iter().map(ToString::to_string);
    shown.map(|text| text.strip_prefix("policy.toml:").unwrap_or(&text).to_owned()).collect()
}

#[test]
fn everything_is_told_at_once_with_place_and_cure() {
    let text = r##"[route]
reciever = "x"
group_wait = "soon"
group_interval = "0s"
repeat_interval = 4
group_by = ["...", "host"]
continue = true
[[route.routes]]
matchers = ["severity"]
receiver = "oncal"
mute_time_intervals = ["nigths"]
[[route.routes]]
receiver = "oncall"
[[route.routes]]
matchers = []
[[route.routes]]
matchers = ['rule =~ "("', '1a = "x"', 'rule = "x']
[receivers.oncall]
channels = ["#oncall", "pager:x"]
[receivers.nobody]
[[inhibit_rules]]
source_matchers = ['a = "b"']
targets = []
[time_intervals.nights]
location = "Europe/Berln"
[[time_intervals.nights.intervals]]
times = [{ start = "22:00", end = "06:00" }, { start = "25:00" }]
weekdays = ["friday:monday", "funday"]
days_of_month = ["0", "-1:-3", "32"]
months = ["13"]
years = []
"##;
    insta::assert_snapshot!(problems(text).join("\n"), @r##"
    2: route.reciever: unknown key; did you mean `receiver`?
    3: route.group_wait: "soon" is not a length of time; write numbers and units (ms, s, m, h, d, w) such as "30s", "5m", "1h30m"
    4: route.group_interval: is zero; write a length such as "5m", or leave the key out
    5: route.repeat_interval: expected a text in quotes, found a whole number
    6: route.group_by: has "..." and labels; "..." means all labels: write it alone
    7: route.continue: is not for the root route; write it under a [[route.routes]]: the root takes every alert, always
    9: route.routes[0].matchers: `severity` has no operator; write NAME = "VALUE", or !=, =~, !~ in place of =; see docs/policy.md, Matchers
    10: route.routes[0].receiver: there is no receiver "oncal"; did you mean "oncall"?
    11: route.routes[0].mute_time_intervals: there is no time interval "nigths"; did you mean "nights"?
    12: route.routes[1].matchers: is missing; write such as ['severity = "critical"', 'rule =~ "ssh-.*"']
    15: route.routes[2].matchers: is empty; write such as ['severity = "critical"', 'rule =~ "ssh-.*"']
    17: route.routes[3].matchers: `(` is no regular expression: error: unclosed group; see docs/policy.md, Matchers
    17: route.routes[3].matchers: `1a` is no label's name; it has letters, digits, `_`, `-`, `.`, and begins with a letter or `_`; see docs/policy.md, Matchers
    17: route.routes[3].matchers: the value "x is not quoted well; write "…", with \" and \\ inside; see docs/policy.md, Matchers
    19: receivers.oncall.channels: "#oncall" is not a channel's name; write it without #: "oncall"
    19: receivers.oncall.channels: "pager:x" is not a channel's name; write a Slack channel in small letters, or webhook:NAME, kafka:NAME, alertmanager:NAME
    20: receivers.nobody.channels: leads to nobody; write channels = ["general"]; what nobody is to be told of is silenced, or muted by its route
    21: inhibit_rules[0].target_matchers: is missing; write such as ['severity = "critical"', 'rule =~ "ssh-.*"']
    23: inhibit_rules[0].targets: unknown key; the keys here are `source_matchers`, `target_matchers`, `equal`
    25: time_intervals.nights.location: there is no time zone "Europe/Berln"; did you mean "Europe/Berlin"?
    27: time_intervals.nights.intervals[0].times[0].end: is not after the start; write two, one that ends at "24:00" and one that begins at "00:00"
    27: time_intervals.nights.intervals[0].times[1].start: "25:00" is not a time of day; write hours and minutes, from "00:00" to "24:00"
    27: time_intervals.nights.intervals[0].times[1].end: is missing; write end = "24:00" under [time_intervals.nights.intervals[0].times[1]]
    28: time_intervals.nights.intervals[0].weekdays: "friday:monday" ends before it begins; write two ranges, one to the end and one from the start
    28: time_intervals.nights.intervals[0].weekdays: "funday" is none; write such as "saturday" or "monday:friday"
    29: time_intervals.nights.intervals[0].days_of_month: "0" is none; write such as "1", "1:5", or "-3:-1" for the last three days
    29: time_intervals.nights.intervals[0].days_of_month: "-1:-3" ends before it begins; write two ranges, one to the end and one from the start
    29: time_intervals.nights.intervals[0].days_of_month: "32" is none; write such as "1", "1:5", or "-3:-1" for the last three days
    30: time_intervals.nights.intervals[0].months: "13" is none; write such as "december", "may:august" or "1:3"
    31: time_intervals.nights.intervals[0].years: is empty; leave the key out: then it says nothing
    "##);
}

#[test]
fn a_route_that_nothing_reaches_is_found() {
    let with = |first: &str, second: &str| {
        problems(&format!(
            "[[route.routes]]\nmatchers = [{first}]\n[[route.routes]]\nmatchers = [{second}]\n"
        ))
    };
    let same = with("'a=\"1\"'", "'a=\"1\"'");
    assert_eq!(
        same,
        ["3: route.routes[1].matchers: is never reached: routes[0] before it takes all that it \
          would; put it before that one, or write continue = true in routes[0]"]
    );
    assert_eq!(with("'a=\"1\"'", "'b=\"2\"', 'a=\"1\"'").len(), 1, "fewer matchers take more");
    assert_eq!(with("'a=~\".+\"'", "'a=\"1\"'").len(), 1, "a value that the expression takes");
    assert_eq!(with("'a!=\"2\"'", "'a=\"1\"'").len(), 1);
    assert!(with("'b=\"2\"', 'a=\"1\"'", "'a=\"1\"'").is_empty());
    assert!(with("'a=\"2\"'", "'a=\"1\"'").is_empty());
    let text = "[[route.routes]]\nmatchers = ['a=\"1\"']\ncontinue = true\n\
                [[route.routes]]\nmatchers = ['a=\"1\"']\n";
    assert!(problems(text).is_empty(), "behind a continue it is reached");
    let never = "[[route.routes]]\nmatchers = ['a=\"1\"']\n[[route.routes.routes]]\nmatchers = ['a=\"2\"']\n";
    assert_eq!(
        problems(never),
        [
            "4: route.routes[0].routes[0].matchers: a=\"1\" and a=\"2\" never meet; an alert meets all \
          matchers of its route and of those around it; mend one"
        ]
    );
}

#[test]
fn a_length_of_time_has_numbers_and_units() {
    let secs = |text| parse_duration(text).map(|duration| duration.as_secs());
    assert_eq!(secs("30s"), Some(30));
    assert_eq!(secs("1h30m"), Some(5_400));
    assert_eq!(secs("1w2d"), Some(777_600));
    assert_eq!(secs("0s"), Some(0));
    assert_eq!(parse_duration("1s500ms"), Some(std::time::Duration::from_millis(1_500)));
    for wrong in ["", "5", "m", "5 m", "-5m", "1.5h", "5y", "99999999999999999999s", "9999999w"] {
        assert_eq!(secs(wrong), None, "{wrong}");
    }
}

#[test]
fn every_key_is_documented() {
    let docs = include_str!("../../../../docs/policy.md");
    for key in KEYS {
        assert!(docs.contains(&format!("| `{key}` |")), "{key} is not in docs/policy.md");
    }
    for key in docs.lines().filter_map(|line| line.strip_prefix("| `")) {
        let key = key.split('`').next().unwrap();
        assert!(KEYS.contains(&key), "{key} is documented and not read");
    }
}

#[test]
fn the_documented_policy_works() {
    let docs = include_str!("../../../../docs/policy.md");
    let (_, rest) = docs.split_once("```toml\n# policy.toml").unwrap();
    assert_eq!(problems(rest.split_once("```").unwrap().0), [""; 0]);
}
