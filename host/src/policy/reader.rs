//! Reads `policy.toml`: everything that is wrong with it at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Policy;
use super::inhibit::InhibitRule;
use super::interval::TimeInterval;
use super::manner::{GroupBy, Manner};
use super::matcher::{Matcher, Matchers, Operator};
use super::route::{Receiver, Route};
use crate::config::reader::{Reader, Table};
use crate::config::slack::channel;
use crate::config::{ConfigErrors, Problem};
use crate::nearest::nearest;
use crate::target::Target;

mod times;

/// Every key, with its tables; `*` is a name that the operator chooses.
pub const KEYS: &[&str] = &[
    "route.receiver",
    "route.group_by",
    "route.group_wait",
    "route.group_interval",
    "route.repeat_interval",
    "route.routes",
    "route.routes.matchers",
    "route.routes.continue",
    "route.routes.mute_time_intervals",
    "route.routes.active_time_intervals",
    "receivers.*.channels",
    "inhibit_rules.source_matchers",
    "inhibit_rules.target_matchers",
    "inhibit_rules.equal",
    "time_intervals.*.location",
    "time_intervals.*.intervals",
    "time_intervals.*.intervals.times",
    "time_intervals.*.intervals.weekdays",
    "time_intervals.*.intervals.days_of_month",
    "time_intervals.*.intervals.months",
    "time_intervals.*.intervals.years",
    "time_intervals.*.intervals.location",
];

/// What routes may name.
struct Names {
    receivers: BTreeMap<Arc<str>, Receiver>,
    intervals: BTreeMap<Arc<str>, Arc<TimeInterval>>,
}

impl Policy {
    /// Reads a policy's text; `path` is where it is said to be.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigErrors> {
        match Self::examine(path, text) {
            (Some(policy), problems) if problems.is_empty() => Ok(policy),
            (_, problems) => Err(ConfigErrors { problems }),
        }
    }

    /// Reads a policy as far as it can be understood, and tells what is wrong. For `firebell check`;
    /// only one without problems can be used.
    pub fn examine(path: &Path, text: &str) -> (Option<Self>, Vec<Problem>) {
        let reader = Reader::new(path, text, KEYS);
        let policy = reader.parse().map(|table| {
            let mut root = Table::root(&reader, table.get_ref());
            let receivers = read_receivers(root.table("receivers"));
            let intervals = times::read(root.table("time_intervals"));
            let names = Names { receivers, intervals };
            let route = read_root(root.table("route"), &names);
            let rules = root.tables("inhibit_rules").into_iter();
            let inhibit_rules = rules.map(read_inhibit_rule).collect();
            root.finish();
            Self { route, receivers: names.receivers, inhibit_rules }
        });
        (policy, reader.into_problems())
    }
}

fn read_receivers(table: Table<'_, '_>) -> BTreeMap<Arc<str>, Receiver> {
    let mut receivers = BTreeMap::new();
    for (name, mut table) in table.named_tables() {
        let channels = table.texts("channels");
        if channels.as_ref().is_none_or(Vec::is_empty) {
            let key = if table.has("channels") { "channels" } else { "" };
            let cure = "write channels = [\"general\"]; what nobody is to be told of is silenced, \
                        or muted by its route";
            match key {
                "" => table.missing("channels", "leads to nobody", cure),
                key => table.problem(key, "leads to nobody", cure),
            }
        }
        let mut targets: Vec<Arc<str>> = Vec::new();
        for name in channels.unwrap_or_default() {
            let target = Target::of(name);
            if name.trim().is_empty() || target.is_err() {
                let cure = "write a Slack channel in small letters, or webhook:NAME, kafka:NAME, \
                            alertmanager:NAME";
                table.problem("channels", format!("\"{name}\" is not a channel's name"), cure);
                continue;
            }
            let name: Arc<str> = match target {
                Ok(Target::Slack(name)) => channel(&table, "channels", name).into(),
                _ => name.into(),
            };
            if !targets.contains(&name) {
                targets.push(name);
            }
        }
        table.finish();
        receivers.insert(name.into(), Receiver { targets });
    }
    receivers
}

/// The root takes everything, always.
fn read_root(mut table: Table<'_, '_>, names: &Names) -> Route {
    let mut route =
        Route { manner: read_manner(&mut table, &Manner::default()), ..Route::default() };
    route.receiver = read_receiver(&mut table, names);
    let of_children = ["matchers", "continue", "mute_time_intervals", "active_time_intervals"];
    for key in of_children {
        if table.has(key) {
            let cure = "write it under a [[route.routes]]: the root takes every alert, always";
            table.problem(key, "is not for the root route", cure);
        }
    }
    // Known, so that they are told once.
    of_children.into_iter().for_each(|key| table.know(key));
    route.routes = read_routes(&mut table, &route, &Matchers::default(), names);
    table.finish();
    route
}

/// The children of `parent`, which has only what meets `above`.
fn read_routes(
    table: &mut Table<'_, '_>,
    parent: &Route,
    above: &Matchers,
    names: &Names,
) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for mut table in table.tables("routes") {
        let matchers = read_matchers(&mut table, "matchers");
        // What cannot be read is reached, and hides nothing.
        let is_read = matchers.is_some();
        let matchers = matchers.unwrap_or_default();
        let mut all = above.clone();
        all.0.extend(matchers.0.iter().cloned());
        if let Some((one, other)) = contradiction(&all) {
            let cure = "an alert meets all matchers of its route and of those around it; mend one";
            table.problem("matchers", format!("{one} and {other} never meet"), cure);
        } else if is_read {
            let hides = |one: &Route| {
                !one.goes_on && !one.matchers.0.is_empty() && one.matchers.include(&all)
            };
            if let Some(before) = routes.iter().position(hides) {
                let cure =
                    format!("put it before that one, or write continue = true in routes[{before}]");
                let message =
                    format!("is never reached: routes[{before}] before it takes all that it would");
                table.missing("matchers", &message, &cure);
            }
        }
        let mut route = Route {
            matchers,
            receiver: read_receiver(&mut table, names).or_else(|| parent.receiver.clone()),
            goes_on: table.flag("continue").unwrap_or_default(),
            manner: read_manner(&mut table, &parent.manner),
            routes: Vec::new(),
        };
        route.manner.mute = read_intervals(&mut table, "mute_time_intervals", names);
        route.manner.active = read_intervals(&mut table, "active_time_intervals", names);
        route.routes = read_routes(&mut table, &route, &all, names);
        table.finish();
        routes.push(route);
    }
    routes
}

/// Two matchers that no alert meets.
fn contradiction(all: &Matchers) -> Option<(&Matcher, &Matcher)> {
    all.0.iter().filter(|one| one.operator == Operator::Equal).find_map(|one| {
        let labels = [(&*one.name, &*one.value)].into_iter().collect();
        let other = all.0.iter().find(|other| other.name == one.name && !other.matches(&labels));
        Some((one, other?))
    })
}

/// What `names` a key means, or `None` when it is not there.
fn named<T: Clone>(
    table: &Table<'_, '_>,
    key: &str,
    name: &str,
    (all, word, section): (&BTreeMap<Arc<str>, T>, &str, &str),
) -> Option<(Arc<str>, T)> {
    let found = all.get_key_value(name);
    if found.is_none() {
        let cure = match nearest(name, all.keys().map(|name| &**name)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write [{section}.{name}]"),
        };
        table.problem(key, format!("there is no {word} \"{name}\""), cure);
    }
    found.map(|(name, value)| (Arc::clone(name), value.clone()))
}

fn read_receiver(table: &mut Table<'_, '_>, names: &Names) -> Option<Arc<str>> {
    let name = table.text("receiver")?;
    let all = (&names.receivers, "receiver", "receivers");
    named(table, "receiver", name, all).map(|(name, _)| name)
}

fn read_intervals(
    table: &mut Table<'_, '_>,
    key: &'static str,
    names: &Names,
) -> Vec<(Arc<str>, Arc<TimeInterval>)> {
    let all = (&names.intervals, "time interval", "time_intervals");
    let found = table.texts(key).unwrap_or_default().into_iter();
    found.filter_map(|name| named(table, key, name, all)).collect()
}

/// What a route says of grouping; the rest it has from its parent.
fn read_manner(table: &mut Table<'_, '_>, parent: &Manner) -> Manner {
    let group_by = table.texts("group_by").map(|names| {
        if !names.contains(&"...") {
            return GroupBy::Labels(names.into_iter().map(str::to_owned).collect());
        }
        if names.len() > 1 {
            let cure = "\"...\" means all labels: write it alone";
            table.problem("group_by", "has \"...\" and labels", cure);
        }
        GroupBy::All
    });
    Manner {
        group_by: group_by.unwrap_or_else(|| parent.group_by.clone()),
        group_wait: duration(table, "group_wait").unwrap_or(parent.group_wait),
        group_interval: positive(table, "group_interval").unwrap_or(parent.group_interval),
        repeat_interval: positive(table, "repeat_interval").or(parent.repeat_interval),
        mute: Vec::new(),
        active: Vec::new(),
    }
}

fn positive(table: &mut Table<'_, '_>, key: &'static str) -> Option<Duration> {
    let found = duration(table, key)?;
    if found.is_zero() {
        table.problem(key, "is zero", "write a length such as \"5m\", or leave the key out");
    }
    Some(found)
}

fn duration(table: &mut Table<'_, '_>, key: &'static str) -> Option<Duration> {
    let text = table.text(key)?;
    let found = parse_duration(text);
    if found.is_none() {
        let cure = "write numbers and units (ms, s, m, h, d, w) such as \"30s\", \"5m\", \"1h30m\"";
        table.problem(key, format!("\"{text}\" is not a length of time"), cure);
    }
    found
}

/// A length of time such as `30s`, `1h30m`; `None` = it is none.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (text.trim(), 0_u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        sum = sum.checked_add(digits.parse::<u64>().ok()?.checked_mul(milliseconds)?)?;
        rest = after;
    }
    // A thousand years, so that adding to a time cannot overflow.
    (sum <= 1_000 * 366 * 86_400_000).then(|| Duration::from_millis(sum))
}

/// Matchers that must be there and say something; `None` = they are wrong.
fn read_matchers(table: &mut Table<'_, '_>, key: &'static str) -> Option<Matchers> {
    let cure = "write such as ['severity = \"critical\"', 'rule =~ \"ssh-.*\"']";
    if !table.has(key) {
        table.know(key);
        table.missing(key, "is missing", cure);
        return None;
    }
    let texts = table.texts(key)?;
    if texts.is_empty() {
        table.problem(key, "is empty", cure);
        return None;
    }
    let (all, mut matchers) = (texts.len(), Vec::new());
    for text in texts {
        match text.parse::<Matcher>() {
            Ok(matcher) => matchers.push(matcher),
            Err(error) => table.problem(key, error.to_string(), "see docs/policy.md, Matchers"),
        }
    }
    (matchers.len() == all).then_some(Matchers(matchers))
}

fn read_inhibit_rule(mut table: Table<'_, '_>) -> InhibitRule {
    let rule = InhibitRule {
        source: read_matchers(&mut table, "source_matchers").unwrap_or_default(),
        target: read_matchers(&mut table, "target_matchers").unwrap_or_default(),
        equal: table.texts("equal").unwrap_or_default().into_iter().map(str::to_owned).collect(),
    };
    table.finish();
    rule
}
