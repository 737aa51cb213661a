//! What rules keep can be asked for: by the command, by the page, with the records behind a count.

use firebell_tests::guests::guest;
use firebell_tests::kafka::{Kafka, Outgoing};
use firebell_tests::scene::Scene;
use firebell_tests::{eventually_eq, now_ms};
use serde_json::{Value, json};

/// A minute of event time.
const MINUTE_MS: i64 = 60_000;

fn record(host: &str, message: &str, at_ms: i64) -> Outgoing {
    let value = json!({ "host": host, "message": message }).to_string();
    Outgoing::value(value).key(message).timestamp_ms(at_ms)
}

/// What `firebell state` prints for programs.
fn state(scene: &Scene, arguments: &[&str]) -> Value {
    let mut command = scene.site.command();
    command.args(["state", "-c", "firebell-one.toml", "--output", "json"]).args(arguments);
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn windows_are_shown_by_key_and_time_with_the_records_behind_them() {
    let scene = Scene::new(Kafka::newest(), "asked");
    scene.rule(
        "counter",
        &guest("counter"),
        "[config]\nthreshold = 2\nwindow_ms = 60_000\ngrace_ms = 600_000",
    );
    let host = scene.site.start();
    let begin = now_ms() / MINUTE_MS * MINUTE_MS - 10 * MINUTE_MS;
    let records = [
        record("a", "first", begin),
        record("a", "second", begin + 1),
        record("b", "alone", begin + 2),
        record("a", "later", begin + MINUTE_MS),
    ];
    scene.kafka.produce(&scene.topic, records);
    scene.await_titles(["count a 2"]);
    scene.await_committed();
    let windows = |arguments: &[&str]| state(&scene, arguments)["windows"].clone();
    let counts = |found: &Value| -> Vec<(String, u64, bool)> {
        let of = |row: &Value| {
            let key = row["key"].as_str().unwrap().to_owned();
            (key, row["count"].as_u64().unwrap(), row["crossed"].as_bool().unwrap())
        };
        found.as_array().unwrap().iter().map(of).collect()
    };
    let all = [("a".to_owned(), 2, true), ("a".to_owned(), 1, false), ("b".to_owned(), 1, false)];
    eventually_eq("what is kept", &all.to_vec(), || counts(&windows(&["counter"])));
    assert_eq!(counts(&windows(&["counter", "b"])), [("b".to_owned(), 1, false)]);
    let late = (begin + MINUTE_MS).to_string();
    assert_eq!(counts(&windows(&["counter", "--from", &late])), [("a".to_owned(), 1, false)]);
    assert_eq!(counts(&windows(&["another-rule"])), []);

    // The same by the page.
    let (status, body) = host.get("/api/state/counter?key=b").unwrap();
    let page: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, counts(&page["windows"])), (200, vec![("b".to_owned(), 1, false)]));
    let (status, body) = host.get("/api/state/counter?from=yesterday").unwrap();
    assert_eq!(status, 400);
    assert!(body.contains("`yesterday` is no time"), "{body}");

    // And the records themselves, which are still in Kafka.
    let first = &windows(&["counter", "a", "--records"])[0];
    let evidence = first["evidence"].as_array().unwrap();
    assert!(!evidence.is_empty());
    for record in evidence {
        let value = record["value"].as_str().unwrap();
        assert!(value.contains("first") || value.contains("second"), "{value}");
    }
}
