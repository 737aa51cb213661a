//! `firebell alerts`: what became of every alert, told by ledger and history on a real Kafka.

use firebell::notification::Kind;
use firebell::outbox::Entry;
use firebell_tests::kafka::Kafka;
use firebell_tests::outbox::{append, entry};
use firebell_tests::scene::Scene;
use firebell_tests::site::Site;
use firebell_tests::{eventually, eventually_eq};
use serde_json::Value;

/// What the program says to these arguments, as a whole: success, standard output, standard error.
fn said(site: &Site, arguments: &[&str]) -> (bool, String, String) {
    let mut command = site.command();
    let output = command.args(arguments).arg("-c").arg(site.config_path("one")).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn json(site: &Site, arguments: &[&str]) -> Vec<Value> {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--output", "json"]).collect();
    let (success, out, error) = said(site, &arguments);
    assert!(success, "{error}");
    serde_json::from_str(&out).unwrap()
}

/// Rule, state and title of all alerts, in order of the alphabet.
fn told(alerts: &[Value]) -> Vec<[String; 3]> {
    let text = |alert: &Value, key: &str| alert[key].as_str().unwrap().to_owned();
    let mut told: Vec<_> =
        alerts.iter().map(|alert| ["rule", "state", "title"].map(|key| text(alert, key))).collect();
    told.sort();
    told
}

/// The steps of an alert: what it was, and its word.
fn steps(alert: &Value) -> Vec<String> {
    let step = |event: &Value| {
        let word =
            ["kind", "class", "outcome", "why"].into_iter().find_map(|key| event[key].as_str());
        format!("{} {}", event["what"].as_str().unwrap(), word.unwrap_or_default())
    };
    alert["events"].as_array().unwrap().iter().map(step).collect()
}

#[test]
fn the_life_of_alerts_is_told_by_command_and_page() {
    let scene = Scene::new(Kafka::newest(), "alerts");
    let host = scene.site.start();
    let site = &scene.site;
    let say = |entry: &Entry| append(&scene.kafka, site, [entry]);
    let (silenced, _, error) = said(
        site,
        &["silence", "add", "rule = quiet", "--for", "1h", "--comment", "c", "--author", "ana"],
    );
    assert!(silenced, "{error}");
    eventually("the silence", || host.get("/api/silences")?.1.contains("active").then_some(()));
    let of = |offset, kind| entry("loud", "general", offset, kind, Some("k"));
    for (offset, kind) in [(1, Kind::Fire), (2, Kind::Update), (3, Kind::Resolve)] {
        say(&of(offset, kind));
    }
    say(&entry("quiet", "general", 4, Kind::Fire, None));
    say(&entry("quiet", "general", 5, Kind::Fire, Some("k")));
    say(&entry("lost", "webhook:nowhere", 6, Kind::Fire, None));
    let wanted = [
        ["lost", "abandoned", "message 6"],
        ["loud", "resolved", "message 3"],
        ["quiet", "suppressed", "message 4"],
        ["quiet", "waiting", "message 5"],
    ]
    .map(|alert| alert.map(str::to_owned));
    eventually_eq("all alerts", &wanted.to_vec(), || told(&json(site, &["alerts"])));
    // The history of each is whole, also at the page.
    let id = of(1, Kind::Fire).alert.to_string();
    let page: Vec<Value> = eventually("the page's answer", || {
        let (status, body) = host.get(&format!("/api/alerts/{}", &id[..8]))?;
        (status == 200).then(|| serde_json::from_str(&body).unwrap())
    });
    let (asked, life): (Vec<_>, Vec<_>) =
        steps(&page[0]).into_iter().partition(|step| step.starts_with("asked"));
    let each = ["taken_up fire", "ended posted", "taken_up update", "ended updated"];
    assert_eq!(life, [&each[..], &["taken_up resolve", "ended updated"]].concat());
    assert!(asked.len() >= 3 && asked.iter().all(|step| step == "asked sent"), "{asked:?}");
    assert_eq!(json(site, &["alerts", "show", &id[..8]]), page);
    // A notification without a key is an event, and is over.
    let id = entry("quiet", "general", 4, Kind::Fire, None).alert.to_string();
    let shown = json(site, &["alerts", "show", &id]);
    assert_eq!(steps(&shown[0]), ["taken_up fire", "ended suppressed"]);
    let why = shown[0]["events"][1]["why"].as_str().unwrap();
    assert!(why.starts_with("silence "), "{why}");
    let id = entry("lost", "general", 6, Kind::Fire, None).alert.to_string();
    let shown = json(site, &["alerts", "show", &id]);
    assert_eq!(steps(&shown[0]), ["taken_up fire", "ended dead_letter"]);
    // For people, by rule, state and time, with no host that runs.
    assert!(host.terminate().success());
    assert_eq!(json(site, &["alerts", "--rule", "quiet"]).len(), 2);
    assert_eq!(json(site, &["alerts", "--state", "resolved", "--since", "1h"]).len(), 1);
    assert_eq!(json(site, &["alerts", "--since", "1s", "--rule", "nobody"]).len(), 0);
    let (_, table, _) = said(site, &["alerts"]);
    assert!(table.starts_with("ID "), "{table}");
    assert_eq!(table.lines().count(), 5, "{table}");
    let id = of(1, Kind::Fire).alert.to_string();
    let (_, line, _) = said(site, &["alerts", "show", &id[..8]]);
    assert!(
        line.contains("fire (warning): message 1") && line.contains("asked to post, sent"),
        "{line}"
    );
    let (found, _, error) = said(site, &["alerts", "show", "zzz"]);
    assert!(!found && error.contains("there is no alert `zzz`"), "{error}");
}
