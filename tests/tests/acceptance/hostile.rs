//! Rules that misbehave, each beside a good one: it loses its own record, nobody else loses anything.

use firebell_tests::guests::guest;
use firebell_tests::kafka::Kafka;
use firebell_tests::scene::Scene;
use firebell_tests::{eventually, eventually_eq};

const MUCH_FUEL: &str = "[limits]\nfuel_per_record = 1_000_000_000";

/// Runs the guest `name` beside `v1` on records of which one makes it misbehave.
fn loses_only_its_record(name: &str, trigger: &str, reason: &str, in_the_message: &str) {
    let scene = Scene::with_guest(name, "v1");
    // The loop is to meet the limit on fuel, the others one of their own before that.
    let limits = if reason == "out_of_fuel" { "" } else { MUCH_FUEL };
    scene.rule(name, &guest(name), limits);
    let host = scene.site.start();
    let bad = format!("please {trigger}");
    let good: Vec<String> = (0..30).map(|number| format!("good {number:02}")).collect();
    let mut all = good.clone();
    all.insert(17, bad.clone());
    scene.say(&all);

    let by_the_good_rule = all.iter().map(|text| format!("v1: {text}"));
    scene.await_titles(by_the_good_rule.chain(good));
    let letters = scene.await_dead_letters(1);
    let letter = &letters[0];
    assert!(letter.text().contains(&bad));
    assert_eq!(letter.key.as_deref(), Some(bad.as_bytes()));
    assert_eq!(letter.header("x-firebell-rule"), name);
    assert_eq!(letter.header("x-firebell-reason"), reason);
    assert_eq!(letter.header("__connect.errors.topic"), scene.topic);
    assert_eq!(letter.header("__connect.errors.stage"), "evaluate");
    let message = letter.header("__connect.errors.exception.message");
    assert!(message.contains(in_the_message), "{message}");
    // The headers name the very record.
    let partition = letter.header("__connect.errors.partition").parse::<i32>().unwrap();
    let offset = letter.header("__connect.errors.offset").parse::<i64>().unwrap();
    let records = scene.kafka.read(&scene.topic);
    let found = records.iter().find(|r| (r.partition, r.offset) == (partition, offset)).unwrap();
    assert_eq!(found.key, letter.key);

    scene.await_committed();
    let failures = [("rule", name), ("reason", reason)];
    eventually("the failure in the metrics", || {
        (host.metric("firebell_rule_call_failures_total", &failures) >= 1.0).then_some(())
    });
}

macro_rules! each_loses_only_its_record {
    ($($test:ident: $name:literal $trigger:literal $reason:literal $message:literal;)*) => {
        $(
            #[test]
            fn $test() {
                loses_only_its_record($name, $trigger, $reason, $message);
            }
        )*
    };
}

each_loses_only_its_record! {
    a_trap_loses_one_record: "trap" "trap" "trap" "unreachable";
    a_panic_tells_its_text: "panic-text" "panic" "panic" "cannot read the message: please panic";
    an_endless_loop_runs_out_of_fuel: "endless-loop" "loop" "out_of_fuel" "fuel_per_record";
    a_memory_hog_meets_its_limit: "memory-hog" "hog" "memory_limit" "memory_mib";
    a_huge_output_is_refused: "huge-output" "huge" "output_limit" "output_bytes";
    many_notifications_are_refused:
        "many-notifications" "many" "notification_limit" "notifications_per_record";
    an_error_is_told_in_the_rules_words: "returns-error" "error" "refused" "cannot judge: please error";
    an_effect_for_no_record_is_refused: "bad-row" "row" "invalid_effect" "row";
}

#[test]
fn a_flood_of_log_lines_is_cut_and_counted() {
    let scene = Scene::new(Kafka::newest(), "log-flood");
    scene.rule("log-flood", &guest("log-flood"), MUCH_FUEL);
    let host = scene.site.start();
    scene.say(["please flood", "good"]);
    scene.await_titles(["please flood", "good"]);
    let dropped = "firebell_rule_log_lines_dropped_total";
    eventually_eq("dropped lines", &901.0, || host.metric(dropped, &[("rule", "log-flood")]));
    assert!(host.log().len() < 200_000, "the log has {} bytes", host.log().len());
}

#[test]
fn a_rule_that_keeps_failing_is_quarantined_until_its_file_changes() {
    let scene = Scene::with_guest("quarantine", "v1");
    scene.rule("trap", &guest("trap"), "[limits]\nquarantine_after = 3");
    let host = scene.site.start();
    let state =
        |state: &str| host.metric("firebell_rule_state", &[("rule", "trap"), ("state", state)]);
    scene.say((0..12).map(|number| format!("trap {number:02}")));
    scene.await_titles((0..12).map(|number| format!("v1: trap {number:02}")));
    eventually_eq("quarantined", &1.0, || state("quarantined"));
    // The record is not lost for the rule: it can be replayed from the dead letters.
    scene.await_dead_letters(12);
    let failures = host.metric("firebell_rule_call_failures_total", &[("rule", "trap")]);

    scene.say(["good while away"]);
    scene.await_dead_letters(13);
    assert_eq!(failures, host.metric("firebell_rule_call_failures_total", &[("rule", "trap")]));

    scene.rule("trap", &guest("v2"), "[limits]\nquarantine_after = 3");
    eventually_eq("active again", &1.0, || state("active"));
    scene.say(["good again"]);
    eventually("the rule to be called again", || {
        scene.titles().contains(&"v2: good again".to_owned()).then_some(())
    });
}

/// A file that is no rule for this host is refused in words, and the other rules run.
fn is_refused(name: &str, words: &[&str]) {
    let scene = Scene::with_guest(name, "v1");
    scene.rule(name, &guest(name), "");
    let host = scene.site.start();
    scene.say(["hello"]);
    scene.await_titles(["v1: hello"]);
    let rejected = [("rule", name), ("state", "rejected")];
    eventually_eq("rejected", &1.0, || host.metric("firebell_rule_state", &rejected));
    let log = host.log();
    for word in words.iter().chain([&name]) {
        assert!(log.contains(word), "no `{word}` in:\n{log}");
    }
}

#[test]
fn a_component_with_foreign_imports_is_refused_with_their_names() {
    is_refused("foreign-imports", &["wasi:clocks"]);
}

#[test]
fn a_core_module_with_foreign_imports_is_refused_with_their_names() {
    is_refused("foreign-env", &["imports `env`"]);
}

#[test]
fn a_component_of_another_world_is_refused() {
    is_refused("wrong-world", &["firebell:rule/guest"]);
}

#[test]
fn a_component_of_a_newer_contract_is_refused_with_both_versions() {
    is_refused("newer-contract", &["0.9.0", "speaks 0.1"]);
}

#[test]
fn a_module_without_our_interface_is_refused() {
    is_refused("no-interface", &[]);
}

#[test]
fn a_rule_that_refuses_its_configuration_is_refused_in_its_words() {
    is_refused("refuses-config", &[]);
}

#[test]
fn a_rule_that_changes_its_declaration_does_not_run() {
    let scene = Scene::new(Kafka::newest(), "unstable");
    scene.rule("v1", &guest("v1"), "");
    scene.rule("unstable-describe", &guest("unstable-describe"), "");
    let host = scene.site.start();
    scene.say(["hello"]);
    eventually("the good rule's post", || {
        scene.titles().contains(&"v1: hello".to_owned()).then_some(())
    });
    eventually("what is wrong in the log", || {
        host.log().contains("unstable-describe").then_some(())
    });
    assert!(!scene.titles().contains(&"hello".to_owned()));
}
