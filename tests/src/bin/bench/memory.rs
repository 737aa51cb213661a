//! P7: what a host and its rules weigh.

use firebell_tests::eventually_eq;
use firebell_tests::guests::guest;
use firebell_tests::kafka::Kafka;
use firebell_tests::scene::Scene;

/// Rules in one host.
const RULES: u32 = 1_000;
/// Idle, as the design wants it.
const IDLE_MIB_MAX: f64 = 40.0;
/// A live instance, as the design wants it.
const INSTANCE_KIB_MAX: f64 = 200.0;

/// Resident memory of an idle host, and how much a live instance adds to it.
pub(crate) fn host_and_rules(kafka: &Kafka) {
    let idle = resident_bytes(kafka, 0);
    let one = resident_bytes(kafka, 1);
    let many = resident_bytes(kafka, RULES);
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    println!("P7 idle host: {:.1} MiB; at most {IDLE_MIB_MAX} are wanted", mib(idle));
    println!("P7 host with 1 rule: {:.1} MiB; with {RULES}: {:.1} MiB", mib(one), mib(many));
    let each = (many - one) / f64::from(RULES - 1) / 1_024.0;
    println!("P7 a live instance: {each:.0} KiB; at most {INSTANCE_KIB_MAX} are wanted");
}

/// With so many rules, each of which has been called.
fn resident_bytes(kafka: &Kafka, rules: u32) -> f64 {
    let mut scene = Scene::new(kafka, "memory");
    scene.site.set("kafka", "workers", "1");
    if rules > 0 {
        scene.site.put("predicate.wasm", &std::fs::read(guest("predicate")).unwrap());
        scene.site.put("predicate.toml", scene.toml("mode = \"paused\"").as_bytes());
    }
    for number in 0..rules {
        let toml = scene.toml("component = \"predicate.wasm\"");
        scene.site.put(&format!("rule-{number:04}.toml"), toml.as_bytes());
    }
    let host = scene.site.start();
    scene.say(["one", "two", "three", "four"]);
    if rules > 0 {
        let wanted = 4.0 * f64::from(rules);
        eventually_eq("matched records", &wanted, || {
            host.metric("firebell_matched_records_total", &[])
        });
    }
    host.metric("process_resident_memory_bytes", &[])
}
