//! Slack behind TLS that fails: what waits is posted once when it works, and until then the cause is told.

use firebell_tests::eventually;
use firebell_tests::guests::guest;
use firebell_tests::kafka::Kafka;
use firebell_tests::scene::Scene;
use firebell_tests::site::{Host, TOKEN, quoted};
use firebell_tests::tls::{Handshake, TlsFront};

/// Waits until it was tried this often more.
fn await_tries(front: &TlsFront, tries: usize) {
    let before = front.connections();
    eventually("tries", || (front.connections() >= before + tries).then_some(()));
}

fn await_log(host: &Host, words: &str) {
    eventually(words, || host.log().contains(words).then_some(()));
}

#[test]
fn a_handshake_that_fails_loses_and_repeats_nothing_and_says_why() {
    let mut scene = Scene::new(Kafka::newest(), "slack-tls");
    let front = TlsFront::start(scene.slack.address(), Handshake::Untrusted);
    scene.site.set("slack", "api_url", &quoted(&format!("{}/api/", front.url())));
    scene.site.set_variable("SSL_CERT_FILE", &front.issuer().display().to_string());
    scene.rule("v1", &guest("v1"), "");
    scene.say(["early"]);
    let host = scene.site.spawn("one");

    await_log(&host, "invalid peer certificate: UnknownIssuer");
    await_tries(&front, 2);
    let not_ready = || host.get("/readyz").filter(|(status, _)| *status == 503);
    let told = eventually("the reason", || {
        not_ready().filter(|(_, told)| told.contains("certificate is not trusted"))
    });
    assert!(told.1.contains("UnknownIssuer") && told.1.contains("SSL_CERT_FILE"), "{}", told.1);
    assert_eq!(host.metric("firebell_delivery_paused", &[]), 1.0);

    // Something that does not speak TLS, as a proxy's page.
    front.set(Handshake::Broken);
    await_log(&host, "InvalidContentType");
    scene.say(["late"]);
    await_tries(&front, 2);
    assert_eq!(scene.slack.count(), 0);

    front.set(Handshake::Good);
    scene.await_titles(["v1: early", "v1: late"]);
    eventually("readiness", || host.get("/readyz").filter(|(status, _)| *status == 200));
    assert_eq!(host.metric("firebell_delivery_paused", &[]), 0.0);
    let transient = host.metric("firebell_slack_errors_total", &[("class", "transient")]);
    assert!(transient >= 4.0, "{transient}");
    assert!(scene.dead_letters().is_empty());
    for shown in [host.log(), told.1] {
        assert!(!shown.contains(TOKEN.1), "a secret is shown: {shown}");
    }
    // Nothing comes twice, also not by the next life of the host.
    assert!(host.terminate().success());
    let _host = scene.site.start();
    scene.say(["after"]);
    scene.await_titles(["v1: early", "v1: late", "v1: after"]);
}
