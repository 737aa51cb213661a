//! The program as an operator meets it: exit codes, messages, formats.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::Path;
use std::process::{Command, Output};

/// The variables that a configuration may name in these tests.
const VARIABLES: [(&str, &str); 2] = [("TOKEN", "xoxb-SECRET"), ("EMPTY", "")];

/// A folder with files, and the program in it.
struct Site(tempfile::TempDir);

/// What the program said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Site {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("rules")).unwrap();
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        Self(dir)
    }

    /// A site with the usual configuration, after `change`.
    fn configured(change: impl Fn(&str) -> String) -> Self {
        let good = "[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\n\n[slack]\ntoken_env = \"TOKEN\"\n\
                    default_channel = \"general\"\n\n[rules]\ncache_dir = \"cache\"\n";
        Self::new(&[("firebell.toml", change(good).as_bytes())])
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.path().join(name), bytes).unwrap();
        self
    }

    fn firebell(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firebell"));
        command.args(arguments).current_dir(self.path()).env_clear().envs(VARIABLES);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    /// What `firebell check --offline` prints but for notes, with its exit code.
    #[track_caller]
    fn check(&self, code: i32, expected: &[&str]) {
        let said = self.firebell(&["check", "--offline"]);
        let lines: Vec<&str> =
            said.out.lines().filter(|line| !line.starts_with("note: ")).collect();
        assert_eq!(lines, expected, "{}", said.err);
        assert_eq!((said.code, said.err.as_str()), (code, ""));
    }
}

#[test]
fn wrong_usage_ends_with_2_and_help_with_0() {
    let site = Site::new(&[]);
    let said = site.firebell(&["chekc"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("a similar subcommand exists: 'check'"), "{}", said.err);
    assert_eq!(site.firebell(&[]).code, 2);
    assert_eq!(site.firebell(&["check", "--output", "xml"]).code, 2);
    let said = site.firebell(&["--help"]);
    assert_eq!(said.code, 0);
    assert!(
        said.out
            .contains("Exit codes: 0 it went well, 1 it failed, 2 wrong usage or configuration.")
    );
    let said = site.firebell(&["--version"]);
    assert_eq!((said.code, said.out), (0, format!("firebell {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_missing_file_is_told_with_the_smallest_that_works() {
    let site = Site::new(&[]);
    site.check(
        2,
        &[
            "firebell.toml: there is no such file; write one, or name another with -c FILE; the smallest that works is",
            "",
            "[kafka]",
            "bootstrap_servers = \"127.0.0.1:9092\"",
            "",
            "[slack]",
            "token_env = \"SLACK_BOT_TOKEN\"",
            "default_channel = \"general\"",
            "",
            "1 problem",
        ],
    );
    let said = site.firebell(&["check", "-c", "other.toml", "--offline"]);
    assert!(said.out.starts_with("other.toml: there is no such file"), "{}", said.out);
}

#[test]
fn every_bad_configuration_input_has_its_message() {
    let unknown = |good: &str| good.replace("bootstrap_servers", "bootstrap_server");
    Site::configured(unknown).check(
        2,
        &["firebell.toml:2: kafka.bootstrap_server: unknown key; did you mean `bootstrap_servers`?", "1 problem"],
    );
    let wrong_type = |good: &str| good.replace("[slack]", "workers = \"four\"\n[slack]");
    Site::configured(wrong_type).check(
        2,
        &["firebell.toml:4: kafka.workers: expected a whole number, found a text", "1 problem"],
    );
    let not_set = |good: &str| good.replace("TOKEN", "SLACK_BOT_TOKEN");
    let site = Site::configured(not_set);
    let said = site.firebell(&["run"]);
    let told = "firebell.toml:5: slack.token_env: environment variable SLACK_BOT_TOKEN is not set; set it before the start: export SLACK_BOT_TOKEN=…";
    assert!(said.code == 2 && said.err.contains(told), "{}", said.err);
    // Where nothing is asked, it need not be there.
    site.check(0, &["ok: configuration firebell.toml"]);
    let said = site.firebell(&["check", "--offline"]);
    assert!(said.out.contains("environment variable SLACK_BOT_TOKEN is not here"), "{}", said.out);
    let empty = |good: &str| good.replace("TOKEN", "EMPTY");
    Site::configured(empty).check(
        2,
        &["firebell.toml:5: slack.token_env: environment variable EMPTY is empty; give it the secret", "1 problem"],
    );
}

#[test]
fn everything_wrong_is_told_at_once_without_secrets() {
    let site =
        Site::configured(|good| format!("{good}[http]\nlisten = \"nowhere\"\nport = 1\n[kafak]\n"));
    site.check(
        2,
        &[
            "firebell.toml:11: http.listen: \"nowhere\" is not an address to listen on; write ADDRESS:PORT such as \"127.0.0.1:9464\" or \"[::]:9464\", or \"off\"",
            "firebell.toml:12: http.port: unknown key; the keys here are `listen`, `public_url`",
            "firebell.toml:13: kafak: unknown key; did you mean `kafka`?",
            "3 problems",
        ],
    );
}

#[test]
fn a_broker_that_does_not_answer_ends_with_1_and_the_key() {
    let site = Site::configured(str::to_owned);
    let said = site.firebell(&["check"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(
        said.out
            .contains("firebell.toml: kafka.bootstrap_servers: no kafka broker can be reached at 127.0.0.1:1: Connect "),
        "{}",
        said.out
    );
    assert!(!said.out.contains("SECRET") && !said.err.contains("SECRET"));
}

#[test]
fn what_asks_a_broker_that_does_not_answer_tells_its_address_and_what_to_check() {
    for command in [&["alerts"][..], &["state", "invalid-user"], &["silence", "list"]] {
        let said = Site::configured(str::to_owned).firebell(command);
        assert_eq!(said.code, 1, "{}", said.err);
        let told = "no kafka broker can be reached at 127.0.0.1:1: Connect to ipv4#127.0.0.1:1 failed: \
                    Connection refused; check kafka.bootstrap_servers";
        assert!(said.err.contains(told), "{}", said.err);
    }
}

#[test]
fn results_are_json_for_programs() {
    let site = Site::configured(|good| good.replace("default_channel", "default_chanel"));
    let said = site.firebell(&["check", "--offline", "--output", "json"]);
    assert_eq!(said.code, 2);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["ok"], false);
    let problem = serde_json::json!({
        "file": "firebell.toml",
        "line": 6,
        "key": "slack.default_chanel",
        "message": "unknown key",
        "cure": "did you mean `default_channel`?",
    });
    assert_eq!(json["problems"], serde_json::json!([problem]));
    let said =
        Site::configured(str::to_owned).firebell(&["--output", "json", "check", "--offline"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &json["ok"]), (0, &serde_json::Value::Bool(true)), "{}", said.out);
}

/// A component that imports `name`.
fn importing(name: &str) -> Vec<u8> {
    wat::parse_str(format!("(component (import \"{name}\" (instance)))")).unwrap()
}

#[test]
fn every_bad_rule_is_told_with_file_place_and_cure_and_the_good_ones_pass() {
    let good = firebell::shipped::find("invalid-user").unwrap();
    let newer = "(component (instance $i) (export \"firebell:rule/guest@0.9.0\" (instance $i)))";
    let site = Site::configured(str::to_owned);
    site.write("rules/a-good.toml", good.toml)
        .write("rules/b-empty.wasm", [])
        .write("rules/c-half.wasm", &good.component[..5000])
        .write("rules/d-core.wasm", b"\0asm\x01\0\0\0")
        .write("rules/e-foreign.wasm", importing("wasi:cli/environment@0.2.6"))
        .write("rules/f-newer.wasm", wat::parse_str(newer).unwrap())
        .write("rules/g-text.wasm", "hello\n")
        .write("rules/h-key.toml", "component = \"builtin:invalid-user\"\ntopcis = [\"SYSLOG\"]\n")
        .write(
            "rules/i-refused.toml",
            "component = \"builtin:invalid-user\"\ntopics = [\"SYSLOG\"]\n[config]\nhots = \"x\"\n",
        )
        .write(
            "rules/j-where.toml",
            "component = \"builtin:invalid-user\"\ntopics = [\"SYSLOG\"]\nwhere = \"hots == 'x'\"\n",
        );
    site.check(
        2,
        &[
            "ok: configuration firebell.toml",
            "ok: rule a-good: SYSLOG to #general",
            "rules/b-empty.wasm: the file is empty; build the rule again",
            "rules/c-half.wasm: the file ends in the middle, after 5000 bytes; it is half-written or was cut: copy it whole under another name and rename it",
            "rules/d-core.wasm: the file is a core module without Firebell's interface; build it with the crate `firebell-rule`, or with bindings of `wit/0.1.1` and `wasm-tools component new`",
            "rules/e-foreign.wasm: the component imports `wasi:cli/environment@0.2.6`, but a rule may import only `firebell:rule/*`; build for wasm32-unknown-unknown (Rust), or leave WASI out (JavaScript: `--disable all`, Python: `--stub-wasi`)",
            "rules/f-newer.wasm: the component is built against `firebell:rule/guest@0.9.0`; this host speaks 0.1: upgrade the host, or build against 0.1",
            "rules/g-text.wasm: the file is not WebAssembly: it begins with `hello\\n`",
            "rules/h-key.toml:2: unknown key `topcis`; did you mean `topics`?",
            "rules/i-refused.toml:3: the rule refuses its configuration: [config] unknown field `hots`, expected `host` or `emit_to`",
            "rules/j-where.toml:3: `where` is wrong: condition `hots == 'x'`, column 1: `hots` is not a field of this rule (did you mean `host`?); it has date, host, message, app, pid",
            "9 problems",
        ],
    );
}

#[test]
fn what_comes_back_to_where_it_came_from_is_told() {
    let sink = "[kafka_sinks.seed]\ntopic = \"SYSLOG\"\n";
    let site = Site::configured(|good| format!("{good}{sink}"));
    let rule = "component = \"builtin:invalid-user\"\n";
    site.write(
        "rules/a.toml",
        format!("{rule}topics = [\"SYSLOG\"]\nchannels = [\"kafka:seed\"]\n"),
    )
    .write("rules/b.toml", format!("{rule}topics = [\"SYSLOG\"]\nemit = [\"SYSLOG\", \"OUT\"]\n"))
    .write("rules/c.toml", format!("{rule}topics = [\"firebell.outbox\"]\n"));
    let said = site.firebell(&["check", "--offline"]);
    assert_eq!(said.code, 2, "{}", said.out);
    let of = |file: &str| -> Vec<&str> {
        said.out.lines().filter(|line| line.contains(&format!("rules/{file}.toml: "))).collect()
    };
    assert_eq!(
        [of("a"), of("b"), of("c")],
        [
            [
                "rules/a.toml: channels: kafka:seed writes to SYSLOG, which the rule reads: its alerts come back to it; let one of them have another topic",
            ],
            [
                "note: rules/b.toml: emit: the rule may emit to SYSLOG, which it reads: what it emits comes back to it; let its condition pass over what it emitted, or emit to another topic",
            ],
            [
                "note: rules/c.toml: topics: the rule reads firebell.outbox, which is this group's own: its alerts make records there; read another topic",
            ],
        ]
    );
}

#[test]
fn a_server_that_is_told_something_wrong_ends_with_2() {
    let policy = "[delivery]\npolicy = \"policy.toml\"\n";
    let wrong = Site::configured(|good| format!("{good}{policy}"));
    wrong.write("policy.toml", "[route]\nreceiver = \"nobody\"\n");
    let said = wrong.firebell(&["run", "--only", "evaluate"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("nobody"), "{}", said.err);
    let nowhere = Site::configured(|good| good.replace("[rules]", "[rules]\ndir = \"elsewhere\""));
    let said = nowhere.firebell(&["run"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("elsewhere"), "{}", said.err);
}

#[test]
fn who_asks_kafka_alone_needs_no_token_of_slack() {
    let site = Site::configured(|good| good.replace("\"TOKEN\"", "\"ELSEWHERE\""));
    let said = site.firebell(&["silence", "list"]);
    // There is no broker here, but that is all.
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(!said.err.contains("ELSEWHERE"), "{}", said.err);
    let secret = "[kafka.properties]\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"u\"\n\"sasl.password\" = { env = \"NOPE\" }\n";
    let site = Site::configured(|good| format!("{good}{secret}"));
    let said = site.firebell(&["silence", "list"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("NOPE"), "{}", said.err);
}

#[test]
fn a_rules_folder_that_is_not_there_or_empty_is_told() {
    let site = Site::configured(|good| good.replace("[rules]", "[rules]\ndir = \"elsewhere\""));
    site.check(
        2,
        &[
            "ok: configuration firebell.toml",
            "rules.dir: cannot read the rules folder `elsewhere`; create it and let this user read it, or name another one: `dir` under [rules]: No such file or directory (os error 2)",
            "1 problem",
        ],
    );
    let said = Site::configured(str::to_owned).firebell(&["check", "--offline"]);
    assert_eq!(said.code, 0);
    assert_eq!(
        said.out,
        "ok: configuration firebell.toml\n\
         note: rules: there is no rule; put a NAME.wasm there, or a NAME.toml with component = \
         \"builtin:first-seen\" or \"builtin:heartbeat\" or \"builtin:invalid-login-burst\" or \
         \"builtin:invalid-user\" or \"builtin:notify-relay\"\n"
    );
}

/// A started `firebell run`, killed when dropped.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

impl Running {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }
}

impl Site {
    /// A site whose page is on a free port, and that port.
    fn with_page() -> (Self, u16) {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let http = format!("[http]\nlisten = \"127.0.0.1:{port}\"\n");
        (Self::configured(move |good| format!("{good}{http}")), port)
    }

    fn run(&self, arguments: &[&str]) -> Running {
        let log = std::fs::File::create(self.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_firebell"));
        command.arg("run").args(arguments).current_dir(self.path()).env_clear().envs(VARIABLES);
        Running(command.stderr(log).spawn().unwrap())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap()
    }
}

/// The status and the body of a page; `None` = nobody answers yet.
fn get(port: u16, path: &str) -> Option<(u16, String)> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Asks until there is an answer.
#[track_caller]
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    while start.elapsed() < std::time::Duration::from_secs(60) {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{what}: not within a minute");
}

#[test]
fn run_without_a_broker_waits_says_why_and_ends_with_0_on_sigterm() {
    let (site, port) = Site::with_page();
    let mut host = site.run(&["--log-format", "json"]);
    assert_eq!(eventually("healthz", || get(port, "/healthz")), (200, "ok\n".into()));
    let (status, body) = get(port, "/readyz").unwrap();
    assert!(status == 503 && body.starts_with("not ready\n"), "{body}");
    host.signal("TERM");
    let status = eventually("the end", || host.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{}", site.log());
    for line in site.log().lines() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(json["level"].is_string() && json["message"].is_string(), "{line}");
    }
    assert!(!site.log().contains("SECRET"));
}

#[test]
fn run_tells_an_address_in_use_with_the_key_and_ends_with_1() {
    let (site, port) = Site::with_page();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let said = site.firebell(&["run"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let cause = format!(
        "  caused by: cannot listen on 127.0.0.1:{port}: another process does; end it, or choose \
         another address with `listen` under [http] (\"off\" serves no page)"
    );
    assert!(said.err.lines().any(|line| line == cause), "{}", said.err);
}

#[test]
fn run_needs_a_right_configuration_and_a_slack_to_deliver_to() {
    let said = Site::configured(|good| good.replace("kafka", "kafak")).firebell(&["run"]);
    assert_eq!(said.code, 2);
    assert_eq!(said.err, "error: firebell.toml:1: kafak: unknown key; did you mean `kafka`?\n");
    let without = "[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\n";
    let said = Site::configured(|_| without.into()).firebell(&["run"]);
    assert_eq!(said.code, 2);
    assert_eq!(
        said.err,
        "error: firebell.toml: there is no [slack] and no other target, so nothing can be delivered; \
         write token_env and default_channel under [slack], or a target of docs/sinks.md, or only \
         evaluate: firebell run --only evaluate\n"
    );
}
