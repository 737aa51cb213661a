//! The whole file, and what is common to its sections.

use super::*;

/// A configuration that is right.
pub(super) const GOOD: &str = "[kafka]\nbootstrap_servers = \"k:9092\"\n[slack]\ntoken_env = \"TOKEN\"\ndefault_channel = \"general\"\n";

pub(super) fn environment() -> Environment {
    Environment::of(
        "web 1",
        6,
        [("TOKEN", " xoxb-1\n"), ("EMPTY", ""), ("HOOK", "https://h/x"), ("PASSWORD", "p")],
    )
}

pub(super) fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(Path::new("firebell.toml"), text, &environment())
}

/// The problems of a text, each as it is shown.
pub(super) fn problems(text: &str) -> Vec<String> {
    parse(text).unwrap_err().problems.iter().map(ToString::to_string).collect()
}

/// The problems of the good configuration with these lines put into its sections.
#[track_caller]
pub(super) fn check(section: &str, lines: &str, expected: &[&str]) {
    let head = format!("[{section}]\n");
    let text = match GOOD.contains(&head) {
        true => GOOD.replace(&head, &format!("{head}{lines}\n")),
        false => format!("{GOOD}{head}{lines}\n"),
    };
    assert_eq!(problems(&text), expected);
}

#[test]
fn the_smallest_file_works_and_has_the_documented_defaults() {
    let environment = Environment::of("web 1", 6, [("SLACK_BOT_TOKEN", "xoxb-1"), ("HOME", "/h")]);
    let c =
        Config::parse(Path::new("/etc/firebell/firebell.toml"), SMALLEST, &environment).unwrap();
    assert_eq!(c.kafka.bootstrap_servers, "127.0.0.1:9092");
    assert_eq!(
        (c.kafka.group_id.as_str(), c.kafka.instance_id.as_str()),
        ("firebell", "web-1-9464")
    );
    assert_eq!(c.kafka.auto_offset_reset, OffsetReset::Latest);
    assert_eq!((c.kafka.commit_interval, c.kafka.workers), (Duration::from_millis(100), 6));
    assert_eq!((c.kafka.internal_partitions, c.kafka.replication_factor), (4, -1));
    assert_eq!(c.rules.dir, Path::new("/etc/firebell/rules"));
    assert_eq!(c.rules.cache_dir.as_deref(), Some(Path::new("/h/.cache/firebell")));
    assert_eq!(c.rules.limits, Limits::default());
    let slack = c.slack.unwrap();
    assert_eq!(
        (slack.api_url.as_str(), slack.default_channel.as_str()),
        ("https://slack.com/api/", "general")
    );
    assert_eq!(
        (slack.messages_per_second, slack.burst, slack.on_ambiguous),
        (1.0, 3, Ambiguity::default())
    );
    assert_eq!(
        (slack.workspace_messages_per_second, slack.digest_after, slack.fallback_channel),
        (5.0, Some(Duration::from_secs(60)), None)
    );
    assert_eq!(slack.request_timeout, Duration::from_secs(10));
    assert_eq!(c.delivery.ledger_retention, Duration::from_secs(7 * 24 * 3600));
    assert!(
        matches!(slack.mode, SlackMode::Bot { token, token_file: None } if token.reveal() == "xoxb-1")
    );
    assert_eq!(c.http.unwrap().listen.to_string(), "127.0.0.1:9464");
}

#[test]
fn the_documented_file_has_every_key_and_works() {
    let docs = include_str!("../../../docs/configuration.md");
    let (_, rest) = docs.split_once("```toml\n# firebell.toml").unwrap();
    let text = rest.split_once("```").unwrap().0;
    // What excludes another key is commented out.
    let environment = Environment::of("h", 1, [("SLACK_BOT_TOKEN", "t"), ("KAFKA_PASSWORD", "p")]);
    let config = Config::parse(Path::new("firebell.toml"), text, &environment).unwrap();
    assert_eq!(config.slack.unwrap().channels["general"], "C0123ABCDEF");
    let text: String =
        text.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line))).collect();
    for key in KEYS {
        assert!(docs.contains(&format!("| `{key}` |")), "{key} is not in docs/configuration.md");
        let (section, last) = key.rsplit_once('.').unwrap();
        let mut sections = text.split("\n[");
        let is_it = |part: &&str| match section.strip_suffix('*') {
            // The operator chooses the name.
            Some(named) => part.starts_with(named),
            None => part.starts_with(&format!("{section}]")),
        };
        let section = sections.find(is_it);
        let section = section.unwrap_or_else(|| panic!("{key} has no section in the file"));
        let assigned = |line: &str| last == "*" || line.starts_with(&format!("{last} = "));
        assert!(section.lines().any(assigned), "{key} is not in the documented file");
    }
}

#[test]
fn every_documented_key_is_one_that_is_read() {
    let docs = include_str!("../../../docs/configuration.md");
    for line in docs.lines().filter_map(|line| line.strip_prefix("| `")) {
        let key = line.split('`').next().unwrap();
        assert!(KEYS.contains(&key), "{key} is documented and not read");
    }
    // And what is read and unknown says so: the list of keys and the code agree.
    for key in KEYS.iter().filter(|key| !key.ends_with('*')) {
        let (section, last) = key.rsplit_once('.').unwrap();
        let text = format!("[{}]\n{last} = []\n", section.replace('*', "name"));
        let problems = problems(&text);
        assert!(!problems.iter().any(|problem| problem.contains("unknown key")), "{problems:?}");
    }
}

#[test]
fn a_digest_of_storms_may_be_off_and_a_webhook_has_no_fallback() {
    let with = |line: &str| {
        let slack = "[slack]\ntoken_env = \"TOKEN\"\ndefault_channel = \"general\"";
        parse(&format!("[kafka]\nbootstrap_servers = \"k:1\"\n{slack}\n{line}\n"))
            .unwrap()
            .slack
            .unwrap()
    };
    assert_eq!(with("digest_after_seconds = \"off\"").digest_after, None);
    assert_eq!(with("digest_after_seconds = 5").digest_after, Some(Duration::from_secs(5)));
    let text = "[kafka]\nbootstrap_servers = \"k:1\"\n[slack]\nwebhook_url_env = \"HOOK\"\n\
                fallback_channel = \"ops\"\n";
    assert_eq!(
        problems(text),
        [
            "firebell.toml:5: slack.fallback_channel: a webhook has one channel, and no other; leave \
          it out, or use a bot token (token_env)"
        ]
    );
}

#[test]
fn an_unknown_key_tells_the_nearest_right_one_or_the_section_or_all() {
    check(
        "kafka",
        "grup_id = \"x\"",
        &["firebell.toml:2: kafka.grup_id: unknown key; did you mean `group_id`?"],
    );
    check(
        "kafka",
        "default_channel = \"x\"",
        &["firebell.toml:2: kafka.default_channel: unknown key; it belongs under [slack]"],
    );
    check(
        "http",
        "colour = 1",
        &["firebell.toml:7: http.colour: unknown key; the keys here are `listen`, `public_url`"],
    );
    check("kafak", "workers = 1", &["firebell.toml:6: kafak: unknown key; did you mean `kafka`?"]);
    check(
        "kafka.propertys",
        "a = 1",
        &["firebell.toml:6: kafka.propertys: unknown key; did you mean `properties`?"],
    );
    assert_eq!(
        problems("[kafka]\nbootstrap_server = \"k:9092\"\n"),
        ["firebell.toml:2: kafka.bootstrap_server: unknown key; did you mean `bootstrap_servers`?"],
        "the missing key is not told a second time"
    );
}

#[test]
fn a_wrong_type_tells_both_types() {
    check(
        "kafka",
        "workers = \"4\"",
        &["firebell.toml:2: kafka.workers: expected a whole number, found a text"],
    );
    check(
        "kafka",
        "group_id = 4",
        &["firebell.toml:2: kafka.group_id: expected a text in quotes, found a whole number"],
    );
    check(
        "slack",
        "burst = 1.5",
        &["firebell.toml:4: slack.burst: expected a whole number, found a number with a point"],
    );
    check(
        "slack",
        "link_hosts = \"a\"",
        &[
            "firebell.toml:4: slack.link_hosts: expected a list of texts such as [\"a\", \"b\"], found a text",
        ],
    );
    check(
        "slack",
        "messages_per_second = true",
        &["firebell.toml:4: slack.messages_per_second: expected a number, found true or false"],
    );
    assert_eq!(
        problems("kafka = 3\n"),
        [
            "firebell.toml:1: kafka: expected a table, found a whole number; write it as a section [kafka]",
        ]
    );
}

#[test]
fn a_number_out_of_range_tells_the_range() {
    check(
        "kafka",
        "commit_interval_ms = -5",
        &[
            "firebell.toml:2: kafka.commit_interval_ms: -5 is out of range; write a number from 1 to 30000",
        ],
    );
    check(
        "slack",
        "request_timeout_ms = -1",
        &[
            "firebell.toml:4: slack.request_timeout_ms: -1 is out of range; write a number from 100 to 600000",
        ],
    );
    check(
        "slack",
        "messages_per_second = 0",
        &[
            "firebell.toml:4: slack.messages_per_second: 0 is out of range; write a number from 0.01 to 10000",
        ],
    );
    check(
        "slack",
        "messages_per_second = nan",
        &[
            "firebell.toml:4: slack.messages_per_second: nan is out of range; write a number from 0.01 to 10000",
        ],
    );
    check(
        "kafka",
        "workers = 99999999999999999999",
        &[
            "firebell.toml:2: kafka.workers: 99999999999999999999 is out of range; write a number from 0 to 512",
        ],
    );
    check(
        "kafka",
        "replication_factor = 0",
        &[
            "firebell.toml:2: kafka.replication_factor: 0 is out of range; write 1 or more, or -1 for the broker's default",
        ],
    );
    check(
        "rules.limits",
        "memory_mib = 0",
        &[
            "firebell.toml:7: rules.limits.memory_mib: 0 is out of range; write a number from 1 to 4096",
        ],
    );
}

#[test]
fn a_word_that_is_none_of_the_list_tells_the_nearest_or_the_list() {
    check(
        "kafka",
        "auto_offset_reset = \"earlyest\"",
        &[
            "firebell.toml:2: kafka.auto_offset_reset: does not know \"earlyest\"; did you mean \"earliest\"?",
        ],
    );
    check(
        "slack",
        "on_ambiguous = \"perhaps\"",
        &[
            "firebell.toml:4: slack.on_ambiguous: does not know \"perhaps\"; write one of \"send\", \"drop\"",
        ],
    );
}

#[test]
fn required_keys_that_are_missing_are_told_with_an_example() {
    assert_eq!(
        problems(""),
        [
            "firebell.toml: kafka.bootstrap_servers: is missing; write bootstrap_servers = \"127.0.0.1:9092\" under [kafka]",
        ]
    );
    assert_eq!(
        problems("[kafka]\nbootstrap_servers = \"k:9092\"\n[slack]\n"),
        [
            "firebell.toml:3: slack.token_env: there is no token; write token_env = \"SLACK_BOT_TOKEN\" or token_file = \"PATH\", or, for one channel without edits, webhook_url_env = \"SLACK_WEBHOOK_URL\"",
            "firebell.toml:3: slack.default_channel: is missing; write default_channel = \"general\" under [slack]",
        ]
    );
}

#[test]
fn addresses_names_and_ids_are_checked() {
    check(
        "slack",
        "api_url = \"slack.com\"",
        &[
            "firebell.toml:4: slack.api_url: \"slack.com\" is not an http(s) address; write http:// or https://, host and path, such as \"https://slack.com/api/\"",
        ],
    );
    for url in ["firebell.example.com", "https://me@firebell.example.com", "https://f/?a=1"] {
        let expected = format!(
            "firebell.toml:7: http.public_url: \"{url}\" is not an address of a page; write http:// or https://, host and path, such as \"https://firebell.example.com\""
        );
        check("http", &format!("public_url = \"{url}\""), &[&expected]);
    }
    check(
        "http",
        "listen = \"9464\"",
        &[
            "firebell.toml:7: http.listen: \"9464\" is not an address to listen on; write ADDRESS:PORT such as \"127.0.0.1:9464\" or \"[::]:9464\", or \"off\"",
        ],
    );
    check(
        "kafka",
        "group_id = \"fire bell\"",
        &[
            "firebell.toml:2: kafka.group_id: \"fire bell\" cannot be used; it becomes part of topic names: letters, digits, `.`, `_` and `-`, 200 at most",
        ],
    );
    check(
        "slack.channels",
        "general = \"general\"",
        &[
            "firebell.toml:7: slack.channels.general: \"general\" is not a channel's id; take the id from the channel's details in Slack; it looks like \"C0123ABCDEF\"",
        ],
    );
    check(
        "slack.mentions",
        "oncall = \"@bob\"",
        &[
            "firebell.toml:7: slack.mentions.oncall: \"@bob\" cannot be mentioned; write a user id (\"U…\"), a user group id (\"S…\"), \"here\", \"channel\" or \"everyone\"",
        ],
    );
    check(
        "slack",
        "link_hosts = [\"https://a/\"]",
        &[
            "firebell.toml:4: slack.link_hosts: \"https://a/\" is not a host; write hosts only, such as [\"grafana.example.com\"]",
        ],
    );
    assert_eq!(
        problems(&GOOD.replace("k:9092", "k")),
        [
            "firebell.toml:2: kafka.bootstrap_servers: \"k\" is not an address; write HOST:PORT, several with commas between",
        ]
    );
}

#[test]
fn everything_wrong_is_told_at_once_in_the_order_of_the_file() {
    let text = "[http]\nlisten = \"x\"\n[slack]\ntoken_env = \"NOPE\"\n[kafka]\nworkers = \"1\"\nfoo = 1\n";
    let lines: Vec<_> = parse(text)
        .unwrap_err()
        .problems
        .iter()
        .map(|p| (p.line, p.key.clone().unwrap()))
        .collect();
    let lines: Vec<_> = lines.iter().map(|(line, key)| (line.unwrap(), key.as_str())).collect();
    assert_eq!(
        lines,
        [
            (2, "http.listen"),
            (3, "slack.default_channel"),
            (4, "slack.token_env"),
            (5, "kafka.bootstrap_servers"),
            (6, "kafka.workers"),
            (7, "kafka.foo"),
        ]
    );
}

#[test]
fn text_that_is_not_toml_tells_each_place() {
    let problems = problems("[kafka\nx = \n[slack]\ny = 1\ny = 2\n");
    assert!(problems[0].starts_with("firebell.toml:1: this is not TOML: "), "{problems:?}");
    assert!(
        problems.iter().any(|problem| problem.starts_with("firebell.toml:5: ")),
        "{problems:?}"
    );
}

#[test]
fn a_file_that_is_not_there_is_told_with_the_smallest_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("firebell.toml");
    let text = Config::load(&path).unwrap_err().to_string();
    let expected = format!(
        "{}: there is no such file; write one, or name another with -c FILE; the smallest that works is\n\n{SMALLEST}",
        path.display()
    );
    assert_eq!(text, expected);
    std::fs::write(&path, b"\xff").unwrap();
    let text = Config::load(&path).unwrap_err().to_string();
    assert_eq!(text, format!("{}: is not UTF-8 text; TOML is written in UTF-8", path.display()));
}

#[test]
fn without_a_slack_section_nothing_is_delivered_and_off_means_no_page() {
    let config = parse("[kafka]\ninstance_id = \"a\"\nbootstrap_servers = \"k:1, [::1]:9092,SASL_SSL://b:2\"\n[http]\nlisten = \"off\"\n[rules]\ncache_dir = \"off\"").unwrap();
    assert!(config.slack.is_none() && config.http.is_none() && config.rules.cache_dir.is_none());
}
