//! TLS and SASL: every client of the host gets through, and a refused one says why and no secret.

mod broker;
mod tokens;

use std::process::Command;

use broker::{CLIENT, Secured};
use firebell_tests::certificates::STORE_PASSWORD;
use firebell_tests::guests::guest;
use firebell_tests::kafka::{Kafka, Outgoing};
use firebell_tests::records::SEED_MS;
use firebell_tests::scene::{Scene, message};
use firebell_tests::site::{Host, quoted};
use firebell_tests::{eventually, eventually_eq, unique};
use tokens::TokenEndpoint;

/// A rule that keeps state, one that reads a table, and a host that reaches its broker by `listener`.
fn scene(secured: &Secured, stem: &str, listener: &str, protocol: &str) -> Scene {
    let kafka = Kafka::of(&secured.broker);
    let mut scene = Scene::new(&kafka, stem);
    let hosts = unique("HOSTS");
    kafka.create_topic(&hosts, 1, &[("cleanup.policy", "compact")]);
    kafka.produce(&hosts, [Outgoing::value("red").key("rpi-03")]);
    scene.rule("counter", &guest("counter"), "[config]\nthreshold = 4.0");
    scene.rule("table-join", &guest("table-join"), "");
    let address = secured.broker.listener(listener).unwrap();
    scene.site.set("kafka", "bootstrap_servers", &quoted(&address));
    scene.site.set("tables", "hosts", &quoted(&hosts));
    property(&mut scene, "security.protocol", &quoted(protocol));
    if protocol.ends_with("SSL") {
        let certificate = secured.certificates.certificate("broker");
        property(&mut scene, "ssl.ca.location", &quoted(&certificate.display().to_string()));
    }
    scene
}

/// Sets a property of librdkafka; the value is TOML.
fn property(scene: &mut Scene, name: &str, value: &str) {
    scene.site.set("kafka.properties", &quoted(name), value);
}

fn password_login(scene: &mut Scene, mechanism: &str, user: &str, password: &str) {
    property(scene, "sasl.mechanism", &quoted(mechanism));
    property(scene, "sasl.username", &quoted(user));
    property(scene, "sasl.password", "{ env = \"KAFKA_PASSWORD\" }");
    scene.site.set_variable("KAFKA_PASSWORD", password);
}

fn token_login(scene: &mut Scene, endpoint: &TokenEndpoint) {
    scene.site.set("kafka.oauthbearer", "token_url", &quoted(&endpoint.url()));
    scene.site.set("kafka.oauthbearer", "client_id", &quoted(tokens::CLIENT_ID));
    scene.site.set("kafka.oauthbearer", "client_secret_env", "\"KAFKA_CLIENT_SECRET\"");
    scene.site.set_variable("KAFKA_CLIENT_SECRET", tokens::CLIENT_SECRET);
}

/// Records of one window, each of which `table-join` speaks of.
fn say(scene: &Scene, numbers: std::ops::Range<i64>) {
    let record = |number: i64| message(&format!("message {number}")).timestamp_ms(SEED_MS + number);
    scene.kafka.produce(&scene.topic, numbers.map(record));
}

fn titles(joined: usize, more: &[&str]) -> Vec<String> {
    let all = vec!["rpi-03 is red"; joined].into_iter().chain(more.iter().copied());
    all.map(str::to_owned).collect()
}

/// Topics are made, records become posts and dead letters, and a second life of the host knows what the
/// first one kept; the commands get through as well.
fn works(scene: &Scene, secrets: &[&str]) -> Host {
    say(scene, 0..2);
    let host = scene.site.start();
    scene.await_titles(titles(2, &[]));
    scene.kafka.produce(&scene.topic, [Outgoing::value("no JSON")]);
    scene.await_dead_letters(1);
    scene.await_committed();
    assert_silent(scene, &host, secrets);
    assert!(host.terminate().success());

    let host = scene.site.start();
    say(scene, 2..4);
    scene.await_titles(titles(4, &["count rpi-03 4"]));
    assert_silent(scene, &host, secrets);
    for (arguments, wanted) in [
        (["check", "-c"].as_slice(), "it answers"),
        (&["state", "counter", "-c"], "4 of 4 records"),
        (&["state", "counter", "--records", "-c"], "message 3"),
    ] {
        let mut command: Command = scene.site.command();
        let out = command.args(arguments).arg(scene.site.config_path("one")).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        assert!(
            out.status.success() && said.contains(wanted),
            "{arguments:?}: {}: {said}",
            out.status
        );
        assert_no_secret(&said, secrets);
    }
    host
}

fn assert_no_secret(text: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!text.contains(secret), "the secret is shown: {text}");
    }
}

/// No secret in what the host says anywhere.
fn assert_silent(scene: &Scene, host: &Host, secrets: &[&str]) {
    assert_no_secret(&host.log(), secrets);
    for path in ["/metrics", "/api/status", "/readyz", "/"] {
        assert_no_secret(&host.get(path).unwrap().1, secrets);
    }
    // Before the host got through there is no such topic.
    if scene.kafka.partitions(&scene.site.dead_letters()).is_some() {
        assert_no_secret(&format!("{:?}", scene.dead_letters()), secrets);
    }
}

/// Waits until log and page say all of these words.
fn await_said(host: &Host, words: &[&str]) {
    let says = |text: &str| words.iter().all(|word| text.contains(word));
    eventually(&format!("{words:?} on /readyz"), || {
        host.get("/readyz").filter(|(status, body)| *status == 503 && says(body))
    });
    eventually(&format!("{words:?} in the log"), || host.log().lines().any(says).then_some(()));
    // It lives: nobody should restart it.
    assert_eq!(host.get("/healthz").unwrap().0, 200);
}

#[test]
fn a_host_works_over_tls_with_a_certificate_of_its_own() {
    let secured = Secured::broker();
    let mut scene = scene(&secured, "tls", "MUTUAL", "SSL");
    let store = secured.certificates.store("client").display().to_string();
    property(&mut scene, "ssl.keystore.location", &quoted(&store));
    property(&mut scene, "ssl.keystore.password", "{ env = \"KEYSTORE_PASSWORD\" }");
    scene.site.set_variable("KEYSTORE_PASSWORD", STORE_PASSWORD);
    works(&scene, &[STORE_PASSWORD]);
}

#[test]
fn a_host_works_with_plain_over_tls() {
    let secured = Secured::broker();
    let mut scene = scene(&secured, "plain", "PLAIN", "SASL_SSL");
    password_login(&mut scene, "PLAIN", CLIENT.0, CLIENT.1);
    works(&scene, &[CLIENT.1]);
}

#[test]
fn a_host_works_with_scram_over_tls() {
    let secured = Secured::broker();
    secured.broker.set_scram_password(CLIENT.0, CLIENT.1).unwrap();
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut scene = scene(&secured, "scram", mechanism, "SASL_SSL");
        password_login(&mut scene, mechanism, CLIENT.0, CLIENT.1);
        works(&scene, &[CLIENT.1]);
    }
}

#[test]
fn a_host_works_with_a_token_from_a_file() {
    let secured = Secured::broker();
    let mut scene = scene(&secured, "token-file", "OAUTH", "SASL_SSL");
    let token = tokens::unsecured(std::time::Duration::from_secs(600));
    let path = scene.site.rules().parent().unwrap().join("token");
    std::fs::write(&path, &token).unwrap();
    let path = path.display().to_string();
    scene.site.set("kafka.oauthbearer", "token_file", &quoted(&path));
    works(&scene, &[&token]);
}

#[test]
fn a_host_outlives_the_tokens_that_an_endpoint_gives_it() {
    let secured = Secured::broker();
    let mut scene = scene(&secured, "token-url", "OAUTH", "SASL_SSL");
    let endpoint = TokenEndpoint::start();
    token_login(&mut scene, &endpoint);
    let host = works(&scene, &[tokens::CLIENT_SECRET, tokens::HEADER]);
    // So often that no client has one of the first any more; the broker turns old ones away.
    let begin = endpoint.given();
    eventually("new tokens", || (endpoint.given() > begin + 20).then_some(()));
    say(&scene, 4..6);
    scene.await_titles(titles(6, &["count rpi-03 4"]));
    scene.await_committed();
    assert_silent(&scene, &host, &[tokens::CLIENT_SECRET, tokens::HEADER]);
    let log = host.log();
    assert!(!log.contains("ERROR"), "{log}");
    assert!(host.terminate().success());
}

#[test]
fn a_wrong_password_is_told_and_a_mended_one_is_enough() {
    const USER: &str = "late";
    const PASSWORD: &str = "the-right-one-for-late";
    let secured = Secured::broker();
    secured.broker.set_scram_password(USER, "another-one").unwrap();
    let mut scene = scene(&secured, "wrong-password", "SCRAM-SHA-512", "SASL_SSL");
    password_login(&mut scene, "SCRAM-SHA-512", USER, PASSWORD);
    let mut host = scene.site.spawn("one");
    let address = secured.broker.listener("SCRAM-SHA-512").unwrap();
    let told = format!("cannot log in to kafka at {address}: SASL authentication error");
    await_said(&host, &[&told, "SCRAM-SHA-512"]);
    assert_silent(&scene, &host, &[PASSWORD]);

    secured.broker.set_scram_password(USER, PASSWORD).unwrap();
    host.await_ready();
    say(&scene, 0..2);
    scene.await_titles(titles(2, &[]));
    assert_silent(&scene, &host, &[PASSWORD]);
}

#[test]
fn an_endpoint_that_gives_no_token_is_told_and_waited_for() {
    let secured = Secured::broker();
    let mut scene = scene(&secured, "no-token", "OAUTH", "SASL_SSL");
    let endpoint = TokenEndpoint::start();
    endpoint.refuse(true);
    token_login(&mut scene, &endpoint);
    let mut host = scene.site.spawn("one");
    await_said(&host, &["cannot log in", "kafka.oauthbearer.token_url gave no token", "401"]);
    assert_silent(&scene, &host, &[tokens::CLIENT_SECRET]);

    endpoint.refuse(false);
    host.await_ready();
    say(&scene, 0..2);
    scene.await_titles(titles(2, &[]));
    eventually_eq("readiness", &200, || host.get("/readyz").map_or(0, |(status, _)| status));
}
