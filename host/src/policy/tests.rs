//! Routing, grouping, inhibition and times, on the examples of Alertmanager's documentation.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::notification::{AlertId, IntentId, Notification};
use crate::record::RecordId;

mod bad;
mod times;

pub(super) fn policy(text: &str) -> Policy {
    Policy::parse(Path::new("policy.toml"), text).unwrap()
}

pub(super) fn labels<const N: usize>(labels: [(&str, &str); N]) -> Labels {
    labels.into_iter().collect()
}

fn targets(policy: &Policy, of: &Labels) -> Vec<String> {
    let found = policy.targets(of, "chosen", Kind::Fire);
    found.iter().map(ToString::to_string).collect()
}

/// The routing tree of Alertmanager's configuration page and of its `doc/examples/simple.yml`.
const TREE: &str = r#"
[route]
receiver = "team-X-mails"
group_by = ["alertname", "cluster", "service"]
group_wait = "30s"
group_interval = "5m"
repeat_interval = "3h"

[[route.routes]]
matchers = ['service =~ "foo1|foo2|baz"']
receiver = "team-X-mails"
[[route.routes.routes]]
matchers = ['severity = "critical"']
receiver = "team-X-pager"

[[route.routes]]
matchers = ['service = "files"']
receiver = "team-Y-mails"
[[route.routes.routes]]
matchers = ['severity = "critical"']
receiver = "team-Y-pager"

[[route.routes]]
matchers = ['service = "database"']
receiver = "team-DB-pager"
group_by = ["alertname", "cluster", "database"]
[[route.routes.routes]]
matchers = ['owner = "team-X"']
receiver = "team-X-pager"
continue = true
[[route.routes.routes]]
matchers = ['owner = "team-Y"']
receiver = "team-Y-pager"

[receivers.team-X-mails]
channels = ["x-mails"]
[receivers.team-X-pager]
channels = ["x-mails", "x-pager"]
[receivers.team-Y-mails]
channels = ["y-mails"]
[receivers.team-Y-pager]
channels = ["y-pager"]
[receivers.team-DB-pager]
channels = ["db-pager"]
"#;

#[test]
fn alertmanagers_example_routes_as_it_says() {
    let policy = policy(TREE);
    let at = |of: &[(&str, &str)]| targets(&policy, &of.iter().copied().collect());
    assert_eq!(at(&[("service", "other")]), ["x-mails"]);
    assert_eq!(at(&[("service", "foo1")]), ["x-mails"]);
    assert_eq!(at(&[("service", "foo1"), ("severity", "critical")]), ["x-mails", "x-pager"]);
    assert_eq!(at(&[("service", "foo10"), ("severity", "critical")]), ["x-mails"], "anchored");
    assert_eq!(at(&[("service", "files")]), ["y-mails"]);
    assert_eq!(at(&[("service", "files"), ("severity", "critical")]), ["y-pager"]);
    assert_eq!(at(&[("service", "database")]), ["db-pager"]);
    assert_eq!(at(&[("service", "database"), ("owner", "team-Y")]), ["y-pager"]);
    assert_eq!(at(&[("service", "database"), ("owner", "team-X")]), ["x-mails", "x-pager"]);
}

/// The tree of Alertmanager's `dispatch/route_test.go`, `TestRouteMatch`.
#[test]
fn alertmanagers_test_of_routes_passes() {
    let policy = policy(
        r#"
[route]
receiver = "notify-def"
[[route.routes]]
matchers = ['owner = "team-A"']
receiver = "notify-A"
[[route.routes.routes]]
matchers = ['env = "testing"']
receiver = "notify-testing"
group_by = ["..."]
[[route.routes.routes]]
matchers = ['env = "production"']
receiver = "notify-productionA"
group_wait = "1m"
continue = true
[[route.routes.routes]]
matchers = ['env =~ "produ.*"', 'job =~ ".*"']
receiver = "notify-productionB"
group_wait = "30s"
group_interval = "5m"
repeat_interval = "1h"
group_by = ["job"]
[[route.routes]]
matchers = ['owner =~ "team-(B|C)"']
group_by = ["foo", "bar"]
group_wait = "2m"
receiver = "notify-BC"
[[route.routes]]
matchers = ['group_by = "role"']
group_by = ["role"]
[[route.routes.routes]]
matchers = ['env = "testing"']
receiver = "notify-testing"
[[route.routes.routes.routes]]
matchers = ['wait = "long"']
group_wait = "2m"
[receivers]
notify-def.channels = ["def"]
notify-A.channels = ["a"]
notify-testing.channels = ["testing"]
notify-productionA.channels = ["production-a"]
notify-productionB.channels = ["production-b"]
notify-BC.channels = ["bc"]
"#,
    );
    let at = |of: &[(&str, &str)]| targets(&policy, &of.iter().copied().collect());
    let manner = |of: &[(&str, &str)], target| policy.manner(&of.iter().copied().collect(), target);
    assert_eq!(at(&[("owner", "team-A")]), ["a"]);
    assert_eq!(at(&[("owner", "team-A"), ("env", "unset")]), ["a"]);
    assert_eq!(at(&[("owner", "team-C")]), ["bc"]);
    assert_eq!(at(&[("owner", "team-A"), ("env", "testing")]), ["testing"]);
    let production = [("owner", "team-A"), ("env", "production")];
    assert_eq!(at(&production), ["production-a", "production-b"]);
    assert_eq!(at(&[("group_by", "role")]), ["def"]);
    let role = [("env", "testing"), ("group_by", "role")];
    assert_eq!(at(&role), ["testing"]);
    let long = [("env", "testing"), ("group_by", "role"), ("wait", "long")];
    assert_eq!(at(&long), ["testing"]);

    assert_eq!(
        manner(&[("owner", "team-A"), ("env", "testing")], "testing").group_by,
        GroupBy::All
    );
    let b = manner(&production, "production-b");
    assert_eq!(b.group_by, GroupBy::Labels(Arc::from(["job".to_owned()])));
    assert_eq!((b.group_wait, b.group_interval), (30 * SECOND, 300 * SECOND));
    assert_eq!(b.repeat_interval, Some(3600 * SECOND));
    let a = manner(&production, "production-a");
    assert_eq!((a.group_by, a.group_wait), (GroupBy::Alone, 60 * SECOND));
    let long = manner(&long, "testing");
    assert_eq!(long.group_by, GroupBy::Labels(Arc::from(["role".to_owned()])), "inherited");
    assert_eq!(long.group_wait, 120 * SECOND);
    assert_eq!(manner(&[("owner", "team-C")], "nowhere"), Manner::default());
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_group_is_named_by_its_labels() {
    let manner = |group_by: &str| {
        policy(&format!("[route]\n{group_by}")).manner(&labels([("channel", "general")]), "general")
    };
    let alert = labels([("rule", "r"), ("host", "a"), ("channel", "general")]);
    assert_eq!(manner("").group(&alert), None);
    let group = manner("group_by = ['rule', 'site']").group(&alert);
    assert_eq!(group, Some(labels([("rule", "r")])), "what is missing is empty");
    assert_eq!(manner("group_by = []").group(&alert), Some(Labels::default()));
    assert_eq!(manner("group_by = ['...']").group(&alert), Some(alert.clone()));
}

fn entry(severity: Severity, kind: Kind) -> Entry {
    let notification = Notification {
        alert_key: Some("k".into()),
        window_start_ms: None,
        severity,
        kind,
        title: "t".into(),
        body: vec![],
        fields: vec![],
        labels: vec![("host".into(), "a".into()), ("rule".into(), "forged".into())],
        channel: None,
        evidence: vec![],
        excerpt: None,
    };
    let record = RecordId { topic: "SYSLOG".into(), partition: 0, offset: 1 };
    let intent = IntentId { record, rule: "ssh-login".into(), index: 0 };
    Entry {
        alert: AlertId::of(&intent, 0, &notification),
        intent,
        channel: "general".into(),
        event_time_ms: 0,
        rule_version: "v".into(),
        generation: 1,
        notification,
        is_stale: false,
        digest: None,
    }
}

const CRITICALS: &str = r#"
[[route.routes]]
matchers = ['severity = "critical"']
receiver = "oncall"
continue = true
[[route.routes]]
matchers = ['severity =~ "critical|error"']
[receivers.oncall]
channels = ["oncall"]
"#;

#[test]
fn one_notification_becomes_an_entry_for_each_target_with_the_same_labels() {
    let policy = policy(CRITICALS);
    let fired = entry(Severity::Critical, Kind::Fire);
    let routed = policy.route(fired.clone(), &BTreeMap::new());
    let channels: Vec<_> = routed.iter().map(|entry| entry.channel.as_str()).collect();
    assert_eq!(channels, ["oncall", "general"]);
    assert_eq!(routed[1], fired, "where the rule's own channel is meant, nothing changes");
    let expected = labels([
        ("rule", "ssh-login"),
        ("severity", "critical"),
        ("topic", "SYSLOG"),
        ("channel", "general"),
        ("host", "a"),
    ]);
    for entry in &routed {
        assert_eq!((entry.alert, &entry.intent), (fired.alert, &fired.intent));
        assert_eq!(Labels::of(entry), expected);
        assert_eq!(Entry::from_bytes(&entry.to_bytes()).unwrap(), *entry);
    }
    let warned = policy.route(entry(Severity::Warning, Kind::Fire), &BTreeMap::new());
    assert_eq!(warned, [entry(Severity::Warning, Kind::Fire)]);
}

#[test]
fn a_resolve_reaches_all_who_may_have_been_told() {
    let resolved = policy(CRITICALS).route(entry(Severity::Info, Kind::Resolve), &BTreeMap::new());
    let channels: Vec<_> = resolved.iter().map(|entry| entry.channel.as_str()).collect();
    assert_eq!(channels, ["oncall", "general"]);
}

#[test]
fn an_empty_policy_is_none() {
    let fired = entry(Severity::Critical, Kind::Fire);
    for policy in [Policy::default(), policy("")] {
        assert_eq!(policy.route(fired.clone(), &BTreeMap::new()), std::slice::from_ref(&fired));
        assert_eq!(policy.manner(&Labels::of(&fired), "general"), Manner::default());
        assert_eq!(inhibitor(&policy, (1, &Labels::of(&fired)), &[]), None);
    }
}

/// Which of the alerts that are open inhibits one.
fn inhibitor(policy: &Policy, one: (u8, &Labels), open: &[(u8, &Labels)]) -> Option<u8> {
    let (mut sources, rules) = (Sources::default(), policy.inhibit_rules());
    sources.hold(rules);
    open.iter().for_each(|(name, labels)| {
        sources.set(name, Some((*name, (*labels).clone())), rules);
    });
    sources.inhibitor((&one.0, one.1), rules, |_| true)
}

/// The rule of Alertmanager's `doc/examples/simple.yml`: a warning is muted when the same alert is
/// critical already.
#[test]
fn inhibition_is_as_alertmanagers_example_says() {
    let policy = policy(
        r#"
[[inhibit_rules]]
source_matchers = ['severity="critical"']
target_matchers = ['severity="warning"']
equal = ["alertname", "cluster", "service"]
"#,
    );
    let critical = labels([("severity", "critical"), ("alertname", "down"), ("cluster", "a")]);
    let warning = labels([("severity", "warning"), ("alertname", "down"), ("cluster", "a")]);
    let elsewhere = labels([("severity", "warning"), ("alertname", "down"), ("cluster", "b")]);
    let firing = [(1, &critical), (2, &warning), (3, &elsewhere)];
    assert_eq!(inhibitor(&policy, (2, &warning), &firing), Some(1), "`service` is in neither");
    assert_eq!(inhibitor(&policy, (3, &elsewhere), &firing), None, "another cluster");
    assert_eq!(inhibitor(&policy, (1, &critical), &firing), None);
    assert_eq!(inhibitor(&policy, (2, &warning), &[(3, &elsewhere)]), None);
}

/// "To prevent an alert from inhibiting itself, an alert that matches both the target and the source
/// side of a rule cannot be inhibited by alerts for which the same is true (including itself)."
#[test]
fn an_alert_never_inhibits_itself_nor_two_each_other() {
    let policy = policy(
        "[[inhibit_rules]]\nsource_matchers = ['s = \"1\"']\ntarget_matchers = ['t = \"1\"']\nequal = ['e']",
    );
    let (source, target) = (labels([("s", "1")]), labels([("t", "1")]));
    let both = labels([("s", "1"), ("t", "1")]);
    assert_eq!(inhibitor(&policy, (1, &both), &[(1, &both), (2, &both)]), None);
    assert_eq!(inhibitor(&policy, (1, &both), &[(3, &source)]), Some(3));
    assert_eq!(inhibitor(&policy, (4, &target), &[(1, &both)]), Some(1));
}

#[test]
fn matchers_are_read_as_they_are_written() {
    for (text, shown) in [
        ("severity=critical", "severity=\"critical\""),
        ("  severity != \"a b\" ", "severity!=\"a b\""),
        (r#"rule =~ "ssh-\d+\.x""#, r#"rule=~"ssh-\\d+\\.x""#),
        (r#"rule !~ "a\"b""#, r#"rule!~"a\"b""#),
        ("rule=", "rule=\"\""),
    ] {
        let matcher: Matcher = text.parse().unwrap();
        assert_eq!(matcher.to_string(), shown);
        assert_eq!(matcher.to_string().parse::<Matcher>().unwrap(), matcher, "{shown}");
    }
    let matches =
        |text: &str, value| text.parse::<Matcher>().unwrap().matches(&labels([("a", value)]));
    assert!(matches("a =~ \"x|y\"", "y") && !matches("a =~ \"x|y\"", "yy"));
    assert!(matches("a !~ \"x|y\"", "yy") && matches("a != x", ""));
    assert!(matches("a = \"\"", "") && matches("b = \"\"", "x"), "missing is empty");
    assert!(matches("a =~ \"(?x) x # why\"", "x"));
}
