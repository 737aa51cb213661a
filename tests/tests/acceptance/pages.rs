//! The pages in a real browser.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use firebell_tests::eventually;
use firebell_tests::scene::Scene;
use firebell_tests::site::program;
use serde_json::Value;
use xtask::chromium::document;

/// The page's document, once it has all of `wanted` in it.
fn await_document(address: &str, wanted: &[&str]) -> String {
    eventually(&format!("{wanted:?} on {address}"), || {
        let document = document(address).unwrap();
        wanted.iter().all(|text| document.contains(text)).then_some(document)
    })
}

#[test]
fn the_hosts_page_lists_rules_good_and_rejected_with_their_numbers() {
    let scene = Scene::with_guest("page", "v1");
    // What a file says is shown as text, whatever it is.
    scene.site.put("broken.toml", b"\"<img src=x onerror=alert(1)>\" = 1\n");
    let host = scene.site.start();
    scene.say((0..7).map(|number| format!("message {number}")));
    scene.await_titles((0..7).map(|number| format!("v1: message {number}")));
    let mut silence = scene.site.command();
    silence.args([
        "silence",
        "add",
        "rule = v1",
        "host !~ \"x.*\"",
        "--for",
        "2h",
        "--author",
        "ana",
    ]);
    silence.args(["--comment", "<b>new keys</b>", "--config"]);
    assert!(silence.arg(scene.site.config_path("one")).output().unwrap().status.success());
    let document = await_document(
        &host.address("/"),
        &[
            "<td>v1</td><td class=\"good\">active</td>",
            "<td>broken</td><td class=\"bad\">rejected</td>",
            "<div class=\"note\">",
            "unknown key `&lt;img src=x onerror=alert(1)&gt;`",
            "<dt>records</dt><dd>7<small>",
            "<td>7 posted</td>",
            "<td>rule = \"v1\", host !~ \"x.*\"</td><td>active</td>",
            "<td>ana</td><td>&lt;b&gt;new keys&lt;/b&gt;</td>",
        ],
    );
    assert!(!document.contains("<img"), "{document}");
    assert!(document.contains(&format!("<td>{}</td>", scene.topic)), "{document}");
}

/// A running demo; ended when dropped.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_demos_page_shows_a_name_that_would_call_everybody_as_text() {
    let mut command = Command::new(program());
    command.args(["demo", "--listen", "127.0.0.1:0", "--output", "json", "--rate", "100"]);
    let mut demo = Demo(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let page = next()["page"].as_str().unwrap().to_owned();
    // The third attempt has that name.
    while !next()["text"].as_str().unwrap_or_default().contains("<!channel>") {}
    let document =
        await_document(&page, &["Invalid user &lt;!channel&gt; from", "<td>invalid-user</td>"]);
    assert!(!document.contains("class=\"mention\""), "{document}");
}
